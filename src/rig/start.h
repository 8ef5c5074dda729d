/* SPDX-License-Identifier: MIT */
/*
 * Starts the rig in the background: a session of its own, no terminal, its log
 * in a file. Blocks until the new process serves commands or has ended.
 */
#pragma once

#define START_MS 15000

struct start_params {
	const char *self; /* this program's file */
	const char *home; /* RIGWAY_HOME as an absolute path, or NULL */
	const char *log;  /* appended to */
};

/* 0, or why not, with a sentence in *ret_text (what the new process said
 * last), to be freed. */
int start_agent(const struct start_params *p, char **ret_text);

/* SPDX-License-Identifier: MIT */
/*
 * Starts a program in the background: a session of its own, no terminal, what
 * it prints in a log file, no other open file. Blocks until the new process is
 * ready or has ended; for commands, which have no loop.
 */
#pragma once

/* How long the new process may take until it is ready. */
#define DETACH_READY_MS 15000
/* The new process writes one byte to this fd as soon as it serves, and closes
 * it; the word is for its command line. */
#define DETACH_READY_FD	  3
#define DETACH_READY_WORD "3"

struct detach_params {
	const char *program;	 /* its file */
	const char *const *argv; /* ends with NULL */
	const char *home;	 /* RIGWAY_HOME as an absolute path, or NULL */
	const char *log;	 /* appended to; only its owner can read it */
};

/*
 * Returns 0 once the new process is ready. Otherwise *ret_text is a sentence
 * part, to be freed: the errors that the new process put into its log.
 *   RW_ERR_GONE     it has ended
 *   RW_ERR_TIMEOUT  it is not ready after DETACH_READY_MS; it goes on
 *   -errno          there is no log, no pipe or no process
 */
int detach_start(const struct detach_params *p, char **ret_text);

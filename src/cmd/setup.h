/* SPDX-License-Identifier: MIT */
/*
 * What a command starts from: where this user's files lie, and what the
 * configuration file says.
 */
#pragma once
#include "config/paths.h"
#include "config/settings.h"

struct setup {
	struct paths paths;
	struct settings settings;
};

/* Finds the paths and reads the settings. 0, or EXIT_FAILED after saying why
 * on stderr, each line that is not about a place in the file with who
 * ("rigway join") before it. setup_done() in either case. */
int setup_init(struct setup *s, const char *who);
void setup_done(struct setup *s);

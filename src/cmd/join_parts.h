/* SPDX-License-Identifier: MIT */
/*
 * The two halves of `rigway join`, one for each kind of code: a rig's
 * (join_rig.c) and a laptop's (cmd_join.c), and how both speak with the one
 * who typed it.
 */
#pragma once
#include <stdbool.h>

#include "base/buf.h"
#include "cmd/setup.h"
#include "wire/code.h"

/* Whether a laptop offers its ssh key to the rig. */
enum authorize { AUTHORIZE_ASK, AUTHORIZE_YES, AUTHORIZE_NO };

struct join {
	struct setup setup;
	struct buf text; /* the code as it was given */
	struct code code;
	const char *name; /* --name */
	bool no_install, no_start, is_json;
	enum authorize authorize;
};

/* Makes this machine a rig of the code's relay and prints the laptop's code.
 * Returns the exit status; what went wrong was printed. */
int join_rig(struct join *j);

/* Print text after "rigway join: " and return EXIT_FAILED. */
int join_fail(const char *text);
int join_fail_free(char *text);
/* Whether somebody is there to be asked. */
bool join_is_terminal(void);
bool join_ask_yes(const char *question);

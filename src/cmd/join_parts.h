/* SPDX-License-Identifier: MIT */
/*
 * The two halves of `rigway join`, one for each kind of code: a rig's
 * (join_rig.c) and a laptop's (join_client.c), and how both speak with the one
 * who typed it (join_parts.c).
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

/* Makes this machine a rig of the code's relay and prints the laptop's code,
 * unless it has laptops, which learn of another relay by themselves.
 * Returns the exit status; what went wrong was printed. */
int join_rig(struct join *j);
/* Makes this machine a laptop that knows the code's rig. Likewise. */
int join_client(struct join *j);

/* join_standing.c: how this machine stands to the relay of a rig's code. */
struct standing {
	bool is_joined;	   /* the relay is on the list */
	bool is_same_code; /* and it was joined with this very code */
	bool is_up;	   /* and it is connected now */
	bool is_other;	   /* a rig, but of other relays */
	size_t laptops;	   /* that may come in already */
};
struct agent_state;
void standing_of_files(const struct join *j, struct agent_state *s,
		       struct standing *ret);
/* fd: to the rig that runs. 0, or the exit status. */
int standing_of_running(const struct join *j, int fd, struct standing *ret);
/* A rig's code where it does not belong is not used up: 0, or the exit status
 * after saying so. */
int standing_check(struct join *j, const struct standing *s);
/* Whether a laptop has to type a code now; else what was done is said. */
bool standing_needs_code(const struct standing *s);
void standing_say_added(const struct join *j, const struct standing *s);

/* Print text after "rigway join: " and return EXIT_FAILED. */
int join_fail(const char *text);
int join_fail_free(char *text);
/* Whether somebody is there to be asked. */
bool join_is_terminal(void);
bool join_ask_yes(const char *question);

/* SPDX-License-Identifier: MIT */
/*
 * How a command gets at the rig of this machine: the running one over its
 * socket, or, when none runs, the state itself, locked. Blocks.
 */
#pragma once
#include <jansson.h>

#include "rig/agent.h"

/* A rig that starts has the lock a moment before it has its socket. */
#define RIG_REACH_MS 8000

struct rig_reach {
	int fd;			  /* of the running rig's socket, or -1 */
	struct agent_state state; /* if fd is -1 */
};

/* 0; RW_ERR_NOT_FOUND: this machine is no rig, and o->may_make was false; or
 * another error. text is a sentence, to be freed. o->wait_ms is not used. */
int rig_reach(const struct agent_open *o, struct rig_reach *ret,
	      char **ret_text);
void rig_reach_close(struct rig_reach *r);

/* Longer than the rig waits for its relay. */
#define RIG_ASK_MS 20000

/* What happens while the rig answers. */
struct rig_ask_watch {
	int timeout_ms; /* without a line; -1: never */
	void (*on_row)(void *user, const json_t *row); /* or NULL */
	void *user;
};

/*
 * Asks the running rig over fd; msg is stolen. Each line before the last goes
 * to watch's on_row; watch may be NULL: RIG_ASK_MS, and nobody hears of rows.
 * Returns 0 with the last line in *ret (to be json_decref()ed; ret may be
 * NULL), or an error with a sentence in *ret_text, to be freed; RW_ERR_TIMEOUT
 * when no line came in time.
 */
int rig_ask(int fd, json_t *msg, const struct rig_ask_watch *watch,
	    json_t **ret, char **ret_text);

/* SPDX-License-Identifier: MIT */
/*
 * Requests to one rig over stream 0 of its session (wire/request.h): an invite
 * for another laptop, an ssh key for the rig's user. Waits for the rig if it is
 * away, up to a deadline. Loop thread only.
 */
#pragma once

#include "net/loop.h"
#include "wire/request.h"
struct asks;
struct ask;
struct way;

#define ASKS_TIMEOUT_MS 30000

struct ask_ops {
	/* A row, or A_INVITE: valid during the call, which may not cancel the
	 * ask. May be NULL. */
	void (*on_answer)(void *user, const struct request *answer);
	/* Once, from the loop: err 0 and the rig's words, or what went wrong,
	 * a sentence part. The ask is gone. */
	void (*on_done)(void *user, int err, const char *text);
};

/* max: how many may wait for an answer at once. */
struct asks *asks_new(uv_loop_t *loop, struct way *way, size_t max);
/* Ends what runs with RW_ERR_CANCELLED. */
void asks_end(struct asks *a);
/* After asks_end() and way_free(). */
void asks_free(struct asks *a);
/* q's number is set here. 0, RW_ERR_LIMIT, or an error of request_write(). */
int asks_put(struct asks *a, struct request *q, const struct ask_ops *ops,
	     void *user, struct ask **ret);
/* Nobody wants to know any more: no callback. */
void ask_cancel(struct ask *k);

/* SPDX-License-Identifier: MIT */
/*
 * The connections that one session has or wants to have: each leads along one
 * path and becomes live when its WELCOME is read. They say which path they
 * belong to; which of them to keep is the way's business. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "carrier/bearer.h"
#include "client/dials.h"
#include "net/chan.h"
struct link;
struct links;

#define LINKS_WAITING_MAX 4 /* that have not been welcomed yet */

struct links_ops {
	/* The connection is over; l goes when this returns. The carrier is
	 * gone already. */
	void (*on_end)(void *user, const struct link *l, int err,
		       const char *text);
};

struct link {
	struct list link;
	struct links *all;
	struct bearer *bearer;
	uint32_t path; /* its id in the race */
	enum path_kind kind;
	bool is_extra;	 /* dialled as one more along the path in use */
	bool is_live;	 /* its WELCOME was read */
	bool is_closing; /* link_close() was called */
	bool is_old;	 /* not wanted any more: it is left in order, */
	bool is_leaving; /* which has begun, or */
	bool is_cut;	 /* closed at once, being doubted */
	char peer_addr[CHAN_ADDR_CAP];
};

struct links {
	struct list all; /* the oldest first */
	const struct links_ops *ops;
	void *user;
};

void links_init(struct links *ls, const struct links_ops *ops, void *user);
/* A connection whose inner TLS is up, of dial `end`; p's ops and user are set
 * here. Makes room among those that wait, and for the session's limit of
 * `max`. Takes p->chan in any case. 0 or an error of bearer_dial(). */
int links_add(struct links *ls, const struct dials_end *end,
	      const char *peer_addr, struct bearer_params *p,
	      const struct hello_extra *extra, unsigned max);
void link_close(struct link *l, int err);
/* Live ones, and those that await their WELCOME; of one path, or of all: 0. */
unsigned links_live(const struct links *ls, uint32_t path);
unsigned links_waiting(const struct links *ls, uint32_t path);
bool links_is_empty(const struct links *ls);
/* The newest live one along a path, or NULL. */
struct link *links_newest(const struct links *ls, uint32_t path);

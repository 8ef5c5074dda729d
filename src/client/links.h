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

/* In order of life. What is not wanted any more is left in order: what rides on
 * it goes over to the others first. One that is doubted, or was never welcomed,
 * is closed at once. */
enum link_state {
	LINK_NONE,     /* no such edge */
	LINK_GREETING, /* HELLO is on its way; WELCOME was not read */
	LINK_UNWANTED, /* the same, and another one was faster: to be closed */
	LINK_LIVE,     /* welcomed, and in use */
	LINK_OLD,      /* not in use any more: to be left */
	LINK_LEAVING,  /* being left; the core closes it when that is done */
	LINK_DOUBTED,  /* may be dead, and not in use: to be cut */
	LINK_CLOSING,  /* on_end follows */
	LINK_STATES,
};

enum link_event {
	LINK_EV_WELCOME, /* was read */
	LINK_EV_USE,	 /* the session goes on with it, or goes back to it */
	LINK_EV_REPLACE, /* it goes on with another one */
	LINK_EV_DOUBT,	 /* likewise, and this one may be dead */
	LINK_EV_LEAVE,	 /* leaving it begins, */
	LINK_EV_STAY,	 /* or is put off */
	LINK_EV_CLOSE,	 /* by link_close() */
	LINK_EVENTS,
};

struct link {
	struct list link;
	struct links *all;
	struct bearer *bearer;
	uint32_t path; /* its id in the race */
	enum path_kind kind;
	enum link_state state; /* link_step() alone sets it */
	bool is_extra;	/* dialled as one more along the path in use, and not
			 * welcomed yet */
	bool is_narrow; /* chan_is_narrow() */
	char peer_addr[CHAN_ADDR_CAP];
};

struct links {
	struct list all; /* the oldest first */
	unsigned max;	 /* at once */
	const struct links_ops *ops;
	void *user;
};

void links_init(struct links *ls, unsigned max, const struct links_ops *ops,
		void *user);
/* A connection whose inner TLS is up, of dial `end`; p's ops and user are set
 * here. Makes room among those that wait, and among all for this one. Takes
 * p->chan in any case. 0 or an error of bearer_dial(). */
int links_add(struct links *ls, const struct dials_end *end,
	      const char *peer_addr, struct bearer_params *p,
	      const struct hello_extra *extra);
/* What happened to l; nothing where the table has no edge. */
void link_step(struct link *l, enum link_event ev);
void link_close(struct link *l, int err);
/* Live ones, and those that await their WELCOME; of one path, or of all: 0. */
unsigned links_live(const struct links *ls, uint32_t path);
unsigned links_waiting(const struct links *ls, uint32_t path);
bool links_is_empty(const struct links *ls);
/* The newest live one along a path, or NULL. */
struct link *links_newest(const struct links *ls, uint32_t path);

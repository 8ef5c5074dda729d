/* SPDX-License-Identifier: MIT */
/*
 * The sessions of this rig, one a device: attached to by the same key and id,
 * replaced at once by a new id of the same key, kept for a while without a
 * connection, and ended when their device is removed. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "crypto/pin.h"
struct chan;
struct hello;
struct requests;
struct rig;
struct sessions;
struct timer;
struct uplink;

/* One device's session, and all that hangs on it. */
struct peer {
	struct list link; /* in the table, or among those ending */
	struct rig *rig;
	struct pin pin;
	char label[96]; /* "name (fingerprint)", for the log */
	struct session *session;
	struct list legs;	   /* its connections */
	struct list openings;	   /* its streams; rig/open.c */
	struct requests *requests; /* on stream 0 */
	struct timer *timer;	   /* absent: until freed; ending: until cut */
	bool is_ending;
	uint64_t since;	  /* a moment: connected, or away */
	char left[128];	  /* why the last connection went; "" */
	uint64_t left_at; /* 0: never */
};

struct sessions *sessions_new(struct rig *rig);
/* Ends all without waiting; call it when the loop is about to end. */
void sessions_free(struct sessions *s);

/* A connection whose HELLO was read and whose device may come in. */
struct arrival {
	struct chan *chan;
	const struct hello *hello;
	const struct pin *pin;
	struct uplink *uplink; /* NULL: it came straight */
	uint64_t rendezvous;
	const char *addr; /* where from, for people */
};

/* Attaches it to its session, or makes one. 0: the chan belongs to the
 * session's connection from here on; RW_ERR_LIMIT, RW_ERR_NOMEM with text:
 * still the caller's. */
int sessions_admit(struct sessions *s, const struct arrival *a,
		   const char **ret_text);
/* Cuts the device's streams now, tells it why, and ends its session. */
void sessions_end(struct sessions *s, const struct pin *pin, int err,
		  const char *text);
/* The uplink goes: no connection may speak of it any more. */
void sessions_forget(struct sessions *s, const struct uplink *u);
/* Says goodbye to all; they are over when sessions_is_idle(). */
void sessions_close_all(struct sessions *s);
/* Every connection proves within so long that it is alive, or is dropped. */
void sessions_suspect(struct sessions *s, uint64_t within_us);
/* Whether a session of this device has ended, but its farewell has not left. */
bool sessions_is_ending(const struct sessions *s, const struct pin *pin);
bool sessions_is_idle(const struct sessions *s);

struct peer_path {
	bool is_relayed;
	bool is_narrow; /* in small packets, since large ones vanish on it */
};
/* How the peer's newest connection came: the relay's address, or its own; NULL
 * while it has none. */
const char *peer_path(const struct peer *p, struct peer_path *ret);
/* The device's session, or NULL. */
struct peer *sessions_find(const struct sessions *s, const struct pin *pin);
/* Visits all that are not ending: next after NULL is the first. */
struct peer *sessions_next(const struct sessions *s, const struct peer *after);

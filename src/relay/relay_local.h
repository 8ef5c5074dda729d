/* SPDX-License-Identifier: MIT */
/*
 * What relay.c (lifecycle), newcomers.c (who is let in), conn.c (a connection),
 * presence.c (who is here), wish.c (who wants whom) and meet.c (who has found
 * whom) share. Not for others.
 */
#pragma once
#include "base/list.h"
#include "base/map.h"
#include "config/settings.h"
#include "net/chan.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/strangers.h"
#include "net/tls.h"
#include "relay/book.h"
#include "relay/lobby.h"
#include "relay/relay.h"
#include "relay/splice.h"
#include "wire/relay_msg.h"

struct wake;

#define LISTENERS_MAX 16
/* A list is not begun while this much is still queued. */
#define CONN_QUEUE_LIST (64 * 1024)
#define READY_MS	5000 /* READY must have left by then */

/* An admitted key that has been here since the relay started, or is wanted. */
struct presence {
	struct pin pin;
	struct conn *control; /* NULL: away */
	uint64_t incarnation; /* of whoever was last in control; 0: nobody */
	char addr[RELAY_ADDR_MAX + 1];
	uint64_t since;	  /* the moment of its coming or going */
	uint64_t proven;  /* when its control was last heard */
	struct list line; /* wishes for it, oldest first */
	unsigned waiting; /* wishes by it */
	unsigned pairs;	  /* it is in */
	/* Of its pairs, as of the last tally. */
	uint64_t bytes[2]; /* from it, to it */
	uint64_t heard_us; /* its last byte in any; 0: none */
	uint64_t rtt_us;   /* of the one that it was last heard in */
	unsigned writes;   /* left of relay.max_changes at writes_us */
	uint64_t writes_us;
};

/* In order of life. */
enum conn_state {
	CONN_GREETING, /* TLS, then R_HELLO; unproven */
	CONN_CONTROL,  /* the device's standing connection */
	CONN_WISHING,  /* in line, or called: not a byte may come */
	CONN_READYING, /* R_READY is leaving; not read any more */
	CONN_CLOSING,  /* the last word is leaving */
};

/* One connection while TLS is on it. */
struct conn {
	struct list link; /* in relay.conns */
	struct relay *relay;
	struct chan *chan;
	enum conn_state state;
	struct timer *timer;  /* guards every state but CONTROL and CLOSING */
	struct list newcomer; /* in relay.newcomers, while it counts there */
	uint64_t came_us;
	uint64_t stranger;
	bool is_unproven; /* counted at the door */
	char addr[RELAY_ADDR_MAX + 1];
	struct presence *self; /* CONTROL, WISHING, READYING */

	/* CONTROL */
	struct list silent; /* in relay.controls */
	uint64_t incarnation;
	uint64_t heard_us; /* its last byte */
	uint64_t asked_us; /* for a sign of life; 0: it owes none */

	/* WISHING */
	struct list in_line; /* in rig->line */
	struct presence *rig;
	struct fleet *fleet;
	uint64_t rendezvous; /* of the call that is out; 0: none */
	uint64_t called_us;  /* when it went out */
	uint64_t good_us;    /* the number is kept until then */
	bool waits, has_invite_id;
	bool is_told; /* that it waits: it hears so every RELAY_WAITING_MS */
	uint8_t invite_id[RELAY_ID_LEN];

	struct pair *pair; /* READYING */
};

/* Two devices that have found each other. */
struct pair {
	struct list link; /* in relay.pairs */
	struct relay *relay;
	struct conn *conn[2];  /* client's, rig's; NULL once spliced */
	struct splice *splice; /* NULL until then */
	struct fleet *fleet;
	struct presence *client, *rig;
	uint64_t rendezvous;
	uint64_t began_us;
	uint64_t tallied[2]; /* of the splice's bytes, in both presences */
};

struct relay {
	struct relay_params params;
	uv_loop_t *loop;
	const struct settings_relay *settings;
	struct book *book;
	struct tls_ctx *ctx;
	struct strangers strangers;
	struct splicer *splicer;
	struct listener *listeners[LISTENERS_MAX];
	char listens[LISTENERS_MAX][HOSTPORT_CAP];
	size_t listener_count;
	struct list conns;
	size_t conn_count;
	struct lobby lobby;    /* who waits for the handshake */
	size_t lobby_most;     /* in it at once */
	bool is_full;	       /* the lobby: the listeners pause */
	struct list newcomers; /* conns whose handshake began of late */
	size_t newcomer_count;
	uint64_t sifted_us; /* when those that count were last looked at */
	struct timer *newcomers_timer;
	struct flusher *admit; /* handshakes may begin */
	struct list controls;  /* whoever was heard last is the last */
	struct timer *silence; /* until the first of them is silent for long */
	struct pinmap present; /* pin to struct presence */
	size_t tidy_at;	       /* so many of them are looked through */
	struct map calls;      /* rendezvous to the wishing conn */
	struct map met;	       /* rendezvous to struct pair */
	struct list pairs;
	size_t pair_count;
	struct list provings;  /* who waits for the devices that were asked */
	size_t asked;	       /* devices that owe a sign of life */
	struct flusher *ready; /* splices the pairs whose READY has left */
	struct timer *late;    /* book_write_late() */
	struct timer *stopping;
	struct wake *wake;
	uint64_t woke_us; /* what was heard before proves nothing */
	bool is_stopping;
	void (*on_stopped)(void *user);
	void *user;
	uint64_t incarnation;
	uint64_t refused_at_door;
};

int64_t relay_now_s(void);
/* A connection is gone from the list: the stop may be complete. */
void relay_conn_gone(struct relay *r);

/* presence.c */
/* The presence of an admitted key, made where there is none; NULL: no memory.
 */
struct presence *relay_present(struct relay *r, const struct pin *pin);
/* c, a control connection, was heard. */
void presence_heard(struct conn *c);
/* relay.silence's callback: drops those that have been silent for too long. */
void presences_on_silence(void *relay);
/* It owes no sign of life any more: it came, or c's part here is over. */
void presence_left(struct conn *c);
/* A client's wish was answered; and a pair of it is over. It is here, and was
 * last here, accordingly, unless it has a control connection. */
void presence_paired(struct presence *client, const struct conn *wish);
void presence_unpaired(struct presence *client);
/* Brings what both presences know of p, which is spliced, up to date; the round
 * trips, a system call each, only if with_rtt. */
void presence_tally(struct pair *p, bool with_rtt);
void presences_tally(struct relay *r, bool with_rtt);
/* on_done runs for all who wait. */
void provings_end(struct relay *r);

/* conn.c */
/* Its handshake begins. Takes fd. */
void conn_open(struct relay *r, int fd, const struct sockaddr_storage *peer);
/* Sends R_REFUSED and closes; c is out of all tables on return. */
void conn_refuse(struct conn *c, int err, const char *text);
/* Closes without a word. */
void conn_drop(struct conn *c, int err);
/* The same, and what did not reach the device is not said again: a call that
 * comes after all, out of a connection that is gone, would be answered. */
void conn_cut(struct conn *c, int err);
/* Its chan has given the socket away: frees c. */
void conn_detached(struct conn *c);
int conn_send(struct conn *c, const struct relay_msg *m);

/* newcomers.c */
/* The listeners' callback. Takes fd. */
listener_on_accept newcomers_accept;
/* Begins the handshakes that may begin: relay.admit's callback, and that of
 * relay.newcomers_timer. */
void newcomers_admit(void *relay);
/* c begins its handshake; and has ended it, or is gone. */
void newcomer_enter(struct conn *c);
void newcomer_leave(struct conn *c);

/* wish.c */
void wish_enter(struct conn *c, const struct relay_hello *h);
/* Out of the line, answered or not. */
void wish_leave(struct conn *c);
/* Its time to be answered is over: it stands in line again, or is refused. */
void wish_on_timer(struct conn *c);
/* A rig is here (again): everybody in its line is called anew. */
void wishes_rig_came(struct presence *rig);
/* Whether f has as many pairs as it may have. */
bool wish_is_too_much(const struct relay *r, const struct fleet *f);
/* Says so, and ends it. */
void wish_refuse_full(struct conn *wish);

/* meet.c */
void meet_answer(struct conn *c, const struct relay_hello *h);
void meet_decline(struct conn *rig, const struct relay_decline *m);
void meet_lost(struct conn *c, const struct msg_view *numbers);
/* Another process of this rig is here: the one that had its pairs is gone, and
 * their other ends need not find that out by themselves. */
void meet_restarted(struct presence *rig, struct relay *r);
void meet_on_timer(struct conn *c);
/* c takes no more part in anything. */
void meet_leave(struct conn *c);
/* Ends what pin has open with others; other: only with that one, or NULL. Not
 * at_once: what is spliced may last relay.flush_timeout longer, so that the
 * last words of its ends arrive. */
void meet_cut(struct relay *r, const struct pin *pin, const struct pin *other,
	      bool at_once);
/* Splices the pairs whose READY has left; relay.ready's callback. */
void meet_on_ready(void *relay);
void pair_free(struct pair *p);

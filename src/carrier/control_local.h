/* SPDX-License-Identifier: MIT */
/*
 * What control.c (the welcomed connection and its end), control_beat.c (whether
 * the relay is still there), control_attempts.c (how a connection comes about)
 * and control_requests.c (what is asked over it) share. Not for others.
 */
#pragma once
#include "base/list.h"
#include "carrier/control.h"
#include "net/backoff.h"
#include "carrier/reach.h"
#include "net/chan.h"
#include "net/tls.h"

struct attempt;

struct control {
	uv_loop_t *loop;
	struct reach_relays relays;
	struct pin relay_pin;
	enum relay_role role;
	char name[RELAY_NAME_MAX + 1];
	uint64_t incarnation;
	const struct control_ops *ops;
	void *user;
	struct tls_ctx *ctx;

	struct list attempts;
	struct attempt *asking; /* the one whose hello is out */
	struct chan *chan;	/* welcomed */
	struct timer *dial;	/* the next attempt */
	struct backoff backoff;
	uint64_t next_us; /* when the next attempt starts */
	bool is_final;	  /* replaced: dials no more by itself */
	bool has_told;	  /* on_down ran for told */
	char told[RELAY_TEXT_MAX + 1];

	struct timer *beat;  /* the next ping, or its deadline */
	uint64_t heard_us;   /* the last byte */
	uint64_t said_us;    /* the last ping, or the welcome */
	uint64_t pinged_us;  /* 0: no ping is unanswered */
	uint64_t ping_by_us; /* its deadline */
	uint64_t ping_number;
	uint64_t rtt_us; /* of the last answered ping; 0: none yet */
	bool is_heard;	 /* the ping reached the relay's machine */
	bool is_again;	 /* the one before was answered late */
	bool is_doubted; /* up, and dialling beside it */

	struct list requests;
	size_t request_count;
	uint64_t last_ref;
	uint64_t lost[RELAY_LOST_MAX];
	size_t lost_count;
	size_t lost_gone; /* that there was no room for, since a welcome */

	/* Callbacks may call control_stop(): the memory stays while one of
	 * ours is still running above. */
	int depth;
	bool is_stopped;
};

/* Tells the user why it is down, once a reason. */
void control_tell_down(struct control *c, int err, const char *text);
/* The welcomed connection is gone. */
void control_lose(struct control *c, int err, const char *text);
/* Takes chan, whose relay said w to a hello that named so many of c->lost: it
 * is the connection from here on. No attempt is left. */
void control_welcome(struct control *c, struct chan *chan,
		     const struct relay_welcome *w, size_t named);

/* The timer of c->beat: pings, doubts, gives up. */
void control_on_beat(void *user);
/* Sets the timer for what is next; a byte that comes earlier does not move it,
 * for then it looks again. */
void control_beat(struct control *c);
/* Any byte: the relay was there when it left, which may be before an outage;
 * whether it hears us, its answer to the last ping shows alone. */
void control_heard(struct control *c);
/* R_PONG came: the answer, if the number is the last ping's. */
void control_pong(struct control *c, uint64_t number);

/* The timer of c->dial: starts a fresh dial, whatever became of those before,
 * and sets the timer of the next. */
void control_on_dial(void *user);
void control_attempts_free(struct control *c);
/* Whatever runs may do so on a path that is gone: it may still come up, but
 * holds back no other dial. */
void control_attempts_doubt(struct control *c);
/* From now on dials are eager again. */
void control_outage(struct control *c);

/* An answer to a request; one that nobody waits for is nothing. */
void control_request_end(struct control *c, uint64_t ref, int err,
			 const char *text);
void control_request_row(struct control *c, const struct relay_row *row);
/* All of them; their ends may begin new ones. */
void control_requests_end(struct control *c, int err);

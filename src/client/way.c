/* SPDX-License-Identifier: MIT */
/* Over 500 lines: session, connections and wants share one set of flags, and
 * settle() is the one place that brings them together. */
#include "client/way.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/backoff.h"
#include "client/dials.h"
#include "client/rigs.h"
#include "crypto/hash.h"
#include "net/chan.h"
#include "net/loop.h"

#define SUSPECT_US  2000000
#define RENEW_US    10000000 /* then the present connection is kept */
#define LINKS_MAX   4	     /* that have not been welcomed yet */
#define WAITED_US   10000000
#define PATIENCE_US 1000000 /* a new demand does not wait longer */

/* One connection that the session has or wants to have. */
struct link {
	struct list link;
	struct way *way;
	struct bearer *bearer;
	bool is_live;	 /* its WELCOME was read */
	bool is_closing; /* bearer_close() was called */
	bool is_old;	 /* goes when a newer one is live */
	char peer_addr[CHAN_ADDR_CAP];
};

struct way {
	const struct way_env *env;
	struct rigs_row *row;
	unsigned wants;
	struct session *session;
	struct hello_extra extra;
	struct dials *dials;
	struct list links, watches;
	bool is_live;	  /* one of links is */
	bool is_ended;	  /* err and text say why */
	bool is_doomed;	  /* the session is to be freed */
	bool is_renewing; /* dial although live */
	int err;
	char text[WAY_TEXT_CAP];
	int64_t since;
	struct backoff backoff;
	uint64_t next_dial_us;
	uint64_t kicked_us; /* when way_kick() asked the last time */
	struct timer *dial_timer;
	struct timer *settle_timer; /* 0 ms: what callbacks may not do */
	struct timer *linger_timer;
	void (*on_released)(void *user); /* it goes as soon as it can */
	void *released_user;
};

static void dial_due(void *user);

/* -- small things */

static void set_text(struct way *way, int err, const char *text)
{
	way->err = err;
	str_copy(way->text, sizeof(way->text),
		 text != NULL && text[0] != '\0' ? text : err_text(err));
}

static bool wants_dial(const struct way *way)
{
	return way->wants > 0 && !way->is_ended && !way->is_doomed &&
	       (!way->is_live || way->is_renewing);
}

static void settle_soon(struct way *way)
{
	timer_start(way->settle_timer, 0);
}

static void close_link(struct link *l, int err)
{
	if (l->is_closing)
		return;
	l->is_closing = true;
	bearer_close(l->bearer, err, err_text(err));
}

/* Makes room for a connection that wants its WELCOME. */
static void close_stale_links(struct way *way)
{
	unsigned n = 0;

	for (struct list *it = way->links.prev; it != &way->links;
	     it = it->prev) {
		struct link *l = container_of(it, struct link, link);

		if (!l->is_live && ++n >= LINKS_MAX)
			close_link(l, RW_ERR_TIMEOUT);
	}
}

/* -- telling those who wait */

static void tell(struct way *way, bool live)
{
	struct list told, *it;

	list_init(&told);
	list_move_all(&told, &way->watches);
	while ((it = list_pop(&told)) != NULL) {
		struct way_watch *w = container_of(it, struct way_watch, link);

		if (live)
			w->on_live(w);
		else
			w->on_ended(w, way->err, way->text);
	}
}

/* -- the session's calls */

static void on_live(struct session *s, struct carrier *c,
		    const struct welcome *welcome)
{
	struct way *way = session_user(s);
	struct link *l = bearer_user(c);
	bool changed;

	CHECK(l != NULL && welcome != NULL);
	l->is_live = true;
	if (!way->is_live)
		way->since = time(NULL);
	way->is_live = true;
	way->is_renewing = false;
	way->text[0] = '\0';
	way->err = 0;
	/* The rig lets go of older connections when it reads a HELLO that
	 * does not list them; a younger one whose HELLO has left will follow
	 * and must not be cut, or both would be gone. */
	for (struct list *it = l->link.prev; it != &way->links; it = it->prev)
		container_of(it, struct link, link)->is_old = true;
	/* A ping, so that the round trip is known before anybody asks. */
	carrier_suspect(c, way->env->limits.ping_timeout_us,
			loop_now_us(way->env->loop));
	log_info("%s: connected%s", way->row->name,
		 welcome->fresh ? "" : ", nothing was lost");
	way->row->welcomed = way->since;
	changed = rigs_learn(way->row, &welcome->info);
	if (way->env->on_welcome != NULL)
		way->env->on_welcome(way->env->user, way->row, changed);
	settle_soon(way);
	tell(way, true);
}

static void on_drop(struct session *s, struct carrier *c, int err,
		    const char *text)
{
	struct way *way = session_user(s);

	log_debug("%s: connection dropped: %s", way->row->name, text);
	bearer_dropped(c, err, text);
}

static void on_wake(struct session *s)
{
	struct way *way = session_user(s);

	driver_wake(way->env->driver, s);
}

/* What no further dial can change. */
static bool is_final(int err)
{
	switch (err) {
	case RW_ERR_REPLACED:
	case RW_ERR_NOT_ALLOWED:
	case RW_ERR_REFUSED:
	case RW_ERR_NOT_FOUND:
	case RW_ERR_EXPIRED:
	case RW_ERR_USED:
	case RW_ERR_PIN:
	case RW_ERR_VERSION: return true;
	default: /* it closes down, it is full, ... */ return false;
	}
}

/* The session is over, for good if err is final. */
static void end_session(struct way *way, int err, const char *text)
{
	set_text(way, err, text);
	way->is_ended = is_final(err);
	way->is_doomed = true;
	way->since = time(NULL);
	if (way->is_live)
		backoff_reset(&way->backoff, loop_now_us(way->env->loop));
	if (way->is_ended)
		log_warn("%s: refused: %s", way->row->name, way->text);
	else
		log_info("%s: the rig ended the session: %s; trying again",
			 way->row->name, way->text);
	settle_soon(way);
}

static void on_ended(struct session *s, int err, const char *text)
{
	end_session(session_user(s), err, text);
}

static const struct session_ops session_ops = {
	.on_live = on_live,
	.on_drop = on_drop,
	.on_wake = on_wake,
	.on_ended = on_ended,
};

static int make_session(struct way *way)
{
	struct session_params p = {
		.is_client = true,
		.incarnation = way->env->incarnation,
		.limits = way->env->limits,
		.budget = way->env->budget,
		.ops = &session_ops,
		.user = way,
		.now_us = loop_now_us(way->env->loop),
	};
	int err;

	if (way->session != NULL)
		return 0;
	random_bytes(p.id, sizeof(p.id));
	err = session_new(&p, &way->session);
	if (err < 0)
		return err;
	err = driver_add(way->env->driver, way->session);
	if (err < 0) {
		session_free(way->session);
		way->session = NULL;
	}
	return err;
}

static void free_session(struct way *way)
{
	struct session *s = way->session;

	way->session = NULL;
	way->is_doomed = false;
	way->is_live = false;
	driver_remove(way->env->driver, s);
	session_free(s);
}

/* -- connections */

/* The path is down: from here on the clock of backoff.h runs. */
static void outage(struct way *way)
{
	way->since = time(NULL);
	backoff_reset(&way->backoff, loop_now_us(way->env->loop));
	if (wants_dial(way))
		dial_due(way);
}

static void on_link_end(void *user, int err, const char *text)
{
	struct link *l = user;
	struct way *way = l->way;
	bool any_live = false;

	list_del(&l->link);
	list_for_each (it, &way->links)
		any_live |= container_of(it, struct link, link)->is_live;
	if (!l->is_closing && !way->is_ended) {
		set_text(way, err,
			 err == RW_ERR_TRUNCATED ? "the connection was cut"
						 : text);
		if (l->is_live)
			log_info("%s: connection lost: %s", way->row->name,
				 way->text);
	}
	free(l);
	if (way->is_live && !any_live) {
		way->is_live = false;
		if (!way->is_doomed)
			outage(way);
	}
	settle_soon(way);
}

static const struct bearer_ops bearer_ops = {
	.on_end = on_link_end,
};

/* -- dials */

static const struct chan_ops no_chan_ops = { .on_up = NULL };

static void on_dial_up(void *user, struct chan *c, const char *peer_addr)
{
	struct way *way = user;
	struct link *l = xcalloc(1, sizeof(*l));
	const struct bearer_params p = {
		.driver = way->env->driver,
		.session = way->session,
		.chan = c,
		.ops = &bearer_ops,
		.user = l,
	};
	int err;

	close_stale_links(way);
	l->way = way;
	str_copy(l->peer_addr, sizeof(l->peer_addr), peer_addr);
	list_push(&way->links, &l->link);
	err = bearer_dial(&p, &way->extra, &l->bearer);
	if (err < 0) {
		list_del(&l->link);
		free(l);
		set_text(way, err, NULL);
		chan_set_ops(c, &no_chan_ops, NULL);
		chan_close(c, err);
	}
	settle_soon(way);
}

static void on_dial_failed(void *user, int err, const char *text,
			   uint64_t waited_us)
{
	struct way *way = user;

	/* The relay or the rig removed this key: what was open there is gone,
	 * and its programs here should not wait for it. */
	if (err == RW_ERR_NOT_ALLOWED && !way->is_live && !way->is_ended) {
		end_session(way, err, text);
		return;
	}
	/* Once for each new reason: there may be two dials a second. */
	if (!way->is_live && strcmp(way->text, text) != 0)
		log_info("%s: cannot connect: %s; trying again", way->row->name,
			 text);
	if (!way->is_ended)
		set_text(way, err, text);
	/* The path was fine until now: this is a new outage. */
	if (waited_us > WAITED_US) {
		backoff_reset(&way->backoff, loop_now_us(way->env->loop));
		timer_start(way->dial_timer, 0);
	}
	settle_soon(way);
}

static void on_dial_waiting(void *user, const char *why, bool is_news)
{
	struct way *way = user;

	if (is_news)
		log_info("%s: %s", way->row->name, why);
	if (!way->is_ended)
		set_text(way, RW_ERR_OFFLINE, why);
	settle_soon(way);
}

static const struct dials_ops dials_ops = {
	.on_up = on_dial_up,
	.on_failed = on_dial_failed,
	.on_waiting = on_dial_waiting,
};

static void dial_later(struct way *way)
{
	uint64_t now = loop_now_us(way->env->loop);
	uint64_t ms = backoff_next(&way->backoff, now, random_u64());

	way->next_dial_us = now + ms * 1000;
	timer_start(way->dial_timer, ms);
}

/* The time for a fresh dial has come. */
static void dial_due(void *user)
{
	struct way *way = user;
	uint64_t now = loop_now_us(way->env->loop);
	int err;

	if (way->is_renewing && now > way->backoff.since_us + RENEW_US)
		way->is_renewing = false;
	if (!wants_dial(way)) {
		settle_soon(way);
		return;
	}
	err = make_session(way);
	/* One in line at the relay is a standing order: nobody polls. */
	if (err == 0 && !dials_is_waiting(way->dials))
		err = dials_start(way->dials, way->extra.redeems
						      ? way->extra.invite_id
						      : NULL);
	if (err < 0) {
		set_text(way, err, NULL);
		log_warn("%s: cannot dial: %s", way->row->name, way->text);
	}
	dial_later(way);
}

/* -- putting things in order, outside of everybody's callbacks */

/* Cancels the dials that are not wanted any more. */
static void settle_dials(struct way *way)
{
	if (!wants_dial(way)) {
		dials_cancel(way->dials, true);
		timer_stop(way->dial_timer);
	} else if (dials_is_waiting(way->dials)) {
		dials_cancel(way->dials, false);
	}
}

static void settle_links(struct way *way)
{
	list_for_each (it, &way->links) {
		struct link *l = container_of(it, struct link, link);

		if (way->is_doomed)
			close_link(l, RW_ERR_CLOSING);
		else if (way->is_live && !way->is_renewing && l->is_old)
			close_link(l, RW_ERR_CANCELLED);
	}
}

static void destroy(struct way *way)
{
	void (*on_released)(void *user) = way->on_released;
	void *user = way->released_user;

	dials_free(way->dials);
	timer_free(way->dial_timer);
	timer_free(way->settle_timer);
	timer_free(way->linger_timer);
	way_unpair(way);
	free(way);
	on_released(user);
}

static void settle(void *user)
{
	struct way *way = user;

	settle_dials(way);
	settle_links(way);
	if (way->is_doomed && list_is_empty(&way->links)) {
		if (way->session != NULL)
			free_session(way);
		way->is_doomed = false;
		if (way->is_ended)
			tell(way, false);
		else if (wants_dial(way))
			dial_later(way);
	}
	if (way->on_released != NULL && way->wants == 0 && !way->is_doomed)
		destroy(way);
}

/* So that the rig lets the session go; bearer_close() sends it. */
static void farewell(struct way *way)
{
	if (way->session != NULL && way->is_live)
		session_say_end(way->session, RW_ERR_CLOSING,
				"the laptop's rigway ended");
}

/* Nobody came back for the session. */
static void linger_over(void *user)
{
	struct way *way = user;

	if (way->wants > 0 || way->session == NULL)
		return;
	log_info("%s: not used any more, disconnecting", way->row->name);
	farewell(way);
	way->is_doomed = true;
	settle_soon(way);
}

/* -- the module's calls */

struct way *way_new(const struct way_env *env, struct rigs_row *row)
{
	struct way *way = xcalloc(1, sizeof(*way));

	way->env = env;
	way->row = row;
	way->since = time(NULL);
	list_init(&way->links);
	list_init(&way->watches);
	str_copy(way->extra.name, sizeof(way->extra.name), env->device);
	way->dials = dials_new(env, row, &dials_ops, way);
	way->dial_timer = timer_new(env->loop, dial_due, way);
	way->settle_timer = timer_new(env->loop, settle, way);
	way->linger_timer = timer_new(env->loop, linger_over, way);
	return way;
}

void way_release(struct way *way, void (*on_released)(void *user), void *user)
{
	way->on_released = on_released;
	way->released_user = user;
	farewell(way);
	set_text(way, RW_ERR_CANCELLED, "rigway is stopping");
	way->is_ended = true;
	way->is_doomed = true;
	settle_soon(way);
}

void way_want(struct way *way)
{
	uint64_t now = loop_now_us(way->env->loop);

	timer_stop(way->linger_timer);
	way->wants++;
	if (wants_dial(way) && (!timer_is_running(way->dial_timer) ||
				way->next_dial_us > now + PATIENCE_US)) {
		backoff_reset(&way->backoff, now);
		way->next_dial_us = now;
		timer_start(way->dial_timer, 0);
	}
}

void way_unwant(struct way *way)
{
	CHECK(way->wants > 0);
	if (--way->wants > 0)
		return;
	timer_start(way->linger_timer, WAY_LINGER_MS);
	settle_soon(way);
}

bool way_is_wanted(const struct way *way)
{
	return way->wants > 0;
}

void way_watch(struct way *way, struct way_watch *w)
{
	list_push(&way->watches, &w->link);
}

void way_kick(struct way *way)
{
	uint64_t now = loop_now_us(way->env->loop);
	struct carrier *c = NULL;

	way->kicked_us = now;
	if (way->is_live && way->session != NULL)
		while ((c = session_carrier_next(way->session, c)) != NULL)
			carrier_suspect(c, SUSPECT_US, now);
	if (!wants_dial(way))
		return;
	/* One in line may stand on a path that is gone: it starts anew. */
	dials_doubt(way->dials);
	backoff_reset(&way->backoff, now);
	timer_start(way->dial_timer, 0);
}

static void revive(struct way *way)
{
	if (!way->is_ended)
		return;
	way->is_ended = false;
	way->text[0] = '\0';
	way->err = 0;
}

void way_renew(struct way *way)
{
	revive(way);
	way->is_renewing = way->is_live;
	way_kick(way);
}

void way_pair(struct way *way, const uint8_t invite_id[INVITE_ID_LEN],
	      const uint8_t secret[INVITE_SECRET_LEN])
{
	revive(way);
	way->extra.redeems = true;
	memcpy(way->extra.invite_id, invite_id, INVITE_ID_LEN);
	memcpy(way->extra.secret, secret, INVITE_SECRET_LEN);
	way_kick(way);
}

void way_unpair(struct way *way)
{
	way->extra.redeems = false;
	mem_wipe(way->extra.secret, sizeof(way->extra.secret));
}

enum way_state way_state(const struct way *way)
{
	if (way->is_ended)
		return WAY_ENDED;
	if (way->is_live && !way->is_doomed)
		return WAY_LIVE;
	return way->wants > 0 ? WAY_DIALING : WAY_IDLE;
}

const char *way_state_name(enum way_state state)
{
	switch (state) {
	case WAY_IDLE: return "idle";
	case WAY_DIALING: return "connecting";
	case WAY_LIVE: return "connected";
	case WAY_ENDED: return "ended";
	}
	return "unknown";
}

struct session *way_session(const struct way *way)
{
	return way->is_doomed ? NULL : way->session;
}

struct rigs_row *way_row(const struct way *way)
{
	return way->row;
}

/* Since it was last asked nothing has proven that it is alive. */
static bool is_checking(const struct way *way)
{
	struct session_stats st;

	if (way_state(way) != WAY_LIVE || way->kicked_us == 0)
		return false;
	session_stats(way->session, &st);
	return st.last_heard_us <= way->kicked_us;
}

void way_report(const struct way *way, struct way_report *ret)
{
	uint64_t now = loop_now_us(way->env->loop);

	*ret = (struct way_report){
		.state = way_state(way),
		.text = way->text,
		.next_dial_ms = UINT64_MAX,
		.dials = dials_count(way->dials),
		.waits_at_relay = dials_is_waiting(way->dials),
		.since = way->since,
		.path = way->row->relay_count > 0 ? way->row->relays[0] : "",
		.peer_addr = "",
		.wants = way->wants,
	};
	ret->is_checking = is_checking(way);
	list_for_each (it, &way->links) {
		const struct link *l = container_of(it, struct link, link);

		ret->links++;
		if (l->is_live)
			ret->peer_addr = l->peer_addr;
	}
	if (wants_dial(way) && timer_is_running(way->dial_timer))
		ret->next_dial_ms = way->next_dial_us > now
					    ? (way->next_dial_us - now) / 1000
					    : 0;
}

/* SPDX-License-Identifier: MIT */
#include "client/way_local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/rigs.h"
#include "crypto/hash.h"
#include "net/moment.h"

#define SUSPECT_US  1800000
#define REFUSED_US  500000  /* before a rig that ended the session is asked */
#define PATIENCE_US 1000000 /* a new demand does not wait longer */

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

static void greet(struct way *way, const struct link *l,
		  const struct welcome *welcome)
{
	bool changed;

	way->row->welcomed = time(NULL);
	changed = rigs_learn(way->row, &welcome->info);
	changed |= way_dials_learn(way, race_path(&way->race, l->path));
	if (changed) {
		way_dials_offer(way);
		race_look_again(&way->race, way_now(way));
	}
	if (way->env->on_welcome != NULL)
		way->env->on_welcome(way->env->user, way->row, changed);
}

static void on_live(struct session *s, struct carrier *c,
		    const struct welcome *welcome)
{
	struct way *way = session_user(s);
	struct link *l = bearer_user(c);

	CHECK(l != NULL && welcome != NULL);
	link_step(l, LINK_EV_WELCOME);
	l->is_extra = false;
	race_works(&way->race, l->path, moment_now());
	/* A ping, so that the round trip is known before anybody asks. */
	carrier_suspect(c, way->env->limits.ping_timeout_us, way_now(way));
	if (!way_is_live(way)) {
		way->since = moment_now();
		if (way->cut_at != 0 && way->cut_back_s < 0) {
			way->cut_back_s =
				(int64_t)moment_span_s(way->cut_at, way->since);
			way->resumed += !welcome->fresh;
		}
		log_info("%s: connected%s", way->row->name,
			 welcome->fresh ? "" : ", nothing was lost");
	}
	way_links_welcome(way, l);
	greet(way, l, welcome);
	way_settle_soon(way);
	tell(way, true);
}

static void on_drop(struct session *s, struct carrier *c, int err,
		    const char *text)
{
	struct way *way = session_user(s);

	log_debug("%s: connection dropped: %s", way->row->name, text);
	bearer_dropped(c, err, text);
}

static void on_wants(struct session *s)
{
	way_settle_soon(session_user(s));
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

void way_end_session(struct way *way, int err, const char *text)
{
	way_set_text(way, err, text);
	way->is_barred = false;
	if (way_is_live(way))
		way_links_cut(way, way->text);
	way_step(way, is_final(err) ? WAY_EV_REFUSED : WAY_EV_OVER);
	way->since = moment_now();
	if (way_is_live(way))
		race_begin(&way->race, way_now(way) + REFUSED_US);
	if (way_is_refused(way))
		log_warn("%s: refused: %s", way->row->name, way->text);
	else
		log_info("%s: the rig ended the session: %s; trying again",
			 way->row->name, way->text);
	way_settle_soon(way);
}

static void on_ended(struct session *s, int err, const char *text)
{
	way_end_session(session_user(s), err, text);
}

/* An answer is overdue: other connections are dialled beside this one, and
 * whichever comes to life first goes on. */
static void on_doubt(struct session *s, struct carrier *c)
{
	struct way *way = session_user(s);

	(void)c;
	if (way->doubt_us == 0 || way_links_is_proven(way, NULL))
		way->doubt_us = way_now(way) - WAY_DOUBT_US;
	way_settle_soon(way);
}

static const struct session_ops session_ops = {
	.on_live = on_live,
	.on_doubt = on_doubt,
	.on_drop = on_drop,
	.on_wake = on_wake,
	.on_wants = on_wants,
	.on_ended = on_ended,
};

int way_make_session(struct way *way)
{
	struct session_params p = {
		.is_client = true,
		.incarnation = way->env->incarnation,
		.limits = way->env->limits,
		.budget = way->env->budget,
		.ops = &session_ops,
		.user = way,
		.now_us = way_now(way),
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
	way->path = 0;
	if (way->err != 0)
		session_close_streams(s, way->err, way->text);
	driver_remove(way->env->driver, s);
	session_free(s);
}

/* -- putting things in order, outside of everybody's callbacks */

static void settle_session(struct way *way)
{
	if (!way_is_closing(way) || !links_is_empty(&way->links))
		return;
	way_step(way, WAY_EV_GONE);
	if (way->session != NULL)
		free_session(way);
	if (way_is_refused(way))
		tell(way, false);
}

static void destroy(struct way *way)
{
	void (*on_released)(void *user) = way->on_released;
	void *user = way->released_user;

	dials_free(way->dials);
	timer_free(way->timer);
	timer_free(way->linger_timer);
	way_unpair(way);
	free(way);
	on_released(user);
}

static void settle(void *user)
{
	struct way *way = user;
	uint64_t at, now;

	way->is_unsettled = false;
	way_links_settle(way);
	settle_session(way);
	at = way_dials_settle(way);
	at = MIN(at, way_links_settle_extra(way));
	if (way->on_released != NULL && way->wants == 0 &&
	    !way_is_closing(way) && way->session == NULL) {
		destroy(way);
		return;
	}
	now = way_now(way);
	if (way->is_unsettled)
		timer_start(way->timer, 0);
	else if (at == UINT64_MAX)
		timer_stop(way->timer);
	else
		timer_start(way->timer, at > now ? (at - now + 999) / 1000 : 0);
}

/* So that the rig lets the session go; bearer_close() sends it. */
static void farewell(struct way *way)
{
	if (way->session != NULL && way_is_live(way))
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
	way_step(way, WAY_EV_OVER);
	way_settle_soon(way);
}

/* -- the module's calls */

struct way *way_new(const struct way_env *env, struct rigs_row *row)
{
	struct way *way = xcalloc(1, sizeof(*way));

	way->env = env;
	way->row = row;
	way->phase = PHASE_OPEN;
	way->since = moment_now();
	links_init(&way->links, env->limits.carriers_max, &way_links_ops, way);
	list_init(&way->watches);
	str_copy(way->extra.name, sizeof(way->extra.name), env->device);
	race_init(&way->race);
	way_dials_offer(way);
	way->dials = dials_new(env, row, &way->race, &way_dials_ops, way);
	way->timer = timer_new(env->loop, settle, way);
	way->linger_timer = timer_new(env->loop, linger_over, way);
	return way;
}

void way_release(struct way *way, void (*on_released)(void *user), void *user)
{
	way->on_released = on_released;
	way->released_user = user;
	farewell(way);
	way_set_text(way, RW_ERR_CANCELLED, "rigway is stopping");
	way_step(way, WAY_EV_REFUSED);
	way_settle_soon(way);
}

void way_want(struct way *way)
{
	uint64_t now = way_now(way);

	timer_stop(way->linger_timer);
	way->wants++;
	if (!way_is_needed(way))
		return;
	if (!way_is_live(way) && (way->race.goal == RACE_OFF ||
				  way->race.next_us > now + PATIENCE_US))
		race_begin(&way->race, now);
	way_settle_soon(way);
}

void way_unwant(struct way *way)
{
	CHECK(way->wants > 0);
	if (--way->wants > 0)
		return;
	timer_start(way->linger_timer, WAY_LINGER_MS);
	way_settle_soon(way);
}

void way_watch(struct way *way, struct way_watch *w)
{
	list_push(&way->watches, &w->link);
}

void way_offers(struct way *way)
{
	way_dials_offer(way);
	way_settle_soon(way);
}

/* anew: the present connections do not count. */
static void kick(struct way *way, bool anew)
{
	uint64_t now = way_now(way);
	struct carrier *c = NULL;

	if (way_is_live(way) && way->session != NULL) {
		while ((c = session_carrier_next(way->session, c)) != NULL)
			carrier_suspect(c, SUSPECT_US, now);
		way->doubt_us = now;
		race_look_again(&way->race, now);
	}
	/* One in line, or before a busy relay, may stand on a path that is
	 * gone. */
	dials_doubt(way->dials);
	if (!way_is_live(way) || anew)
		race_begin(&way->race, now);
	way_settle_soon(way);
}

static void revive(struct way *way)
{
	if (!way_is_refused(way))
		return;
	way_step(way, WAY_EV_REVIVE);
	way->is_barred = false;
	way->text[0] = '\0';
	way->err = 0;
}

void way_kick(struct way *way)
{
	if (way->is_barred)
		revive(way);
	kick(way, way->phase == PHASE_RENEWING);
}

void way_renew(struct way *way)
{
	revive(way);
	if (way_is_live(way))
		way_step(way, WAY_EV_RENEW);
	way->renew_us = way_now(way);
	kick(way, true);
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
	if (way_is_refused(way))
		return WAY_ENDED;
	if (way_is_live(way) && !way_is_closing(way))
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
	return way_is_closing(way) ? NULL : way->session;
}

uv_loop_t *way_loop(const struct way *way)
{
	return way->env->loop;
}

struct rigs_row *way_row(const struct way *way)
{
	return way->row;
}

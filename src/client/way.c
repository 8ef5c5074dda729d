/* SPDX-License-Identifier: MIT */
/* Over 500 lines: session, connections and wants share one set of flags, and
 * settle() is the one place that brings them together. What to dial when is
 * client/race.c's, the dials are client/dials.c's, the connections
 * client/links.c's. */
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
#include "client/dials.h"
#include "client/links.h"
#include "client/rigs.h"
#include "crypto/hash.h"
#include "net/loop.h"

#define SUSPECT_US 2000000
#define DOUBT_US                                                               \
	300000		     /* a kicked path that is silent for so long has   \
			      * others dialled beside it */
#define LOOK_US	    50000    /* a doubt may be over */
#define RENEW_US    10000000 /* then the present connection is kept */
#define WAITED_US   10000000
#define REFUSED_US  500000  /* before a rig that ended the session is asked */
#define PATIENCE_US 1000000 /* a new demand does not wait longer */

struct way {
	const struct way_env *env;
	struct rigs_row *row;
	unsigned wants;
	struct session *session;
	struct hello_extra extra;
	struct race race;
	struct dials *dials;
	struct links links;
	struct list watches;
	uint32_t path; /* the one in use: every live link that is not old leads
			* along it; 0: nothing is live */
	enum path_kind kind;
	char label[RACE_LABEL_CAP];
	bool is_ended;	  /* err and text say why */
	bool is_doomed;	  /* the session is to be freed */
	bool is_renewing; /* dial although live, since */
	uint64_t renew_us;
	uint64_t doubt_us; /* when it was kicked; 0: proven since */
	int err;
	char text[WAY_TEXT_CAP];
	int64_t since;
	char cut[WAY_TEXT_CAP]; /* why the path was last lost */
	int64_t cut_at;		/* unix seconds; 0: never */
	bool is_unsettled;	/* settle() is to run again */
	struct timer *timer;	/* settle(): what callbacks may not do, and
				 * what is due */
	struct timer *linger_timer;
	void (*on_released)(void *user); /* it goes as soon as it can */
	void *released_user;
};

/* -- small things */

static uint64_t now_of(const struct way *way)
{
	return loop_now_us(way->env->loop);
}

static bool is_live(const struct way *way)
{
	return way->path != 0;
}

static void set_text(struct way *way, int err, const char *text)
{
	way->err = err;
	str_copy(way->text, sizeof(way->text),
		 text != NULL && text[0] != '\0' ? text : err_text(err));
}

/* Whether a connection is wanted, be there one or not. */
static bool is_needed(const struct way *way)
{
	return way->wants > 0 && !way->is_ended && !way->is_doomed;
}

static void settle_soon(struct way *way)
{
	way->is_unsettled = true;
	timer_start(way->timer, 0);
}

/* Everything that is known about where the rig is. */
static void offer_paths(struct way *way)
{
	const struct rigs_row *row = way->row;

	race_offers_begin(&way->race);
	for (size_t i = 0; i < row->relay_count; i++)
		race_offer_relay(&way->race, &row->relay_pin, row->relays[i]);
	race_offers_end(&way->race, now_of(way));
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

/* -- the path in use */

/* Whether a byte came since the doubt began, on another one than fresh. */
static bool is_heard(const struct way *way, const struct link *fresh)
{
	struct carrier *c = NULL;

	if (way->session == NULL)
		return false;
	while ((c = session_carrier_next(way->session, c)) != NULL) {
		const struct link *l = bearer_user(c);

		if (l != NULL && l != fresh && l->is_live && !l->is_old &&
		    carrier_heard_us(c) > way->doubt_us)
			return true;
	}
	return false;
}

/* Whether l, whose WELCOME was just read, is what the session goes on with. */
static bool takes_over(const struct way *way, const struct link *l)
{
	if (!is_live(way) || way->is_renewing || l->kind < way->kind)
		return true;
	return way->doubt_us != 0 && !is_heard(way, l);
}

/* From here on the session is where l leads; what leads elsewhere goes, and
 * what may still become better stays. */
static void use(struct way *way, const struct link *l)
{
	const struct path *p = race_path(&way->race, l->path);
	bool is_move = is_live(way) && way->path != l->path;

	list_for_each (it, &way->links.all) {
		struct link *o = container_of(it, struct link, link);

		if (o != l && (o->is_live || o->kind >= l->kind))
			o->is_old = true;
	}
	way->path = l->path;
	way->kind = l->kind;
	if (p != NULL)
		path_label(p, way->label);
	way->is_renewing = false;
	way->doubt_us = 0;
	way->text[0] = '\0';
	way->err = 0;
	if (is_move)
		log_info("%s: moved to %s", way->row->name, way->label);
}

/* The path is down: from here on the clock of backoff.h runs. */
static void outage(struct way *way)
{
	way->path = 0;
	way->doubt_us = 0;
	way->is_renewing = false;
	way->since = time(NULL);
	if (way->is_doomed)
		return;
	way->cut_at = way->since;
	str_copy(way->cut, sizeof(way->cut), way->text);
	race_begin(&way->race, now_of(way));
}

static void on_link_end(void *user, const struct link *l, int err,
			const char *text)
{
	struct way *way = user;

	if (!l->is_closing && !way->is_ended) {
		set_text(way, err,
			 err == RW_ERR_TRUNCATED ? "the connection was cut"
						 : text);
		race_failed(&way->race, l->path, err, way->text, time(NULL));
		if (l->is_live)
			log_info("%s: connection lost: %s", way->row->name,
				 way->text);
	}
	if (is_live(way) && links_live(&way->links, 0) == 0)
		outage(way);
	settle_soon(way);
}

static const struct links_ops links_ops = {
	.on_end = on_link_end,
};

/* -- the session's calls */

static void greet(struct way *way, const struct welcome *welcome)
{
	bool changed;

	way->row->welcomed = time(NULL);
	changed = rigs_learn(way->row, &welcome->info);
	if (changed) {
		offer_paths(way);
		race_look_again(&way->race, now_of(way));
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
	l->is_live = true;
	race_works(&way->race, l->path, time(NULL));
	/* A ping, so that the round trip is known before anybody asks. */
	carrier_suspect(c, way->env->limits.ping_timeout_us, now_of(way));
	if (!is_live(way)) {
		way->since = time(NULL);
		log_info("%s: connected%s", way->row->name,
			 welcome->fresh ? "" : ", nothing was lost");
	}
	if (takes_over(way, l))
		use(way, l);
	else
		l->is_old = true;
	greet(way, welcome);
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
	if (is_live(way))
		race_begin(&way->race, now_of(way) + REFUSED_US);
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

/* An answer is overdue: other connections are dialled beside this one, and
 * whichever comes to life first goes on. */
static void on_doubt(struct session *s, struct carrier *c)
{
	struct way *way = session_user(s);
	struct session_stats st;

	(void)c;
	if (way->doubt_us == 0 || is_heard(way, NULL)) {
		session_stats(s, &st);
		way->doubt_us = st.last_heard_us;
	}
	settle_soon(way);
}

static const struct session_ops session_ops = {
	.on_live = on_live,
	.on_doubt = on_doubt,
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
		.now_us = now_of(way),
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
	way->path = 0;
	driver_remove(way->env->driver, s);
	session_free(s);
}

/* -- dials */

static void on_dial_up(void *user, const struct dials_end *end, struct chan *c,
		       const char *peer_addr)
{
	struct way *way = user;
	struct bearer_params p = {
		.driver = way->env->driver,
		.session = way->session,
		.chan = c,
	};
	int err = links_add(&way->links, end, peer_addr, &p, &way->extra,
			    way->env->limits.carriers_max);

	if (err < 0)
		set_text(way, err, NULL);
	settle_soon(way);
}

static void on_dial_failed(void *user, const struct dials_end *end)
{
	struct way *way = user;
	const char *reason = race_reason(&way->race);

	settle_soon(way);
	if (is_live(way) || way->is_ended)
		return;
	/* The relay or the rig removed this key: what was open there is gone,
	 * and its programs here should not wait for it. */
	if (race_is_lost(&way->race)) {
		end_session(way, RW_ERR_NOT_ALLOWED, reason);
		return;
	}
	/* Once for each new reason: there may be two dials a second. */
	if (strcmp(way->text, reason) != 0)
		log_info("%s: cannot connect: %s; trying again", way->row->name,
			 reason);
	set_text(way, end->err, reason);
	/* The path was fine until now: this is a new outage. */
	if (end->waited_us > WAITED_US)
		race_begin(&way->race, now_of(way));
}

static void on_dial_waiting(void *user, const char *why, bool is_news)
{
	struct way *way = user;

	if (is_news)
		log_info("%s: %s", way->row->name, why);
	if (!way->is_ended && !is_live(way))
		set_text(way, RW_ERR_OFFLINE, why);
	settle_soon(way);
}

static const struct dials_ops dials_ops = {
	.on_up = on_dial_up,
	.on_failed = on_dial_failed,
	.on_waiting = on_dial_waiting,
};

static void dial(struct way *way, struct path *p)
{
	int err = make_session(way);

	if (err == 0)
		err = dials_start(way->dials, p,
				  way->extra.redeems ? way->extra.invite_id
						     : NULL,
				  false);
	if (err == 0)
		return;
	race_failed(&way->race, p->id, err, NULL, time(NULL));
	set_text(way, err, NULL);
	log_warn("%s: cannot dial: %s", way->row->name, way->text);
}

/* -- putting things in order, outside of everybody's callbacks */

static void settle_links(struct way *way)
{
	list_for_each (it, &way->links.all) {
		struct link *l = container_of(it, struct link, link);

		if (way->is_doomed)
			link_close(l, RW_ERR_CLOSING);
		else if (l->is_old)
			link_close(l, RW_ERR_CANCELLED);
	}
}

static void settle_session(struct way *way)
{
	if (!way->is_doomed || !links_is_empty(&way->links))
		return;
	if (way->session != NULL)
		free_session(way);
	way->is_doomed = false;
	if (way->is_ended)
		tell(way, false);
}

/* What is wanted of the race now. */
static enum race_goal goal_of(struct way *way, uint64_t now)
{
	if (!is_needed(way))
		return RACE_OFF;
	if (!is_live(way))
		return RACE_ANY;
	if (way->is_renewing && now > way->renew_us + RENEW_US)
		way->is_renewing = false;
	if (way->doubt_us != 0 && is_heard(way, NULL))
		way->doubt_us = 0;
	if (way->is_renewing ||
	    (way->doubt_us != 0 && now >= way->doubt_us + DOUBT_US))
		return RACE_ANY;
	return way->kind == PATH_LAN ? RACE_OFF : RACE_BETTER;
}

/* Cancels the dials that are not wanted any more, and starts those that are
 * due. Returns when the next one is. */
static uint64_t settle_dials(struct way *way)
{
	uint64_t now = now_of(way), at;
	enum race_goal goal;
	struct path *p;

	if (way->is_doomed) {
		dials_cancel(way->dials);
		return UINT64_MAX;
	}
	goal = goal_of(way, now);
	race_aim(&way->race, goal, way->kind, now);
	if (!is_needed(way))
		dials_cancel(way->dials);
	else if (goal == RACE_ANY)
		dials_thin(way->dials);
	else
		dials_keep_better(way->dials, way->kind);
	while ((p = race_next(&way->race, now, random_u64(), &at)) != NULL)
		dial(way, p);
	if (is_live(way) && way->doubt_us != 0)
		at = MIN(at, MAX(now + LOOK_US, way->doubt_us + DOUBT_US));
	return at;
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
	settle_links(way);
	settle_session(way);
	at = settle_dials(way);
	if (way->on_released != NULL && way->wants == 0 && !way->is_doomed &&
	    way->session == NULL) {
		destroy(way);
		return;
	}
	now = now_of(way);
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
	if (way->session != NULL && is_live(way))
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
	links_init(&way->links, &links_ops, way);
	list_init(&way->watches);
	str_copy(way->extra.name, sizeof(way->extra.name), env->device);
	race_init(&way->race);
	offer_paths(way);
	way->dials = dials_new(env, row, &way->race, &dials_ops, way);
	way->timer = timer_new(env->loop, settle, way);
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
	uint64_t now = now_of(way);

	timer_stop(way->linger_timer);
	way->wants++;
	if (!is_needed(way))
		return;
	if (!is_live(way) && (way->race.goal == RACE_OFF ||
			      way->race.next_us > now + PATIENCE_US))
		race_begin(&way->race, now);
	settle_soon(way);
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

void way_offers(struct way *way)
{
	offer_paths(way);
	settle_soon(way);
}

void way_kick(struct way *way)
{
	uint64_t now = now_of(way);
	struct carrier *c = NULL;

	if (is_live(way) && way->session != NULL) {
		while ((c = session_carrier_next(way->session, c)) != NULL)
			carrier_suspect(c, SUSPECT_US, now);
		way->doubt_us = now;
		race_look_again(&way->race, now);
	}
	if (!is_live(way) || way->is_renewing) {
		/* One in line may stand on a path that is gone: it starts
		 * anew. */
		dials_doubt(way->dials);
		race_begin(&way->race, now);
	}
	settle_soon(way);
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
	way->is_renewing = is_live(way);
	way->renew_us = now_of(way);
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
	if (is_live(way) && !way->is_doomed)
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

void way_report(const struct way *way, struct way_report *ret)
{
	uint64_t now = now_of(way);
	const struct link *l = links_newest(&way->links, 0);

	*ret = (struct way_report){
		.state = way_state(way),
		.text = way->text,
		.next_dial_ms = UINT64_MAX,
		.dials = dials_count(way->dials),
		.waits_at_relay = race_waits_in_line(&way->race),
		.since = way->since,
		.path = is_live(way) ? way->label : "",
		.peer_addr = l != NULL ? l->peer_addr : "",
		.links = links_live(&way->links, 0) +
			 links_waiting(&way->links, 0),
		.wants = way->wants,
		.is_checking = is_live(way) && way->doubt_us != 0 &&
			       !is_heard(way, NULL),
		.cut = way->cut,
		.cut_at = way->cut_at,
	};
	if (way->race.goal == RACE_ANY && way->race.next_us != UINT64_MAX)
		ret->next_dial_ms = way->race.next_us > now
					    ? (way->race.next_us - now) / 1000
					    : 0;
}

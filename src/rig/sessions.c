/* SPDX-License-Identifier: MIT */
#include "rig/sessions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/bearer.h"
#include "net/chan.h"
#include "net/dial.h"
#include "net/loop.h"
#include "net/moment.h"
#include "rig/info.h"
#include "rig/open.h"
#include "rig/removal.h"
#include "rig/requests.h"
#include "rig/rig.h"
#include "rig/uplink.h"

/* Time for a farewell to leave before the connections are closed. */
#define FAREWELL_MS 500

struct sessions {
	struct rig *rig;
	struct list live; /* struct peer: at most one a device */
	struct list ending;
};

/* One connection of a peer. */
struct leg {
	struct list link;
	struct peer *peer;
	struct bearer *bearer;
	struct uplink *uplink; /* NULL: it came straight, or that is gone */
	uint64_t rendezvous;
	bool is_relayed;
	bool is_narrow;		 /* chan_is_narrow() */
	char path[HOSTPORT_CAP]; /* the relay's address, or its own */
};

static struct peer *peer_of(struct list *it)
{
	return container_of(it, struct peer, link);
}

static void peer_free(struct peer *p)
{
	struct rig *rig = p->rig;

	list_del(&p->link);
	timer_free(p->timer);
	/* Only at the end of the process: else the legs have gone before. */
	list_for_each_safe (it, &p->legs) {
		struct leg *leg = container_of(it, struct leg, link);

		list_del(&leg->link);
		leg->peer = NULL;
	}
	driver_remove(p->rig->driver, p->session);
	requests_free(p->requests);
	session_free(p->session);
	openings_orphan(p);
	free(p);
	removal_tell(rig);
}

static void peer_close_legs(struct peer *p, int err, const char *text)
{
	list_for_each_safe (it, &p->legs) {
		struct leg *leg = container_of(it, struct leg, link);

		bearer_close(leg->bearer, err, text);
	}
}

/* The farewell has left, the time without a connection is over, or the last
 * connection of an ending session has gone. */
static void peer_on_timer(void *user)
{
	struct peer *p = user;

	if (!p->is_ending) {
		log_info("%s: away for too long: its connections are dropped",
			 p->label);
		p->is_ending = true;
	}
	if (list_is_empty(&p->legs))
		peer_free(p);
	else
		peer_close_legs(p, RW_ERR_CLOSING, "the session has ended");
}

/* err 0: nothing is said; the connections close as at a clean end. */
static void peer_end(struct sessions *s, struct peer *p, int err,
		     const char *text)
{
	if (p->is_ending)
		return;
	p->is_ending = true;
	list_del(&p->link);
	list_push(&s->ending, &p->link);
	openings_abort(p, err != 0 ? err : RW_ERR_CLOSING, text);
	if (err != 0 && !list_is_empty(&p->legs))
		session_say_end(p->session, err, text);
	timer_start(p->timer,
		    err != 0 && !list_is_empty(&p->legs) ? FAREWELL_MS : 0);
}

/* Whether the relay may not know yet that the leg is dead: a reset, too, may
 * come from a router that forgot this connection. What the relay closed itself
 * it does not know any more, and skips. */
static bool is_cut(int err)
{
	return err == RW_ERR_TIMEOUT || err == RW_ERR_SUSPECT ||
	       err == -ETIMEDOUT || err == -ECONNRESET || err == -EPIPE ||
	       err == -ECONNABORTED || err == -EHOSTUNREACH ||
	       err == -ENETUNREACH;
}

static const char *cut_text(const struct peer *p, const char *text)
{
	bool is_news;
	const char *why = dial_narrow_text(p->rig->loop, &is_news);

	if (is_news)
		log_info("%s: %s", p->label, why);
	return why != NULL ? why : text;
}

static void leg_on_end(void *user, int err, const char *text)
{
	struct leg *leg = user;
	struct peer *p = leg->peer;

	list_del(&leg->link);
	if (is_cut(err) && p != NULL && leg->uplink != NULL)
		uplink_lost(leg->uplink, leg->rendezvous);
	free(leg);
	if (p == NULL)
		return;
	text = err != 0 ? cut_text(p, text) : "it left";
	if (!list_is_empty(&p->legs))
		return;
	if (p->is_ending) {
		timer_start(p->timer, 0);
		return;
	}
	p->since = p->left_at = moment_now();
	str_copy(p->left, sizeof(p->left), text);
	log_info("%s: not connected any more (%s); its streams are kept",
		 p->label, text);
	timer_start(p->timer, p->rig->settings->rig.keep_absent_ms);
}

static const struct bearer_ops leg_ops = { .on_end = leg_on_end };

static void session_on_open(struct session *s, struct stream *st)
{
	struct peer *p = session_user(s);

	if (!p->is_ending && !p->rig->is_stopping)
		opening_start(p, st);
}

/* Its WELCOME is on its way; peer_attach() has done the rest. */
static void session_on_live(struct session *s, struct carrier *c,
			    const struct welcome *welcome)
{
	(void)s;
	(void)c;
	(void)welcome;
}

static void session_on_drop(struct session *s, struct carrier *c, int err,
			    const char *text)
{
	(void)s;
	bearer_dropped(c, err, text);
}

/* The laptop's side may be gone, or this one's: then the relay's calls do not
 * arrive either. */
static void session_on_doubt(struct session *s, struct carrier *c)
{
	const struct leg *leg = bearer_user(c);

	(void)s;
	if (leg != NULL && leg->uplink != NULL)
		uplink_doubt(leg->uplink);
}

static void session_on_wake(struct session *s)
{
	struct peer *p = session_user(s);

	driver_wake(p->rig->driver, s);
}

/* The laptop has left for good. */
static void session_on_ended(struct session *s, int err, const char *text)
{
	struct peer *p = session_user(s);

	(void)err;
	log_info("%s: ended its session: %s", p->label, text);
	peer_end(p->rig->sessions, p, 0, "the other side ended the session");
}

static const struct session_ops session_ops = {
	.on_open = session_on_open,
	.on_live = session_on_live,
	.on_drop = session_on_drop,
	.on_doubt = session_on_doubt,
	.on_wake = session_on_wake,
	.on_ended = session_on_ended,
};

static void peer_set_label(struct peer *p)
{
	const struct device *dev = devices_find(&p->rig->devices, &p->pin);
	char pin[PIN_SHORT_LEN + 1];

	snprintf(p->label, sizeof(p->label), "%s (%s)",
		 dev != NULL ? dev->name : "?", pin_short(&p->pin, pin));
}

static struct peer *peer_new(struct sessions *s, const struct arrival *a)
{
	struct rig *rig = s->rig;
	struct peer *p = calloc(1, sizeof(*p));
	struct session_params sp = {
		.is_client = false,
		.incarnation = rig->incarnation,
		.limits = rig->limits,
		.budget = &rig->budget,
		.ops = &session_ops,
		.user = p,
		.now_us = loop_now_us(rig->loop),
	};

	if (p == NULL)
		return NULL;
	memcpy(sp.id, a->hello->session, sizeof(sp.id));
	p->rig = rig;
	p->pin = *a->pin;
	list_init(&p->link);
	list_init(&p->legs);
	list_init(&p->openings);
	peer_set_label(p);
	if (session_new(&sp, &p->session) != 0)
		goto err_peer;
	if (driver_add(rig->driver, p->session) != 0)
		goto err_session;
	p->requests = requests_new(p);
	p->timer = timer_new(rig->loop, peer_on_timer, p);
	list_push(&s->live, &p->link);
	return p;
err_session:
	session_free(p->session);
err_peer:
	free(p);
	return NULL;
}

/* On p's list; NULL: no memory. */
static struct leg *leg_new(struct peer *p, const struct arrival *a)
{
	struct leg *leg = malloc(sizeof(*leg));

	if (leg == NULL)
		return NULL;
	*leg = (struct leg){ .peer = p,
			     .uplink = a->uplink,
			     .rendezvous = a->rendezvous,
			     .is_relayed = a->uplink != NULL,
			     .is_narrow = chan_is_narrow(a->chan) };
	str_copy(leg->path, sizeof(leg->path),
		 a->uplink != NULL ? uplink_relay(a->uplink)->addr[0]
				   : a->addr);
	list_init(&leg->link);
	list_push(&p->legs, &leg->link);
	return leg;
}

static int peer_attach(struct peer *p, const struct arrival *a, bool fresh)
{
	struct rig *rig = p->rig;
	struct device *dev = devices_find(&rig->devices, &p->pin);
	struct rig_info *info = malloc(sizeof(*info));
	struct leg *leg = info != NULL ? leg_new(p, a) : NULL;

	if (leg == NULL) {
		free(info);
		return RW_ERR_NOMEM;
	}
	info_fill(rig, dev, info);
	dev->last = rig_now();

	const struct bearer_params bp = {
		.driver = rig->driver,
		.session = p->session,
		.chan = a->chan,
		.ops = &leg_ops,
		.user = leg,
	};

	int err = bearer_accept(&bp, a->hello, fresh, info, &leg->bearer);

	free(info);
	if (err == 0) {
		timer_stop(p->timer); /* not absent any more */
	} else {
		list_del(&leg->link);
		free(leg);
	}
	return err;
}

static size_t count_live(const struct sessions *s)
{
	size_t n = 0;

	list_for_each (it, &s->live)
		n++;
	return n;
}

/* The peer whose session the arrival names, or a new one in its device's
 * place. */
static int peer_of_arrival(struct sessions *s, const struct arrival *a,
			   struct peer **ret, bool *ret_fresh,
			   const char **ret_text)
{
	struct peer *p = sessions_find(s, a->pin);

	*ret_fresh = false;
	if (p != NULL && memcmp(session_id(p->session), a->hello->session,
				SESSION_ID_LEN) != 0) {
		log_info("%s: a new session takes the place of the old one",
			 p->label);
		peer_end(s, p, RW_ERR_REPLACED,
			 "another process with this key took over");
		p = NULL;
	}
	if (p == NULL) {
		if (count_live(s) >=
		    (size_t)s->rig->settings->rig.max_sessions) {
			*ret_text = "this rig serves as many laptops as it may "
				    "(rig.max_sessions)";
			return RW_ERR_LIMIT;
		}
		p = peer_new(s, a);
		*ret_fresh = true;
	}
	if (p == NULL) {
		*ret_text = "this rig is out of memory";
		return RW_ERR_NOMEM;
	}
	*ret = p;
	return 0;
}

int sessions_admit(struct sessions *s, const struct arrival *a,
		   const char **ret_text)
{
	struct peer *p;
	bool fresh;
	int err = peer_of_arrival(s, a, &p, &fresh, ret_text);

	if (err != 0)
		return err;

	const bool was_away = list_is_empty(&p->legs);

	err = peer_attach(p, a, fresh);
	if (err != 0) {
		*ret_text = err_text(err);
		if (fresh)
			peer_end(s, p, 0, "");
		return err;
	}
	if (was_away) {
		p->since = moment_now();
		log_info("%s: %s", p->label,
			 fresh ? "connected" : "connected again");
	}
	return 0;
}

void sessions_forget(struct sessions *s, const struct uplink *u)
{
	struct list *const tables[] = { &s->live, &s->ending };

	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		list_for_each (it, tables[i])
			list_for_each (lt, &peer_of(it)->legs) {
				struct leg *leg =
					container_of(lt, struct leg, link);

				if (leg->uplink == u)
					leg->uplink = NULL;
			}
}

const char *peer_path(const struct peer *p, struct peer_path *ret)
{
	const struct leg *newest = NULL;

	list_for_each (it, &p->legs)
		newest = container_of(it, struct leg, link);
	if (newest == NULL)
		return NULL;
	*ret = (struct peer_path){ newest->is_relayed, newest->is_narrow };
	return newest->path;
}

void sessions_end(struct sessions *s, const struct pin *pin, int err,
		  const char *text)
{
	struct peer *p = sessions_find(s, pin);

	if (p != NULL)
		peer_end(s, p, err, text);
}

struct sessions *sessions_new(struct rig *rig)
{
	struct sessions *s = xcalloc(1, sizeof(*s));

	s->rig = rig;
	list_init(&s->live);
	list_init(&s->ending);
	return s;
}

/* The laptops reset their streams at once, and look for this rig again. */
void sessions_close_all(struct sessions *s)
{
	list_for_each_safe (it, &s->live)
		peer_end(s, peer_of(it), RW_ERR_CLOSING, "the rig was stopped");
}

void sessions_suspect(struct sessions *s, uint64_t within_us)
{
	const uint64_t now_us = loop_now_us(s->rig->loop);

	list_for_each (it, &s->live) {
		struct session *session = peer_of(it)->session;
		struct carrier *c = NULL;

		while ((c = session_carrier_next(session, c)) != NULL)
			carrier_suspect(c, within_us, now_us);
	}
}

bool sessions_is_ending(const struct sessions *s, const struct pin *pin)
{
	list_for_each (it, &s->ending)
		if (pin_eq(&peer_of(it)->pin, pin))
			return true;
	return false;
}

bool sessions_is_idle(const struct sessions *s)
{
	return list_is_empty(&s->live) && list_is_empty(&s->ending);
}

void sessions_free(struct sessions *s)
{
	if (s == NULL)
		return;
	list_move_all(&s->ending, &s->live);
	list_for_each_safe (it, &s->ending)
		peer_free(peer_of(it));
	free(s);
}

struct peer *sessions_find(const struct sessions *s, const struct pin *pin)
{
	list_for_each (it, &s->live)
		if (pin_eq(&peer_of(it)->pin, pin))
			return peer_of(it);
	return NULL;
}

struct peer *sessions_next(const struct sessions *s, const struct peer *after)
{
	struct list *it = after != NULL ? after->link.next : s->live.next;

	return it != &s->live ? peer_of(it) : NULL;
}

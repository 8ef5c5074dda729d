/* SPDX-License-Identifier: MIT */
/* A rig as its relay sees it: the control connection of carrier/control.c, and
 * sessions of core/ over the connections of carrier/relayed.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/control.h"
#include "carrier/relayed.h"
#include "crowd.h"
#include "crypto/hash.h"
#include "net/chan.h"

struct rig {
	struct world *world;
	const struct key *key;
	char at[AT_CAP];
	struct control *control;
	uint64_t incarnation, welcomes;
	struct session *session; /* NULL: no laptop came yet */
};

/* From the call to the end of its connection. */
struct leg {
	struct rig *rig;
	uint64_t rendezvous;
	struct relayed *relayed;
	struct chan *chan; /* until HELLO was read */
	struct bearer *bearer;
};

static void leg_on_end(void *user, int err, const char *text)
{
	struct leg *leg = user;

	(void)text;
	/* As rig/sessions.c: the relay may not know yet. */
	if (err == RW_ERR_TIMEOUT || err == RW_ERR_SUSPECT ||
	    err == -ECONNRESET)
		control_lost(leg->rig->control, leg->rendezvous);
	free(leg);
}

static const struct bearer_ops leg_ops = { .on_end = leg_on_end };

/* -- the session's calls */

static void on_live(struct session *s, struct carrier *c,
		    const struct welcome *welcome)
{
	(void)s, (void)c, (void)welcome;
}

static void on_drop(struct session *s, struct carrier *c, int err,
		    const char *text)
{
	(void)s;
	bearer_dropped(c, err, text);
}

static void on_doubt(struct session *s, struct carrier *c)
{
	struct rig *r = session_user(s);

	(void)c;
	control_doubt(r->control);
}

static void on_wake(struct session *s)
{
	struct rig *r = session_user(s);

	driver_wake(r->world->driver, s);
}

static void on_ended(struct session *s, int err, const char *text)
{
	(void)s, (void)err, (void)text;
}

static const struct session_ops session_ops = {
	.on_live = on_live,
	.on_drop = on_drop,
	.on_doubt = on_doubt,
	.on_wake = on_wake,
	.on_ended = on_ended,
};

/* Whether the HELLO made it. */
static bool rig_make_session(struct rig *r, const struct hello *h)
{
	struct session_params sp = {
		.incarnation = r->incarnation,
		.limits = r->world->limits,
		.budget = &r->world->budget,
		.ops = &session_ops,
		.user = r,
		.now_us = loop_now_us(&r->world->loop),
	};

	if (r->session != NULL &&
	    memcmp(session_id(r->session), h->session, SESSION_ID_LEN) == 0)
		return false;
	if (r->session != NULL) {
		driver_remove(r->world->driver, r->session);
		session_free(r->session);
	}
	memcpy(sp.id, h->session, sizeof(sp.id));
	if (session_new(&sp, &r->session) != 0 ||
	    driver_add(r->world->driver, r->session) != 0)
		abort();
	return true;
}

/* -- a laptop calls */

static size_t on_data(struct chan *c, const uint8_t *data, size_t len)
{
	static struct rig_info info = { .name = "crowd", .role = "owner" };
	struct leg *leg = chan_user(c);
	struct hello h;
	ssize_t n = hello_read(data, len, &h);
	struct bearer_params bp = {
		.driver = leg->rig->world->driver,
		.chan = c,
		.ops = &leg_ops,
		.user = leg,
	};
	bool fresh;

	if (n == 0)
		return 0;
	if (n < 0) {
		chan_close(c, RW_ERR_PROTO);
		return len;
	}
	fresh = rig_make_session(leg->rig, &h);
	bp.session = leg->rig->session;
	if (bearer_accept(&bp, &h, fresh, &info, &leg->bearer) != 0)
		chan_close(c, RW_ERR_LIMIT);
	return (size_t)n;
}

static void on_closed(struct chan *c, int err)
{
	(void)err;
	free(chan_user(c));
}

static void on_up(void *user, struct chan *c, const char *peer_addr)
{
	static const struct chan_ops ops = { .on_data = on_data,
					     .on_closed = on_closed };

	(void)peer_addr;
	chan_set_ops(c, &ops, user);
}

static void on_failed(void *user, int err, const char *text)
{
	(void)err, (void)text;
	free(user);
}

static void on_call(void *user, const struct control_call *call)
{
	static const struct relayed_ops ops = { .on_up = on_up,
						.on_failed = on_failed };
	struct rig *r = user;
	struct leg *leg = xcalloc(1, sizeof(*leg));
	const char *at = r->at;
	const struct relayed_params p = {
		.loop = &r->world->loop,
		.key = r->key,
		.relays = &at,
		.relay_count = 1,
		.relay_pin = r->world->relay,
		.what = RELAYED_ANSWER,
		.peer = call->client,
		.rendezvous = call->rendezvous,
	};

	leg->rig = r;
	leg->rendezvous = call->rendezvous;
	if (relayed_start(&p, &ops, leg, &leg->relayed) != 0)
		free(leg);
}

/* -- the standing connection */

static void on_welcome(void *user, const char *fleet, const char *relay_name,
		       const char *your_addr)
{
	struct rig *r = user;

	(void)fleet, (void)relay_name, (void)your_addr;
	r->welcomes++;
}

struct rig *rig_start(struct world *w, const struct key *key, unsigned n)
{
	static const struct control_ops ops = { .on_up = on_welcome,
						.on_call = on_call };
	struct rig *r = xcalloc(1, sizeof(*r));
	const char *at = r->at;
	const struct control_params p = {
		.loop = &w->loop,
		.key = key,
		.relays = &at,
		.relay_count = 1,
		.relay_pin = w->relay,
		.role = RELAY_RIG,
		.name = "crowd",
		.incarnation = random_u64() | 1,
	};

	r->world = w;
	r->key = key;
	r->incarnation = p.incarnation;
	source_text(0, n, w->port, r->at);
	if (control_start(&p, &ops, r, &r->control) != 0)
		abort();
	return r;
}

bool rig_is_up(const struct rig *r)
{
	return control_is_up(r->control);
}

uint64_t rig_welcomes(const struct rig *r)
{
	return r->welcomes;
}

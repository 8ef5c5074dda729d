/* SPDX-License-Identifier: MIT */
#include "rig/gate.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/relayed.h"
#include "net/chan.h"
#include "net/listen.h"
#include "net/sockaddr.h"
#include "net/tls.h"
#include "rig/door.h"
#include "rig/places.h"
#include "rig/rig.h"
#include "rig/visitors.h"

/* An address that the machine does not have (yet) is tried again. */
#define RETRY_MS 5000

struct gate {
	struct rig *rig;
	struct tls_ctx *ctx;
	struct listener *ports[GATE_PORTS_MAX]; /* as rig.listen */
	int failed[GATE_PORTS_MAX]; /* why one is not open, as was said; 0 */
	struct timer *retry;
	struct list comers; /* in their handshake, oldest first */
	size_t comer_count;
	struct listener *ajar; /* for visitors; NULL: closed */
	struct timer *shutting;
	struct visitors visitors;
	bool is_closed;
};

/* A connection until its TLS is up. */
struct comer {
	struct list link;
	struct gate *gate;
	struct chan *chan;
	struct timer *timer;
	uint64_t stranger, until_us;
	bool is_counted;
	char addr[CHAN_ADDR_CAP];
};

/* -- one that comes ------------------------------------------------------- */

static void comer_free(struct comer *k)
{
	if (k->is_counted)
		strangers_leave(&k->gate->rig->strangers, k->stranger);
	k->gate->comer_count--;
	list_del(&k->link);
	timer_free(k->timer);
	free(k);
}

static void on_up(struct chan *c)
{
	struct comer *k = chan_user(c);
	const uint64_t now_us = loop_now_us(k->gate->rig->loop);
	const struct door_params p = {
		.chan = c,
		.pin = *chan_peer_pin(c),
		.addr = k->addr,
		.stranger = k->stranger,
		.is_counted = true,
		.wait_ms = k->until_us > now_us
				   ? (k->until_us - now_us) / 1000 + 1
				   : 1,
	};

	k->is_counted = false; /* the door counts on */
	door_enter(k->gate->rig, &p);
	comer_free(k);
}

static void on_closed(struct chan *c, int err)
{
	struct comer *k = chan_user(c);

	log_debug("%s left in the handshake: %s", k->addr, err_text(err));
	comer_free(k);
}

static void on_late(void *user)
{
	struct comer *k = user;

	chan_close(k->chan, RW_ERR_TIMEOUT);
}

static const struct chan_ops comer_ops = {
	.on_up = on_up,
	.on_closed = on_closed,
};

/* Those who are slow make way for those who come; who has proven a known key
 * is not among them. */
static bool gate_has_room(struct gate *g)
{
	const size_t max = (size_t)g->rig->settings->rig.max_calls;
	struct list *oldest = list_first(&g->comers);

	if (g->comer_count + doors_count(g->rig, false) < max)
		return true;
	if (oldest != NULL) {
		struct comer *k = container_of(oldest, struct comer, link);

		/* It closes from the loop; room is made by then at the
		 * latest. */
		list_del(&k->link);
		list_push(&g->comers, &k->link);
		chan_close(k->chan, RW_ERR_LIMIT);
		return g->comer_count <= 2 * max;
	}
	return doors_drop_oldest(g->rig);
}

static void gate_enter(struct gate *g, int fd,
		       const struct sockaddr_storage *peer)
{
	struct rig *rig = g->rig;
	const uint64_t key = strangers_key(peer);
	struct comer *k = NULL;
	int err;

	if (g->is_closed || !strangers_enter(&rig->strangers, key)) {
		close(fd);
		return;
	}
	if (gate_has_room(g))
		k = calloc(1, sizeof(*k));
	if (k == NULL) {
		strangers_leave(&rig->strangers, key);
		close(fd);
		return;
	}
	k->gate = g;
	k->stranger = key;
	k->is_counted = true;
	k->until_us = loop_now_us(rig->loop) +
		      rig->settings->rig.handshake_timeout_ms * 1000;
	sockaddr_text((const struct sockaddr *)peer, k->addr, sizeof(k->addr));
	list_init(&k->link);
	list_push(&g->comers, &k->link);
	g->comer_count++;
	err = chan_open_fd(rig->loop, fd, &comer_ops, k, &k->chan);
	if (err < 0) {
		comer_free(k);
		return;
	}
	k->timer = timer_new(rig->loop, on_late, k);
	timer_start(k->timer, rig->settings->rig.handshake_timeout_ms);
	err = chan_start_tls(k->chan, g->ctx, NULL);
	if (err < 0)
		chan_close(k->chan, err);
}

static void on_accept(void *user, int fd, const struct sockaddr_storage *peer)
{
	gate_enter(user, fd, peer);
}

/* -- the ports of rig.listen ---------------------------------------------- */

static char *explain(const struct setting_addr *at, int err)
{
	const char *what = *at->host != '\0' ? at->host : "every address";

	switch (err) {
	case -EADDRNOTAVAIL:
		return xasprintf("%s is no address of this machine (yet)",
				 what);
	case -EADDRINUSE:
		return xasprintf("port %u on %s is in use by another program; "
				 "stop it, or choose another: --listen PORT",
				 at->port, what);
	case -EACCES:
		return xasprintf("this user may not listen on port %u; choose "
				 "one above 1023: --listen PORT",
				 at->port);
	default:
		return xasprintf("cannot listen on %s, port %u: %s", what,
				 at->port, err_text(err));
	}
}

static void gate_say(const struct gate *g, size_t i)
{
	const char *host = g->rig->settings->rig.listen.items[i].host;
	char text[HOSTPORT_CAP];

	format_hostport(*host != '\0' ? host : "*", gate_port(g, i), text);
	log_info("listening on %s for laptops that come without a relay", text);
}

static int gate_try(struct gate *g, size_t i)
{
	const struct setting_addr *set = &g->rig->settings->rig.listen.items[i];
	const struct listener_at at = { .host = set->host, .port = set->port };
	int err = listener_open(g->rig->loop, &at, on_accept, g, &g->ports[i]);

	if (err == 0)
		gate_say(g, i);
	return err;
}

/* How that went; what is in the way is said once, and tried again. */
static void gate_note(struct gate *g, size_t i, int err)
{
	char *text;

	if (err != 0 && err != g->failed[i]) {
		text = explain(&g->rig->settings->rig.listen.items[i], err);
		log_warn("%s; trying again every %u s", text, RETRY_MS / 1000);
		free(text);
	}
	g->failed[i] = err;
	if (err != 0)
		timer_start(g->retry, RETRY_MS);
}

static bool gate_is_missing(const struct gate *g, size_t i)
{
	return i < g->rig->settings->rig.listen.len && g->ports[i] == NULL;
}

/* Once it runs, nothing that is in the way ends it: it may go by itself. */
static void on_retry(void *user)
{
	struct gate *g = user;

	for (size_t i = 0; i < GATE_PORTS_MAX; i++)
		if (gate_is_missing(g, i))
			gate_note(g, i, gate_try(g, i));
}

/* 0 also where an address is missing (yet). */
static int gate_listen(struct gate *g, char **ret_err)
{
	const struct setting_addrs *at = &g->rig->settings->rig.listen;

	for (size_t i = 0; i < at->len && i < GATE_PORTS_MAX; i++) {
		int err = gate_try(g, i);

		if (err != 0 && err != -EADDRNOTAVAIL) {
			*ret_err = explain(&at->items[i], err);
			return err;
		}
		gate_note(g, i, err);
	}
	return 0;
}

uint16_t gate_port(const struct gate *g, size_t i)
{
	return g != NULL && i < GATE_PORTS_MAX && g->ports[i] != NULL
		       ? listener_port(g->ports[i])
		       : 0;
}

void gate_places(const struct gate *g, struct places *ret)
{
	uint16_t ports[GATE_PORTS_MAX];

	for (size_t i = 0; i < GATE_PORTS_MAX; i++)
		ports[i] = gate_port(g, i);
	places_find(&g->rig->settings->rig, ports, ret);
}

/* -- the port for those who asked ----------------------------------------- */

static void on_visitor(void *user, int fd, const struct sockaddr_storage *peer)
{
	struct gate *g = user;

	if (!visitors_has(&g->visitors, peer, loop_now_us(g->rig->loop)))
		close(fd);
	else
		gate_enter(user, fd, peer);
}

static void on_shutting(void *user)
{
	struct gate *g = user;

	listener_close(g->ajar);
	g->ajar = NULL;
}

/* The port of rig.listen that takes connections to any address. */
static uint16_t gate_open_port(const struct gate *g)
{
	const struct setting_addrs *at = &g->rig->settings->rig.listen;

	for (size_t i = 0; i < at->len; i++)
		if (at->items[i].host[0] == '\0' && gate_port(g, i) != 0)
			return gate_port(g, i);
	return 0;
}

uint16_t gate_open_for(struct gate *g, const struct sockaddr *who,
		       const uint8_t nonce[PROBE_NONCE_LEN])
{
	static const struct listener_at anywhere = { .port = 0 };
	struct sockaddr_storage addr = { 0 };

	if (g->is_closed)
		return 0;
	if (gate_open_port(g) != 0)
		return gate_open_port(g);
	memcpy(&addr, who,
	       who->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					  : sizeof(struct sockaddr_in));
	if (!visitors_let(&g->visitors, &addr, nonce,
			  loop_now_us(g->rig->loop)) ||
	    (g->ajar == NULL && listener_open(g->rig->loop, &anywhere,
					      on_visitor, g, &g->ajar) < 0))
		return 0;
	timer_start(g->shutting, VISITORS_OPEN_US / 1000);
	return listener_port(g->ajar);
}

/* -- life ----------------------------------------------------------------- */

int gate_new(struct rig *rig, struct gate **ret, char **ret_err)
{
	struct gate *g = xcalloc(1, sizeof(*g));
	int err;

	g->rig = rig;
	list_init(&g->comers);
	g->retry = timer_new(rig->loop, on_retry, g);
	g->shutting = timer_new(rig->loop, on_shutting, g);
	err = tls_ctx_new_bulk(rig->key, TLS_SERVER, INNER_ALPN, &g->ctx);
	if (err == 0)
		err = gate_listen(g, ret_err);
	if (err != 0 && *ret_err == NULL)
		*ret_err = xstrdup(err_text(err));
	*ret = g; /* also on failure: for gate_free() */
	return err;
}

void gate_close(struct gate *g)
{
	if (g == NULL || g->is_closed)
		return;
	g->is_closed = true;
	for (size_t i = 0; i < GATE_PORTS_MAX; i++) {
		listener_close(g->ports[i]);
		g->ports[i] = NULL;
	}
	on_shutting(g);
	timer_stop(g->retry);
	timer_stop(g->shutting);
	list_for_each (it, &g->comers)
		chan_close(container_of(it, struct comer, link)->chan,
			   RW_ERR_CANCELLED);
}

void gate_free(struct gate *g)
{
	static const struct chan_ops none = { 0 };

	if (g == NULL)
		return;
	gate_close(g);
	list_for_each_safe (it, &g->comers) {
		struct comer *k = container_of(it, struct comer, link);

		chan_set_ops(k->chan, &none, NULL);
		comer_free(k);
	}
	timer_free(g->retry);
	timer_free(g->shutting);
	tls_ctx_free(g->ctx);
	free(g);
}

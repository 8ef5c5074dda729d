/* SPDX-License-Identifier: MIT */
#include "relay/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fdlimit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "crypto/hash.h"
#include "net/wake.h"
#include "relay/relay_local.h"

#define STOP_MS 1000

int64_t relay_now_s(void)
{
	return (int64_t)time(NULL);
}

/* -- listening ------------------------------------------------------------ */

static int relay_listen(struct relay *r, const char *host, uint16_t port)
{
	size_t i = r->listener_count;
	const struct listener_at at = { .host = host, .port = port };
	int err = listener_open(r->loop, &at, newcomers_accept, r,
				&r->listeners[i]);

	if (err < 0)
		return err;
	format_hostport(*host != '\0' ? host : "*",
			listener_port(r->listeners[i]), r->listens[i]);
	listener_set_greedy(r->listeners[i]);
	r->listener_count++;
	return 0;
}

static char *explain_listen(const char *host, uint16_t port, int err)
{
	const char *what = *host != '\0' ? host : "every address";

	switch (err) {
	case -EADDRINUSE:
		return xasprintf("port %u on %s is in use by another program; "
				 "stop it, or choose another: --listen "
				 "ADDR:PORT",
				 port, what);
	case -EACCES:
		return xasprintf("this user may not listen on port %u; choose "
				 "one above 1023 (--listen ADDR:PORT), or give "
				 "the program the right (setcap "
				 "cap_net_bind_service=+ep)",
				 port);
	case -EADDRNOTAVAIL:
		return xasprintf("%s is no address of this machine", what);
	case RW_ERR_NO_HOST:
		return xasprintf("'%s' is no address to listen on (a number is "
				 "wanted, as 0.0.0.0 or ::1)",
				 what);
	default:
		return xasprintf("cannot listen on %s, port %u: %s", what, port,
				 err_text(err));
	}
}

static int relay_listen_all(struct relay *r, char **ret_err)
{
	const struct setting_addrs *at = &r->settings->listen;
	uint16_t port = RELAY_PORT;
	int err = 0;

	for (size_t i = 0; i < at->len && i < LISTENERS_MAX; i++) {
		err = relay_listen(r, at->items[i].host, at->items[i].port);
		if (err < 0) {
			*ret_err = explain_listen(at->items[i].host,
						  at->items[i].port, err);
			return err;
		}
	}
	if (at->len > 0)
		return 0;
	err = relay_listen(r, "", port);
	if (err == -EACCES || err == -EADDRINUSE) {
		log_info("port %u cannot be used (%s); trying %u", port,
			 err_text(err), RELAY_PORT_HIGH);
		port = RELAY_PORT_HIGH;
		err = relay_listen(r, "", port);
	}
	if (err < 0)
		*ret_err = explain_listen("", port, err);
	return err;
}

/* -- sleep ---------------------------------------------------------------- */

/* Nobody could be heard meanwhile: whoever is still there has the full time to
 * say something, and who is not will not use it. */
static void on_wake(void *user, uint64_t away_ms)
{
	struct relay *r = user;
	char text[FORMAT_CAP];

	log_info("awake after %s", format_duration(away_ms, text));
	splicer_woke(r->splicer);
	r->woke_us = loop_now_us(r->loop);
}

/* -- life ----------------------------------------------------------------- */

static void relay_on_stop_timer(void *user);

static void on_late(void *user)
{
	struct relay *r = user;

	book_write_late(r->book);
	timer_start(r->late, BOOK_LATE_MS);
}

/* All of it that cannot fail. */
static struct relay *relay_make(const struct relay_params *params)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	const struct settings_relay *s = params->settings;
	const struct wake_params wp = { .loop = params->loop,
					.on_wake = on_wake,
					.user = r };

	r->params = *params;
	r->loop = params->loop;
	r->settings = s;
	r->book = params->book;
	r->incarnation = random_u64();
	list_init(&r->conns);
	list_init(&r->newcomers);
	list_init(&r->controls);
	list_init(&r->pairs);
	list_init(&r->provings);
	pinmap_init(&r->present, random_u64());
	map_init(&r->calls, random_u64());
	map_init(&r->met, random_u64());
	strangers_init(&r->strangers, (unsigned)s->max_unproven_per_address,
		       (unsigned)s->guesses_per_minute);
	r->strangers.max_seen = (size_t)s->max_guessers;
	r->ready = flusher_new(r->loop, meet_on_ready, r);
	/* Half of the descriptors are for who is in already. */
	r->lobby_most = MIN((size_t)s->max_newcomers, fdlimit_now() / 2);
	r->admit = flusher_new(r->loop, newcomers_admit, r);
	r->newcomers_timer = timer_new(r->loop, newcomers_admit, r);
	r->silence = timer_new(r->loop, presences_on_silence, r);
	r->stopping = timer_new(r->loop, relay_on_stop_timer, r);
	r->late = timer_new(r->loop, on_late, r);
	timer_unref(r->late);
	on_late(r);
	r->wake = wake_new(&wp);
	return r;
}

int relay_new(const struct relay_params *params, struct relay **ret,
	      char **ret_err)
{
	const struct settings_relay *s = params->settings;
	const struct splicer_params sp = {
		.loop = params->loop,
		.max_pipes = (size_t)s->max_pipes,
		.silence_ms = s->idle_timeout_ms,
		.flush_ms = s->flush_timeout_ms,
	};
	struct relay *r = relay_make(params);
	int err;

	*ret_err = NULL;
	err = tls_ctx_new(params->key, TLS_SERVER, RELAY_ALPN, &r->ctx);
	if (err == 0)
		err = splicer_new(&sp, &r->splicer);
	if (err == 0)
		err = relay_listen_all(r, ret_err);
	if (err < 0) {
		if (*ret_err == NULL)
			*ret_err = xasprintf("cannot start: %s", err_text(err));
		relay_free(r);
		return err;
	}
	*ret = r;
	return 0;
}

uint16_t relay_port(const struct relay *r)
{
	return listener_port(r->listeners[0]);
}

const char *relay_listens(const struct relay *r, size_t i)
{
	return i < r->listener_count ? r->listens[i] : NULL;
}

static void relay_close_listeners(struct relay *r)
{
	for (size_t i = 0; i < r->listener_count; i++)
		listener_close(r->listeners[i]);
	r->listener_count = 0;
}

/* All have heard it, or had the time to. */
static void relay_stopped(struct relay *r)
{
	void (*on_stopped)(void *user) = r->on_stopped;

	timer_stop(r->stopping);
	r->on_stopped = NULL;
	if (on_stopped != NULL)
		on_stopped(r->user);
}

static void relay_on_stop_timer(void *user)
{
	relay_stopped(user);
}

void relay_conn_gone(struct relay *r)
{
	/* From the loop, not from inside the last connection's callback. */
	if (r->is_stopping && r->conn_count == 0 && r->on_stopped != NULL)
		timer_start(r->stopping, 0);
}

void relay_stop(struct relay *r, void (*on_stopped)(void *user), void *user)
{
	r->is_stopping = true;
	r->on_stopped = on_stopped;
	r->user = user;
	relay_close_listeners(r);
	lobby_done(&r->lobby);
	list_for_each_safe (l, &r->conns) {
		struct conn *c = container_of(l, struct conn, link);

		if (c->state == CONN_CONTROL || c->state == CONN_WISHING)
			conn_refuse(c, RW_ERR_CLOSING,
				    "the relay is shutting down");
		else if (c->state != CONN_CLOSING)
			conn_drop(c, RW_ERR_CLOSING);
	}
	timer_start(r->stopping, r->conn_count > 0 ? STOP_MS : 0);
}

/* Frees conns whose chans are left to the loop. */
static void relay_drop_conns(struct relay *r)
{
	static const struct chan_ops none = { 0 };
	struct list *l;

	while ((l = list_first(&r->conns)) != NULL) {
		struct conn *c = container_of(l, struct conn, link);

		chan_set_ops(c->chan, &none, NULL);
		conn_drop(c, RW_ERR_CLOSING);
		conn_detached(c);
	}
}

void relay_free(struct relay *r)
{
	size_t it = 0;
	struct presence *p;
	struct list *l;

	r->on_stopped = NULL;
	book_write_late(r->book);
	provings_end(r);
	relay_close_listeners(r);
	lobby_done(&r->lobby);
	relay_drop_conns(r);
	if (r->splicer != NULL)
		splicer_free(r->splicer);
	while ((l = list_first(&r->pairs)) != NULL)
		pair_free(container_of(l, struct pair, link));
	while ((p = pinmap_next(&r->present, &it, NULL)) != NULL)
		free(p);
	pinmap_done(&r->present);
	map_done(&r->calls);
	map_done(&r->met);
	strangers_done(&r->strangers);
	flusher_free(r->ready);
	flusher_free(r->admit);
	wake_free(r->wake);
	timer_free(r->newcomers_timer);
	timer_free(r->silence);
	timer_free(r->stopping);
	timer_free(r->late);
	tls_ctx_free(r->ctx);
	free(r);
}

int relay_remove(struct relay *r, const struct pin *pin, struct fleet *f)
{
	int err = book_remove(r->book, pin, f);

	if (err < 0)
		return err;
	if (f == NULL || book_find_device(r->book, pin) == NULL) {
		meet_cut(r, pin, NULL, true);
		return 0;
	}
	/* It stays in other fleets: only what f alone allowed ends. */
	list_for_each (l, &f->devices) {
		const struct pin *other =
			&container_of(l, struct device, link)->pin;

		if (book_common(r->book, pin, other) == NULL &&
		    book_common(r->book, other, pin) == NULL)
			meet_cut(r, pin, other, true);
	}
	return 0;
}

struct relay_counts relay_counts(const struct relay *r)
{
	struct splicer_count sc = splicer_count(r->splicer);
	struct relay_counts n = {
		.connections = r->conn_count,
		.pairs = sc.pairs,
		.pipes = sc.pipes,
		.refused_at_door = r->refused_at_door,
	};

	list_for_each (l, &r->conns) {
		const struct conn *c = container_of(l, struct conn, link);

		n.controls += c->state == CONN_CONTROL;
		n.waiting += c->state == CONN_WISHING;
	}
	return n;
}

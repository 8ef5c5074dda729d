/* SPDX-License-Identifier: MIT */
/* Who is here, how well that is proven, and asking whoever is silent. */
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/moment.h"
#include "net/wake.h"
#include "relay/relay_local.h"

/* Forgets whom the book does not know any more: else devices that come and go
 * would add up. */
static void presences_tidy(struct relay *r)
{
	struct presence *p;
	size_t it = 0;

	while ((p = pinmap_next(&r->present, &it, NULL)) != NULL) {
		if (p->control != NULL || !list_is_empty(&p->line) ||
		    p->waiting > 0 || p->pairs > 0 ||
		    book_find_device(r->book, &p->pin) != NULL)
			continue;
		pinmap_del(&r->present, p->pin.b);
		free(p);
	}
	r->tidy_at = 2 * pinmap_count(&r->present) + 64;
}

struct presence *relay_present(struct relay *r, const struct pin *pin)
{
	struct presence *p = pinmap_get(&r->present, pin->b);

	if (p != NULL)
		return p;
	if (pinmap_count(&r->present) >= r->tidy_at)
		presences_tidy(r);
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->pin = *pin;
	p->writes = (unsigned)r->settings->max_changes;
	p->writes_us = loop_now_us(r->loop);
	list_init(&p->line);
	if (pinmap_put(&r->present, pin->b, p) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

/* -- what is known of it -------------------------------------------------- */

/* Its last byte anywhere; 0: nothing since the machine slept. */
static uint64_t presence_heard_us(const struct relay *r,
				  const struct presence *p)
{
	uint64_t heard = p->pairs > 0 ? p->heard_us : 0;

	if (p->control != NULL)
		heard = MAX(heard, p->control->heard_us);
	return heard > r->woke_us ? heard : 0;
}

static enum relay_state presence_state(const struct relay *r,
				       const struct presence *p,
				       enum relay_role role)
{
	const uint64_t now = loop_now_us(r->loop);
	const uint64_t heard = presence_heard_us(r, p);
	const uint64_t asked = p->control != NULL ? p->control->asked_us : 0;

	if (p->control == NULL && (role == RELAY_RIG || p->pairs == 0))
		return RELAY_AWAY;
	if (heard == 0 || now - heard > (uint64_t)RELAY_SILENCE_MS * 1000)
		return RELAY_CHECKING;
	/* A timer may come up to a millisecond early. */
	if (asked > heard &&
	    now - asked + 1000 >= (uint64_t)RELAY_PROVE_MS * 1000)
		return RELAY_CHECKING;
	return RELAY_ONLINE;
}

void relay_presence(const struct relay *r, const struct device *dev,
		    struct relay_presence *ret)
{
	const struct presence *p = pinmap_get(&r->present, dev->pin.b);
	uint64_t heard;

	*ret = (struct relay_presence){ .heard_ms = UINT64_MAX };
	if (p == NULL)
		return;
	ret->state = presence_state(r, p, dev->role);
	ret->since = p->since;
	ret->proven = p->proven;
	ret->pairs = p->pairs;
	ret->bytes[0] = p->bytes[0];
	ret->bytes[1] = p->bytes[1];
	if (ret->state == RELAY_AWAY)
		return;
	str_copy(ret->addr, sizeof(ret->addr), p->addr);
	heard = presence_heard_us(r, p);
	if (heard != 0)
		ret->heard_ms = (loop_now_us(r->loop) - heard) / 1000;
	if (ret->state == RELAY_ONLINE)
		ret->rtt_us = p->control != NULL ? chan_rtt_us(p->control->chan)
						 : p->rtt_us;
}

size_t relay_online(const struct relay *r)
{
	const struct presence *p;
	size_t it = 0, n = 0;

	while ((p = pinmap_next(&r->present, &it, NULL)) != NULL) {
		const struct device *d = book_find_device(r->book, &p->pin);

		while (d != NULL &&
		       presence_state(r, p, d->role) != RELAY_ONLINE)
			d = d->next;
		n += d != NULL;
	}
	return n;
}

/* -- its pairs ------------------------------------------------------------- */

void presence_paired(struct presence *client, const struct conn *wish)
{
	if (client->pairs++ > 0 || client->control != NULL)
		return;
	client->since = moment_now();
	str_copy(client->addr, sizeof(client->addr), wish->addr);
}

void presence_unpaired(struct presence *client)
{
	if (--client->pairs == 0 && client->control == NULL)
		client->since = moment_now();
}

static void tally_heard(struct pair *p, int side, struct presence *who,
			bool with_rtt)
{
	const uint64_t heard = splice_heard_us(p->splice, side);
	const uint64_t now = loop_now_us(p->relay->loop);

	if (heard == 0 || heard < who->heard_us)
		return;
	who->heard_us = heard;
	if (heard > p->relay->woke_us)
		who->proven = MAX(who->proven, moment_now() - (now - heard));
	if (with_rtt)
		who->rtt_us = splice_rtt_us(p->splice, side);
}

void presence_tally(struct pair *p, bool with_rtt)
{
	for (int i = 0; i < 2; i++) {
		const uint64_t bytes = splice_bytes(p->splice, i);
		const uint64_t more = bytes - p->tallied[i];

		p->tallied[i] = bytes;
		p->client->bytes[i] += more;
		p->rig->bytes[!i] += more;
		tally_heard(p, i, i == 0 ? p->client : p->rig, with_rtt);
	}
}

void presences_tally(struct relay *r, bool with_rtt)
{
	list_for_each (l, &r->pairs) {
		struct pair *p = container_of(l, struct pair, link);

		if (p->splice != NULL)
			presence_tally(p, with_rtt);
	}
}

void relay_tally(struct relay *r)
{
	presences_tally(r, true);
}

/* -- asking --------------------------------------------------------------- */

/* Somebody who waits until all who were asked have answered. */
struct proving {
	struct list link; /* in relay.provings */
	struct timer *timer;
	void (*on_done)(void *user);
	void *user;
};

static void proving_free(struct proving *p)
{
	list_del(&p->link);
	timer_free(p->timer);
	free(p);
}

static void proving_end(struct proving *p)
{
	void (*on_done)(void *user) = p->on_done;
	void *user = p->user;

	proving_free(p);
	on_done(user);
}

static void on_late(void *user)
{
	proving_end(user);
}

void provings_end(struct relay *r)
{
	struct list all, *l;

	/* Their ends may begin new ones. */
	list_init(&all);
	list_move_all(&all, &r->provings);
	while ((l = list_first(&all)) != NULL)
		proving_end(container_of(l, struct proving, link));
}

void presence_left(struct conn *c)
{
	struct relay *r = c->relay;

	if (c->asked_us == 0)
		return;
	c->asked_us = 0;
	if (--r->asked == 0)
		provings_end(r);
}

void presence_heard(struct conn *c)
{
	struct relay *r = c->relay;

	c->heard_us = loop_now_us(r->loop);
	c->self->proven = moment_now();
	list_del(&c->silent);
	list_push(&r->controls, &c->silent);
	if (!timer_is_running(r->silence))
		timer_start(r->silence, RELAY_SILENCE_MS);
	presence_left(c);
}

void presences_on_silence(void *relay)
{
	struct relay *r = relay;
	const uint64_t now = loop_now_us(r->loop);
	const uint64_t silence = (uint64_t)RELAY_SILENCE_MS * 1000;
	struct list *l;

	while ((l = list_first(&r->controls)) != NULL) {
		struct conn *c = container_of(l, struct conn, silent);
		/* Nobody could be heard while the machine slept. */
		const uint64_t by = MAX(c->heard_us, r->woke_us) + silence;

		if (now < by) {
			timer_start(r->silence, (by - now) / 1000 + 1);
			return;
		}
		conn_cut(c, RW_ERR_TIMEOUT);
	}
}

static void conn_ask(struct conn *c)
{
	struct relay_msg ping = { .type = R_PING };

	if (c->state != CONN_CONTROL || c->asked_us != 0)
		return;
	c->asked_us = loop_now_us(c->relay->loop);
	c->relay->asked++;
	if (conn_send(c, &ping) < 0)
		conn_drop(c, RW_ERR_LIMIT);
}

struct proving *relay_prove(struct relay *r, void (*on_done)(void *user),
			    void *user)
{
	struct proving *p;

	wake_look(r->wake);
	list_for_each_safe (l, &r->conns)
		conn_ask(container_of(l, struct conn, link));
	if (r->asked == 0) {
		on_done(user);
		return NULL;
	}
	p = xcalloc(1, sizeof(*p));
	p->on_done = on_done;
	p->user = user;
	p->timer = timer_new(r->loop, on_late, p);
	timer_start(p->timer, RELAY_PROVE_MS);
	list_init(&p->link);
	list_push(&r->provings, &p->link);
	return p;
}

void relay_prove_cancel(struct proving *p)
{
	if (p != NULL)
		proving_free(p);
}

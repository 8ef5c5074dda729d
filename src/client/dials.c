/* SPDX-License-Identifier: MIT */
#include "client/dials.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "carrier/relayed.h"
#include "client/rigs.h"
#include "client/way.h"
#include "net/loop.h"

struct dials {
	const struct way_env *env;
	const struct rigs_row *row;
	const struct dials_ops *ops;
	void *user;
	struct list all; /* the oldest first */
	unsigned count;
};

struct attempt {
	struct list link;
	struct dials *dials;
	struct relayed *relayed;
	bool waiting;	  /* it says that it stands in line */
	uint64_t wait_us; /* since when; 0: never */
};

static void attempt_free(struct attempt *a)
{
	list_del(&a->link);
	a->dials->count--;
	free(a);
}

static void attempt_cancel(struct attempt *a)
{
	relayed_cancel(a->relayed);
	attempt_free(a);
}

static void on_up(void *user, struct chan *c, const char *peer_addr)
{
	struct attempt *a = user;
	struct dials *d = a->dials;

	attempt_free(a);
	d->ops->on_up(d->user, c, peer_addr);
}

static void on_failed(void *user, int err, const char *text)
{
	struct attempt *a = user;
	struct dials *d = a->dials;
	uint64_t now = loop_now_us(d->env->loop);
	uint64_t waited_us = a->wait_us != 0 ? now - a->wait_us : 0;

	attempt_free(a);
	d->ops->on_failed(d->user, err, text, waited_us);
}

static void on_waiting(void *user, const char *why)
{
	struct attempt *a = user;
	struct dials *d = a->dials;
	bool is_news = !a->waiting;

	a->waiting = true;
	if (a->wait_us == 0)
		a->wait_us = loop_now_us(d->env->loop);
	d->ops->on_waiting(d->user, why, is_news);
}

static const struct relayed_ops relayed_ops = {
	.on_waiting = on_waiting,
	.on_up = on_up,
	.on_failed = on_failed,
};

struct dials *dials_new(const struct way_env *env, const struct rigs_row *row,
			const struct dials_ops *ops, void *user)
{
	struct dials *d = xcalloc(1, sizeof(*d));

	d->env = env;
	d->row = row;
	d->ops = ops;
	d->user = user;
	list_init(&d->all);
	return d;
}

void dials_free(struct dials *d)
{
	dials_cancel(d, true);
	free(d);
}

static void make_room(struct dials *d)
{
	struct list *oldest = list_first(&d->all);

	if (d->count >= DIALS_MAX)
		attempt_cancel(
			container_of(oldest->next, struct attempt, link));
}

int dials_start(struct dials *d, const uint8_t *invite_id)
{
	const char *relays[CODE_RELAYS_MAX];
	struct relayed_params p = {
		.loop = d->env->loop,
		.key = d->env->key,
		.relays = relays,
		.relay_count = d->row->relay_count,
		.relay_pin = d->row->relay_pin,
		.what = RELAYED_WISH,
		.peer = d->row->pin,
		.invite_id = invite_id,
		.wait = true,
		.timeout_ms = DIALS_TIMEOUT_MS,
	};
	struct attempt *a = xcalloc(1, sizeof(*a));
	int err;

	for (size_t i = 0; i < d->row->relay_count; i++)
		relays[i] = d->row->relays[i];
	a->dials = d;
	err = relayed_start(&p, &relayed_ops, a, &a->relayed);
	if (err < 0) {
		free(a);
		return err;
	}
	make_room(d);
	list_push(&d->all, &a->link);
	d->count++;
	return 0;
}

void dials_cancel(struct dials *d, bool all)
{
	bool kept = all;

	list_for_each_safe (it, &d->all) {
		struct attempt *a = container_of(it, struct attempt, link);

		if (a->waiting && !kept)
			kept = true;
		else
			attempt_cancel(a);
	}
}

unsigned dials_count(const struct dials *d)
{
	return d->count;
}

bool dials_is_waiting(const struct dials *d)
{
	list_for_each (it, &d->all)
		if (container_of(it, struct attempt, link)->waiting)
			return true;
	return false;
}

void dials_doubt(struct dials *d)
{
	list_for_each (it, &d->all)
		container_of(it, struct attempt, link)->waiting = false;
}

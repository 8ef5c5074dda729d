/* SPDX-License-Identifier: MIT */
#include "client/dials.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/direct.h"
#include "carrier/discover.h"
#include "carrier/relayed.h"
#include "client/rigs.h"
#include "client/way.h"
#include "net/loop.h"
#include "net/moment.h"

struct dials {
	const struct way_env *env;
	const struct rigs_row *row;
	struct race *race;
	const struct dials_ops *ops;
	void *user;
	struct list all; /* the oldest first */
	unsigned count;
};

struct attempt {
	struct list link;
	struct dials *dials;
	uint32_t path;
	enum path_kind kind;
	bool is_extra;
	bool is_doubted; /* it may run on a path that is gone */
	/* One of them: */
	struct relayed *relayed;
	struct direct *direct;
	struct discover *discover;
	bool waiting;	  /* it counts as one that stands in line */
	uint64_t wait_us; /* when it first said so; 0: never */
};

static void set_waiting(struct attempt *a, bool waiting)
{
	struct path *p = race_path(a->dials->race, a->path);

	if (p != NULL && a->waiting != waiting)
		p->in_line += waiting ? 1 : -1U;
	a->waiting = waiting;
}

static void attempt_free(struct attempt *a)
{
	struct path *p = race_path(a->dials->race, a->path);

	set_waiting(a, false);
	if (p != NULL)
		p->dials--;
	list_del(&a->link);
	a->dials->count--;
	free(a);
}

static void attempt_cancel(struct attempt *a)
{
	if (a->relayed != NULL)
		relayed_cancel(a->relayed);
	if (a->direct != NULL)
		direct_cancel(a->direct);
	if (a->discover != NULL)
		discover_cancel(a->discover);
	attempt_free(a);
}

static struct dials_end end_of(const struct attempt *a)
{
	uint64_t now = loop_now_us(a->dials->env->loop);

	return (struct dials_end){
		.path = a->path,
		.kind = a->kind,
		.is_extra = a->is_extra,
		.waited_us = a->wait_us != 0 ? now - a->wait_us : 0,
	};
}

static void on_up(void *user, struct chan *c, const char *peer_addr)
{
	struct attempt *a = user;
	struct dials *d = a->dials;
	struct dials_end end = end_of(a);

	attempt_free(a);
	d->ops->on_up(d->user, &end, c, peer_addr);
}

static void on_failed(void *user, int err, const char *text)
{
	struct attempt *a = user;
	struct dials *d = a->dials;
	struct dials_end end = end_of(a);

	end.err = err;
	end.text = text;
	attempt_free(a);
	race_failed(d->race, end.path, err, text, moment_now());
	d->ops->on_failed(d->user, &end);
}

static void on_waiting(void *user, const char *why)
{
	struct attempt *a = user;
	struct dials *d = a->dials;
	bool is_news = !a->waiting;

	a->is_doubted = false;
	set_waiting(a, true);
	if (a->wait_us == 0)
		a->wait_us = loop_now_us(d->env->loop);
	race_waits(d->race, a->path, why);
	d->ops->on_waiting(d->user, why, is_news);
}

static void on_found(void *user, const char *at)
{
	struct attempt *a = user;
	struct dials *d = a->dials;

	race_found(d->race, at, loop_now_us(d->env->loop));
	d->ops->on_found(d->user, at);
}

static void on_searched(void *user, unsigned count, const char *text)
{
	struct attempt *a = user;

	if (count == 0)
		on_failed(user, RW_ERR_NOT_FOUND, text);
	else
		attempt_free(a);
}

static const struct direct_ops direct_ops = {
	.on_up = on_up,
	.on_failed = on_failed,
};

static const struct discover_ops discover_ops = {
	.on_found = on_found,
	.on_done = on_searched,
};

static const struct relayed_ops relayed_ops = {
	.on_waiting = on_waiting,
	.on_up = on_up,
	.on_failed = on_failed,
};

struct dials *dials_new(const struct way_env *env, const struct rigs_row *row,
			struct race *race, const struct dials_ops *ops,
			void *user)
{
	struct dials *d = xcalloc(1, sizeof(*d));

	d->env = env;
	d->row = row;
	d->race = race;
	d->ops = ops;
	d->user = user;
	list_init(&d->all);
	return d;
}

void dials_free(struct dials *d)
{
	dials_cancel(d);
	free(d);
}

/* The second oldest along p gives way. */
static void make_room(struct dials *d, const struct path *p)
{
	const unsigned max =
		p->kind == PATH_RELAY ? DIALS_MAX : DIALS_DIRECT_MAX;
	bool is_oldest = true;

	if (p->dials < max)
		return;
	list_for_each_safe (it, &d->all) {
		struct attempt *a = container_of(it, struct attempt, link);

		if (a->path != p->id)
			continue;
		if (!is_oldest) {
			attempt_cancel(a);
			return;
		}
		is_oldest = false;
	}
}

static int start_relayed(struct dials *d, const struct path *p,
			 const uint8_t *invite_id, struct attempt *a)
{
	const char *relays[CODE_RELAYS_MAX];
	struct relayed_params params = {
		.loop = d->env->loop,
		.key = d->env->key,
		.relays = relays,
		.relay_count = p->at_count,
		.relay_pin = p->relay,
		.what = RELAYED_WISH,
		.peer = d->row->pin,
		.invite_id = invite_id,
		.wait = !a->is_extra,
		.timeout_ms = DIALS_TIMEOUT_MS,
	};

	for (size_t i = 0; i < p->at_count; i++)
		relays[i] = p->at[i];
	return relayed_start(&params, &relayed_ops, a, &a->relayed);
}

static int start_direct(struct dials *d, const struct path *p,
			struct attempt *a)
{
	const struct direct_params params = {
		.loop = d->env->loop,
		.key = d->env->key,
		.at = p->at[0],
		.peer = d->row->pin,
		.timeout_ms = DIALS_TIMEOUT_MS,
	};

	return direct_start(&params, &direct_ops, a, &a->direct);
}

static int start_search(struct dials *d, struct attempt *a)
{
	const struct discover_params params = {
		.loop = d->env->loop,
		.rig = d->row->pin,
		.before = d->row->lan,
		.port = d->row->info.probe_port,
	};

	return discover_start(&params, &discover_ops, a, &a->discover);
}

int dials_start(struct dials *d, struct path *p, const uint8_t *invite_id,
		bool is_extra)
{
	struct attempt *a = xcalloc(1, sizeof(*a));
	int err;

	a->dials = d;
	a->path = p->id;
	a->kind = p->kind;
	a->is_extra = is_extra;
	if (p->is_search)
		err = start_search(d, a);
	else if (p->kind == PATH_RELAY)
		err = start_relayed(d, p, invite_id, a);
	else
		err = start_direct(d, p, a);
	if (err < 0) {
		free(a);
		return err;
	}
	make_room(d, p);
	list_push(&d->all, &a->link);
	d->count++;
	p->dials++;
	p->tried = moment_now();
	return 0;
}

void dials_cancel(struct dials *d)
{
	struct list *it;

	while ((it = list_first(&d->all)) != NULL)
		attempt_cancel(container_of(it, struct attempt, link));
}

void dials_keep_better(struct dials *d, enum path_kind than)
{
	list_for_each_safe (it, &d->all) {
		struct attempt *a = container_of(it, struct attempt, link);

		if (!a->is_extra && a->kind >= than)
			attempt_cancel(a);
	}
}

void dials_thin(struct dials *d)
{
	list_for_each_safe (it, &d->all) {
		struct attempt *a = container_of(it, struct attempt, link);
		const struct path *p = race_path(d->race, a->path);

		if (p == NULL || (p->in_line > 0 && !a->waiting) ||
		    (p->in_line > 1 && a->waiting))
			attempt_cancel(a);
	}
}

void dials_listen(struct dials *d)
{
	for (size_t i = 0; i < d->race->count; i++)
		d->race->paths[i].is_heard = false;
	list_for_each (it, &d->all) {
		struct attempt *a = container_of(it, struct attempt, link);
		struct path *p = race_path(d->race, a->path);

		if (p == NULL || a->relayed == NULL || a->is_extra ||
		    a->is_doubted)
			continue;
		p->is_heard |= relayed_is_heard(a->relayed);
		if (a->wait_us != 0)
			set_waiting(a, relayed_is_in_line(a->relayed));
	}
}

unsigned dials_count(const struct dials *d)
{
	return d->count;
}

unsigned dials_extra_count(const struct dials *d)
{
	unsigned n = 0;

	list_for_each (it, &d->all)
		n += container_of(it, struct attempt, link)->is_extra;
	return n;
}

void dials_doubt(struct dials *d)
{
	list_for_each (it, &d->all) {
		struct attempt *a = container_of(it, struct attempt, link);

		a->is_doubted = true;
		set_waiting(a, false);
	}
}

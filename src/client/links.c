/* SPDX-License-Identifier: MIT */
#include "client/links.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

static const enum link_state edges[LINK_STATES][LINK_EVENTS] = {
	[LINK_GREETING] = { [LINK_EV_WELCOME] = LINK_LIVE,
			    [LINK_EV_REPLACE] = LINK_UNWANTED,
			    [LINK_EV_DOUBT] = LINK_DOUBTED,
			    [LINK_EV_CLOSE] = LINK_CLOSING },
	[LINK_UNWANTED] = { [LINK_EV_WELCOME] = LINK_OLD,
			    [LINK_EV_DOUBT] = LINK_DOUBTED,
			    [LINK_EV_CLOSE] = LINK_CLOSING },
	[LINK_LIVE] = { [LINK_EV_REPLACE] = LINK_OLD,
			[LINK_EV_DOUBT] = LINK_DOUBTED,
			[LINK_EV_CLOSE] = LINK_CLOSING },
	[LINK_OLD] = { [LINK_EV_USE] = LINK_LIVE,
		       [LINK_EV_DOUBT] = LINK_DOUBTED,
		       [LINK_EV_LEAVE] = LINK_LEAVING,
		       [LINK_EV_CLOSE] = LINK_CLOSING },
	[LINK_LEAVING] = { [LINK_EV_USE] = LINK_LIVE,
			   [LINK_EV_DOUBT] = LINK_DOUBTED,
			   [LINK_EV_STAY] = LINK_OLD,
			   [LINK_EV_CLOSE] = LINK_CLOSING },
	[LINK_DOUBTED] = { [LINK_EV_CLOSE] = LINK_CLOSING },
};

void link_step(struct link *l, enum link_event ev)
{
	const enum link_state to = edges[l->state][ev];

	if (to != LINK_NONE)
		l->state = to;
}

static struct link *link_of(const struct list *it)
{
	return container_of(it, struct link, link);
}

static void on_bearer_end(void *user, int err, const char *text)
{
	struct link *l = user;

	list_del(&l->link);
	l->all->ops->on_end(l->all->user, l, err, text);
	free(l);
}

static const struct bearer_ops bearer_ops = {
	.on_end = on_bearer_end,
};

void links_init(struct links *ls, unsigned max, const struct links_ops *ops,
		void *user)
{
	list_init(&ls->all);
	ls->max = max;
	ls->ops = ops;
	ls->user = user;
}

void link_close(struct link *l, int err)
{
	const bool is_doubted = l->state == LINK_DOUBTED;

	if (l->state == LINK_CLOSING)
		return;
	link_step(l, LINK_EV_CLOSE);
	if (is_doubted)
		bearer_cut(l->bearer, err, err_text(err));
	else
		bearer_close(l->bearer, err, err_text(err));
}

/* How little a connection is missed. */
static int uselessness(const struct link *l)
{
	if (l->state == LINK_LIVE)
		return 0;
	return l->state == LINK_OLD || l->state == LINK_LEAVING ? 1 : 2;
}

/* The oldest that wait for their WELCOME go, then, at the session's limit, who
 * is missed least, the newest live one at last. */
static void make_room(struct links *ls)
{
	unsigned waiting = 0, all = 0;

	for (struct list *it = ls->all.prev; it != &ls->all; it = it->prev) {
		struct link *l = link_of(it);

		if (l->state == LINK_CLOSING)
			continue;
		if ((l->state == LINK_GREETING || l->state == LINK_UNWANTED) &&
		    ++waiting >= LINKS_WAITING_MAX)
			link_close(l, RW_ERR_TIMEOUT);
		else
			all++;
	}
	while (all >= ls->max) {
		struct link *victim = NULL;

		list_for_each (it, &ls->all) {
			struct link *l = link_of(it);

			if (l->state == LINK_CLOSING)
				continue;
			if (victim == NULL ||
			    uselessness(l) > uselessness(victim) ||
			    (uselessness(l) == 0 && uselessness(victim) == 0))
				victim = l;
		}
		if (victim == NULL)
			return;
		link_close(victim, RW_ERR_CANCELLED);
		all--;
	}
}

int links_add(struct links *ls, const struct dials_end *end,
	      const char *peer_addr, struct bearer_params *p,
	      const struct hello_extra *extra)
{
	static const struct chan_ops no_ops = { .on_up = NULL };
	struct link *l = xcalloc(1, sizeof(*l));
	int err;

	make_room(ls);
	l->all = ls;
	l->state = LINK_GREETING;
	l->path = end->path;
	l->kind = end->kind;
	l->is_extra = end->is_extra;
	l->is_narrow = chan_is_narrow(p->chan);
	str_copy(l->peer_addr, sizeof(l->peer_addr), peer_addr);
	list_push(&ls->all, &l->link);
	p->ops = &bearer_ops;
	p->user = l;
	err = bearer_dial(p, extra, &l->bearer);
	if (err == 0)
		return 0;
	list_del(&l->link);
	free(l);
	chan_set_ops(p->chan, &no_ops, NULL);
	chan_close(p->chan, err);
	return err;
}

static unsigned count(const struct links *ls, uint32_t path,
		      enum link_state state)
{
	unsigned n = 0;

	list_for_each (it, &ls->all) {
		const struct link *l = link_of(it);

		if (l->state == state && (path == 0 || l->path == path))
			n++;
	}
	return n;
}

unsigned links_live(const struct links *ls, uint32_t path)
{
	return count(ls, path, LINK_LIVE);
}

unsigned links_waiting(const struct links *ls, uint32_t path)
{
	return count(ls, path, LINK_GREETING);
}

bool links_is_empty(const struct links *ls)
{
	return list_is_empty(&ls->all);
}

struct link *links_newest(const struct links *ls, uint32_t path)
{
	struct link *newest = NULL;

	list_for_each (it, &ls->all) {
		struct link *l = link_of(it);

		if (l->state == LINK_LIVE && (path == 0 || l->path == path))
			newest = l;
	}
	return newest;
}

/* SPDX-License-Identifier: MIT */
/*
 * Who is let in when all come at once, as after a restart: so many handshakes
 * run at a time, and the others wait in the kernel's queue, in the order in
 * which they came. Else a relay begins them all, ends none before its devices
 * dial anew, and holds the memory of all of them. What runs is what this relay
 * has work with: one that it waits for, a far device or one that says nothing,
 * does not count for longer than LOOK_US, nor any for longer than YOUNG_US.
 * Nobody can keep the others out by being slow.
 */
#include <poll.h>

#include "relay/relay_local.h"

#define YOUNG_US 1000000
#define LOOK_US	 250000 /* between looks at who counts, while it is full */

/* Takes out those that do not count any more; the oldest come first. */
static void newcomers_sift(struct relay *r)
{
	const uint64_t now = loop_now_us(r->loop);

	r->sifted_us = now;
	list_for_each_safe (l, &r->newcomers) {
		struct conn *c = container_of(l, struct conn, newcomer);

		if (now < c->came_us + LOOK_US)
			return;
		if (now < c->came_us + YOUNG_US && chan_has_unread(c->chan))
			continue;
		list_del(&c->newcomer);
		r->newcomer_count--;
	}
}

static bool newcomers_are_many(const struct relay *r)
{
	return r->newcomer_count >= (size_t)r->settings->max_handshakes;
}

/* Whether to accept: the one place that decides. */
static void newcomers_apply(struct relay *r)
{
	const bool is_full = newcomers_are_many(r);

	if (is_full == r->is_full)
		return;
	r->is_full = is_full;
	for (size_t i = 0; i < r->listener_count; i++) {
		if (is_full)
			listener_pause(r->listeners[i]);
		else
			listener_resume(r->listeners[i]);
	}
	if (is_full)
		timer_start(r->newcomers_timer, LOOK_US / 1000);
	else
		timer_stop(r->newcomers_timer);
}

void newcomers_on_timer(void *relay)
{
	struct relay *r = relay;

	newcomers_sift(r);
	newcomers_apply(r);
	if (r->is_full)
		timer_start(r->newcomers_timer, LOOK_US / 1000);
}

void newcomer_enter(struct conn *c)
{
	struct relay *r = c->relay;

	c->came_us = loop_now_us(r->loop);
	list_push(&r->newcomers, &c->newcomer);
	r->newcomer_count++;
	if (newcomers_are_many(r) && c->came_us >= r->sifted_us + LOOK_US)
		newcomers_sift(r);
	newcomers_apply(r);
}

void newcomer_leave(struct conn *c)
{
	if (!list_is_linked(&c->newcomer))
		return;
	list_del(&c->newcomer);
	c->relay->newcomer_count--;
	newcomers_apply(c->relay);
}

bool newcomer_has_left(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

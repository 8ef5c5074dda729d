/* SPDX-License-Identifier: MIT */
/*
 * Who is let in when all come at once, as after a restart: so many handshakes
 * run at a time, and the others wait in the kernel's queue, in the order in
 * which they came. Else a relay begins them all, ends none before its devices
 * dial anew, and holds the memory of all of them. One that takes longer than
 * YOUNG_US, a far device or one that says nothing, does not count any more:
 * nobody can keep the others out by that.
 */
#include <poll.h>

#include "relay/relay_local.h"

#define YOUNG_US 1000000

/* Whether to accept: the one place that decides. */
static void newcomers_apply(struct relay *r)
{
	const bool is_full =
		r->newcomer_count >= (size_t)r->settings->max_handshakes;

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
		newcomers_on_timer(r);
	else
		timer_stop(r->newcomers_timer);
}

void newcomers_on_timer(void *relay)
{
	struct relay *r = relay;
	const uint64_t now = loop_now_us(r->loop);
	struct list *l;

	while ((l = list_first(&r->newcomers)) != NULL) {
		struct conn *c = container_of(l, struct conn, newcomer);

		if (now < c->came_us + YOUNG_US) {
			timer_start(r->newcomers_timer,
				    (c->came_us + YOUNG_US - now) / 1000 + 1);
			break;
		}
		list_del(&c->newcomer);
		r->newcomer_count--;
	}
	newcomers_apply(r);
}

void newcomer_enter(struct conn *c)
{
	c->came_us = loop_now_us(c->relay->loop);
	list_push(&c->relay->newcomers, &c->newcomer);
	c->relay->newcomer_count++;
	newcomers_apply(c->relay);
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

/* SPDX-License-Identifier: MIT */
/*
 * Who is let in when all come at once, as after a restart. Whoever dials is
 * taken in at once, so that no dial is lost in a full queue of the kernel, and
 * waits in the lobby; so many handshakes run at a time, the oldest guests
 * first. Else a relay begins them all, ends none before its devices dial anew,
 * and holds the memory of all of them. What runs is what this relay has work
 * with: one that it waits for, a far device or one that says nothing, does not
 * count for longer than LOOK_US, nor any for longer than YOUNG_US. Nobody can
 * keep the others out by being slow.
 */
#include <poll.h>
#include <unistd.h>

#include "relay/relay_local.h"

#define YOUNG_US 1000000
#define LOOK_US	 250000 /* between looks at who counts, while it is full */
#define EARLY_US 1000	/* so much early a timer may be */

/* Takes out those that do not count any more; the oldest come first. */
static void newcomers_sift(struct relay *r)
{
	const uint64_t now = loop_now_us(r->loop);

	r->sifted_us = now;
	list_for_each_safe (l, &r->newcomers) {
		struct conn *c = container_of(l, struct conn, newcomer);

		if (now + EARLY_US < c->came_us + LOOK_US)
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

/* Whether to accept: the one place that decides. What a full lobby leaves to
 * the kernel's queue is fetched when a quarter of it is free. */
static void newcomers_apply(struct relay *r)
{
	const size_t most = r->lobby_most;
	const bool is_full = r->is_full ? r->lobby.count >= most - most / 4
					: r->lobby.count >= most;

	if (is_full == r->is_full)
		return;
	r->is_full = is_full;
	for (size_t i = 0; i < r->listener_count; i++) {
		if (is_full)
			listener_pause(r->listeners[i]);
		else
			listener_resume(r->listeners[i]);
	}
}

/* Whoever dialled may have given up already: not worth a handshake. */
static bool guest_has_left(const struct guest *g)
{
	struct pollfd p = { .fd = g->fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

void newcomers_admit(void *relay)
{
	struct relay *r = relay;
	struct guest g;

	if (newcomers_are_many(r) &&
	    loop_now_us(r->loop) + EARLY_US >= r->sifted_us + LOOK_US)
		newcomers_sift(r);
	while (!newcomers_are_many(r) && lobby_pop(&r->lobby, &g)) {
		if (guest_has_left(&g))
			close(g.fd);
		else
			conn_open(r, g.fd, &g.peer);
	}
	newcomers_apply(r);
	/* Not anew: whoever ends would put the next look off. */
	if (r->lobby.count > 0 && !timer_is_running(r->newcomers_timer))
		timer_start(r->newcomers_timer, LOOK_US / 1000);
}

void newcomers_accept(void *relay, int fd, const struct sockaddr_storage *peer)
{
	struct relay *r = relay;

	if (!lobby_push(&r->lobby, fd, peer))
		return;
	newcomers_apply(r);
	flusher_mark(r->admit);
}

void newcomer_enter(struct conn *c)
{
	c->came_us = loop_now_us(c->relay->loop);
	list_push(&c->relay->newcomers, &c->newcomer);
	c->relay->newcomer_count++;
}

void newcomer_leave(struct conn *c)
{
	if (!list_is_linked(&c->newcomer))
		return;
	list_del(&c->newcomer);
	c->relay->newcomer_count--;
	if (c->relay->lobby.count > 0)
		flusher_mark(c->relay->admit);
}

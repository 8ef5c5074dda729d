/* SPDX-License-Identifier: MIT */
#include "relay/splice_local.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

/* Bytes moved for all pairs before the loop sees to everything else. */
#define TURN_BYTES ((size_t)4 * 1024 * 1024)
#define TURN_RUNS  256
#define EVENTS	   64

/* Some time has gone by, and with it came credit. */
static void on_unpark(void *user)
{
	struct splicer *sp = user;

	list_for_each (l, &sp->parked)
		container_of(l, struct splice, queue)->queued = QUEUE_OLD;
	list_move_all(&sp->old, &sp->parked);
	flusher_mark(sp->turn);
}

static void on_edges(struct splicer *sp)
{
	struct epoll_event ev[EVENTS];
	int n;

	do {
		n = epoll_wait(sp->epoll, ev, EVENTS, 0);
		for (int i = 0; i < n; i++) {
			struct side *side = ev[i].data.ptr;
			uint32_t e = ev[i].events;
			bool hup = e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

			if (hup)
				side->has_hup = true;
			if (hup || (e & EPOLLIN))
				side->can_read = true;
			if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR))
				side->can_write = true;
			splice_wake(side->owner);
		}
	} while (n == EVENTS);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	on_edges(poll->data);
}

static void splicer_reap(struct splicer *sp)
{
	struct list *l;

	while ((l = list_pop(&sp->ended)) != NULL) {
		struct splice *s = container_of(l, struct splice, link);
		struct splice_end end = {
			.err = s->err,
			.bytes = { s->half[0].bytes, s->half[1].bytes },
		};

		sp->count.pairs--;
		s->group->pairs--;
		s->on_end(s->user, &end);
		free(s);
	}
}

static bool splicer_has_work(const struct splicer *sp)
{
	return !list_is_empty(&sp->fresh) || !list_is_empty(&sp->old);
}

static void on_turn(void *user)
{
	struct splicer *sp = user;
	size_t moved = 0;

	for (int runs = 0; runs < TURN_RUNS && moved < TURN_BYTES; runs++) {
		struct list *l = list_first(&sp->fresh);

		if (l == NULL)
			l = list_first(&sp->old);
		if (l == NULL)
			break;
		size_t n = splice_run(container_of(l, struct splice, queue));

		moved += n;
		/* A keystroke waits for one quantum, not for the whole turn.
		 * With nobody in line, the loop looks next. */
		if (n > 0 && splicer_has_work(sp))
			on_edges(sp);
	}
	if (splicer_has_work(sp))
		flusher_mark(sp->turn);
	splicer_reap(sp);
}

/* Often enough for the shortest of the times it looks after. */
static void splicer_rest(struct splicer *sp)
{
	const uint64_t ms =
		MIN(sp->params.silence_ms, sp->params.flush_ms) / 4 + 1;

	if (ms < 1000)
		timer_start(sp->tick, ms);
	else
		timer_start_second(sp->tick);
}

static void on_tick(void *user)
{
	struct splicer *sp = user;
	uint64_t now = loop_now_us(sp->params.loop);
	uint64_t silence = sp->params.silence_ms * 1000;

	list_for_each_safe (l, &sp->all) {
		struct splice *s = container_of(l, struct splice, link);

		if (s->flush_by_us != 0 && now >= s->flush_by_us)
			splice_end(s, s->err);
		else if (now - s->half[0].last_us >= silence ||
			 now - s->half[1].last_us >= silence)
			splice_end(s, RW_ERR_TIMEOUT);
	}
	/* One idle pipe is enough between bursts. */
	while (!list_is_empty(&sp->idle) && sp->idle.next != sp->idle.prev)
		pipe_close(sp, container_of(list_pop(&sp->idle), struct pipe,
					    link));
	if (!list_is_empty(&sp->all))
		splicer_rest(sp);
}

/* -- the interface */

static void splicer_init_lists(struct splicer *sp)
{
	list_init(&sp->fresh);
	list_init(&sp->old);
	list_init(&sp->parked);
	list_init(&sp->gathering);
	list_init(&sp->all);
	list_init(&sp->ended);
	list_init(&sp->idle);
}

int splicer_new(const struct splicer_params *params, struct splicer **ret)
{
	struct splicer *sp = calloc(1, sizeof(*sp));
	int err = RW_ERR_NOMEM;

	if (sp == NULL)
		return RW_ERR_NOMEM;
	sp->params = *params;
	sp->buffer = malloc(BUFFER_LEN);
	if (sp->buffer == NULL)
		goto free_splicer;
	sp->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (sp->epoll < 0) {
		err = -errno;
		goto free_buffer;
	}
	err = uv_poll_init(params->loop, &sp->poll, sp->epoll);
	if (err < 0)
		goto close_epoll;
	sp->poll.data = sp;
	uv_poll_start(&sp->poll, UV_READABLE, on_poll);
	sp->turn = flusher_new(params->loop, on_turn, sp);
	sp->tick = timer_new(params->loop, on_tick, sp);
	sp->unpark = timer_new(params->loop, on_unpark, sp);
	sp->gather = timer_new(params->loop, gather_on_time, sp);
	splicer_init_lists(sp);
	/* splice(2) has no MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	*ret = sp;
	return 0;

close_epoll:
	close(sp->epoll);
free_buffer:
	free(sp->buffer);
free_splicer:
	free(sp);
	return err;
}

static void on_poll_closed(uv_handle_t *h)
{
	struct splicer *sp = h->data;

	close(sp->epoll);
	free(sp->buffer);
	free(sp);
}

void splicer_free(struct splicer *sp)
{
	struct list *l;

	while ((l = list_first(&sp->all)) != NULL)
		splice_end(container_of(l, struct splice, link),
			   RW_ERR_CANCELLED);
	while ((l = list_pop(&sp->ended)) != NULL) {
		struct splice *s = container_of(l, struct splice, link);

		s->group->pairs--;
		free(s);
	}
	while ((l = list_pop(&sp->idle)) != NULL)
		pipe_close(sp, container_of(l, struct pipe, link));
	flusher_free(sp->turn);
	timer_free(sp->tick);
	timer_free(sp->unpark);
	timer_free(sp->gather);
	uv_close((uv_handle_t *)&sp->poll, on_poll_closed);
}

void splicer_woke(struct splicer *sp)
{
	const uint64_t now = loop_now_us(sp->params.loop);

	list_for_each (l, &sp->all) {
		struct splice *s = container_of(l, struct splice, link);

		s->half[0].last_us = s->half[1].last_us = now;
	}
}

struct splicer_count splicer_count(const struct splicer *sp)
{
	return sp->count;
}

/* SPDX-License-Identifier: MIT */
#include "relay/splice_local.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/reset.h"
#include "net/rtt.h"

/* A pair whose owner's rate is used up is looked at again so often; what may be
 * saved up is one tenth of a second's worth. */
#define RATE_MS		5
#define USER_TIMEOUT_MS 30000

/* -- rates */

/* Whether the group may move bytes now. */
static bool group_may(struct splicer *sp, struct splice_group *g)
{
	uint64_t now, span, gain;

	if (g->rate == 0)
		return true;
	now = loop_now_us(sp->params.loop);
	span = MIN(now - g->credit_us, (uint64_t)100000);
	gain = g->rate * span / 1000000;
	if (gain > 0) /* else so little time that it would be lost */
		g->credit_us = now;
	g->credit = MIN(g->credit + (int64_t)gain, (int64_t)(g->rate / 10) + 1);
	return g->credit > 0;
}

static void splice_park(struct splice *s)
{
	struct splicer *sp = s->splicer;

	s->queued = QUEUE_PARKED;
	list_push(&sp->parked, &s->queue);
	if (!timer_is_running(sp->unpark))
		timer_start(sp->unpark, RATE_MS);
}

/* -- its turns */

static void splice_unqueue(struct splice *s)
{
	list_del(&s->queue);
	s->queued = QUEUE_NONE;
}

/* Bulk that runs dry again and again is no keystroke. */
void splice_wake(struct splice *s)
{
	struct splicer *sp = s->splicer;

	if (s->queued != QUEUE_NONE || s->has_ended)
		return;
	if (s->half[0].is_bulk || s->half[1].is_bulk) {
		s->queued = QUEUE_OLD;
		list_push(&sp->old, &s->queue);
	} else {
		s->queued = QUEUE_FRESH;
		list_push(&sp->fresh, &s->queue);
	}
	flusher_mark(sp->turn);
}

size_t splice_run(struct splice *s)
{
	struct splicer *sp = s->splicer;
	enum splice_queue was = s->queued;
	bool more = false;
	size_t n;

	splice_unqueue(s);
	if (!group_may(sp, s->group)) {
		splice_park(s);
		return 0;
	}
	n = half_run(s, &s->half[0], &more) + half_run(s, &s->half[1], &more);
	/* Writing to it may have shown side 0 to be dead. */
	if (s->half[0].has_ended && !s->half[0].is_shut)
		n += half_run(s, &s->half[0], &more);
	s->group->credit -= s->group->rate > 0 ? (int64_t)n : 0;
	if (s->half[0].is_shut && s->half[1].is_shut) {
		splice_end(s, s->err);
		return n;
	}
	/* Who has had its turn may not pass those that wait, if it wakes. */
	if (more || (was == QUEUE_FRESH && !list_is_empty(&sp->old))) {
		s->queued = QUEUE_OLD;
		list_push(&sp->old, &s->queue);
	}
	return n;
}

/* -- the end */

void splice_begin_end(struct splice *s, int err)
{
	if (s->flush_by_us != 0)
		return;
	s->flush_by_us = loop_now_us(s->splicer->params.loop) +
			 s->splicer->params.flush_ms * 1000;
	s->err = err;
}

void splice_end(struct splice *s, int err)
{
	struct splicer *sp = s->splicer;

	if (s->has_ended)
		return;
	s->has_ended = true;
	s->err = err;
	splice_unqueue(s);
	for (int i = 0; i < 2; i++) {
		/* A duplicate elsewhere would keep it in the set. */
		epoll_ctl(sp->epoll, EPOLL_CTL_DEL, s->side[i].fd, NULL);
		/* What was not passed on never will be, and what the kernel
		 * still has would only take the path from others. */
		if (s->half[!i].is_shut)
			close(s->side[i].fd);
		else
			reset_close(s->side[i].fd);
		pipe_return(sp, s->group, &s->half[i]);
		buf_done(&s->half[i].rest);
	}
	list_del(&s->gather);
	list_del(&s->link);
	list_push(&sp->ended, &s->link);
	flusher_mark(sp->turn);
}

void splice_cut(struct splice *s, int err)
{
	splice_end(s, err);
}

void splice_cut_soon(struct splice *s, int err)
{
	splice_begin_end(s, err);
}

/* -- the beginning */

/* A carrier's sockets: nothing waits for more to send, and a path that has
 * died is noticed by itself. Sockets that are not TCP have no such options. */
static void side_tune(int fd)
{
	int on = 1, idle = 15, every = 5, count = 3;
	unsigned timeout = USER_TIMEOUT_MS;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
		   sizeof(timeout));
}

static int side_watch(struct splice *s, int i)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = &s->side[i],
	};
	int fl = fcntl(s->side[i].fd, F_GETFL);

	if (fl < 0 || fcntl(s->side[i].fd, F_SETFL, fl | O_NONBLOCK) < 0 ||
	    epoll_ctl(s->splicer->epoll, EPOLL_CTL_ADD, s->side[i].fd, &ev) < 0)
		return -errno;
	side_tune(s->side[i].fd);
	return 0;
}

static void side_drop(struct splice_side side)
{
	close(side.fd);
	if (side.first != NULL)
		buf_done(side.first);
}

/* Gives s its two sides, watched. On failure nothing is. */
static int splice_watch(struct splice *s, const struct splice_side from[2])
{
	const uint64_t now = loop_now_us(s->splicer->params.loop);

	for (int i = 0; i < 2; i++) {
		s->side[i] = (struct side){ .owner = s, .fd = from[i].fd };
		s->half[i] =
			(struct half){ .from = (uint8_t)i, .last_us = now };
	}
	for (int i = 0; i < 2; i++) {
		int err = side_watch(s, i);

		if (err < 0) {
			epoll_ctl(s->splicer->epoll, EPOLL_CTL_DEL,
				  s->side[0].fd, NULL);
			return err;
		}
	}
	return 0;
}

static void half_take_first(struct half *h, struct buf *first)
{
	if (first == NULL)
		return;
	h->rest = *first;
	h->bytes = first->len;
	buf_init(first);
}

int splice_start(struct splicer *sp, const struct splice_params *params,
		 struct splice **ret)
{
	struct splice *s = calloc(1, sizeof(*s));
	int err = RW_ERR_NOMEM;

	if (s != NULL) {
		s->splicer = sp;
		s->group = params->group;
		s->on_end = params->on_end;
		s->user = params->user;
		list_init(&s->link);
		list_init(&s->queue);
		list_init(&s->gather);
		err = splice_watch(s, params->side);
	}
	if (err < 0) {
		free(s);
		side_drop(params->side[0]);
		side_drop(params->side[1]);
		return err;
	}
	half_take_first(&s->half[0], params->side[0].first);
	half_take_first(&s->half[1], params->side[1].first);
	list_push(&sp->all, &s->link);
	sp->count.pairs++;
	s->group->pairs++;
	if (!timer_is_running(sp->tick))
		timer_start(sp->tick, 1);
	splice_wake(s);
	*ret = s;
	return 0;
}

uint64_t splice_bytes(const struct splice *s, int side)
{
	return s->half[side].bytes;
}

uint64_t splice_heard_us(const struct splice *s, int side)
{
	return s->half[side].bytes > 0 ? s->half[side].last_us : 0;
}

uint64_t splice_rtt_us(const struct splice *s, int side)
{
	return s->has_ended ? 0 : sock_rtt_us(s->side[side].fd);
}

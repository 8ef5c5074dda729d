/* SPDX-License-Identifier: MIT */
/*
 * Over 500 lines because pipes, directions, queues and lives all work on the
 * four structs below, many thousand times a second: split, each part would have
 * to show its inside to the others.
 */
#include "relay/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "net/loop.h"

/* Bytes moved for one direction of a pair before the next pair's turn, and for
 * all pairs before the loop sees to everything else. */
#define QUANTUM	   ((size_t)256 * 1024)
#define TURN_BYTES ((size_t)4 * 1024 * 1024)
#define TURN_RUNS  256
#define BUFFER_LEN ((size_t)256 * 1024)
/* What a pipe must hold to be worth lending: 16 slots of a small pipe fill up
 * with as many short segments. */
#define PIPE_LEN ((size_t)1024 * 1024)
/* A direction is taken for bulk after BULK_AFTER reads in a row of at least
 * BULK_READ bytes, and back for small traffic likewise. */
#define BULK_READ  ((size_t)32 * 1024)
#define BULK_AFTER 4
#define EVENTS	   64
/* A pair whose owner's rate is used up is looked at again so often; what may be
 * saved up is one tenth of a second's worth. */
#define RATE_MS 5
/* How long no pipe is asked for after one was refused. */
#define PIPE_RETRY_US	1000000
#define USER_TIMEOUT_MS 30000

struct pipe {
	struct list link; /* in splicer.idle */
	int out, in;	  /* read end, write end */
};

/* A socket of a pair. The flags are what the edges said and no call has
 * denied since. */
struct side {
	struct splice *owner;
	int fd;
	bool can_read, can_write;
	bool has_hup; /* an end is on its way: a short read is not the last */
	bool is_broken;
};

/* One direction: bytes from side `from` to the other one. Bytes that were
 * taken and not passed on are in the pipe or in rest, never in both; nothing
 * more is read until both are empty (so a pipe whose slots are full of short
 * segments cannot make us spin). */
struct half {
	uint8_t from;
	bool has_ended; /* the source will give no more */
	bool is_shut;	/* and all of it was passed on, and the end too */
	int streak;	/* > 0: big reads in a row; < 0: small ones */
	bool is_bulk;
	struct pipe *pipe;
	size_t in_pipe;
	struct buf rest;
	uint64_t bytes, last_us;
};

enum splice_queue { QUEUE_NONE, QUEUE_FRESH, QUEUE_OLD, QUEUE_PARKED };

struct splice {
	struct list link;  /* in splicer.all, or in splicer.ended */
	struct list queue; /* in splicer.fresh, old or parked */
	enum splice_queue queued;
	struct splicer *splicer;
	struct splice_group *group;
	struct side side[2];
	struct half half[2];  /* half[i] takes from side[i] */
	uint64_t flush_by_us; /* 0: neither side has ended */
	bool has_ended;
	int err;
	splice_on_end *on_end;
	void *user;
};

struct splicer {
	struct splicer_params params;
	uv_poll_t poll;
	int epoll;
	struct flusher *turn;
	struct timer *tick;
	/* fresh: woken while idle, served first, once; old: still have bytes,
	 * or were fresh a moment ago (RFC 8290, 4.2). */
	struct list fresh, old;
	struct list parked; /* have bytes, and their owner no credit */
	struct timer *unpark;
	struct list all, ended;
	struct list idle; /* pipes */
	struct splicer_count count;
	uint64_t no_pipe_until_us;
	uint8_t *buffer;
};

/* -- pipes ---------------------------------------------------------------- */

static void pipe_close(struct splicer *sp, struct pipe *p)
{
	close(p->in);
	close(p->out);
	free(p);
	sp->count.pipes--;
}

/* A pipe of the full size or none: a user's pipes share a budget of pages,
 * beyond which new ones come with one page. */
static struct pipe *pipe_open(struct splicer *sp)
{
	uint64_t now = loop_now_us(sp->params.loop);
	struct pipe *p;
	int fd[2];

	if (now < sp->no_pipe_until_us)
		return NULL;
	sp->no_pipe_until_us = now + PIPE_RETRY_US;
	p = malloc(sizeof(*p));
	if (p == NULL)
		return NULL;
	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(p);
		return NULL;
	}
	p->out = fd[0];
	p->in = fd[1];
	list_init(&p->link);
	sp->count.pipes++;
	if (fcntl(p->in, F_SETPIPE_SZ, (int)PIPE_LEN) < (int)PIPE_LEN) {
		log_debug("splice: no full-size pipe: %s", strerror(errno));
		pipe_close(sp, p);
		return NULL;
	}
	sp->no_pipe_until_us = 0;
	return p;
}

static bool pipe_borrow(struct splicer *sp, struct splice_group *g,
			struct half *h)
{
	size_t share = MAX(sp->params.max_pipes / 2, (size_t)1);
	struct list *l;

	if (sp->count.pipes_lent >= sp->params.max_pipes || g->pipes >= share)
		return false;
	l = list_pop(&sp->idle);
	h->pipe =
		l != NULL ? container_of(l, struct pipe, link) : pipe_open(sp);
	if (h->pipe == NULL)
		return false;
	sp->count.pipes_lent++;
	g->pipes++;
	return true;
}

static void pipe_return(struct splicer *sp, struct splice_group *g,
			struct half *h)
{
	if (h->pipe == NULL)
		return;
	sp->count.pipes_lent--;
	g->pipes--;
	if (h->in_pipe > 0) /* somebody's bytes are never another's */
		pipe_close(sp, h->pipe);
	else
		list_push_front(&sp->idle, &h->pipe->link);
	h->pipe = NULL;
	h->in_pipe = 0;
}

/* -- moving bytes --------------------------------------------------------- */

static bool would_block(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void splice_begin_end(struct splice *s, int err)
{
	if (s->flush_by_us != 0)
		return;
	s->flush_by_us = loop_now_us(s->splicer->params.loop) +
			 s->splicer->params.flush_ms * 1000;
	s->err = err;
}

/* A side failed: it gives nothing more and takes nothing more. */
static void side_break(struct splice *s, int i, int err)
{
	s->side[i].is_broken = true;
	s->half[i].has_ended = true;
	splice_begin_end(s, err);
}

static void half_got(struct splice *s, struct half *h, size_t n, size_t max)
{
	h->bytes += n;
	s->group->bytes += n;
	h->last_us = loop_now_us(s->splicer->params.loop);
	if (n >= BULK_READ || n == max)
		h->streak = MAX(h->streak, 0) + 1;
	else
		h->streak = MIN(h->streak, 0) - 1;
	if (h->streak >= BULK_AFTER || h->streak <= -BULK_AFTER)
		h->is_bulk = h->streak > 0;
}

/* What a read said: true when bytes came. */
static bool half_judge_read(struct splice *s, struct half *h, ssize_t n)
{
	if (n > 0)
		return true;
	if (would_block(n)) {
		s->side[h->from].can_read = false;
	} else if (n == 0) {
		h->has_ended = true;
		splice_begin_end(s, 0);
	} else if (errno != EINTR) {
		side_break(s, h->from, -errno);
	}
	return false;
}

static bool half_judge_write(struct splice *s, struct half *h, ssize_t n)
{
	if (n > 0)
		return true;
	if (would_block(n))
		s->side[!h->from].can_write = false;
	else if (n < 0 && errno != EINTR)
		side_break(s, !h->from, -errno);
	return false;
}

/* Reads up to max bytes into the pipe. */
static bool half_get_pipe(struct splice *s, struct half *h, size_t max)
{
	ssize_t n =
		splice(s->side[h->from].fd, NULL, h->pipe->in, NULL,
		       MIN(max, PIPE_LEN), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (!half_judge_read(s, h, n))
		return false;
	h->in_pipe = (size_t)n;
	half_got(s, h, (size_t)n, max);
	return true;
}

/* Reads up to max bytes and writes them at once; what the far side does not
 * take waits in rest. */
static bool half_get_copy(struct splice *s, struct half *h, size_t max)
{
	struct side *src = &s->side[h->from], *dst = &s->side[!h->from];
	uint8_t *buffer = s->splicer->buffer;
	ssize_t n, sent;

	max = MIN(max, h->streak > 0 ? BUFFER_LEN : BUFFER_LEN / 4);
	n = recv(src->fd, buffer, max, MSG_DONTWAIT);
	if (!half_judge_read(s, h, n))
		return false;
	/* The socket is empty, and the next bytes are a new edge. */
	if ((size_t)n < max && !src->has_hup)
		src->can_read = false;
	half_got(s, h, (size_t)n, max);
	if (dst->is_broken)
		return true;
	sent = send(dst->fd, buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!half_judge_write(s, h, sent))
		sent = 0;
	if (sent < n && !dst->is_broken &&
	    buf_append(&h->rest, buffer + sent, (size_t)(n - sent)) < 0)
		side_break(s, !h->from, RW_ERR_NOMEM);
	return true;
}

static bool half_has_bytes(const struct half *h)
{
	return h->in_pipe > 0 || h->rest.len > 0;
}

/* Passes on bytes that were taken before; false when the far side is full. */
static bool half_put(struct splice *s, struct half *h)
{
	struct side *dst = &s->side[!h->from];
	ssize_t n;

	if (dst->is_broken) {
		pipe_return(s->splicer, s->group, h);
		buf_done(&h->rest);
		return true;
	}
	if (!dst->can_write)
		return false;
	if (h->in_pipe > 0) {
		n = splice(h->pipe->out, NULL, dst->fd, NULL, h->in_pipe,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (half_judge_write(s, h, n))
			h->in_pipe -= (size_t)n;
	} else {
		size_t len;
		uint8_t *p = buf_peek(&h->rest, &len);

		n = send(dst->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (half_judge_write(s, h, n))
			buf_drain(&h->rest, (size_t)n);
		if (h->rest.len == 0)
			buf_done(&h->rest);
	}
	return true;
}

/* Moves a quantum from one side to the other. Returns the bytes taken; *more
 * is set when there may be more at once. */
static size_t half_run(struct splice *s, struct half *h, bool *more)
{
	struct side *src = &s->side[h->from], *dst = &s->side[!h->from];
	struct splicer *sp = s->splicer;
	uint64_t before = h->bytes;

	for (;;) {
		size_t left = QUANTUM - MIN(h->bytes - before, QUANTUM);

		if (half_has_bytes(h)) {
			if (!half_put(s, h))
				break;
			continue;
		}
		if (h->has_ended) {
			if (!h->is_shut && !dst->is_broken)
				shutdown(dst->fd, SHUT_WR);
			h->is_shut = true;
			break;
		}
		if (!src->can_read || !(dst->can_write || dst->is_broken))
			break;
		if (left == 0) {
			*more = true;
			break;
		}
		if (h->is_bulk && !dst->is_broken &&
		    (h->pipe != NULL || pipe_borrow(sp, s->group, h)))
			half_get_pipe(s, h, left);
		else
			half_get_copy(s, h, left);
	}
	if (h->in_pipe == 0)
		pipe_return(sp, s->group, h);
	return (size_t)(h->bytes - before);
}

/* -- rates --------------------------------------------------------------- */

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

static void on_unpark(void *user)
{
	struct splicer *sp = user;

	list_for_each (l, &sp->parked)
		container_of(l, struct splice, queue)->queued = QUEUE_OLD;
	list_move_all(&sp->old, &sp->parked);
	flusher_mark(sp->turn);
}

/* -- lives ---------------------------------------------------------------- */

static void splice_unqueue(struct splice *s)
{
	list_del(&s->queue);
	s->queued = QUEUE_NONE;
}

static void splice_wake(struct splice *s)
{
	struct splicer *sp = s->splicer;

	if (s->queued != QUEUE_NONE || s->has_ended)
		return;
	s->queued = QUEUE_FRESH;
	list_push(&sp->fresh, &s->queue);
	flusher_mark(sp->turn);
}

/* Closes both sockets; on_end comes with the next turn. */
static void splice_end(struct splice *s, int err)
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
		close(s->side[i].fd);
		pipe_return(sp, s->group, &s->half[i]);
		buf_done(&s->half[i].rest);
	}
	list_del(&s->link);
	list_push(&sp->ended, &s->link);
	flusher_mark(sp->turn);
}

static size_t splice_run(struct splice *s)
{
	enum splice_queue was = s->queued;
	bool more = false;
	size_t n;

	splice_unqueue(s);
	if (!group_may(s->splicer, s->group)) {
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
	if (more || was == QUEUE_FRESH) {
		s->queued = QUEUE_OLD;
		list_push(&s->splicer->old, &s->queue);
	}
	return n;
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
		moved += splice_run(container_of(l, struct splice, queue));
		/* A keystroke waits for one quantum, not for the whole turn. */
		on_edges(sp);
	}
	if (!list_is_empty(&sp->fresh) || !list_is_empty(&sp->old))
		flusher_mark(sp->turn);
	splicer_reap(sp);
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
		timer_start(sp->tick, MIN(MIN(sp->params.silence_ms,
					      sp->params.flush_ms) /
							  4 +
						  1,
					  (uint64_t)1000));
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
	list_init(&sp->fresh);
	list_init(&sp->old);
	list_init(&sp->parked);
	list_init(&sp->all);
	list_init(&sp->ended);
	list_init(&sp->idle);
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
	uv_close((uv_handle_t *)&sp->poll, on_poll_closed);
}

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

void splice_cut(struct splice *s, int err)
{
	splice_end(s, err);
}

void splice_cut_soon(struct splice *s, int err)
{
	splice_begin_end(s, err);
}

void splicer_woke(struct splicer *sp)
{
	const uint64_t now = loop_now_us(sp->params.loop);

	list_for_each (l, &sp->all) {
		struct splice *s = container_of(l, struct splice, link);

		s->half[0].last_us = s->half[1].last_us = now;
	}
}

uint64_t splice_bytes(const struct splice *s, int side)
{
	return s->half[side].bytes;
}

struct splicer_count splicer_count(const struct splicer *sp)
{
	return sp->count;
}

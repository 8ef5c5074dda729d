/* SPDX-License-Identifier: MIT */
#include "relay/splice_local.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/err.h"
#include "net/piece.h"

/* Bytes moved for one direction of a pair before the next pair's turn: a batch
 * of its sender's; while somebody types, few. */
#define QUANTUM	    ((size_t)512 * 1024)
#define QUANTUM_FEW ((size_t)64 * 1024)
/* A direction is taken for bulk after BULK_AFTER reads in a row of at least
 * BULK_READ bytes, and back for small traffic likewise. */
#define BULK_READ  ((size_t)32 * 1024)
#define BULK_AFTER 4
/* Few bytes within so long after others are somebody who types, unless a pair
 * has so many within that time, both ways. */
#define TYPING_US    1000000
#define TYPING_BYTES 16384

static bool would_block(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* A side failed: it gives nothing more and takes nothing more. */
static void side_break(struct splice *s, int i, int err)
{
	s->side[i].is_broken = true;
	s->half[i].has_ended = true;
	splice_begin_end(s, err);
}

static bool is_typing(struct splice *s, const struct half *h, size_t n,
		      uint64_t now)
{
	if (now - s->lately_us >= TYPING_US) {
		s->lately_us = now;
		s->lately = 0;
	}
	s->lately += n;
	/* Pings come seldom, and nobody waits for them. */
	return n <= PIECE_SMALL && s->lately <= TYPING_BYTES &&
	       now - h->last_us < TYPING_US;
}

static void half_got(struct splice *s, struct half *h, size_t n, size_t max)
{
	const uint64_t now = loop_now_us(s->splicer->params.loop);

	if (is_typing(s, h, n, now) && n < max)
		piece_small(loop_pieces(s->splicer->params.loop));
	h->bytes += n;
	s->group->bytes += n;
	h->last_us = now;
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
	/* What is left, or comes, waits until it is enough, or late. */
	if (h->is_gathering && (size_t)n < max && !s->side[h->from].has_hup)
		s->side[h->from].can_read = false;
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

static size_t half_quantum(const struct splice *s, const struct half *h)
{
	return piece_of(loop_pieces(s->splicer->params.loop),
			h->is_gathering ? PIPE_LEN : QUANTUM, QUANTUM_FEW);
}

size_t half_run(struct splice *s, struct half *h, bool *more)
{
	struct side *src = &s->side[h->from], *dst = &s->side[!h->from];
	struct splicer *sp = s->splicer;
	uint64_t before = h->bytes;
	size_t quantum = half_quantum(s, h);

	for (;;) {
		size_t left = quantum - MIN(h->bytes - before, quantum);

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
		/* A small rest would be a segment of its own. */
		if (left == 0 || (left < BULK_READ && h->is_bulk)) {
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
	if (h->bytes > before && gather_judge(s, h, quantum > QUANTUM_FEW))
		*more = true;
	return (size_t)(h->bytes - before);
}

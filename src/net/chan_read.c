/* SPDX-License-Identifier: MIT */
/*
 * One read fills memory that all chans of the loop share; from there whole
 * records are decrypted one by one into a second shared piece, which stays hot
 * in the cache, and shown. A chan itself keeps only what is unfinished: part of
 * a record, and bytes that on_data left.
 */
#include "net/chan_local.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

/* What is dropped of what still comes after chan_finish(). */
#define FINISH_MAX (4 * 1024 * 1024)

/* Whether more may be shown or decrypted now. */
static bool chan_is_readable(const struct chan *c)
{
	return !c->is_paused && (c->state == CHAN_UP);
}

/* Shows data to on_data and returns how much it took. */
static size_t chan_show(struct chan *c, const uint8_t *data, size_t len)
{
	size_t taken;

	if (c->ops->on_data == NULL)
		return len;
	c->is_shown = true;
	taken = c->ops->on_data(c, data, len);
	c->is_shown = false;
	CHECK(taken <= len);
	return taken;
}

/* Untaken bytes are kept, unless they are too many. A pause excuses it: then
 * more may lie here than was shown. */
static void chan_keep(struct chan *c, const uint8_t *data, size_t len)
{
	if (c->state == CHAN_CLOSING || c->state == CHAN_FINISHING)
		return;
	if (len > CHAN_HOLD && !c->is_paused)
		chan_end(c, RW_ERR_LIMIT);
	else if (len > 0 && buf_append(&c->rest, data, len) < 0)
		chan_end(c, RW_ERR_NOMEM);
}

/* -- records */

/* The shared plaintext memory while records are decrypted into it: start to
 * end is what was not taken yet. */
struct window {
	uint8_t *mem;
	size_t start, end;
};

/* Loads what was left the last time. False: it does not fit. */
static bool window_open(struct window *w, struct chan *c)
{
	size_t len;
	const uint8_t *rest = buf_peek(&c->rest, &len);

	*w = (struct window){ .mem = c->ll->plain_mem };
	if (len > LOOP_PLAIN_LEN - TLS_RECORD_MAX)
		return false;
	if (len > 0)
		memcpy(w->mem, rest, len);
	w->end = len;
	buf_reset(&c->rest);
	return true;
}

/* Makes room for one record behind the untaken bytes. */
static bool window_make_room(struct window *w)
{
	if (w->start == w->end)
		w->start = w->end = 0;
	if (LOOP_PLAIN_LEN - w->end >= TLS_RECORD_MAX)
		return true;
	memmove(w->mem, w->mem + w->start, w->end - w->start);
	w->end -= w->start;
	w->start = 0;
	return LOOP_PLAIN_LEN - w->end >= TLS_RECORD_MAX;
}

/* Shows what the window holds, anew if somebody else took the chan over. False
 * when the chan is to read no further with this TLS. */
static bool window_show(struct window *w, struct chan *c)
{
	struct tls *tls = c->tls;

	while (w->start < w->end && chan_is_readable(c)) {
		c->is_handed = false;
		w->start += chan_show(c, w->mem + w->start, w->end - w->start);
		if (c->tls != tls) {
			/* What is left lies between two protocols. */
			if (w->start < w->end)
				chan_end(c, RW_ERR_PROTO);
			w->start = w->end;
			return false;
		}
		if (!c->is_handed)
			break;
	}
	if (w->end - w->start > CHAN_HOLD && chan_is_readable(c))
		chan_end(c, RW_ERR_LIMIT);
	return chan_is_readable(c);
}

/* Decrypts and shows records until none is left, or nobody wants more. */
static void chan_run_records(struct chan *c)
{
	struct window w;
	ssize_t n = 0;

	if (!window_open(&w, c)) {
		chan_end(c, RW_ERR_LIMIT);
		return;
	}
	bool go_on = window_show(&w, c);

	while (go_on && window_make_room(&w)) {
		n = tls_read(c->tls, w.mem + w.end, LOOP_PLAIN_LEN - w.end);
		if (n <= 0)
			break;
		w.end += (size_t)n;
		go_on = window_show(&w, c);
	}
	chan_keep(c, w.mem + w.start, w.end - w.start);
	if (n == -EPIPE)
		chan_end(c, w.start < w.end ? RW_ERR_TRUNCATED : 0);
	else if (n < 0)
		chan_fail(c, (int)n);
}

/* -- without TLS, and before it */

/* Shows kept plaintext and then new bytes (data may be NULL) without TLS. What
 * TLS begun meanwhile has not seen is its. */
static void chan_run_plain(struct chan *c, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	/* Kept bytes come first, in one piece with the new ones. */
	if (c->rest.len > 0) {
		if (len > 0 && buf_append(&c->rest, data, len) < 0) {
			chan_end(c, RW_ERR_NOMEM);
			return;
		}
		struct buf all = c->rest;

		buf_init(&c->rest);
		chan_run_plain(c, buf_peek(&all, &len), all.len);
		buf_done(&all);
		return;
	}
	if (len == 0)
		return;
	while (taken < len && chan_is_readable(c) && c->tls == NULL) {
		c->is_handed = false;
		taken += chan_show(c, data + taken, len - taken);
		if (!c->is_handed)
			break;
	}
	if (c->tls == NULL)
		chan_keep(c, data + taken, len - taken);
	else if (taken < len && c->state != CHAN_CLOSING &&
		 tls_feed(c->tls, data + taken, len - taken) < 0)
		chan_end(c, RW_ERR_NOMEM);
}

/* One step of the handshake. True when it has ended. */
static bool chan_run_handshake(struct chan *c)
{
	int r = tls_step(c->tls);

	if (r > 0) {
		c->state = CHAN_UP;
		if (c->ops->on_up != NULL)
			c->ops->on_up(c);
		/* The last flight and what on_up wrote leave together. */
		chan_flush(c);
		return true;
	}
	if (r < 0)
		chan_fail(c, r);
	else
		chan_flush(c);
	return false;
}

void chan_run(struct chan *c)
{
	if (c->state == CHAN_FRESH) {
		c->state = CHAN_UP;
		if (c->ops->on_up != NULL)
			c->ops->on_up(c);
	}
	if (c->tls == NULL && c->state == CHAN_UP)
		chan_run_plain(c, NULL, 0);
	while (c->tls != NULL) {
		struct tls *tls = c->tls;

		if (c->state == CHAN_SHAKING && !chan_run_handshake(c))
			return;
		if (c->state != CHAN_UP)
			return;
		if (c->tls == tls)
			chan_run_records(c);
		if (c->tls == tls)
			return;
	}
}

/* -- from the socket */

/* After chan_finish() nobody listens; only the peer's end counts. */
static void chan_drop(struct chan *c, size_t len)
{
	c->dropped += len;
	if (c->dropped > FINISH_MAX)
		chan_end(c, c->err);
}

static void chan_take(struct chan *c, const uint8_t *data, size_t len)
{
	if (c->state == CHAN_FINISHING) {
		chan_drop(c, len);
		return;
	}
	loop_warm(c->ll, &c->warm);
	if (c->state == CHAN_FRESH)
		chan_run(c);
	if (c->state == CHAN_CLOSING)
		return;
	if (c->tls == NULL) {
		chan_run_plain(c, data, len);
		/* It may have begun TLS and given it bytes. */
		if (c->tls == NULL)
			return;
		data = NULL;
		len = 0;
	}
	if (len > 0)
		tls_lend(c->tls, data, len);
	chan_run(c);
	if (c->tls != NULL && tls_keep(c->tls) < 0)
		chan_end(c, RW_ERR_NOMEM);
}

static void chan_on_eof(struct chan *c)
{
	int err = sock_eof_error(sock_fd(&c->sock));

	if (c->state == CHAN_FINISHING)
		chan_end(c, c->err);
	else if (err < 0)
		chan_end(c, err);
	else if (c->tls != NULL || c->rest.len > 0)
		chan_end(c, RW_ERR_TRUNCATED);
	else
		chan_end(c, 0);
}

/* The loop's memory, for one read. */
static uv_buf_t read_space(const struct chan *c)
{
	size_t len = piece_of(&c->ll->pieces, LOOP_READ_LEN, LOOP_READ_FEW);

	return uv_buf_init((char *)c->ll->read_mem, (unsigned)len);
}

static void chan_on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *ret)
{
	struct chan *c = h->data;

	(void)hint;
	/* libuv would go on while reads come full; the others' turn now. It
	 * takes "no memory" as "not now". */
	if (c->is_bulk) {
		piece_later(&c->ll->pieces, &c->piece);
		*ret = uv_buf_init(NULL, 0);
		return;
	}
	*ret = read_space(c);
}

static void chan_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct chan *c = stream->data;

	if (c->state == CHAN_CLOSING || n == 0 || n == UV_ENOBUFS)
		return;
	c->is_bulk = n >= (ssize_t)PIECE_BULK;
	if (n > 0)
		c->heard_us = loop_now_us(c->ll->loop);
	if (n > 0)
		chan_take(c, (const uint8_t *)b->base, (size_t)n);
	else if (n == UV_EOF)
		chan_on_eof(c);
	else
		chan_end(c, c->state == CHAN_FINISHING ? c->err : (int)n);
}

void chan_on_piece(struct piece *pc)
{
	struct chan *c = container_of(pc, struct chan, piece);
	uv_buf_t b = read_space(c);
	ssize_t n;

	if (c->is_paused)
		return;
	n = read(sock_fd(&c->sock), b.base, b.len);
	c->is_bulk = false;
	if (n >= 0)
		chan_on_read(&c->sock.stream, n > 0 ? n : UV_EOF, &b);
	else if (errno != EAGAIN && errno != EINTR)
		chan_on_read(&c->sock.stream, -errno, &b);
}

int chan_read_begin(struct chan *c)
{
	c->is_bulk = false;
	return uv_read_start(&c->sock.stream, chan_on_alloc, chan_on_read);
}

void chan_read_start(struct chan *c)
{
	int r = chan_read_begin(c);

	if (r < 0 && r != UV_EALREADY)
		chan_end(c, r);
}

void chan_pause(struct chan *c)
{
	if (c->is_paused || c->state == CHAN_CLOSING ||
	    c->state == CHAN_FINISHING)
		return;
	c->is_paused = true;
	(void)uv_read_stop(&c->sock.stream);
}

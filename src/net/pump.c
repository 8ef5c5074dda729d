/* SPDX-License-Identifier: MIT */
/*
 * Few large system calls: a copy costs far less than a wake-up of the program
 * at the other end. What comes from the socket is read into the loop's large
 * buffer and copied to the stream; what comes from the stream is kept by the
 * core, a keystroke apart, and written once a turn of the loop, straight from
 * there. While the socket is full, libuv holds a small copy of the next piece,
 * only to learn when there is room again: the core's memory may go to another
 * stream when this one is reset, and libuv must not write that.
 */
#include "net/pump.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "core/stream.h"
#include "net/loop.h"
#include "net/loop_local.h"

/* The piece that waits for room in the socket. */
#define PUMP_PIECE 4096
/* Runs of the core's memory in one write. */
#define PUMP_SPANS 16
/* Arrived bytes up to this many are written at once. */
#define PUMP_SMALL	 4096
#define PUMP_HALF_IDLE_S 60
/* Bytes that the kernel keeps for a program that does not read. Its own limit
 * is 4 MiB, of memory that all TCP of a machine shares: with some hundreds of
 * such programs it drops what arrives anywhere, our own carriers' too. */
#define PUMP_UNSENT (256 * 1024)

struct pump {
	union sock sock;
	struct loop_item item;
	struct loop_local *ll;
	struct deferred push; /* writes what the core kept */
	struct watched watch; /* while half closed by the socket's side */
	struct stream *st;    /* NULL once it has closed */
	const struct pump_ops *ops;
	void *user;
	uv_write_t write;
	uint8_t *piece;	     /* PUMP_PIECE; NULL while never full */
	size_t writing;	     /* bytes of it that libuv holds */
	uint64_t half_at_us; /* when the program closed its side */
	bool is_read_full;   /* the last read filled the buffer */
	bool is_reading;
	bool is_read_done;  /* EOF came: stream_finish() was called */
	bool is_write_done; /* the stream's end was passed on */
	bool is_closing;    /* the socket's handle closes or has closed */
	bool is_closed;	    /* it has */
	bool is_quiet;	    /* no on_done */
	int err;	    /* for on_done */
	char text[STREAM_TEXT_MAX + 1];
};

/* -- the end: both the stream and the socket have to be gone */

static void pump_maybe_done(struct pump *p)
{
	if (p->st != NULL || !p->is_closed)
		return;
	if (!p->is_quiet)
		p->ops->on_done(p->user, p->err, p->text);
	free(p->piece);
	free(p);
}

static void pump_on_handle_closed(uv_handle_t *h)
{
	struct pump *p = h->data;

	p->is_closed = true;
	pump_maybe_done(p);
}

/* Whether closing the socket is a reset. It is from the start, so that the end
 * of this process (killed, out of memory) is no end of file either. */
static void pump_set_reset(struct pump *p, bool reset)
{
	struct linger now = { .l_onoff = reset, .l_linger = 0 };

	if (sock_is_tcp(&p->sock))
		(void)setsockopt(sock_fd(&p->sock), SOL_SOCKET, SO_LINGER, &now,
				 sizeof(now));
}

/* Closes the socket; the program at its other end sees a reset if the stream
 * did not end well. Where there are no resets (unix sockets) it is on_done's
 * err that tells. */
static void pump_close_sock(struct pump *p, bool reset)
{
	if (p->is_closing)
		return;
	p->is_closing = true;
	list_del(&p->item.link);
	list_del(&p->push.link);
	list_del(&p->watch.link);
	if (!reset)
		pump_set_reset(p, false);
	uv_close(&p->sock.handle, pump_on_handle_closed);
}

static void pump_note(struct pump *p, int err, const char *text)
{
	if (p->err != 0)
		return;
	p->err = err;
	(void)str_copy(p->text, sizeof(p->text),
		       text != NULL ? text : err_text(err));
}

/* Something broke here: both sides hear of it. */
static void pump_fail(struct pump *p, int err, const char *text)
{
	pump_note(p, err, text);
	if (p->st != NULL)
		stream_reset(p->st, err, p->text);
	pump_close_sock(p, true);
}

void pump_abort(struct pump *p, int err)
{
	if (!p->is_closing)
		pump_fail(p, err, NULL);
}

/* The program at the socket went away without reading or sending all. */
static void pump_sock_failed(struct pump *p, int err)
{
	char text[STREAM_TEXT_MAX + 1];

	snprintf(text, sizeof(text), "the connection broke: %s", err_text(err));
	pump_fail(p,
		  err == UV_EPIPE || err == UV_ECONNRESET ? RW_ERR_GONE
							  : RW_ERR_IO,
		  text);
}

/* -- from the stream to the socket */

static void pump_push(struct pump *p);
static void pump_on_eof(struct stream *st);

static void pump_on_write(uv_write_t *req, int err)
{
	struct pump *p = req->data;
	size_t n = p->writing;

	p->writing = 0;
	if (p->is_closing)
		return;
	if (err < 0) {
		pump_sock_failed(p, err);
		return;
	}
	stream_consume(p->st, n);
	pump_push(p);
}

/* The socket is full: libuv gets a piece, and calls when it has written it,
 * which is when there is room for more. */
static int pump_wait_writable(struct pump *p, const uint8_t *data, size_t len)
{
	uv_buf_t b;

	if (p->piece == NULL)
		p->piece = malloc(PUMP_PIECE);
	if (p->piece == NULL)
		return UV_ENOMEM;
	p->writing = MIN(len, PUMP_PIECE);
	memcpy(p->piece, data, p->writing);
	b = uv_buf_init((char *)p->piece, (unsigned int)p->writing);
	p->write.data = p;
	return uv_write(&p->write, &p->sock.stream, &b, 1, pump_on_write);
}

/* One write of what the core kept: the number of bytes, or UV_EAGAIN and the
 * like. *first is where it begins; its len is 0 if nothing is kept. */
static int pump_write_kept(struct pump *p, struct stream_span *first)
{
	struct stream_span spans[PUMP_SPANS] = { { NULL, 0 } };
	uv_buf_t b[PUMP_SPANS];
	size_t n = stream_spans(p->st, spans, PUMP_SPANS);

	*first = spans[0];
	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		b[i] = uv_buf_init((char *)(uintptr_t)spans[i].data,
				   (unsigned int)spans[i].len);
	return uv_try_write(&p->sock.stream, b, (unsigned int)n);
}

/* Writes what the core kept, until the socket is full. */
static void pump_push(struct pump *p)
{
	while (!p->is_closing && p->st != NULL && p->writing == 0) {
		struct stream_span first;
		int r = pump_write_kept(p, &first);

		if (first.len == 0)
			return;
		if (r > 0) {
			stream_consume(p->st, (size_t)r);
			continue;
		}
		if (r == UV_EAGAIN)
			r = pump_wait_writable(p, first.data, first.len);
		if (r < 0) {
			p->writing = 0;
			pump_sock_failed(p, r);
		}
	}
}

static void pump_on_push(struct deferred *d)
{
	struct pump *p = container_of(d, struct pump, push);

	pump_push(p);
	/* The peer may have ended before the socket was there. */
	if (p->st != NULL && !p->is_write_done && stream_is_eof(p->st))
		pump_on_eof(p->st);
}

static size_t pump_on_data(struct stream *st, const uint8_t *data, size_t len)
{
	struct pump *p = stream_user(st);
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)data, (unsigned int)len);
	int r;

	if (p == NULL || p->is_closing)
		return 0;
	/* A rest waits in the core already, and is being written. */
	if (p->writing > 0)
		return 0;
	if (len == 0 || len > PUMP_SMALL) {
		loop_defer(p->ll, &p->push);
		return 0;
	}
	r = uv_try_write(&p->sock.stream, &b, 1);
	if (r < 0 && r != UV_EAGAIN) {
		pump_sock_failed(p, r);
		return 0;
	}
	if (r < 0)
		r = 0;
	/* The rest can be seen by stream_peek() once this has returned. */
	if ((size_t)r < len)
		loop_defer(p->ll, &p->push);
	return (size_t)r;
}

static void pump_on_eof(struct stream *st)
{
	struct pump *p = stream_user(st);

	if (p == NULL || p->is_closing || p->is_write_done)
		return;
	p->is_write_done = true;
	list_del(&p->watch.link);
	if (shutdown(sock_fd(&p->sock), SHUT_WR) < 0 && errno != ENOTCONN)
		pump_sock_failed(p, -errno);
	/* The program still sends; one that is gone must be noticed. */
	else if (!p->is_read_done)
		sock_keepalive(sock_fd(&p->sock), PUMP_HALF_IDLE_S);
}

/* -- from the socket to the stream */

static void pump_read(struct pump *p);

/* Half closed by the program, and nothing is read any more: whether it still
 * listens shows only if somebody looks. On TCP a keepalive probe makes it show
 * as an error; a unix socket hangs up as soon as the program has gone, and gets
 * the same time. */
static void pump_on_look(struct watched *w)
{
	struct pump *p = container_of(w, struct pump, watch);
	struct pollfd f = { .fd = sock_fd(&p->sock) };
	uint64_t since = loop_now_us(p->ll->loop) - p->half_at_us;

	if (poll(&f, 1, 0) <= 0)
		return;
	if ((f.revents & POLLERR) != 0 ||
	    ((f.revents & POLLHUP) != 0 &&
	     since >= PUMP_HALF_IDLE_S * UINT64_C(1000000)))
		pump_sock_failed(p, UV_ECONNRESET);
}

static void pump_on_sock_eof(struct pump *p)
{
	int err = sock_eof_error(sock_fd(&p->sock));

	if (err < 0) {
		pump_sock_failed(p, err);
		return;
	}
	p->is_read_done = true;
	p->is_reading = false;
	(void)uv_read_stop(&p->sock.stream);
	if (!p->is_write_done) {
		sock_keepalive(sock_fd(&p->sock), PUMP_HALF_IDLE_S);
		p->half_at_us = loop_now_us(p->ll->loop);
		loop_watch(p->ll, &p->watch);
	}
	stream_finish(p->st);
}

static void pump_on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *ret)
{
	struct pump *p = h->data;
	size_t len;

	(void)hint;
	*ret = uv_buf_init(NULL, 0);
	/* libuv would go on while reads come full; the others' turn now. */
	if (p->is_read_full || p->st == NULL) {
		p->is_read_full = false;
		return;
	}
	len = MIN(stream_space(p->st), LOOP_READ_LEN);
	if (len > 0)
		*ret = uv_buf_init((char *)p->ll->read_mem, (unsigned int)len);
	else
		p->is_reading = false; /* on_room goes on */
}

static void pump_on_bytes(struct pump *p, const uv_buf_t *b, size_t n)
{
	p->is_read_full = n == b->len;
	if (stream_write(p->st, b->base, n) != n)
		pump_fail(p, RW_ERR_NOMEM, NULL);
}

static void pump_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct pump *p = stream->data;

	if (p->is_closing || p->st == NULL)
		return;
	if (n == UV_ENOBUFS) {
		if (!p->is_reading)
			(void)uv_read_stop(&p->sock.stream);
	} else if (n > 0) {
		pump_on_bytes(p, b, (size_t)n);
	} else if (n == UV_EOF) {
		pump_on_sock_eof(p);
	} else if (n < 0) {
		pump_sock_failed(p, (int)n);
	}
}

static void pump_read(struct pump *p)
{
	int r;

	if (p->is_reading || p->is_read_done || p->is_closing)
		return;
	p->is_reading = true;
	r = uv_read_start(&p->sock.stream, pump_on_alloc, pump_on_read);
	if (r < 0 && r != UV_EALREADY)
		pump_sock_failed(p, r);
}

static void pump_on_room(struct stream *st)
{
	struct pump *p = stream_user(st);

	if (p != NULL)
		pump_read(p);
}

/* -- beginnings and ends of the stream */

static void pump_on_connected(struct stream *st)
{
	struct pump *p = stream_user(st);

	if (p != NULL && p->ops->on_connected != NULL)
		p->ops->on_connected(p->user);
}

static void pump_on_stream_closed(struct stream *st, int err, const char *text)
{
	struct pump *p = stream_user(st);

	if (p == NULL)
		return;
	p->st = NULL;
	if (err != 0)
		pump_note(p, err, text != NULL && *text != '\0' ? text : NULL);
	pump_close_sock(p, err != 0);
	pump_maybe_done(p);
}

static const struct stream_ops pump_ops_of_stream = {
	.on_connected = pump_on_connected,
	.on_data = pump_on_data,
	.on_eof = pump_on_eof,
	.on_room = pump_on_room,
	.on_closed = pump_on_stream_closed,
};

const struct stream_ops *pump_stream_ops(void)
{
	return &pump_ops_of_stream;
}

/* The loop ends; whoever owns the session frees it before or after. */
static void pump_shut(struct loop_item *item)
{
	struct pump *p = container_of(item, struct pump, item);
	struct stream *st = p->st;

	pump_note(p, RW_ERR_CANCELLED, NULL);
	if (st != NULL) {
		stream_take(st, &pump_ops_of_stream, NULL);
		stream_reset(st, RW_ERR_CANCELLED, NULL);
		p->st = NULL;
	}
	pump_close_sock(p, true);
}

static void pump_on_never_opened(uv_handle_t *h)
{
	free(h->data);
}

static int pump_refuse(struct stream *st, int err)
{
	stream_take(st, &pump_ops_of_stream, NULL);
	stream_reset(st, err, NULL);
	return err;
}

int pump_new(const struct pump_params *params, struct pump **ret)
{
	struct stream *st = params->st;
	struct pump *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL) {
		close(params->fd);
		return pump_refuse(st, RW_ERR_NOMEM);
	}
	p->ll = loop_local(params->loop);
	p->ops = params->ops;
	p->user = params->user;
	p->push.on_turn = pump_on_push;
	list_init(&p->push.link);
	p->watch.on_look = pump_on_look;
	list_init(&p->watch.link);
	r = sock_open(params->loop, &p->sock, params->fd);
	p->sock.handle.data = p;
	if (r < 0) {
		uv_close(&p->sock.handle, pump_on_never_opened);
		return pump_refuse(st, r);
	}
	p->st = st;
	pump_set_reset(p, true);
	if (sock_is_tcp(&p->sock))
		sock_unsent_max(params->fd, PUMP_UNSENT);
	loop_conn_add(p->ll, &p->item, pump_shut);
	stream_take(st, &pump_ops_of_stream, p);
	/* Bytes may have come before the socket was there. */
	loop_defer(p->ll, &p->push);
	pump_read(p);
	*ret = p;
	return 0;
}

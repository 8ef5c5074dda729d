/* SPDX-License-Identifier: MIT */
/*
 * Few large system calls: a copy costs far less than a wake-up of the program
 * at the other end. What comes from the socket is read into the loop's large
 * buffer and copied to the stream; what comes from the stream is kept by the
 * core, a keystroke apart, and written once a turn of the loop, straight from
 * there. libuv only says when the socket is ready: what it would hold to write
 * later, the core holds already, and thousands of pumps that have nothing to do
 * are as small as they can be. Over 500 lines because both ways of one socket
 * share its end.
 */
#include "net/pump.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "core/stream.h"
#include "net/loop.h"
#include "net/loop_local.h"
#include "wire/frame.h"

/* Bytes of one read of the socket. */
#define PUMP_READ     ((size_t)FRAME_BULK_BATCH * FRAME_BULK)
#define PUMP_READ_FEW ((size_t)FRAME_BULK_FEW * FRAME_BULK)
_Static_assert(PUMP_READ <= LOOP_READ_LEN, "read into the loop's memory");
/* Runs of the core's memory in one write. */
#define PUMP_SPANS FRAME_BULK_BATCH
/* Arrived bytes up to this many are written at once. */
#define PUMP_SMALL	 4096
#define PUMP_HALF_IDLE_S 60
/* Bytes that the kernel keeps for a program that does not read. Its own limit
 * is 4 MiB, of memory that all TCP of a machine shares: with some hundreds of
 * such programs it drops what arrives anywhere, our own carriers' too. */
#define PUMP_UNSENT (256 * 1024)

/* While the program has closed its side, and the other is still open. */
struct half {
	struct watched watch;
	struct pump *p;
	uint64_t since_us;
};

struct pump {
	uv_poll_t poll;
	struct loop_item item;
	struct deferred push; /* writes what the core kept */
	struct piece piece;   /* its next read, of bulk */
	struct half *half;    /* NULL: not half closed by the program */
	struct stream *st;    /* NULL once it has closed */
	const struct pump_ops *ops;
	void *user;
	char *text; /* for on_done; NULL: what err says */
	int err;    /* likewise */
	int fd;
	uint8_t polled; /* what libuv waits for: UV_READABLE, UV_WRITABLE */
	bool is_tcp;
	bool is_full; /* the socket took not all of what the core kept */
	bool is_reading;
	bool is_bulk;	    /* the last read brought much */
	bool is_read_done;  /* EOF came: stream_finish() was called */
	bool is_write_done; /* the stream's end was passed on */
	bool is_closing;    /* the socket is closed, the handle closes */
	bool is_closed;	    /* it has */
};

static struct loop_local *pump_loop(const struct pump *p)
{
	return loop_local(p->poll.loop);
}

/* -- the end: both the stream and the socket have to be gone */

static const char *pump_text(const struct pump *p)
{
	if (p->text != NULL)
		return p->text;
	return p->err != 0 ? err_text(p->err) : "";
}

static void pump_maybe_done(struct pump *p)
{
	if (p->st != NULL || !p->is_closed)
		return;
	p->ops->on_done(p->user, p->err, pump_text(p));
	free(p->text);
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

	if (p->is_tcp)
		(void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now,
				 sizeof(now));
}

static void pump_forget_half(struct pump *p)
{
	if (p->half == NULL)
		return;
	list_del(&p->half->watch.link);
	free(p->half);
	p->half = NULL;
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
	list_del(&p->piece.link);
	pump_forget_half(p);
	if (!reset)
		pump_set_reset(p, false);
	/* It is off the loop's epoll set when uv_close() returns. */
	uv_close((uv_handle_t *)&p->poll, pump_on_handle_closed);
	close(p->fd);
}

static void pump_note(struct pump *p, int err, const char *text)
{
	if (p->err != 0)
		return;
	p->err = err;
	if (text != NULL)
		p->text = strndup(text, STREAM_TEXT_MAX);
}

/* Something broke here: both sides hear of it. */
static void pump_fail(struct pump *p, int err, const char *text)
{
	pump_note(p, err, text);
	if (p->st != NULL)
		stream_reset(p->st, err, pump_text(p));
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

static void pump_poll(struct pump *p);
static void pump_on_eof(struct stream *st);

/* How many bytes the socket took, or -EAGAIN and the like. */
static ssize_t pump_write(const struct pump *p, struct iovec *v, size_t n)
{
	const struct msghdr msg = { .msg_iov = v, .msg_iovlen = n };
	ssize_t r;

	do
		r = sendmsg(p->fd, &msg, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* One write of what the core kept; 0 if that is nothing. */
static ssize_t pump_write_kept(struct pump *p)
{
	struct stream_span spans[PUMP_SPANS];
	struct iovec v[PUMP_SPANS];
	size_t n = stream_spans(p->st, spans, PUMP_SPANS);

	for (size_t i = 0; i < n; i++)
		v[i] = (struct iovec){ (void *)(uintptr_t)spans[i].data,
				       spans[i].len };
	return n > 0 ? pump_write(p, v, n) : 0;
}

/* Writes what the core kept, until the socket is full. */
static void pump_push(struct pump *p)
{
	while (!p->is_closing && p->st != NULL && !p->is_full) {
		ssize_t r = pump_write_kept(p);

		if (r == 0)
			return;
		if (r > 0) {
			stream_consume(p->st, (size_t)r);
		} else if (r == -EAGAIN) {
			p->is_full = true;
			pump_poll(p);
		} else {
			pump_sock_failed(p, (int)r);
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
	struct iovec v = { (void *)(uintptr_t)data, len };
	ssize_t r;

	if (p == NULL || p->is_closing)
		return 0;
	/* A rest waits in the core already, until the socket takes it. */
	if (p->is_full)
		return 0;
	if (len == 0 || len > PUMP_SMALL) {
		loop_defer(pump_loop(p), &p->push);
		return 0;
	}
	r = pump_write(p, &v, 1);
	if (r < 0 && r != -EAGAIN) {
		pump_sock_failed(p, (int)r);
		return 0;
	}
	if (r < 0)
		r = 0;
	/* The rest can be seen by stream_peek() once this has returned. */
	if ((size_t)r < len)
		loop_defer(pump_loop(p), &p->push);
	return (size_t)r;
}

static void pump_on_eof(struct stream *st)
{
	struct pump *p = stream_user(st);

	if (p == NULL || p->is_closing || p->is_write_done)
		return;
	p->is_write_done = true;
	pump_forget_half(p);
	if (shutdown(p->fd, SHUT_WR) < 0 && errno != ENOTCONN)
		pump_sock_failed(p, -errno);
	/* The program still sends; one that is gone must be noticed. */
	else if (!p->is_read_done)
		sock_keepalive(p->fd, PUMP_HALF_IDLE_S);
}

/* -- from the socket to the stream */

/* Half closed by the program, and nothing is read any more: whether it still
 * listens shows only if somebody looks. On TCP a keepalive probe makes it show
 * as an error; a unix socket hangs up as soon as the program has gone, and gets
 * the same time. */
static void pump_on_look(struct watched *w)
{
	const struct half *h = container_of(w, struct half, watch);
	struct pump *p = h->p;
	struct pollfd f = { .fd = p->fd };
	uint64_t since = loop_now_us(p->poll.loop) - h->since_us;

	if (poll(&f, 1, 0) <= 0)
		return;
	if ((f.revents & POLLERR) != 0 ||
	    ((f.revents & POLLHUP) != 0 &&
	     since >= PUMP_HALF_IDLE_S * UINT64_C(1000000)))
		pump_sock_failed(p, UV_ECONNRESET);
}

/* RW_ERR_NOMEM, or 0. */
static int pump_watch(struct pump *p)
{
	struct half *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return RW_ERR_NOMEM;
	h->watch.on_look = pump_on_look;
	list_init(&h->watch.link);
	h->p = p;
	h->since_us = loop_now_us(p->poll.loop);
	p->half = h;
	loop_watch(pump_loop(p), &h->watch);
	return 0;
}

static void pump_on_sock_eof(struct pump *p)
{
	p->is_read_done = true;
	p->is_reading = false;
	if (!p->is_write_done) {
		sock_keepalive(p->fd, PUMP_HALF_IDLE_S);
		if (pump_watch(p) < 0) {
			pump_fail(p, RW_ERR_NOMEM, NULL);
			return;
		}
	}
	stream_finish(p->st);
}

/* One read; then it is the others' turn. Afterwards it is not reading if there
 * is no more space: on_room goes on. After a keystroke that is left to the next
 * read to find, for to stop and to start are four calls. */
static void pump_take(struct pump *p)
{
	struct loop_local *ll = pump_loop(p);
	uint8_t *mem = ll->read_mem;
	size_t space = MIN(stream_space(p->st),
			   piece_of(&ll->pieces, PUMP_READ, PUMP_READ_FEW));
	ssize_t n;

	if (space == 0) {
		p->is_reading = false;
		return;
	}
	n = read(p->fd, mem, space);
	p->is_bulk = n >= (ssize_t)PIECE_BULK;
	if (n > 0) {
		if (n <= PIECE_SMALL && (size_t)n < space)
			piece_small(&ll->pieces);
		if (stream_write(p->st, mem, (size_t)n) != (size_t)n)
			pump_fail(p, RW_ERR_NOMEM, NULL);
		else if (((size_t)n == space || p->is_bulk) &&
			 stream_space(p->st) == 0)
			p->is_reading = false;
	} else if (n == 0) {
		pump_on_sock_eof(p);
	} else if (errno != EAGAIN && errno != EINTR) {
		pump_sock_failed(p, -errno);
	}
}

static void pump_on_piece(struct piece *pc)
{
	struct pump *p = container_of(pc, struct pump, piece);

	if (!p->is_reading)
		return;
	pump_take(p);
	pump_poll(p);
}

static void pump_on_poll(uv_poll_t *poll, int status, int events)
{
	struct pump *p = poll->data;

	/* An error waits in the socket, perhaps behind bytes; libuv has
	 * stopped. What was waited for finds it. */
	if (status < 0) {
		events = p->polled;
		p->polled = 0;
	}
	if ((events & UV_WRITABLE) != 0) {
		p->is_full = false;
		pump_push(p);
	}
	if ((events & UV_READABLE) != 0 && p->is_reading && !p->is_closing) {
		if (p->is_bulk)
			piece_later(&pump_loop(p)->pieces, &p->piece);
		else
			pump_take(p);
	}
	pump_poll(p);
}

/* Waits for what is of use now. */
static void pump_poll(struct pump *p)
{
	int want = (p->is_reading ? UV_READABLE : 0) |
		   (p->is_full ? UV_WRITABLE : 0);
	int r;

	if (p->is_closing || want == p->polled)
		return;
	p->polled = (uint8_t)want;
	r = uv_poll_start(&p->poll, want, pump_on_poll);
	if (r < 0)
		pump_sock_failed(p, r);
}

static void pump_read(struct pump *p)
{
	if (p->is_reading || p->is_read_done)
		return;
	p->is_reading = true;
	pump_poll(p);
}

static void pump_on_room(struct stream *st)
{
	struct pump *p = stream_user(st);

	if (p == NULL || p->is_closing || p->is_reading || p->is_read_done)
		return;
	/* Who filled the space has more by now, as a rule: libuv need not be
	 * asked to wait for it. */
	p->is_reading = true;
	if (p->is_bulk) {
		piece_later(&pump_loop(p)->pieces, &p->piece);
		return;
	}
	pump_take(p);
	pump_poll(p);
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

static int pump_refuse(const struct pump_params *params, int err)
{
	close(params->fd);
	stream_take(params->st, &pump_ops_of_stream, NULL);
	stream_reset(params->st, err, NULL);
	return err;
}

static struct pump *pump_alloc(const struct pump_params *params)
{
	struct pump *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->ops = params->ops;
	p->user = params->user;
	p->st = params->st;
	p->fd = params->fd;
	p->push.on_turn = pump_on_push;
	list_init(&p->push.link);
	p->piece.on_piece = pump_on_piece;
	list_init(&p->piece.link);
	return p;
}

int pump_new(const struct pump_params *params, struct pump **ret)
{
	struct pump *p = pump_alloc(params);
	int r;

	if (p == NULL)
		return pump_refuse(params, RW_ERR_NOMEM);
	r = sock_prepare(p->fd, &p->is_tcp);
	if (r == 0)
		r = uv_poll_init(params->loop, &p->poll, p->fd);
	if (r < 0) {
		free(p);
		return pump_refuse(params, r);
	}
	p->poll.data = p;
	pump_set_reset(p, true);
	if (p->is_tcp)
		sock_unsent_max(p->fd, PUMP_UNSENT);
	loop_conn_add(pump_loop(p), &p->item, pump_shut);
	stream_take(p->st, &pump_ops_of_stream, p);
	/* Bytes may have come before the socket was there. */
	loop_defer(pump_loop(p), &p->push);
	pump_read(p);
	*ret = p;
	return 0;
}

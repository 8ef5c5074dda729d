/* SPDX-License-Identifier: MIT */
/*
 * One read fills memory that all chans of the loop share; from there whole
 * records are decrypted one by one into a second shared piece, which stays hot
 * in the cache, and shown. A chan itself keeps only what is unfinished: part of
 * a record, and bytes that on_data left. Over 500 lines because reading,
 * writing and ending change one state, and the order in which each leaves it to
 * the others is what keeps a callback from meeting a chan that is gone.
 */
#include "net/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/loop.h"
#include "net/loop_local.h"
#include "net/sockaddr.h"

/* How long chan_finish() waits for the peer's end, and what it drops of what
 * still comes. */
#define FINISH_MS  5000
#define FAIL_MS	   1000 /* the same after TLS failed: someone waits to hear */
#define FINISH_MAX (4 * 1024 * 1024)

enum chan_state {
	CHAN_FRESH,   /* on_up comes at the turn's end unless TLS is begun */
	CHAN_SHAKING, /* the TLS handshake runs */
	CHAN_UP,
	CHAN_FINISHING, /* chan_finish(): waits for the peer's end */
	CHAN_CLOSING,	/* the handle closes; on_closed follows */
};

struct chan {
	union sock sock;
	struct loop_item item;
	struct loop_local *ll;
	struct deferred kick; /* runs what needs no new bytes */
	struct warm warm;
	const struct chan_ops *ops;
	void *user;
	enum chan_state state;
	int err;	    /* for on_closed */
	struct tls *tls;    /* NULL without TLS */
	struct buf rest;    /* plaintext that on_data left */
	struct buf out;	    /* to be sent; TLS writes here */
	struct buf sending; /* with libuv, out of reach; else spare memory */
	uv_write_t write;
	struct timer *finish; /* NULL unless finishing */
	size_t dropped;	      /* while finishing */
	bool is_paused;
	bool is_shown;	   /* inside on_data: rest is not up to date */
	bool is_handed;	   /* new ops or new TLS came inside a callback */
	bool is_detached;  /* no on_closed */
	bool is_read_full; /* the last read filled its memory */
	bool is_shut;	   /* our FIN was sent */
};

static void chan_run(struct chan *c);

/* -- the end */

static void chan_on_handle_closed(uv_handle_t *h)
{
	struct chan *c = h->data;

	if (!c->is_detached && c->ops->on_closed != NULL)
		c->ops->on_closed(c, c->err);
	tls_free(c->tls);
	buf_done(&c->rest);
	buf_done(&c->out);
	buf_done(&c->sending);
	free(c);
}

/* The one way to CHAN_CLOSING. */
static void chan_end(struct chan *c, int err)
{
	if (c->state == CHAN_CLOSING)
		return;
	if (c->state != CHAN_FINISHING)
		c->err = err; /* else the one that chan_finish() was given */
	c->state = CHAN_CLOSING;
	timer_free(c->finish);
	c->finish = NULL;
	list_del(&c->item.link);
	list_del(&c->kick.link);
	list_del(&c->warm.link);
	uv_close(&c->sock.handle, chan_on_handle_closed);
}

void chan_close(struct chan *c, int err)
{
	chan_end(c, err);
}

static void chan_shut(struct loop_item *item)
{
	chan_end(container_of(item, struct chan, item), RW_ERR_CANCELLED);
}

static bool chan_is_sending(const struct chan *c)
{
	return c->sending.len > 0;
}

static void chan_on_idle(struct warm *w)
{
	struct chan *c = container_of(w, struct chan, warm);

	buf_release(&c->rest);
	buf_release(&c->out);
	if (!chan_is_sending(c))
		buf_release(&c->sending);
	if (c->tls != NULL)
		tls_release(c->tls);
}

/* -- writing */

static void chan_on_sent(struct chan *c);

static void chan_on_write(uv_write_t *req, int err)
{
	struct chan *c = req->data;

	if (c->state == CHAN_CLOSING)
		return;
	if (err < 0) {
		chan_end(c, err);
		return;
	}
	buf_reset(&c->sending);
	chan_flush(c);
	if (!chan_is_sending(c))
		chan_on_sent(c);
}

/* The kernel took a part: libuv gets the rest, in memory that later writes do
 * not touch. */
static void chan_send_rest(struct chan *c)
{
	struct buf spare = c->sending;
	uv_buf_t b;
	size_t len;
	uint8_t *data;
	int r;

	c->sending = c->out;
	c->out = spare;
	data = buf_peek(&c->sending, &len);
	b = uv_buf_init((char *)data, (unsigned int)len);
	c->write.data = c;
	r = uv_write(&c->write, &c->sock.stream, &b, 1, chan_on_write);
	if (r < 0)
		chan_end(c, r);
}

void chan_flush(struct chan *c)
{
	uv_buf_t b;
	size_t len;
	uint8_t *data = buf_peek(&c->out, &len);
	int r;

	if (c->state == CHAN_CLOSING || len == 0 || chan_is_sending(c))
		return;
	loop_warm(c->ll, &c->warm);
	b = uv_buf_init((char *)data, (unsigned int)len);
	r = uv_try_write(&c->sock.stream, &b, 1);
	if (r < 0 && r != UV_EAGAIN) {
		chan_end(c, r);
		return;
	}
	if (r > 0)
		buf_drain(&c->out, (size_t)r);
	if (c->out.len > 0)
		chan_send_rest(c);
	else if (c->state == CHAN_FINISHING)
		chan_on_sent(c);
}

size_t chan_queued(const struct chan *c)
{
	size_t with_uv = 0;

	if (chan_is_sending(c))
		with_uv = uv_stream_get_write_queue_size(&c->sock.stream);
	return c->out.len + with_uv;
}

int chan_write(struct chan *c, const void *data, size_t len)
{
	int r;

	if (c->state == CHAN_CLOSING || c->state == CHAN_FINISHING)
		return RW_ERR_CLOSING;
	if (c->tls == NULL)
		return buf_append(&c->out, data, len);
	if (c->state != CHAN_UP)
		return RW_ERR_BUSY;
	r = tls_write(c->tls, data, len);
	if (r < 0)
		chan_end(c, r);
	return r;
}

/* -- the clean end from here */

static void chan_on_finish_timer(void *user)
{
	struct chan *c = user;

	chan_end(c, c->err);
}

/* The queue is empty. */
static void chan_on_sent(struct chan *c)
{
	if (c->state == CHAN_CLOSING)
		return;
	if (c->state == CHAN_FINISHING) {
		if (!c->is_shut)
			(void)shutdown(sock_fd(&c->sock), SHUT_WR);
		c->is_shut = true;
		return;
	}
	if (c->ops->on_room != NULL)
		c->ops->on_room(c);
}

static void chan_read_start(struct chan *c);

/* Everything but the polite words to the peer, which are queued already. */
static void chan_linger(struct chan *c, int err, uint64_t wait_ms)
{
	c->state = CHAN_FINISHING;
	c->err = err;
	c->is_paused = false;
	buf_reset(&c->rest);
	c->finish = timer_new(c->ll->loop, chan_on_finish_timer, c);
	timer_start(c->finish, wait_ms);
	chan_read_start(c);
	if (c->state != CHAN_FINISHING || chan_is_sending(c))
		return;
	if (c->out.len > 0)
		chan_flush(c);
	else
		chan_on_sent(c);
}

void chan_finish(struct chan *c, int err)
{
	if (c->state == CHAN_CLOSING || c->state == CHAN_FINISHING)
		return;
	if (c->tls != NULL)
		tls_end(c->tls);
	chan_linger(c, err, FINISH_MS);
}

/* TLS failed: the peer is to hear the alert, and then we are gone. A reset
 * would overtake the alert, hence no plain close. */
static void chan_fail(struct chan *c, int err)
{
	if (c->state == CHAN_CLOSING || c->state == CHAN_FINISHING)
		return;
	if (c->out.len == 0 && !chan_is_sending(c))
		chan_end(c, err);
	else
		chan_linger(c, err, FAIL_MS);
}

/* -- reading */

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

/* Does all that can be done with what is here. */
static void chan_run(struct chan *c)
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

static void chan_on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *ret)
{
	struct chan *c = h->data;

	(void)hint;
	/* libuv would go on while reads come full; the others' turn now. It
	 * takes "no memory" as "not now". */
	if (c->is_read_full) {
		c->is_read_full = false;
		*ret = uv_buf_init(NULL, 0);
		return;
	}
	*ret = uv_buf_init((char *)c->ll->read_mem, LOOP_READ_LEN);
}

static void chan_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
	struct chan *c = stream->data;

	if (c->state == CHAN_CLOSING || n == 0 || n == UV_ENOBUFS)
		return;
	c->is_read_full = n == LOOP_READ_LEN;
	if (n > 0)
		chan_take(c, (const uint8_t *)b->base, (size_t)n);
	else if (n == UV_EOF)
		chan_on_eof(c);
	else
		chan_end(c, c->state == CHAN_FINISHING ? c->err : (int)n);
}

static void chan_read_start(struct chan *c)
{
	int r;

	c->is_read_full = false;
	r = uv_read_start(&c->sock.stream, chan_on_alloc, chan_on_read);
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

void chan_resume(struct chan *c)
{
	if (!c->is_paused || c->state == CHAN_CLOSING)
		return;
	c->is_paused = false;
	loop_defer(c->ll, &c->kick);
	chan_read_start(c);
}

/* -- beginnings */

static void chan_on_kick(struct deferred *d)
{
	struct chan *c = container_of(d, struct chan, kick);

	chan_run(c);
}

static void chan_on_never_opened(uv_handle_t *h)
{
	free(h->data);
}

int chan_open_fd(uv_loop_t *loop, int fd, const struct chan_ops *ops,
		 void *user, struct chan **ret)
{
	struct chan *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL) {
		close(fd);
		return RW_ERR_NOMEM;
	}
	c->ll = loop_local(loop);
	c->ops = ops;
	c->user = user;
	c->kick.on_turn = chan_on_kick;
	list_init(&c->kick.link);
	c->warm.on_idle = chan_on_idle;
	list_init(&c->warm.link);
	r = sock_open(loop, &c->sock, fd);
	c->sock.handle.data = c;
	if (r == 0)
		r = uv_read_start(&c->sock.stream, chan_on_alloc, chan_on_read);
	if (r < 0) {
		uv_close(&c->sock.handle, chan_on_never_opened);
		return r;
	}
	loop_conn_add(c->ll, &c->item, chan_shut);
	loop_defer(c->ll, &c->kick);
	*ret = c;
	return 0;
}

void chan_set_ops(struct chan *c, const struct chan_ops *ops, void *user)
{
	c->ops = ops;
	c->user = user;
	c->is_handed = true;
	if (c->state != CHAN_CLOSING)
		loop_defer(c->ll, &c->kick);
}

/* Gives the bytes that the old owner of the socket has not read to t. */
static int chan_feed_leftover(struct chan *c, struct tls *t)
{
	struct buf left = { 0 };
	int r = 0;

	if (c->tls != NULL)
		r = tls_take_leftover(c->tls, &left);
	else if (!c->is_shown && c->rest.len > 0)
		r = buf_append(&left, c->rest.data + c->rest.off, c->rest.len);
	if (r == 0 && left.len > 0)
		r = tls_feed(t, left.data + left.off, left.len);
	buf_done(&left);
	return r;
}

int chan_start_tls(struct chan *c, struct tls_ctx *ctx,
		   const struct pin *expect)
{
	struct tls *t;
	int r;

	if (c->state == CHAN_CLOSING || c->state == CHAN_FINISHING)
		return RW_ERR_CLOSING;
	/* Plaintext that nobody took lies between two protocols. */
	if (c->tls != NULL && !c->is_shown && c->rest.len > 0)
		return RW_ERR_PROTO;
	r = tls_new(ctx, expect, &t);
	if (r < 0)
		return r;
	r = chan_feed_leftover(c, t);
	if (r < 0) {
		tls_free(t);
		return r;
	}
	tls_free(c->tls);
	buf_reset(&c->rest);
	tls_set_output(t, &c->out);
	c->tls = t;
	c->state = CHAN_SHAKING;
	loop_defer(c->ll, &c->kick);
	return 0;
}

/* -- out of here */

int chan_detach_fd(struct chan *c, struct buf *leftover)
{
	int fd, r = 0;

	if (c->state == CHAN_CLOSING || c->state == CHAN_FINISHING)
		return RW_ERR_CLOSING;
	if (c->out.len > 0 || chan_is_sending(c))
		return RW_ERR_BUSY;
	if (c->tls != NULL && !c->is_shown && c->rest.len > 0)
		return RW_ERR_PROTO;
	fd = fcntl(sock_fd(&c->sock), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (c->tls != NULL)
		r = tls_take_leftover(c->tls, leftover);
	else if (!c->is_shown && c->rest.len > 0)
		r = buf_append(leftover, c->rest.data + c->rest.off,
			       c->rest.len);
	if (r < 0) {
		close(fd);
		return r;
	}
	c->is_detached = true;
	chan_end(c, 0);
	return fd;
}

/* -- questions */

bool chan_is_up(const struct chan *c)
{
	return c->state == CHAN_UP;
}

const struct pin *chan_peer_pin(const struct chan *c)
{
	return c->tls != NULL && tls_is_up(c->tls) ? tls_peer(c->tls) : NULL;
}

char *chan_peer_addr(const struct chan *c, char text[CHAN_ADDR_CAP])
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);

	if (getpeername(sock_fd(&c->sock), (struct sockaddr *)&ss, &len) < 0)
		ss.ss_family = AF_UNSPEC;
	return sockaddr_text((const struct sockaddr *)&ss, text, CHAN_ADDR_CAP);
}

void *chan_user(const struct chan *c)
{
	return c->user;
}

uint64_t chan_rtt_us(const struct chan *c)
{
	return sock_rtt_us(sock_fd(&c->sock));
}

int chan_fd(const struct chan *c)
{
	return sock_fd(&c->sock);
}

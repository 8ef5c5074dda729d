/* SPDX-License-Identifier: MIT */
#include "net/chan_local.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/err.h"

/* How long chan_finish() waits for the peer's end. */
#define FINISH_MS 5000
#define FAIL_MS	  1000 /* the same after TLS failed: someone waits to hear */

/* Memory for output goes back after so many in a row that needed no more than
 * this part of it. */
#define OUTS_SMALL 64
#define OUT_PART   16

bool chan_is_sending(const struct chan *c)
{
	return c->sending.len > 0;
}

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

	c->small_outs = 0;
	if (c->write == NULL)
		c->write = malloc(sizeof(*c->write));
	if (c->write == NULL) {
		chan_end(c, RW_ERR_NOMEM);
		return;
	}
	c->sending = c->out;
	c->out = spare;
	data = buf_peek(&c->sending, &len);
	b = uv_buf_init((char *)data, (unsigned int)len);
	c->write->data = c;
	r = uv_write(c->write, &c->sock.stream, &b, 1, chan_on_write);
	if (r < 0)
		chan_end(c, r);
}

/* All `len` bytes are sent. Who rests gives memory back (chan_on_idle()), but
 * who takes bulk says a little again and again and never rests. */
static void chan_shrink(struct chan *c, size_t len)
{
	const size_t cap = MAX(c->out.cap, c->sending.cap);

	c->small_outs = len <= cap / OUT_PART ? c->small_outs + 1 : 0;
	if (c->small_outs < OUTS_SMALL)
		return;
	c->small_outs = 0;
	buf_release(&c->out);
	buf_release(&c->sending);
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
	if (c->out.len > 0) {
		chan_send_rest(c);
		return;
	}
	chan_shrink(c, len);
	if (c->state == CHAN_FINISHING)
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

void chan_fail(struct chan *c, int err)
{
	if (c->state == CHAN_CLOSING || c->state == CHAN_FINISHING)
		return;
	if (c->out.len == 0 && !chan_is_sending(c))
		chan_end(c, err);
	else
		chan_linger(c, err, FAIL_MS);
}

/* SPDX-License-Identifier: MIT */
#include "net/chan_local.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/reset.h"
#include "net/rtt.h"

#define WATCH_EVERY_S 1
/* The kernel's timer is late by some hundredths. */
#define WATCH_MS (WATCH_EVERY_S * 1000 + 500)

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
	free(c->write);
	free(c);
}

/* Of the ends of connections those that lost packets may account for: not what
 * one of us closed because it needs it no more. */
static void chan_note_death(struct chan *c, int err)
{
	const uint64_t now_us = loop_now_us(c->ll->loop);
	enum sock_loss loss;

	if (c->is_detached || err == 0 || err == RW_ERR_CLOSING ||
	    !sock_is_tcp(&c->sock))
		return;
	loss = sock_loss(sock_fd(&c->sock));
	if (loss == SOCK_LOST_OURS ||
	    (loss == SOCK_LOST_ONCE && err != RW_ERR_TRUNCATED &&
	     err != -ECONNRESET))
		narrow_died(&c->ll->narrow, now_us - c->born_us, now_us);
}

void chan_end(struct chan *c, int err)
{
	if (c->state == CHAN_CLOSING)
		return;
	if (c->state != CHAN_FINISHING) {
		c->err = err; /* else the one that chan_finish() was given */
		chan_note_death(c, err);
	}
	c->state = CHAN_CLOSING;
	timer_free(c->finish);
	c->finish = NULL;
	list_del(&c->item.link);
	list_del(&c->kick.link);
	list_del(&c->warm.link);
	list_del(&c->piece.link);
	uv_close(&c->sock.handle, chan_on_handle_closed);
}

void chan_close(struct chan *c, int err)
{
	chan_end(c, err);
}

void chan_abort(struct chan *c, int err)
{
	if (c->state != CHAN_CLOSING && sock_is_tcp(&c->sock))
		reset_at_close(sock_fd(&c->sock));
	chan_end(c, err);
}

static void chan_shut(struct loop_item *item)
{
	chan_end(container_of(item, struct chan, item), RW_ERR_CANCELLED);
}

static void chan_on_idle(struct warm *w)
{
	struct chan *c = container_of(w, struct chan, warm);

	buf_release(&c->rest);
	buf_release(&c->out);
	if (!chan_is_sending(c)) {
		buf_release(&c->sending);
		free(c->write);
		c->write = NULL;
	}
	if (c->tls != NULL)
		tls_release(c->tls);
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
	c->born_us = loop_now_us(loop);
	c->ops = ops;
	c->user = user;
	c->kick.on_turn = chan_on_kick;
	list_init(&c->kick.link);
	c->piece.on_piece = chan_on_piece;
	list_init(&c->piece.link);
	c->warm.on_idle = chan_on_idle;
	list_init(&c->warm.link);
	r = sock_open(loop, &c->sock, fd);
	c->sock.handle.data = c;
	if (r == 0)
		r = chan_read_begin(c);
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

bool chan_is_narrow(const struct chan *c)
{
	return c->state != CHAN_CLOSING &&
	       narrow_is_used(&c->ll->narrow, sock_fd(&c->sock),
			      loop_now_us(c->ll->loop));
}

bool chan_has_unread(const struct chan *c)
{
	struct pollfd p = { .fd = sock_fd(&c->sock), .events = POLLIN };

	return c->state != CHAN_CLOSING && poll(&p, 1, 0) > 0;
}

uint64_t chan_heard_us(const struct chan *c)
{
	return c->heard_us;
}

uint64_t chan_rtt_us(const struct chan *c)
{
	return sock_rtt_us(sock_fd(&c->sock));
}

/* Bytes without news of ours are no acknowledgement to the kernel, but it puts
 * its question off for them. */
static bool chan_is_silent(const struct chan *c, int fd)
{
	const uint64_t max_ms = WATCH_MS + 2 * sock_rtt_us(fd) / 1000;

	return loop_now_us(c->ll->loop) - c->heard_us >= max_ms * 1000 &&
	       sock_silence_ms(fd) >= max_ms;
}

bool chan_is_acked(const struct chan *c)
{
	const int fd = sock_fd(&c->sock);

	return chan_queued(c) == 0 && sock_is_acked(fd) &&
	       (!c->is_watched || !chan_is_silent(c, fd));
}

void chan_watch(struct chan *c, bool on)
{
	if (c->state == CHAN_CLOSING || !sock_is_tcp(&c->sock))
		return;
	c->is_watched = on;
	if (on)
		sock_keepalive(sock_fd(&c->sock), WATCH_EVERY_S);
	else
		sock_keepalive_usual(sock_fd(&c->sock));
}

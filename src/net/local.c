/* SPDX-License-Identifier: MIT */
/* The serving side: askers and their requests. */
#include "net/local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fdlimit.h"
#include "base/fdreserve.h"
#include "base/list.h"
#include "net/listen.h"
#include "net/local_conn.h"

#define LOCAL_READ_LEN 16384

/* -- the end of an asker */

static void conn_on_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

static void conn_close(struct conn *c)
{
	struct local_req *r = c->req;

	if (c->is_closed)
		return;
	c->is_closed = true;
	uv_close((uv_handle_t *)&c->poll, conn_on_closed);
	close(c->fd);
	for (size_t i = 0; i < c->fd_count; i++)
		close(c->fds[i].fd);
	list_del(&c->kick.link);
	list_del(&c->link);
	if (c->srv != NULL) {
		c->srv->count--;
		(void)fdreserve_fill(&c->srv->reserve, LOCAL_RESERVE);
	}
	c->req = NULL;
	if (r == NULL)
		return;
	r->conn = NULL;
	if (r->on_gone != NULL)
		r->on_gone(r, r->user);
	if (r->on_gone != NULL || r->source != NULL)
		local_req_free(r);
}

/* -- writing */

/* How much may go with one call: up to and with the byte that carries a fd. */
static size_t conn_run(const struct conn *c, size_t len)
{
	if (c->fd_count == 0)
		return len;
	return c->fds[0].at == 0 ? 1 : MIN(len, c->fds[0].at);
}

static ssize_t conn_send(struct conn *c, const uint8_t *data, size_t len)
{
	union {
		struct cmsghdr align;
		char mem[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, conn_run(c, len) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	if (c->fd_count > 0 && c->fds[0].at == 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.mem;
		msg.msg_controllen = sizeof(control.mem);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &c->fds[0].fd, sizeof(int));
	}
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL);
}

/* n bytes left, and with the first of them perhaps a fd. */
static void conn_sent(struct conn *c, size_t n)
{
	buf_drain(&c->out, n);
	if (c->fd_count > 0 && c->fds[0].at == 0) {
		close(c->fds[0].fd);
		c->fd_count--;
		memmove(c->fds, c->fds + 1, c->fd_count * sizeof(c->fds[0]));
	}
	for (size_t i = 0; i < c->fd_count; i++)
		c->fds[i].at -= n;
}

static void conn_poll(struct conn *c);

static void conn_flush(struct conn *c)
{
	size_t len;

	while (!c->is_closed && c->out.len > 0) {
		const uint8_t *data = buf_peek(&c->out, &len);
		ssize_t n = conn_send(c, data, len);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			conn_close(c);
			return;
		}
		conn_sent(c, (size_t)n);
	}
	if (c->is_closed)
		return;
	local_fill(c);
	/* After the server has gone, what was queued is all that is sent. */
	if (c->srv == NULL && c->out.len == 0)
		conn_close(c);
	else
		conn_poll(c);
}

/* -- requests */

static void conn_on_line(struct conn *c, const char *line, size_t len)
{
	json_error_t err;
	json_t *msg = json_loadb(line, len, JSON_REJECT_DUPLICATES, &err);
	struct local_req *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		json_decref(msg);
		conn_close(c);
		return;
	}
	r->conn = c;
	c->req = r;
	if (json_is_object(msg))
		c->srv->on_request(r, msg, c->srv->user);
	else
		local_end(r, false, 2, "the request is not a JSON object");
	json_decref(msg);
}

/* Serves the lines that are here, as far as one at a time allows. */
static void conn_serve(struct conn *c)
{
	while (!c->is_closed && c->req == NULL && c->srv != NULL) {
		size_t len;
		const uint8_t *data = buf_peek(&c->in, &len);
		const uint8_t *end = len > 0 ? memchr(data, '\n', len) : NULL;
		struct buf line = { 0 };
		size_t n;

		if (end == NULL)
			break;
		n = (size_t)(end - data) + 1;
		if (buf_append(&line, data, n) < 0) {
			conn_close(c);
			return;
		}
		buf_drain(&c->in, n);
		conn_on_line(c, (const char *)line.data, n - 1);
		buf_done(&line);
	}
	if (c->is_closed)
		return;
	if (c->in.len > LOCAL_LINE_MAX)
		conn_close(c);
}

static void conn_read(struct conn *c)
{
	uint8_t *room = buf_reserve(&c->in, LOCAL_READ_LEN);
	ssize_t n;

	if (room == NULL) {
		conn_close(c);
		return;
	}
	n = recv(c->fd, room, LOCAL_READ_LEN, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Askers do not half-close: the end of one means that it left. */
	if (n <= 0) {
		conn_close(c);
		return;
	}
	buf_commit(&c->in, (size_t)n);
	conn_serve(c);
}

static void conn_on_event(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;

	if (status < 0) {
		conn_close(c);
		return;
	}
	if ((events & UV_WRITABLE) != 0)
		conn_flush(c);
	if (!c->is_closed && (events & UV_READABLE) != 0)
		conn_read(c);
	if (!c->is_closed)
		conn_poll(c);
}

static void conn_poll(struct conn *c)
{
	int events = UV_READABLE;

	if (c->out.len > 0)
		events |= UV_WRITABLE;
	uv_poll_start(&c->poll, events, conn_on_event);
}

/* Flushes answers and serves what waited behind the last request. */
static void conn_on_kick(struct deferred *d)
{
	struct conn *c = container_of(d, struct conn, kick);

	conn_flush(c);
	if (!c->is_closed)
		conn_serve(c);
}

/* -- askers come */

static bool peer_is_us(int fd)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       cred.uid == geteuid();
}

/* Fds are out. The last one of the reserve is for telling so. */
static bool local_give(void *user)
{
	struct local *srv = user;

	return fdreserve_give(&srv->reserve);
}

/* One that cannot be served hears why, if he reads at once, and goes. */
static void turn_away(int fd, const char *why)
{
	json_t *obj =
		json_pack("{s:b, s:i, s:s}", "ok", 0, "exit", 1, "error", why);
	char *text = obj != NULL ? json_dumps(obj, JSON_COMPACT) : NULL;
	size_t len = text != NULL ? strlen(text) : 0;

	if (len > 0) {
		text[len] = '\n'; /* over the NUL */
		(void)send(fd, text, len + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	free(text);
	json_decref(obj);
	close(fd);
}

static void local_on_accept(void *user, int fd,
			    const struct sockaddr_storage *peer)
{
	struct local *srv = user;
	char why[FDLIMIT_TEXT_CAP];
	struct conn *c;
	int err;

	(void)peer;
	if (!peer_is_us(fd)) {
		close(fd);
		return;
	}
	err = fdreserve_fill(&srv->reserve, LOCAL_RESERVE);
	if (srv->count >= LOCAL_CONNS_MAX || srv->reserve.count == 0) {
		turn_away(fd, srv->count >= LOCAL_CONNS_MAX
				      ? "too many programs ask it at once"
				      : fdlimit_text(err, why));
		(void)fdreserve_fill(&srv->reserve, LOCAL_RESERVE);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL || uv_poll_init(srv->ll->loop, &c->poll, fd) < 0) {
		free(c);
		close(fd);
		return;
	}
	c->poll.data = c;
	c->srv = srv;
	c->fd = fd;
	c->kick.on_turn = conn_on_kick;
	list_init(&c->kick.link);
	list_push(&srv->conns, &c->link);
	srv->count++;
	conn_poll(c);
}

static void local_stop(struct local *srv)
{
	struct list *it;

	listener_close(srv->listener);
	fdreserve_done(&srv->reserve);
	list_del(&srv->item.link);
	while ((it = list_pop(&srv->conns)) != NULL) {
		struct conn *c = container_of(it, struct conn, link);

		c->srv = NULL;
		if (c->req != NULL) {
			c->req->conn = NULL;
			local_req_free(c->req);
			c->req = NULL;
		}
		conn_flush(c);
	}
	free(srv);
}

static void local_shut(struct loop_item *item)
{
	struct local *srv = container_of(item, struct local, item);

	srv->listener = NULL; /* an item of its own */
	fdreserve_done(&srv->reserve);
	while (!list_is_empty(&srv->conns)) {
		struct list *it = list_pop(&srv->conns);
		struct conn *c = container_of(it, struct conn, link);

		c->srv = NULL;
		if (c->req != NULL)
			local_req_free(c->req);
		c->req = NULL;
		conn_close(c);
	}
	free(srv);
}

int local_serve(uv_loop_t *loop, const char *path, local_on_request *on_request,
		void *user, struct local **ret)
{
	struct local *srv = calloc(1, sizeof(*srv));
	int r;

	if (srv == NULL)
		return RW_ERR_NOMEM;
	srv->ll = loop_local(loop);
	srv->on_request = on_request;
	srv->user = user;
	list_init(&srv->conns);
	r = listener_open_unix(loop, path, local_on_accept, srv,
			       &srv->listener);
	if (r < 0) {
		free(srv);
		return r;
	}
	listener_set_reserve(srv->listener, local_give);
	(void)fdreserve_fill(&srv->reserve, LOCAL_RESERVE);
	loop_item_add(srv->ll, &srv->item, local_shut);
	*ret = srv;
	return 0;
}

void local_free(struct local *srv)
{
	if (srv != NULL)
		local_stop(srv);
}

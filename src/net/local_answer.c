/* SPDX-License-Identifier: MIT */
/* What an asker is told: lines, and descriptors that go with them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/local_conn.h"

void local_set_gone(struct local_req *r,
		    void (*on_gone)(struct local_req *r, void *user),
		    void *user)
{
	r->on_gone = on_gone;
	r->user = user;
}

/* Queues one line; it leaves at the turn's end. */
static int local_put(struct local_req *r, const char *json, size_t len)
{
	struct conn *c = r->conn;

	if (c == NULL)
		return RW_ERR_GONE;
	if (len > LOCAL_LINE_MAX)
		return RW_ERR_LIMIT;
	/* Nobody reads: what is queued is of no use to anybody. The asker is
	 * dropped from the loop, since on_gone may not run in here. */
	if (c->out.len + len > LOCAL_QUEUE_MAX) {
		(void)shutdown(c->fd, SHUT_RDWR);
		return RW_ERR_GONE;
	}
	if (buf_append(&c->out, json, len) < 0)
		return RW_ERR_NOMEM;
	loop_defer(loop_local(c->poll.loop), &c->kick);
	return buf_append(&c->out, "\n", 1);
}

int local_reply_json(struct local_req *r, json_t *obj)
{
	char *text = json_dumps(obj, JSON_COMPACT);
	int x;

	json_decref(obj);
	if (text == NULL)
		return RW_ERR_NOMEM;
	x = local_put(r, text, strlen(text));
	free(text);
	return x;
}

int local_send_fd(struct local_req *r, int fd, json_t *obj)
{
	struct conn *c = r->conn;
	size_t at;
	int x, copy;

	if (obj == NULL)
		obj = json_object();
	if (c == NULL || c->fd_count == LOCAL_FDS_MAX) {
		json_decref(obj);
		return c == NULL ? RW_ERR_GONE : RW_ERR_LIMIT;
	}
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0) {
		json_decref(obj);
		return -errno;
	}
	at = c->out.len;
	x = local_reply_json(r, obj);
	if (x < 0) {
		close(copy);
		return x;
	}
	c->fds[c->fd_count].at = at;
	c->fds[c->fd_count].fd = copy;
	c->fd_count++;
	return 0;
}

void local_end_json(struct local_req *r, bool ok, int exit_status,
		    const char *text, json_t *extra)
{
	json_t *obj = extra != NULL ? extra : json_object();
	struct conn *c = r->conn;

	json_object_set_new(obj, "ok", json_boolean(ok));
	if (text != NULL)
		json_object_set_new(obj, "error", json_string(text));
	if (!ok)
		json_object_set_new(obj, "exit", json_integer(exit_status));
	if (local_reply_json(r, obj) == RW_ERR_LIMIT) {
		static const char too_long[] =
			"{\"ok\":false,\"exit\":1,"
			"\"error\":\"the answer is too long\"}";

		(void)local_put(r, too_long, strlen(too_long));
	}
	if (c != NULL)
		c->req = NULL;
	free(r);
}

void local_end(struct local_req *r, bool ok, int exit_status, const char *text)
{
	local_end_json(r, ok, exit_status, text, NULL);
}

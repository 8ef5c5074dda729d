/* SPDX-License-Identifier: MIT */
/*
 * What the serving side's files share: local.c has the askers, local_answer.c
 * what they are told, local_lines.c long answers. Nothing else includes this.
 */
#pragma once
#include "net/local.h"

#include "base/buf.h"
#include "base/fdreserve.h"
#include "base/list.h"
#include "net/loop_local.h"

/* Fds in flight to one asker. */
#define LOCAL_FDS_MAX 16

struct local {
	struct loop_local *ll;
	struct loop_item item;
	struct listener *listener;
	local_on_request *on_request;
	void *user;
	struct list conns;
	size_t count;
	struct fdreserve reserve;
};

/* An asker. It answers one request at a time; lines that come meanwhile wait
 * in `in`. */
struct conn {
	uv_poll_t poll;
	struct list link; /* in local->conns while srv is set */
	struct deferred kick;
	struct local *srv; /* NULL once the server is gone */
	int fd;
	struct buf in, out;
	struct local_req *req;
	bool is_closed;
	/* Fds to go with a byte of out, counted from its first byte. */
	struct {
		size_t at;
		int fd;
	} fds[LOCAL_FDS_MAX];
	size_t fd_count;
};

struct local_req {
	struct conn *conn; /* NULL once the asker left */
	void (*on_gone)(struct local_req *r, void *user);
	void *user;
	const struct local_source *source; /* its lines follow, or NULL; */
	void *source_user;		   /* on_gone is not set then */
};

/* local_lines.c */
/* Queues lines of c's source as far as there is room. */
void local_fill(struct conn *c);
/* Frees r, whose asker has left or hears no more. */
void local_req_free(struct local_req *r);

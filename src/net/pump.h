/* SPDX-License-Identifier: MIT */
/*
 * Joins one local socket with one stream of a session, both ways: half-close,
 * back-pressure and honest ends. The end of the socket is the stream's FIN and
 * the other way round; a reset on either side is a reset on the other (RST on
 * TCP), never an end of file. Keepalive is on, and asks after 60 s once the
 * connection is half closed: a process that has only close()d looks like one
 * that still reads. Loop thread only.
 */
#pragma once
#include <uv.h>

struct pump;
struct stream;
struct stream_ops;

struct pump_ops {
	/* Once, from the loop; p is freed on return, its stream is gone and its
	 * socket closed. err 0: both directions ended cleanly. text is never
	 * NULL. */
	void (*on_done)(void *user, int err, const char *text);
	/* The far end is connected (opener only). May be NULL. */
	void (*on_connected)(void *user);
};

struct pump_params {
	uv_loop_t *loop;
	int fd;		   /* taken, also on failure: closed then */
	struct stream *st; /* likewise: reset then */
	const struct pump_ops *ops;
	void *user;
};
/* st must not have bytes waiting that were shown to another user. Sets the
 * stream's ops. 0 or a libuv code, RW_ERR_NOMEM; then on_done does not run. */
int pump_new(const struct pump_params *params, struct pump **ret);
/* For a stream that is to be opened with its pump: what stream_open() is given,
 * with user NULL, until pump_new() takes the stream over. */
const struct stream_ops *pump_stream_ops(void);
/* Resets both sides; on_done(err) follows from the loop. */
void pump_abort(struct pump *p, int err);

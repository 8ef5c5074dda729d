/* SPDX-License-Identifier: MIT */
/* A session's carrier over a real socket: the other end is the test. */
#include "until.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "carrier/bearer.h"
#include "core/stream.h"
#include "net/chan.h"
#include "wire/frame.h"
#include "wire/hello.h"

#define MIB (UINT64_C(1) << 20)

struct world {
	uv_loop_t loop;
	struct driver *driver;
	struct budget budget;
	struct session *session;
	struct bearer *bearer;
	struct chan *chan; /* the bearer's */
	struct stream *st;
	int fd;	 /* the rig's end */
	int err; /* why the bearer ended */
	bool is_live, is_over;
	char text[128];	   /* of on_end */
	uint8_t got[4096]; /* the last bytes that came there */
	size_t all;	   /* how many did */
	struct guard guard;
};

static void on_live(struct session *s, struct carrier *c,
		    const struct welcome *w)
{
	(void)c, (void)w;
	((struct world *)session_user(s))->is_live = true;
}

static void on_drop(struct session *s, struct carrier *c, int err,
		    const char *text)
{
	(void)s;
	bearer_dropped(c, err, text);
}

static void on_wake(struct session *s)
{
	driver_wake(((struct world *)session_user(s))->driver, s);
}

static void on_ended(struct session *s, int err, const char *text)
{
	(void)s, (void)err, (void)text;
}

static void on_end(void *user, int err, const char *text)
{
	struct world *w = user;

	w->err = err;
	str_copy(w->text, sizeof(w->text), text);
	w->is_over = true;
}

/* One turn of the loop, and all that came at the other end meanwhile. */
static void turn(struct world *w)
{
	ssize_t n;

	uv_run(&w->loop, UV_RUN_ONCE);
	while ((n = recv(w->fd, w->got, sizeof(w->got), MSG_DONTWAIT)) > 0)
		w->all += (size_t)n;
}

#define until(w, cond) until_by(&(w)->guard, 10000, cond, turn(w))

/* Nothing more comes in this time. */
static void linger(struct world *w, uint64_t ms)
{
	guard_start(&w->guard, ms);
	while (!w->guard.is_late)
		turn(w);
}

static void answer(struct world *w, uint32_t floor)
{
	static struct welcome wel;
	uint8_t out[FRAME_MAX];
	size_t n;

	wel.version = 1;
	wel.incarnation = 5;
	wel.floor = floor;
	wel.max_streams = 10;
	wel.keep_s = 60;
	n = welcome_write(&wel, out);
	assert_int_equal(send(w->fd, out, n, 0), n);
}

static void world_open(struct world *w)
{
	static const struct session_ops ops = { .on_live = on_live,
						.on_drop = on_drop,
						.on_wake = on_wake,
						.on_ended = on_ended };
	static const struct bearer_ops bearer_ops = { .on_end = on_end };
	static const struct chan_ops no_ops = { .on_up = NULL };
	struct session_params p = {
		.is_client = true,
		.incarnation = 1,
		.limits = { .max_streams = 10,
			    .send_max = 8 * MIB,
			    .carriers_max = 2,
			    .in_flight_min = 32768,
			    .ping_interval_us = 60000000,
			    .ping_timeout_us = 60000000 },
		.budget = &w->budget,
		.ops = &ops,
		.user = w,
	};
	struct bearer_params bp = { .ops = &bearer_ops, .user = w };
	int fd[2];

	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_init(&w->loop), 0);
	guard_init(&w->guard, &w->loop);
	budget_init(&w->budget, 64 * MIB, 16384, (uint32_t)(16 * MIB));
	assert_int_equal(driver_new(&w->loop, &w->driver), 0);
	p.now_us = loop_now_us(&w->loop);
	assert_int_equal(session_new(&p, &w->session), 0);
	assert_int_equal(driver_add(w->driver, w->session), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	w->fd = fd[1];
	bp.driver = w->driver;
	bp.session = w->session;
	assert_int_equal(chan_open_fd(&w->loop, fd[0], &no_ops, NULL, &bp.chan),
			 0);
	w->chan = bp.chan;
	assert_int_equal(bearer_dial(&bp, NULL, &w->bearer), 0);
}

static void world_close(struct world *w)
{
	close(w->fd);
	until(w, w->is_over);
	driver_remove(w->driver, w->session);
	session_free(w->session);
	driver_free(w->driver);
	timer_free(w->guard.timer);
	loop_run_close(&w->loop);
}

static void on_closed(struct stream *st, int err, const char *text)
{
	(void)st, (void)err, (void)text;
}

static const struct stream_ops stream_ops = { .on_closed = on_closed };

/* What the other end has not read lies in queues on the way, and a keystroke
 * would wait behind it: so nothing is encrypted, or given to the kernel, ahead
 * of its time. */
static void only_what_may_go_now_is_encrypted(void **state)
{
	static uint8_t data[MIB];
	struct world w;
	uint8_t read[FRAME_HDR_LEN + 8];
	size_t n, first;

	(void)state;
	world_open(&w);
	until(&w, w.all > 0);
	answer(&w, (uint32_t)(8 * MIB));
	until(&w, w.is_live);
	linger(&w, 50);
	w.all = 0;
	assert_int_equal(stream_open(w.session,
				     &(struct stream_to){ STREAM_TCP, "a:1" },
				     &stream_ops, &w, &w.st),
			 0);
	until(&w, w.all > 0);
	n = w.all;
	assert_true(stream_write(w.st, data, sizeof(data)) > 256 * 1024);
	until(&w, w.all > n + 60000);
	linger(&w, 200);
	first = w.all - n;
	assert_true(first < 64 * 1024 + 2 * FRAME_MAX);
	/* It has read them: about as much again may go. */
	n = frame_put_u64(read, FRAME_READ, 0, 65536);
	assert_int_equal(send(w.fd, read, n, 0), n);
	n = w.all;
	until(&w, w.all > n + 60000);
	linger(&w, 200);
	assert_true(w.all - n < 4 * 64 * 1024 + 2 * FRAME_MAX);
	world_close(&w);
}

/* Who still writes to a connection that was cut in the same turn does not say
 * in its place why it ended. */
static void a_cut_is_told_as_what_it_was(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	until(&w, w.all > 0);
	answer(&w, (uint32_t)(8 * MIB));
	until(&w, w.is_live);
	linger(&w, 50);
	assert_int_equal(stream_open(w.session,
				     &(struct stream_to){ STREAM_TCP, "a:1" },
				     &stream_ops, &w, &w.st),
			 0);
	chan_close(w.chan, -ECONNRESET);
	until(&w, w.is_over);
	assert_int_equal(w.err, -ECONNRESET);
	assert_string_equal(w.text, "the connection was cut");
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_may_go_now_is_encrypted),
		cmocka_unit_test(a_cut_is_told_as_what_it_was),
	};

	return cmocka_run_group_tests_name("bearer", tests, NULL, NULL);
}

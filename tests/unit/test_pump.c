/* SPDX-License-Identifier: MIT */
/*
 * Two programs' sockets, joined by pumps over a real session: client and rig
 * are joined in memory, in one loop. The test plays both programs, with
 * sockets that do not block.
 */
#include "sample.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "core/session.h"
#include "net/loop.h"
#include "net/pump.h"

/* One side: its session, its pump, and the program at the far end of the
 * pump's socket. */
struct side {
	struct session *s;
	struct carrier *c;
	struct budget budget;
	struct buf in; /* on its way here */
	struct pump *pump;
	int pump_fd, fd;
	int connected, dones, err;
	struct buf got;
	bool saw_eof;
	int read_err;
	const uint8_t *send;
	size_t send_len;
};

static uv_loop_t loop;
static struct flusher *flusher;
static struct timer *ticker;
static struct side client, rig;
static bool has_hello;

static void on_done(void *user, int err, const char *text)
{
	struct side *x = user;

	assert_non_null(text);
	assert_true(err == 0 || *text != '\0');
	x->dones++;
	x->err = err;
	x->pump = NULL;
}

static void on_connected(void *user)
{
	((struct side *)user)->connected++;
}

static const struct pump_ops pump_ops = { on_done, on_connected };

/* As the rig does while it still connects to the target. */
static bool rig_waits;
static struct stream *waiting;

static size_t take_nothing(struct stream *st, const uint8_t *data, size_t len)
{
	(void)st;
	(void)data;
	(void)len;
	return 0;
}

static void on_closed_waiting(struct stream *st, int err, const char *text)
{
	(void)st;
	(void)err;
	(void)text;
}

static const struct stream_ops waiting_ops = {
	.on_data = take_nothing,
	.on_closed = on_closed_waiting,
};

static void on_open(struct session *s, struct stream *st)
{
	(void)s;
	assert_string_equal(stream_target(st), "localhost:8888");
	if (rig_waits) {
		waiting = st;
		stream_take(st, &waiting_ops, NULL);
		return;
	}
	assert_int_equal(pump_new(&(struct pump_params){ &loop, rig.pump_fd, st,
							 &pump_ops, &rig },
				  &rig.pump),
			 0);
	stream_connected(st);
}

static void on_live(struct session *s, struct carrier *c,
		    const struct welcome *w)
{
	(void)s;
	(void)c;
	(void)w;
}

static void on_drop(struct session *s, struct carrier *c, int err,
		    const char *text)
{
	(void)s;
	(void)c;
	fail_msg("carrier dropped: %d %s", err, text);
}

static void on_wake(struct session *s)
{
	(void)s;
	flusher_mark(flusher);
}

static void on_ended(struct session *s, int err, const char *text)
{
	(void)s;
	fail_msg("session ended: %d %s", err, text);
}

static const struct session_ops session_ops = {
	.on_open = on_open,
	.on_live = on_live,
	.on_drop = on_drop,
	.on_wake = on_wake,
	.on_ended = on_ended,
};

static void accept_hello(void)
{
	struct rig_info info = { .name = "desk" };
	struct hello h;
	size_t len;
	const uint8_t *data = buf_peek(&rig.in, &len);
	ssize_t n = len > 0 ? hello_read(data, len, &h) : 0;

	assert_true(n >= 0);
	if (n == 0)
		return;
	has_hello = true;
	buf_drain(&rig.in, (size_t)n);
	rig.c = session_accept(rig.s, &h, true, &info, loop_now_us(&loop));
	assert_non_null(rig.c);
}

static bool pull(struct side *from, struct side *to)
{
	const uint8_t *data;
	bool any = false;
	size_t n;

	while (from->c != NULL &&
	       (n = carrier_output(from->c, &data, loop_now_us(&loop))) > 0) {
		assert_int_equal(buf_append(&to->in, data, n), 0);
		any = true;
	}
	return any;
}

static void deliver(struct side *x)
{
	size_t len;
	const uint8_t *data = buf_peek(&x->in, &len);
	ssize_t n;

	if (x->c == NULL || len == 0)
		return;
	n = carrier_input(x->c, data, len, loop_now_us(&loop));
	assert_true(n >= 0);
	buf_drain(&x->in, (size_t)n);
}

static void on_flush(void *user)
{
	bool any;

	(void)user;
	any = pull(&client, &rig);
	any |= pull(&rig, &client);
	if (!has_hello)
		accept_hello();
	deliver(&rig);
	deliver(&client);
	(void)session_tick(client.s, loop_now_us(&loop));
	(void)session_tick(rig.s, loop_now_us(&loop));
	if (any)
		flusher_mark(flusher);
}

static void on_tick(void *user)
{
	(void)user;
	flusher_mark(flusher);
	timer_start(ticker, 5);
}

static void side_start(struct side *x, bool is_client)
{
	struct session_params p = {
		.is_client = is_client,
		.id = "a test's session",
		.incarnation = is_client ? 7 : 8,
		.limits = { .max_streams = 64,
			    .send_max = 1024 * 1024,
			    .carriers_max = CARRIERS_MAX,
			    .in_flight_min = 1024 * 1024,
			    .ping_interval_us = 60000000,
			    .ping_timeout_us = 60000000 },
		.budget = &x->budget,
		.ops = &session_ops,
		.user = x,
		.now_us = loop_now_us(&loop),
	};

	memset(x, 0, sizeof(*x));
	budget_init(&x->budget, 8 * 1024 * 1024, 16 * 1024, 1024 * 1024);
	assert_int_equal(session_new(&p, &x->s), 0);
}

static void tcp_pair(int fds[2])
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&sa, len), 0);
	fds[1] = accept(l, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(l);
}

/* Sockets and pumps on both sides; the stream is open when this returns. */
static void start(bool tcp)
{
	struct side *sides[] = { &client, &rig };
	struct stream *st;

	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		int fds[2];

		if (tcp)
			tcp_pair(fds);
		else
			assert_int_equal(
				socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		sides[i]->pump_fd = fds[0];
		sides[i]->fd = fds[1];
		assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	}
	client.c = session_dial(client.s, NULL, loop_now_us(&loop));
	assert_non_null(client.c);
	assert_int_equal(
		stream_open(client.s,
			    &(struct stream_to){ STREAM_TCP, "localhost:8888" },
			    pump_stream_ops(), NULL, &st),
		0);
	assert_int_equal(
		pump_new(&(struct pump_params){ &loop, client.pump_fd, st,
						&pump_ops, &client },
			 &client.pump),
		0);
}

static int setup(void **state)
{
	(void)state;
	has_hello = false;
	if (loop_init(&loop) < 0)
		return -1;
	flusher = flusher_new(&loop, on_flush, NULL);
	ticker = timer_new(&loop, on_tick, NULL);
	side_start(&client, true);
	side_start(&rig, false);
	timer_start(ticker, 5);
	return 0;
}

static int teardown(void **state)
{
	struct side *sides[] = { &client, &rig };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		if (sides[i]->s != NULL)
			session_free(sides[i]->s);
		if (sides[i]->fd > 0)
			close(sides[i]->fd);
		buf_done(&sides[i]->in);
		buf_done(&sides[i]->got);
	}
	timer_free(ticker);
	flusher_free(flusher);
	loop_run_close(&loop);
	return 0;
}

/* The program writes and reads what it can without waiting. */
static void play(struct side *x, bool reads)
{
	uint8_t data[65536];
	ssize_t n;

	while (x->send_len > 0) {
		n = send(x->fd, x->send, x->send_len, MSG_NOSIGNAL);
		if (n < 0)
			break;
		x->send += n;
		x->send_len -= (size_t)n;
	}
	if (!reads || x->saw_eof || x->read_err != 0)
		return;
	while ((n = recv(x->fd, data, sizeof(data), 0)) > 0)
		assert_int_equal(buf_append(&x->got, data, (size_t)n), 0);
	if (n == 0)
		x->saw_eof = true;
	else if (errno != EAGAIN)
		x->read_err = errno;
}

static bool rig_reads;

#define RUN_UNTIL(cond)                                                        \
	do {                                                                   \
		uint64_t limit_ = loop_now_us(NULL) + 30000000;                \
		while (!(cond)) {                                              \
			if (client.fd > 0)                                     \
				play(&client, true);                           \
			if (rig.fd > 0)                                        \
				play(&rig, rig_reads);                         \
			uv_run(&loop, UV_RUN_NOWAIT);                          \
			assert_true(loop_now_us(NULL) < limit_);               \
		}                                                              \
	} while (0)

static void bytes_cross(bool tcp)
{
	const size_t len = 6 * 1000 * 1000 + 3;
	uint8_t *up = sample(len), *down = sample(len);

	down[0] ^= 1;
	rig_reads = true;
	start(tcp);
	client.send = up;
	rig.send = down;
	client.send_len = rig.send_len = len;
	RUN_UNTIL(client.got.len == len && rig.got.len == len);
	assert_memory_equal(client.got.data + client.got.off, down, len);
	assert_memory_equal(rig.got.data + rig.got.off, up, len);
	assert_int_equal(client.connected, 1);
	/* And both ways end well. */
	shutdown(client.fd, SHUT_WR);
	RUN_UNTIL(rig.saw_eof);
	assert_int_equal(client.dones, 0);
	shutdown(rig.fd, SHUT_WR);
	RUN_UNTIL(client.saw_eof && client.dones && rig.dones);
	assert_int_equal(client.err, 0);
	assert_int_equal(rig.err, 0);
	free(up);
	free(down);
}

static void bytes_cross_both_ways_over_tcp(void **state)
{
	(void)state;
	bytes_cross(true);
}

static void bytes_cross_both_ways_over_a_socketpair(void **state)
{
	(void)state;
	bytes_cross(false);
}

/* git, rsync, netcat: the question ends, the answer comes after. */
static void the_answer_follows_the_questions_end(void **state)
{
	const size_t len = 3 * 1000 * 1000;
	uint8_t *data = sample(len);

	(void)state;
	rig_reads = true;
	start(true);
	assert_int_equal(send(client.fd, "question", 8, 0), 8);
	shutdown(client.fd, SHUT_WR);
	RUN_UNTIL(rig.saw_eof);
	assert_int_equal(rig.got.len, 8);
	rig.send = data;
	rig.send_len = len;
	RUN_UNTIL(client.got.len == len);
	assert_memory_equal(client.got.data + client.got.off, data, len);
	assert_false(client.saw_eof);
	shutdown(rig.fd, SHUT_WR);
	RUN_UNTIL(client.saw_eof && client.dones && rig.dones);
	assert_int_equal(client.err, 0);
	free(data);
}

/* A reader that stops stops the writer, at a bounded number of bytes. */
static void a_slow_reader_holds_the_writer_back(void **state)
{
	const size_t len = 40 * 1000 * 1000;
	uint8_t *data = sample(len);
	size_t left = 0;
	int still = 0;

	(void)state;
	rig_reads = false;
	start(false);
	client.send = data;
	client.send_len = len;
	RUN_UNTIL((still = client.send_len == left ? still + 1 : 0,
		   left = client.send_len, still > 2000));
	assert_true(left > 20 * 1000 * 1000);
	rig_reads = true;
	RUN_UNTIL(rig.got.len == len);
	assert_memory_equal(rig.got.data + rig.got.off, data, len);
	free(data);
}

/* Bytes on their way from one end of a socket's connection to the other. */
static int kernel_keeps(int from, int to)
{
	int sent = 0, come = 0;

	assert_int_equal(ioctl(from, SIOCOUTQ, &sent), 0);
	assert_int_equal(ioctl(to, FIONREAD, &come), 0);
	return sent + come;
}

/* What a program does not read waits in the session, whose memory has limits,
 * and not in the kernel: there all connections of the machine share it. */
static void the_kernel_keeps_little_for_a_slow_reader(void **state)
{
	const size_t len = 40 * 1000 * 1000;
	uint8_t *data = sample(len);
	size_t left = 0;
	int still = 0, room = 64 * 1024;

	(void)state;
	rig_reads = false;
	start(true);
	assert_int_equal(
		setsockopt(rig.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)),
		0);
	client.send = data;
	client.send_len = len;
	RUN_UNTIL((still = client.send_len == left ? still + 1 : 0,
		   left = client.send_len, still > 2000));
	assert_in_range(kernel_keeps(rig.pump_fd, rig.fd), 1, 1000 * 1000);
	rig_reads = true;
	RUN_UNTIL(rig.got.len == len);
	assert_memory_equal(rig.got.data + rig.got.off, data, len);
	free(data);
}

static void reset(int *fd)
{
	struct linger now = { 1, 0 };

	assert_int_equal(
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(*fd);
	*fd = -1;
}

static void a_reset_is_a_reset_at_the_other_side(void **state)
{
	uint8_t *data = sample(100000);

	(void)state;
	rig_reads = true;
	start(true);
	client.send = data;
	client.send_len = 100000;
	RUN_UNTIL(rig.got.len == 100000);
	reset(&client.fd);
	RUN_UNTIL(rig.read_err != 0 && client.dones && rig.dones);
	assert_int_equal(rig.read_err, ECONNRESET);
	assert_false(rig.saw_eof);
	assert_int_equal(client.err, RW_ERR_GONE);
	assert_int_equal(rig.err, RW_ERR_GONE);
	free(data);
}

/* In the middle of a transfer, with everything full. */
static void a_reset_under_load_is_no_end_of_file(void **state)
{
	const size_t len = 40 * 1000 * 1000;
	uint8_t *data = sample(len);

	(void)state;
	rig_reads = true;
	start(true);
	rig.send = data;
	rig.send_len = len;
	RUN_UNTIL(client.got.len > 1000000);
	reset(&rig.fd);
	RUN_UNTIL(client.read_err != 0 && client.dones && rig.dones);
	assert_int_equal(client.read_err, ECONNRESET);
	assert_memory_equal(client.got.data + client.got.off, data,
			    client.got.len);
	free(data);
}

static void an_abort_resets_both_programs(void **state)
{
	(void)state;
	rig_reads = true;
	start(true);
	RUN_UNTIL(client.connected);
	pump_abort(client.pump, RW_ERR_NOT_ALLOWED);
	pump_abort(client.pump, RW_ERR_LIMIT); /* changes nothing */
	assert_int_equal(client.dones, 0);
	RUN_UNTIL(client.read_err && rig.read_err && client.dones && rig.dones);
	assert_int_equal(client.err, RW_ERR_NOT_ALLOWED);
	assert_int_equal(rig.err, RW_ERR_NOT_ALLOWED);
	assert_int_equal(client.read_err, ECONNRESET);
	assert_int_equal(rig.read_err, ECONNRESET);
}

static void the_end_of_the_session_resets_the_program(void **state)
{
	(void)state;
	rig_reads = true;
	start(true);
	RUN_UNTIL(client.connected);
	client.c = rig.c = NULL;
	session_free(rig.s);
	session_free(client.s);
	rig.s = client.s = NULL;
	flusher_free(flusher);
	timer_free(ticker);
	flusher = NULL;
	ticker = NULL;
	RUN_UNTIL(client.read_err && client.dones && rig.dones);
	assert_int_equal(client.err, RW_ERR_CANCELLED);
	assert_int_equal(client.read_err, ECONNRESET);
}

/* It asked, ended its side, and died before the answer. */
static void a_half_closed_program_that_dies_is_noticed(void **state)
{
	(void)state;
	rig_reads = true;
	start(true);
	shutdown(client.fd, SHUT_WR);
	RUN_UNTIL(rig.saw_eof);
	rig.saw_eof = false;
	assert_int_equal(rig.dones, 0);
	reset(&client.fd);
	RUN_UNTIL(rig.dones && client.dones);
	assert_int_equal(client.err, RW_ERR_GONE);
	assert_int_equal(rig.err, RW_ERR_GONE);
}

/* A close() looks like the end of one direction, so an end is not the last
 * that is asked of either socket. */
static int keepalive_s(int fd)
{
	int on = 0, idle = 0;
	socklen_t len = sizeof(on);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &len),
			 0);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &len),
			 0);
	return on ? idle : 0;
}

static void local_sockets_are_probed_and_half_closed_ones_soon(void **state)
{
	(void)state;
	rig_reads = true;
	start(true);
	RUN_UNTIL(client.connected);
	assert_int_equal(keepalive_s(client.pump_fd), 300);
	assert_int_equal(keepalive_s(rig.pump_fd), 300);
	shutdown(client.fd, SHUT_WR);
	RUN_UNTIL(rig.saw_eof);
	assert_int_equal(keepalive_s(client.pump_fd), 60);
	assert_int_equal(keepalive_s(rig.pump_fd), 60);
	shutdown(rig.fd, SHUT_WR);
	RUN_UNTIL(client.dones && rig.dones);
	assert_int_equal(client.err, 0);
}

static uint64_t received(const struct stream *st)
{
	struct stream_stats stats;

	stream_stats(st, &stats);
	return stats.received;
}

/* nc -N, with and without something to say, faster than the rig connects. */
static void early_bytes_and_an_early_end_are_not_lost(void **state)
{
	(void)state;
	for (size_t len = 0; len < 2; len++) {
		rig_reads = rig_waits = true;
		start(true);
		assert_int_equal(send(client.fd, "x", len, 0), len);
		shutdown(client.fd, SHUT_WR);
		RUN_UNTIL(waiting != NULL);
		RUN_UNTIL(len == 0 ? stream_is_eof(waiting)
				   : received(waiting) == len);
		assert_int_equal(
			pump_new(&(struct pump_params){ &loop, rig.pump_fd,
							waiting, &pump_ops,
							&rig },
				 &rig.pump),
			0);
		stream_connected(waiting);
		RUN_UNTIL(rig.saw_eof);
		assert_int_equal(rig.got.len, len);
		shutdown(rig.fd, SHUT_WR);
		RUN_UNTIL(client.saw_eof && client.dones && rig.dones);
		assert_int_equal(client.err, 0);
		assert_int_equal(rig.err, 0);
		rig_waits = false;
		waiting = NULL;
		teardown(NULL);
		setup(NULL);
	}
}

static void the_end_of_a_loop_ends_its_pumps(void **state)
{
	(void)state;
	rig_reads = true;
	start(false);
	RUN_UNTIL(client.connected);
	/* teardown does the rest: sessions first, then the loop */
	timer_free(ticker);
	ticker = NULL;
	loop_run_close(&loop);
	assert_int_equal(client.dones + rig.dones, 2);
	assert_int_equal(client.err, RW_ERR_CANCELLED);
	flusher = NULL;
	assert_int_equal(loop_init(&loop), 0);
	flusher = flusher_new(&loop, on_flush, NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bytes_cross_both_ways_over_tcp),
		T(bytes_cross_both_ways_over_a_socketpair),
		T(the_answer_follows_the_questions_end),
		T(a_slow_reader_holds_the_writer_back),
		T(the_kernel_keeps_little_for_a_slow_reader),
		T(a_reset_is_a_reset_at_the_other_side),
		T(a_reset_under_load_is_no_end_of_file),
		T(an_abort_resets_both_programs),
		T(the_end_of_the_session_resets_the_program),
		T(a_half_closed_program_that_dies_is_noticed),
		T(local_sockets_are_probed_and_half_closed_ones_soon),
		T(early_bytes_and_an_early_end_are_not_lost),
		T(the_end_of_a_loop_ends_its_pumps),
	};

	return cmocka_run_group_tests_name("pump", tests, NULL, NULL);
}

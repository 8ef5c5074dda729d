/* SPDX-License-Identifier: MIT */
/*
 * The relay's splicing, over real TCP sockets on loopback. The far ends are
 * blocking sockets in threads of their own; the loop runs in the main one.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/loop.h"
#include "net/piece.h"
#include "relay/splice.h"

/* A TCP connection over loopback; fd[0] is the far end's, fd[1] the relay's. */
static void tcp_pair(int fd[2])
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(l >= 0);
	assert_int_equal(bind(l, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &len), 0);
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&sa, len), 0);
	fd[1] = accept(l, NULL, NULL);
	assert_true(fd[1] >= 0);
	close(l);
}

/* The relay with one pair: a and b are the far ends. */
struct rig {
	uv_loop_t loop;
	struct splicer *sp;
	struct splice_group group;
	struct splice *pair;
	struct splice_end end;
	bool has_ended;
	int a, b;
	int near_a; /* the relay's end of a */
};

static void on_end(void *user, const struct splice_end *end)
{
	struct rig *r = user;

	r->end = *end;
	r->has_ended = true;
	r->pair = NULL;
}

static void rig_open(struct rig *r, size_t pipes, uint64_t silence_ms,
		     uint64_t flush_ms)
{
	memset(r, 0, sizeof(*r));
	assert_int_equal(loop_init(&r->loop), 0);
	const struct splicer_params p = { .loop = &r->loop,
					  .max_pipes = pipes,
					  .silence_ms = silence_ms,
					  .flush_ms = flush_ms };
	assert_int_equal(splicer_new(&p, &r->sp), 0);
	r->a = r->b = -1;
}

static void rig_start(struct rig *r, struct buf *first_a, struct buf *first_b)
{
	int a[2], b[2];

	tcp_pair(a);
	tcp_pair(b);
	r->a = a[0];
	r->b = b[0];
	r->near_a = a[1];
	assert_int_equal(splice_start(r->sp,
				      &(struct splice_params){
					      .side = { { a[1], first_a },
							{ b[1], first_b } },
					      .group = &r->group,
					      .on_end = on_end,
					      .user = r },
				      &r->pair),
			 0);
}

static void rig_run_to_end(struct rig *r)
{
	while (!r->has_ended)
		uv_run(&r->loop, UV_RUN_ONCE);
}

static void rig_close(struct rig *r)
{
	if (r->a >= 0)
		close(r->a);
	if (r->b >= 0)
		close(r->b);
	splicer_free(r->sp);
	loop_run_close(&r->loop);
	assert_int_equal(r->group.pairs, 0);
	assert_int_equal(r->group.pipes, 0);
}

/* A far end's work: send `len` bytes of a known run in steps of `step`, and
 * receive and check as many. */
struct work {
	pthread_t thread;
	int fd;
	uint64_t len;
	size_t step;
	bool receives;
	uint64_t done;
	bool is_wrong;
};

/* Byte i of the run: no period that buffers or pages share. */
static void run_fill(uint8_t *out, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++, at++)
		out[i] = (uint8_t)(at % 251);
}

static void *worker(void *arg)
{
	static const size_t cap = 1 << 20;
	struct work *w = arg;
	uint8_t *buf = malloc(cap + 251), *want = malloc(cap + 251);

	run_fill(want, 0, cap + 251);
	while (w->done < w->len) {
		size_t n = w->receives ? cap : w->step;
		ssize_t got;

		if (n > w->len - w->done)
			n = (size_t)(w->len - w->done);
		if (w->receives)
			got = recv(w->fd, buf, n, 0);
		else
			got = send(w->fd, want + w->done % 251, n,
				   MSG_NOSIGNAL);
		if (got <= 0)
			break;
		if (w->receives &&
		    memcmp(buf, want + w->done % 251, (size_t)got) != 0)
			w->is_wrong = true;
		w->done += (uint64_t)got;
	}
	if (!w->receives)
		shutdown(w->fd, SHUT_WR);
	else if (recv(w->fd, buf, 1, 0) != 0) /* then the end, cleanly */
		w->is_wrong = true;
	free(buf);
	free(want);
	return NULL;
}

static void work_start(struct work *w, int fd, bool receives, uint64_t len,
		       size_t step)
{
	*w = (struct work){
		.fd = fd, .receives = receives, .len = len, .step = step
	};
	assert_int_equal(pthread_create(&w->thread, NULL, worker, w), 0);
}

static void work_join(struct work *w)
{
	pthread_join(w->thread, NULL);
	assert_false(w->is_wrong);
	assert_true(w->done == w->len);
}

static void both_ways(size_t pipes, uint64_t len, size_t step)
{
	struct rig r;
	struct work w[4];

	rig_open(&r, pipes, 60000, 60000);
	rig_start(&r, NULL, NULL);
	work_start(&w[0], r.a, false, len, step);
	work_start(&w[1], r.b, true, len, step);
	work_start(&w[2], r.b, false, len, step);
	work_start(&w[3], r.a, true, len, step);
	rig_run_to_end(&r);
	for (int i = 0; i < 4; i++)
		work_join(&w[i]);
	assert_int_equal(r.end.err, 0);
	assert_true(r.end.bytes[0] == len && r.end.bytes[1] == len);
	assert_true(r.group.bytes == 2 * len);
	rig_close(&r);
}

static void bulk_arrives_byte_for_byte_both_ways(void **state)
{
	(void)state;
	both_ways(8, 512ull << 20, 1 << 20);
}

static void bulk_arrives_without_any_pipe(void **state)
{
	(void)state;
	both_ways(0, 256ull << 20, 1 << 20);
}

static void small_segments_arrive_byte_for_byte(void **state)
{
	(void)state;
	both_ways(8, 8ull << 20, 100);
}

static uint64_t cpu_us(void)
{
	struct rusage ru;

	getrusage(RUSAGE_THREAD, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static void on_timer(void *user)
{
	*(bool *)user = true;
}

static void run_for(struct rig *r, uint64_t ms)
{
	bool has_fired = false;
	struct timer *t = timer_new(&r->loop, on_timer, &has_fired);

	timer_start(t, ms);
	while (!has_fired)
		uv_run(&r->loop, UV_RUN_ONCE);
	timer_free(t);
}

/* Sends until nobody takes any more; returns how much went. */
static uint64_t stuff(struct rig *r, int fd, size_t step)
{
	static uint8_t want[65536 + 251];
	uint64_t done = 0, was;

	run_fill(want, 0, sizeof(want));
	do {
		was = done;
		for (;;) {
			ssize_t n = send(fd, want + done % 251, step,
					 MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n <= 0)
				break;
			done += (uint64_t)n;
			uv_run(&r->loop, UV_RUN_NOWAIT);
		}
		run_for(r, 50);
	} while (done > was);
	return done;
}

static void a_blocked_side_costs_no_cpu(size_t pipes, size_t step)
{
	struct rig r;
	struct work w;
	uint64_t sent, before;

	rig_open(&r, pipes, 60000, 60000);
	rig_start(&r, NULL, NULL);
	sent = stuff(&r, r.a, step);
	/* Nobody reads at b. The other direction still works. */
	assert_int_equal(send(r.b, "hello", 5, MSG_NOSIGNAL), 5);
	run_for(&r, 20);
	char got[8];
	assert_int_equal(recv(r.a, got, sizeof(got), MSG_DONTWAIT), 5);
	before = cpu_us();
	run_for(&r, 300);
	assert_in_range(cpu_us() - before, 0, 30000);
	/* And all of it arrives once somebody reads. */
	shutdown(r.a, SHUT_WR);
	work_start(&w, r.b, true, sent, 0);
	shutdown(r.b, SHUT_WR);
	rig_run_to_end(&r);
	work_join(&w);
	assert_int_equal(r.end.err, 0);
	rig_close(&r);
}

static void a_blocked_side_does_not_spin(void **state)
{
	(void)state;
	a_blocked_side_costs_no_cpu(8, 65536);
	a_blocked_side_costs_no_cpu(0, 65536);
}

/* What one side sends and the other does not take waits in the sender's kernel,
 * and not here. Unix sockets say how much lies at the other end. */
static void what_waits_in_a_direction_is_limited(void **state)
{
	static const size_t pipes[] = { 8, 0 };
	static const uint64_t most[] = { 1024 * 1024, 256 * 1024 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(pipes); k++) {
		int a[2], b[2], queued = 0;
		struct rig r;
		uint64_t sent, here;

		rig_open(&r, pipes[k], 60000, 60000);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
		r.a = a[0];
		r.b = b[0];
		assert_int_equal(
			splice_start(r.sp,
				     &(struct splice_params){
					     .side = { { a[1], NULL },
						       { b[1], NULL } },
					     .group = &r.group,
					     .on_end = on_end,
					     .user = &r },
				     &r.pair),
			0);
		sent = stuff(&r, r.a, 65536);
		assert_int_equal(ioctl(r.b, FIONREAD, &queued), 0);
		here = splice_bytes(r.pair, 0) - (uint64_t)queued;
		assert_true(queued > 0 && here > 0);
		assert_true(here <= most[k]);
		assert_true(sent > splice_bytes(r.pair, 0));
		rig_close(&r);
	}
}

/* 400 sends of 100 bytes fill a pipe's 16 slots while it is almost empty. */
static void slots_full_of_small_segments_do_not_spin(void **state)
{
	(void)state;
	a_blocked_side_costs_no_cpu(8, 100);
}

static void bytes_read_before_go_first(void **state)
{
	struct buf fa = { 0 }, fb = { 0 };
	struct rig r;
	char got[16];

	(void)state;
	rig_open(&r, 8, 60000, 100);
	assert_int_equal(buf_append(&fa, "early", 5), 0);
	assert_int_equal(buf_append(&fb, "bird", 4), 0);
	rig_start(&r, &fa, &fb);
	assert_int_equal(send(r.a, "late", 4, 0), 4);
	shutdown(r.a, SHUT_WR);
	shutdown(r.b, SHUT_WR);
	rig_run_to_end(&r);
	assert_int_equal(recv(r.b, got, sizeof(got), MSG_WAITALL), 9);
	assert_memory_equal(got, "earlylate", 9);
	assert_int_equal(recv(r.a, got, sizeof(got), MSG_WAITALL), 4);
	assert_memory_equal(got, "bird", 4);
	assert_true(r.end.bytes[0] == 9 && r.end.bytes[1] == 4);
	assert_int_equal(fa.len, 0);
	rig_close(&r);
}

/* The other side hears the end at once, keeps sending for a while, and both
 * are closed when that is over. */
static void an_end_is_passed_on_and_closes_both_in_time(void **state)
{
	struct rig r;
	char got[16];
	uint64_t start;

	(void)state;
	rig_open(&r, 8, 60000, 200);
	rig_start(&r, NULL, NULL);
	assert_int_equal(send(r.a, "last words", 10, 0), 10);
	shutdown(r.a, SHUT_WR);
	start = loop_now_us(&r.loop);
	while (recv(r.b, got, sizeof(got), MSG_DONTWAIT | MSG_PEEK) != 10)
		uv_run(&r.loop, UV_RUN_ONCE);
	assert_false(r.has_ended);
	assert_int_equal(send(r.b, "mine", 4, 0), 4); /* b stays open */
	rig_run_to_end(&r);
	assert_true(loop_now_us(&r.loop) - start >= 190000);
	assert_int_equal(r.end.err, 0);
	assert_int_equal(recv(r.a, got, sizeof(got), MSG_WAITALL), 4);
	rig_close(&r);
}

static void a_reset_ends_both_and_flushes_what_came(void **state)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	struct rig r;
	char got[16];

	(void)state;
	rig_open(&r, 8, 60000, 60000);
	rig_start(&r, NULL, NULL);
	assert_int_equal(send(r.a, "ten bytes.", 10, 0), 10);
	while (splice_bytes(r.pair, 0) < 10)
		uv_run(&r.loop, UV_RUN_ONCE);
	setsockopt(r.a, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(r.a);
	r.a = -1;
	struct pollfd p = { .fd = r.b, .events = POLLRDHUP };
	while (poll(&p, 1, 0) == 0)
		uv_run(&r.loop, UV_RUN_ONCE);
	assert_int_equal(recv(r.b, got, sizeof(got), 0), 10);
	assert_int_equal(recv(r.b, got, sizeof(got), 0), 0);
	close(r.b);
	r.b = -1;
	rig_run_to_end(&r);
	assert_int_equal(r.end.err, -ECONNRESET);
	rig_close(&r);
}

static void silence_either_way_ends_a_pair(void **state)
{
	struct rig r;
	char got;

	(void)state;
	rig_open(&r, 8, 150, 60000);
	rig_start(&r, NULL, NULL);
	while (!r.has_ended) { /* one way only is silent the other way */
		send(r.a, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		uv_run(&r.loop, UV_RUN_ONCE);
	}
	assert_int_equal(r.end.err, RW_ERR_TIMEOUT);
	/* The kernel does not go on with what nobody waits for. */
	while (recv(r.b, &got, 1, 0) == 1)
		continue;
	assert_int_equal(errno, ECONNRESET);
	rig_close(&r);
}

static void a_cut_closes_both_at_once(void **state)
{
	struct rig r;
	char got[4];

	(void)state;
	rig_open(&r, 8, 60000, 60000);
	rig_start(&r, NULL, NULL);
	uv_run(&r.loop, UV_RUN_NOWAIT);
	splice_cut(r.pair, RW_ERR_NOT_ALLOWED);
	assert_false(r.has_ended); /* never from inside the call */
	assert_true(recv(r.a, got, 1, 0) <= 0);
	assert_true(recv(r.b, got, 1, 0) <= 0);
	rig_run_to_end(&r);
	assert_int_equal(r.end.err, RW_ERR_NOT_ALLOWED);
	rig_close(&r);
}

static void pass(struct rig *r, size_t len)
{
	uint8_t bytes[32768] = { 0 };

	assert_int_equal(send(r->a, bytes, len, 0), len);
	while (len > 0) {
		ssize_t n = recv(r->b, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0)
			len -= (size_t)n;
		else
			uv_run(&r->loop, UV_RUN_ONCE);
	}
}

/* Whoever types has bulk go in short pieces; a slow download does not. */
static void few_bytes_within_a_second_are_typing(void **state)
{
	struct rig r;
	const struct pieces *all;

	(void)state;
	rig_open(&r, 8, 60000, 60000);
	rig_start(&r, NULL, NULL);
	all = loop_pieces(&r.loop);
	while (all->small_us == 0)
		pass(&r, 10);
	/* A second may begin between the two, but not again and again. */
	for (uint64_t before = 0; before != all->small_us;) {
		pass(&r, 20000);
		before = all->small_us;
		run_for(&r, 2);
		pass(&r, 10);
	}
	splice_cut(r.pair, 0);
	rig_run_to_end(&r);
	rig_close(&r);
}

/* Pairs of bulk do not keep a small one waiting. */
static void a_small_pair_is_served_among_bulk(void **state)
{
	enum { BULK = 6 };
	struct rig r, *small = &r;
	struct splice_group group = { 0 };
	struct work out[BULK], in[BULK];
	struct splice *bulk[BULK];
	struct rig ends[BULK];
	char c;

	(void)state;
	rig_open(&r, 8, 60000, 60000);
	rig_start(small, NULL, NULL);
	memset(ends, 0, sizeof(ends));
	for (int i = 0; i < BULK; i++) {
		int a[2], b[2];

		tcp_pair(a);
		tcp_pair(b);
		assert_int_equal(splice_start(r.sp,
					      &(struct splice_params){
						      .side = { { a[1], 0 },
								{ b[1], 0 } },
						      .group = &group,
						      .on_end = on_end,
						      .user = &ends[i] },
					      &bulk[i]),
				 0);
		work_start(&out[i], a[0], false, 64 << 20, 1 << 20);
		work_start(&in[i], b[0], true, 64 << 20, 1 << 20);
	}
	for (int i = 0; i < 50; i++) {
		uint64_t before =
			splicer_count(r.sp).pairs > 0 ? group.bytes : 0;

		assert_int_equal(send(r.a, "k", 1, 0), 1);
		while (recv(r.b, &c, 1, MSG_DONTWAIT) != 1)
			uv_run(&r.loop, UV_RUN_ONCE);
		/* At most two turns of the loop's worth went before it. */
		assert_in_range(group.bytes - before, 0, 9u << 20);
	}
	for (int i = 0; i < BULK; i++) {
		while (out[i].done < out[i].len || in[i].done < in[i].len)
			uv_run(&r.loop, UV_RUN_NOWAIT);
		shutdown(in[i].fd, SHUT_WR);
		while (!ends[i].has_ended)
			uv_run(&r.loop, UV_RUN_ONCE);
		work_join(&out[i]);
		work_join(&in[i]);
		close(out[i].fd);
		close(in[i].fd);
	}
	assert_int_equal(group.pipes, 0);
	rig_close(&r);
}

/* Pipes are lent while bytes are in flight, to one owner at most half. */
static void pipes_are_capped_and_come_back(void **state)
{
	enum { PAIRS = 6 };
	struct splice_group group = { 0 };
	struct splice *pair[PAIRS];
	struct rig ends[PAIRS], r;
	int a[PAIRS][2], b[PAIRS][2];

	(void)state;
	rig_open(&r, 4, 60000, 60000);
	memset(ends, 0, sizeof(ends));
	for (int i = 0; i < PAIRS; i++) {
		tcp_pair(a[i]);
		tcp_pair(b[i]);
		assert_int_equal(
			splice_start(r.sp,
				     &(struct splice_params){
					     .side = { { a[i][1], 0 },
						       { b[i][1], 0 } },
					     .group = &group,
					     .on_end = on_end,
					     .user = &ends[i] },
				     &pair[i]),
			0);
		stuff(&r, a[i][0], 65536); /* nobody reads */
		assert_in_range(splicer_count(r.sp).pipes_lent, 0, 2);
	}
	assert_int_equal(group.pipes, splicer_count(r.sp).pipes_lent);
	for (int i = 0; i < PAIRS; i++) {
		splice_cut(pair[i], RW_ERR_CANCELLED);
		while (!ends[i].has_ended)
			uv_run(&r.loop, UV_RUN_ONCE);
		close(a[i][0]);
		close(b[i][0]);
	}
	assert_int_equal(splicer_count(r.sp).pipes_lent, 0);
	assert_int_equal(group.pipes, 0);
	rig_close(&r);
}

static int wakes_for(int fd)
{
	int len = 0;
	socklen_t size = sizeof(len);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &len, &size),
			 0);
	return len;
}

/* Sends bulk until the relay waits for more of it than comes at once; false
 * when this machine is too slow for that. */
static bool fill_until_it_gathers(struct rig *r)
{
	static uint8_t bytes[1 << 20];

	for (uint64_t sent = 0; sent < 4ull << 30;) {
		ssize_t n = send(r->a, bytes, sizeof(bytes) / 4, MSG_DONTWAIT);

		sent += n > 0 ? (uint64_t)n : 0;
		uv_run(&r->loop, UV_RUN_NOWAIT);
		while (recv(r->b, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		if (wakes_for(r->near_a) > 1)
			return true;
	}
	return false;
}

/* Much at a high rate is taken in larger parts, and what comes last as well;
 * after a pause each byte goes at once again. */
static void bulk_gathers_and_its_end_arrives(void **state)
{
	struct rig r;
	char last[65536];
	ssize_t n = 0;

	(void)state;
	rig_open(&r, 8, 60000, 60000);
	rig_start(&r, NULL, NULL);
	if (fill_until_it_gathers(&r)) {
		assert_int_equal(send(r.a, "k", 1, 0), 1);
		while (n <= 0 || last[n - 1] != 'k') {
			n = recv(r.b, last, sizeof(last), MSG_DONTWAIT);
			if (n < 0)
				uv_run(&r.loop, UV_RUN_ONCE);
		}
		while (wakes_for(r.near_a) > 1)
			uv_run(&r.loop, UV_RUN_ONCE);
		pass(&r, 10);
	} else {
		print_message("too slow here to gather\n");
	}
	splice_cut(r.pair, 0);
	rig_run_to_end(&r);
	rig_close(&r);
}

/* Where the far side takes nothing any more nobody looks every millisecond. */
static void who_is_stalled_gathers_no_more(void **state)
{
	static uint8_t bytes[65536];
	uint64_t by = loop_now_us(NULL) + 10000000;
	struct rig r;

	(void)state;
	rig_open(&r, 8, 60000, 60000);
	rig_start(&r, NULL, NULL);
	if (fill_until_it_gathers(&r)) {
		do
			uv_run(&r.loop, UV_RUN_NOWAIT);
		while (send(r.a, bytes, sizeof(bytes), MSG_DONTWAIT) > 0);
		while (wakes_for(r.near_a) > 1 && loop_now_us(NULL) < by)
			uv_run(&r.loop, UV_RUN_ONCE);
		assert_int_equal(wakes_for(r.near_a), 1);
	} else {
		print_message("too slow here to gather\n");
	}
	splice_cut(r.pair, 0);
	rig_run_to_end(&r);
	rig_close(&r);
}

static void a_rate_is_kept_and_costs_no_byte(void **state)
{
	enum { LEN = 8 << 20 };
	struct work out, in;
	struct rig r;
	uint64_t start, us;

	(void)state;
	rig_open(&r, 8, 60000, 60000);
	r.group.rate = 16 << 20;
	rig_start(&r, NULL, NULL);
	start = loop_now_us(&r.loop);
	work_start(&out, r.a, false, LEN, 65536);
	work_start(&in, r.b, true, LEN, 0);
	while (splice_bytes(r.pair, 0) < LEN)
		uv_run(&r.loop, UV_RUN_ONCE);
	us = loop_now_us(&r.loop) - start;
	/* Half a second's worth, less what may be saved up at first. */
	assert_true(us >= 350000);
	shutdown(r.b, SHUT_WR);
	rig_run_to_end(&r);
	work_join(&out);
	work_join(&in);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk_arrives_byte_for_byte_both_ways),
		cmocka_unit_test(bulk_arrives_without_any_pipe),
		cmocka_unit_test(small_segments_arrive_byte_for_byte),
		cmocka_unit_test(a_blocked_side_does_not_spin),
		cmocka_unit_test(slots_full_of_small_segments_do_not_spin),
		cmocka_unit_test(what_waits_in_a_direction_is_limited),
		cmocka_unit_test(bytes_read_before_go_first),
		cmocka_unit_test(an_end_is_passed_on_and_closes_both_in_time),
		cmocka_unit_test(a_reset_ends_both_and_flushes_what_came),
		cmocka_unit_test(silence_either_way_ends_a_pair),
		cmocka_unit_test(a_cut_closes_both_at_once),
		cmocka_unit_test(few_bytes_within_a_second_are_typing),
		cmocka_unit_test(a_small_pair_is_served_among_bulk),
		cmocka_unit_test(pipes_are_capped_and_come_back),
		cmocka_unit_test(bulk_gathers_and_its_end_arrives),
		cmocka_unit_test(who_is_stalled_gathers_no_more),
		cmocka_unit_test(a_rate_is_kept_and_costs_no_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

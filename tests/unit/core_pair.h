/* SPDX-License-Identifier: MIT */
/*
 * Two sessions, a client and a rig, and the connections between them as queues
 * in memory: for the tests of the core. Nothing moves but what a test moves.
 * All of it is here, since each of five test programs uses most of it.
 */
#pragma once
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "core/parts.h"

#define CLIENT 0
#define RIG    1
#define FLOOR  16384
#define KEPT   400

/* What happened to one stream at one end. */
struct seen {
	struct stream *st; /* NULL once closed */
	struct buf bytes;
	size_t take; /* on_data takes at most so many at a time */
	unsigned connected, eofs, rooms, closed, datas;
	int err;
	char text[STREAM_TEXT_MAX + 1];
};

struct side {
	struct session *s;
	struct budget budget;
	unsigned wakes, lives, drops, doubts, ends, wants;
	bool woken;	    /* and not run since */
	uint64_t next_tick; /* when it wants to be run anyway */
	int drop_err, end_err;
	char end_text[REFUSED_TEXT_MAX + 1];
	bool refuses;		 /* on_open takes nothing */
	size_t take;		 /* of streams that come */
	struct seen *come[KEPT]; /* streams the peer opened */
	size_t come_count;
	bool in_call; /* the test is inside a call: no callback may run */
};

/* One connection; q[i] is on its way to side i. */
struct wire {
	struct carrier *c[2];
	struct buf q[2];
	bool greeted;
};

struct pair {
	struct side side[2];
	struct wire *wires[64];
	size_t wire_count;
	uint64_t now;
	struct session_limits limits;
	struct seen *seen[2 * KEPT];
	size_t seen_count;
};

static struct pair pair;

static inline struct seen *seen_new(size_t take)
{
	struct seen *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	buf_init(&e->bytes);
	e->take = take;
	assert_true(pair.seen_count < 2 * KEPT);
	pair.seen[pair.seen_count++] = e;
	return e;
}

static inline void not_inside(struct stream *st)
{
	struct side *sd = session_user(stream_session(st));

	assert_false(sd->in_call);
}

static inline size_t pair_on_data(struct stream *st, const uint8_t *data,
				  size_t len)
{
	struct seen *e = stream_user(st);

	not_inside(st);
	e->datas++;
	len = MIN(len, e->take);
	if (len == 0 || buf_append(&e->bytes, data, len) != 0)
		return 0;
	return len;
}

static inline void pair_on_connected(struct stream *st)
{
	not_inside(st);
	((struct seen *)stream_user(st))->connected++;
}

static inline void pair_on_eof(struct stream *st)
{
	not_inside(st);
	((struct seen *)stream_user(st))->eofs++;
}

static inline void pair_on_room(struct stream *st)
{
	not_inside(st);
	((struct seen *)stream_user(st))->rooms++;
}

static inline void pair_on_closed(struct stream *st, int err, const char *text)
{
	struct seen *e = stream_user(st);

	not_inside(st);
	assert_int_equal(e->closed, 0);
	assert_non_null(text);
	e->closed++;
	e->err = err;
	strncpy(e->text, text, sizeof(e->text) - 1);
	e->st = NULL;
}

static const struct stream_ops pair_stream_ops = {
	.on_connected = pair_on_connected,
	.on_data = pair_on_data,
	.on_eof = pair_on_eof,
	.on_room = pair_on_room,
	.on_closed = pair_on_closed,
};

static inline void pair_on_open(struct session *s, struct stream *st)
{
	struct side *sd = session_user(s);
	struct seen *e;

	if (sd->refuses)
		return;
	assert_true(sd->come_count < KEPT);
	e = seen_new(sd->take);
	if (e == NULL) {
		stream_reset(st, RW_ERR_NOMEM, "out of memory");
		return;
	}
	sd->come[sd->come_count++] = e;
	e->st = st;
	stream_take(st, &pair_stream_ops, e);
	stream_connected(st);
}

static inline void pair_on_live(struct session *s, struct carrier *c,
				const struct welcome *w)
{
	struct side *sd = session_user(s);

	(void)c;
	assert_int_equal(w != NULL, sd == &pair.side[CLIENT]);
	if (w != NULL)
		assert_string_equal(w->info.name, "desk");
	sd->lives++;
}

static inline void pair_on_drop(struct session *s, struct carrier *c, int err,
				const char *text)
{
	struct side *sd = session_user(s);
	struct wire *w = carrier_user(c);

	assert_non_null(text);
	sd->drops++;
	sd->drop_err = err;
	if (w != NULL)
		w->c[sd - pair.side] = NULL;
}

static inline void pair_on_doubt(struct session *s, struct carrier *c)
{
	struct side *sd = session_user(s);

	assert_ptr_equal(c->s, s);
	sd->doubts++;
}

static inline void pair_on_wake(struct session *s)
{
	struct side *sd = session_user(s);

	sd->wakes++;
	sd->woken = true;
}

static inline void pair_on_wants(struct session *s)
{
	struct side *sd = session_user(s);

	sd->wants++;
}

static inline void pair_on_ended(struct session *s, int err, const char *text)
{
	struct side *sd = session_user(s);

	sd->ends++;
	sd->end_err = err;
	strncpy(sd->end_text, text, sizeof(sd->end_text) - 1);
}

static const struct session_ops pair_session_ops = {
	.on_open = pair_on_open,
	.on_live = pair_on_live,
	.on_drop = pair_on_drop,
	.on_doubt = pair_on_doubt,
	.on_wake = pair_on_wake,
	.on_wants = pair_on_wants,
	.on_ended = pair_on_ended,
};

static inline int side_new(int i, uint64_t incarnation)
{
	struct side *sd = &pair.side[i];
	struct session_params p = {
		.is_client = i == CLIENT,
		.id = "fifteen letters",
		.incarnation = incarnation,
		.limits = pair.limits,
		.budget = &sd->budget,
		.ops = &pair_session_ops,
		.user = sd,
		.now_us = pair.now,
	};

	return session_new(&p, &sd->s);
}

/* Budget and limits may be changed between init and start. */
static inline void pair_init(void)
{
	memset(&pair, 0, sizeof(pair));
	pair.now = 1000000;
	pair.limits = (struct session_limits){
		.max_streams = 64,
		.send_max = 1024 * 1024,
		.carriers_max = 4,
		.in_flight_min = 65536,
		.keep_s = 60,
		.ping_interval_us = 5000000,
		.ping_timeout_us = 4000000,
	};
	for (int i = 0; i < 2; i++) {
		budget_init(&pair.side[i].budget, 16 * 1024 * 1024, FLOOR,
			    1024 * 1024);
		pair.side[i].take = SIZE_MAX;
	}
}

static inline void pair_start(void)
{
	assert_int_equal(side_new(CLIENT, 11), 0);
	assert_int_equal(side_new(RIG, 22), 0);
}

static inline void pair_done(void)
{
	for (int i = 0; i < 2; i++)
		if (pair.side[i].s != NULL)
			session_free(pair.side[i].s);
	for (size_t i = 0; i < pair.wire_count; i++) {
		buf_done(&pair.wires[i]->q[0]);
		buf_done(&pair.wires[i]->q[1]);
		free(pair.wires[i]);
	}
	for (size_t i = 0; i < pair.seen_count; i++) {
		buf_done(&pair.seen[i]->bytes);
		free(pair.seen[i]);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pair.side[i].budget.lent, 0);
		assert_int_equal(pair.side[i].budget.kept, 0);
		assert_int_equal(pair.side[i].budget.streams, 0);
	}
}

static inline int teardown(void **state)
{
	(void)state;
	pair_done();
	return 0;
}

static inline struct session *client(void)
{
	return pair.side[CLIENT].s;
}

static inline struct session *rig(void)
{
	return pair.side[RIG].s;
}

/* --- connections --- */

/* The client dials; NULL when the core makes no carrier. */
static inline struct wire *wire_dial(void)
{
	struct wire *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->c[CLIENT] = session_dial(pair.side[CLIENT].s, NULL, pair.now);
	if (w->c[CLIENT] == NULL) {
		free(w);
		return NULL;
	}
	carrier_set_user(w->c[CLIENT], w);
	buf_init(&w->q[0]);
	buf_init(&w->q[1]);
	assert_true(pair.wire_count < ARRAY_LEN(pair.wires));
	pair.wires[pair.wire_count++] = w;
	return w;
}

/* Moves what side i may send now into the queue to the other: bytes moved. */
static inline size_t wire_pull(struct wire *w, int i)
{
	size_t n, all = 0;
	const uint8_t *data;

	while (w->c[i] != NULL &&
	       (n = carrier_output(w->c[i], &data, pair.now)) > 0) {
		assert_true(n <= FRAME_MAX);
		if (buf_append(&w->q[1 - i], data, n) != 0)
			break;
		all += n;
	}
	return all;
}

static inline void wire_greet(struct wire *w, bool fresh)
{
	static const struct rig_info info = { .name = "desk" };
	struct hello h;
	size_t len;
	const uint8_t *data = buf_peek(&w->q[RIG], &len);
	ssize_t n = hello_read(data, len, &h);

	assert_true(n >= 0);
	if (n == 0)
		return;
	w->greeted = true;
	buf_drain(&w->q[RIG], (size_t)n);
	w->c[RIG] =
		session_accept(pair.side[RIG].s, &h, fresh, &info, pair.now);
	if (w->c[RIG] != NULL)
		carrier_set_user(w->c[RIG], w);
}

/* Hands side i what has come: bytes taken, or the core's error. */
static inline ssize_t wire_deliver(struct wire *w, int i)
{
	size_t len;
	const uint8_t *data = buf_peek(&w->q[i], &len);
	ssize_t n;

	if (len == 0)
		return 0;
	if (i == RIG && !w->greeted) {
		wire_greet(w, false);
		return 1;
	}
	if (w->c[i] == NULL)
		return 0;
	n = carrier_input(w->c[i], data, len, pair.now);
	if (n < 0)
		w->c[i] = NULL;
	else
		buf_drain(&w->q[i], (size_t)n);
	return n;
}

static inline void side_tick(struct side *sd)
{
	if (sd->s == NULL)
		return;
	sd->woken = false;
	sd->next_tick = session_tick(sd->s, pair.now);
}

static inline void tick(void)
{
	side_tick(&pair.side[CLIENT]);
	side_tick(&pair.side[RIG]);
}

/* As a driver does it: a side is run when it woke or its time has come, and
 * only then is its output pulled. */
static inline bool side_run(int i)
{
	struct side *sd = &pair.side[i];

	if (sd->s == NULL || (!sd->woken && pair.now < sd->next_tick))
		return false;
	side_tick(sd);
	for (size_t k = 0; k < pair.wire_count; k++)
		wire_pull(pair.wires[k], i);
	return true;
}

/* Everything moves until nothing does. */
static inline void settle(void)
{
	bool moved = true;

	for (int k = 0; moved && k < 10000; k++) {
		moved = side_run(CLIENT);
		moved |= side_run(RIG);
		for (size_t i = 0; i < pair.wire_count; i++)
			for (int j = 0; j < 2; j++)
				moved |= wire_deliver(pair.wires[i], j) > 0;
	}
	assert_false(moved);
}

static inline void advance(uint64_t us)
{
	pair.now += us;
	settle();
}

static inline struct wire *wire_up(void)
{
	struct wire *w = wire_dial();

	settle();
	return w;
}

/* Both ends are live; what they say about streams has not moved yet. */
static inline struct wire *wire_up_to_hello(void)
{
	struct wire *w = wire_dial();

	wire_pull(w, CLIENT);
	wire_deliver(w, RIG);
	wire_pull(w, RIG);
	wire_deliver(w, CLIENT);
	return w;
}

/* The connection is gone, with all that was on its way; both ends know. */
static inline void wire_cut(struct wire *w)
{
	for (int i = 0; i < 2; i++) {
		struct carrier *c = w->c[i];

		w->c[i] = NULL;
		buf_reset(&w->q[i]);
		if (c != NULL)
			carrier_close(c, pair.now);
	}
}

/* --- streams --- */

static inline struct seen *open_at(int i, const char *target)
{
	struct seen *e = seen_new(SIZE_MAX);
	struct side *sd = &pair.side[i];

	if (e == NULL)
		return NULL;
	sd->in_call = true;
	if (stream_open(sd->s, &(struct stream_to){ STREAM_TCP, target },
			&pair_stream_ops, e, &e->st) != 0)
		e->st = NULL;
	sd->in_call = false;
	return e;
}

static inline uint8_t pattern(uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 11));
}

/* Writes the next len bytes of the pattern; returns how many were taken. */
static inline size_t write_at(int i, struct seen *e, size_t len)
{
	struct side *sd = &pair.side[i];
	size_t done = 0;

	sd->in_call = true;
	while (done < len) {
		size_t room;
		uint8_t *at = stream_room(e->st, &room);

		if (at == NULL)
			break;
		room = MIN(room, len - done);
		for (size_t k = 0; k < room; k++)
			at[k] = pattern(e->st->out.end + k);
		stream_wrote(e->st, room);
		done += room;
	}
	sd->in_call = false;
	return done;
}

/* Writes len bytes as the limits allow. */
static inline void send_at(int i, struct seen *e, size_t len)
{
	for (int k = 0; len > 0 && k < 10000; k++) {
		len -= write_at(i, e, len);
		settle();
	}
	assert_int_equal(len, 0);
}

static inline void finish_at(int i, struct seen *e)
{
	pair.side[i].in_call = true;
	stream_finish(e->st);
	pair.side[i].in_call = false;
}

static inline void reset_at(int i, struct seen *e, int err, const char *text)
{
	pair.side[i].in_call = true;
	stream_reset(e->st, err, text);
	pair.side[i].in_call = false;
}

/* Takes up to len bytes that the core kept. */
static inline size_t consume_at(int i, struct seen *e, size_t len)
{
	size_t done = 0, n;
	const uint8_t *data;

	pair.side[i].in_call = true;
	while (done < len && (data = stream_peek(e->st, &n)) != NULL) {
		n = MIN(n, len - done);
		assert_int_equal(buf_append(&e->bytes, data, n), 0);
		stream_consume(e->st, n);
		done += n;
	}
	pair.side[i].in_call = false;
	return done;
}

static inline void check_got(struct seen *e, size_t want)
{
	size_t len;
	const uint8_t *data = buf_peek(&e->bytes, &len);

	assert_int_equal(len, want);
	for (size_t i = 0; i < len; i++)
		if (data[i] != pattern(i))
			fail_msg("byte %zu of %zu is wrong", i, len);
}

/* --- frames of a test's own making --- */

struct raw {
	uint8_t b[FRAME_MAX];
	size_t len;
};

static inline struct raw raw_data(uint32_t id, uint64_t off, size_t len)
{
	struct raw r = { .len = FRAME_DATA_HDR + len };

	frame_header(r.b, FRAME_DATA, 0, 8 + len, id);
	put_be64(r.b + 8, off);
	for (size_t i = 0; i < len; i++)
		r.b[FRAME_DATA_HDR + i] = pattern(off + i);
	return r;
}

static inline struct raw raw_u64(enum frame_type type, uint32_t id, uint64_t v)
{
	struct raw r;

	r.len = frame_put_u64(r.b, type, id, v);
	return r;
}

static inline struct raw raw_state(uint32_t id, uint64_t received,
				   uint64_t consumed, uint64_t limit)
{
	struct raw r;

	r.len = frame_put_state(
		r.b, id,
		&(struct frame_state){ false, received, consumed, limit });
	return r;
}

static inline struct raw raw_open(uint32_t id, uint32_t limit)
{
	struct raw r;

	r.len = frame_put_open(r.b, id, limit, STREAM_TCP, "raw:1");
	return r;
}

static inline struct raw raw_empty(enum frame_type type, uint32_t id)
{
	struct raw r;

	r.len = frame_put_empty(r.b, type, id);
	return r;
}

static inline struct raw raw_end(uint32_t id, uint16_t code)
{
	struct raw r;

	r.len = frame_put_end(r.b, id, code);
	return r;
}

static inline struct raw raw_reset(uint32_t id, uint16_t code, const char *text)
{
	struct raw r;

	r.len = frame_put_reset(r.b, id, code, text);
	return r;
}

/* Side i reads r as if the peer had sent it: 0 or the core's error. */
static inline int inject(struct wire *w, int i, struct raw r)
{
	ssize_t n = carrier_input(w->c[i], r.b, r.len, pair.now);

	if (n < 0) {
		w->c[i] = NULL;
		return (int)n;
	}
	assert_int_equal(n, r.len);
	return 0;
}

/* The first frame of the type that is on its way to side i; false if none. The
 * control stream's do not count. */
static inline bool on_its_way(struct wire *w, int i, uint8_t type,
			      struct frame *ret)
{
	size_t len, at = 0;
	const uint8_t *data = buf_peek(&w->q[i], &len);
	ssize_t n;

	while (at < len && (n = frame_decode(data + at, len - at, ret)) > 0) {
		if (ret->type == type &&
		    (type < FRAME_OPEN || ret->stream != 0))
			return true;
		at += (size_t)n;
	}
	return false;
}

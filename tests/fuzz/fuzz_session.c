/* SPDX-License-Identifier: MIT */
/*
 * A session with a hostile peer: the input is a program of a byte an order and
 * its arguments. Some orders are the peer's frames, some what the user of the
 * session does, some what happens to carriers and time. What the session sends
 * must always be sound, and at the end nothing may be left.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "core/parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define CARRIERS 4
#define STREAMS	 16

static struct session *s;
static struct budget budget;
static struct carrier *carriers[CARRIERS];
static struct stream *streams[STREAMS];
static uint64_t now;
static uint32_t numbers;
static bool in_call;
static uint8_t taste; /* how the users behave */

static struct stream **slot_of(const struct stream *st)
{
	for (size_t i = 0; i < STREAMS; i++)
		if (streams[i] == st)
			return &streams[i];
	return NULL;
}

static size_t on_data(struct stream *st, const uint8_t *data, size_t len)
{
	CHECK(!in_call);
	CHECK((data == NULL) == (len == 0));
	if ((taste & 1) != 0 && len > 3)
		return len / 2;
	if ((taste & 2) != 0)
		stream_reset(st, -20022, "enough");
	if ((taste & 4) != 0)
		stream_finish(st);
	if ((taste & 8) != 0)
		return 0;
	return len;
}

static void on_eof(struct stream *st)
{
	CHECK(!in_call);
	if ((taste & 16) != 0)
		stream_finish(st);
}

static void on_event(struct stream *st)
{
	CHECK(!in_call);
	if ((taste & 32) != 0)
		stream_write(st, "more", 4);
}

static void on_closed(struct stream *st, int err, const char *text)
{
	struct stream **slot = slot_of(st);

	CHECK(!in_call && err <= 0 && text != NULL);
	if (slot != NULL)
		*slot = NULL;
}

static const struct stream_ops stream_ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_connected = on_event,
	.on_room = on_event,
	.on_closed = on_closed,
};

static void on_open(struct session *ses, struct stream *st)
{
	struct stream **slot = slot_of(NULL);

	(void)ses;
	if (slot == NULL || (taste & 64) != 0)
		return;
	*slot = st;
	stream_take(st, &stream_ops, NULL);
	if ((taste & 128) == 0)
		stream_connected(st);
}

static void on_live(struct session *ses, struct carrier *c,
		    const struct welcome *w)
{
	(void)ses, (void)c, (void)w;
}

static void on_drop(struct session *ses, struct carrier *c, int err,
		    const char *text)
{
	(void)ses, (void)err, (void)text;
	for (size_t i = 0; i < CARRIERS; i++)
		if (carriers[i] == c)
			carriers[i] = NULL;
}

static void on_wake(struct session *ses)
{
	(void)ses;
}

static void on_ended(struct session *ses, int err, const char *text)
{
	(void)ses, (void)err, (void)text;
}

static const struct session_ops session_ops = {
	.on_open = on_open,
	.on_live = on_live,
	.on_drop = on_drop,
	.on_wake = on_wake,
	.on_ended = on_ended,
};

static void start(bool is_client)
{
	struct session_params p = {
		.is_client = is_client,
		.incarnation = 5,
		.limits = { .max_streams = 8,
			    .send_max = 65536,
			    .carriers_max = 3,
			    .in_flight_min = 4096,
			    .keep_s = 9,
			    .ping_interval_us = 5000000,
			    .ping_timeout_us = 4000000 },
		.budget = &budget,
		.ops = &session_ops,
		.now_us = now = 1000000,
	};

	memset(carriers, 0, sizeof(carriers));
	memset(streams, 0, sizeof(streams));
	numbers = 0;
	in_call = false;
	budget_init(&budget, 1 << 20, 4096, 65536);
	CHECK(session_new(&p, &s) == 0);
}

static void attach(size_t k, uint8_t arg)
{
	static const struct rig_info info = { .name = "desk" };
	struct hello h = { .version_min = 1,
			   .version_max = 1,
			   .incarnation = 9,
			   .carrier = ++numbers,
			   .floor = 4096,
			   .max_streams = 8 };

	if (carriers[k] != NULL)
		return;
	if (s->p.is_client) {
		carriers[k] = session_dial(s, NULL, now);
		return;
	}
	/* Any of the others may be listed. */
	for (uint32_t n = 1; n < numbers && h.live_count < HELLO_CARRIERS; n++)
		if ((arg >> (n % 8) & 1) != 0)
			h.live[h.live_count++] = n;
	if ((arg & 0x80) != 0)
		h.floor = UINT32_MAX;
	carriers[k] = session_accept(s, &h, (arg & 1) != 0, &info, now);
}

static void feed(size_t k, const uint8_t *data, size_t len)
{
	/* A copy of its own, so that reading beyond it is seen. */
	uint8_t *copy = malloc(len + 1);
	ssize_t n;

	if (carriers[k] != NULL && copy != NULL && data != NULL) {
		memcpy(copy, data, len);
		n = carrier_input(carriers[k], copy, len, now);
		CHECK(n <= (ssize_t)len);
		if (n < 0)
			carriers[k] = NULL;
	}
	free(copy);
}

static void answer(size_t k, uint8_t arg)
{
	static struct welcome w;
	uint8_t out[FRAME_MAX];

	w = (struct welcome){ .version = 1,
			      .incarnation = 1 + (uint64_t)(arg & 3),
			      .fresh = (arg & 4) != 0,
			      .floor = 4096,
			      .max_streams = arg >> 3,
			      .keep_s = 1 };
	feed(k, out, welcome_write(&w, out));
}

/* What goes out is sound: whole frames that any peer would take. */
static void pull(size_t k, unsigned most)
{
	const uint8_t *data;
	size_t n;

	while (most-- > 0 && carriers[k] != NULL &&
	       (n = carrier_output(carriers[k], &data, now)) > 0) {
		CHECK(n <= FRAME_MAX);
		while (n > 0) {
			struct frame f;
			ssize_t m = frame_decode(data, n, &f);

			CHECK(m > 0);
			data += m;
			n -= (size_t)m;
		}
	}
}

/* A frame with small numbers, so that it is often nearly right. */
static void feed_frame(size_t k, struct reader *r)
{
	static const uint8_t types[] = {
		FRAME_OPEN,  FRAME_DATA, FRAME_FIN,  FRAME_STATE, FRAME_ASK,
		FRAME_RESET, FRAME_END,	 FRAME_GONE, FRAME_READ,  FRAME_STREAMS,
		FRAME_PING,  FRAME_PONG, FRAME_LIVE, FRAME_WANTS, FRAME_LEAVE,
	};
	uint8_t out[FRAME_MAX], type = reader_u8(r);
	uint32_t id = reader_u8(r);
	uint64_t v = reader_u8(r), big = type >> 4;
	size_t n;

	type = types[(type & 15) % ARRAY_LEN(types)];
	if (big == 1)
		v *= 257;
	else if (big == 2)
		v = UINT64_MAX - v;
	else if (big == 3 && streams[id % STREAMS] != NULL)
		v += streams[id % STREAMS]->in.end;
	switch (type) {
	case FRAME_OPEN:
		n = frame_put_open(out, id | 1u << 31 * (big == 4), (uint32_t)v,
				   1, "x:1");
		break;
	case FRAME_DATA:
		n = FRAME_DATA_HDR + 1 + v % 3000;
		memset(out, 'x', sizeof(out));
		frame_put_u64(out, FRAME_DATA, id, v);
		frame_header(out, FRAME_DATA, (uint8_t)(big & 1),
			     n - FRAME_HDR_LEN, id);
		break;
	case FRAME_STATE:
		n = frame_put_state(out, id,
				    &(struct frame_state){ (big & 1) != 0, v,
							   v - reader_u8(r) % 4,
							   v * 256 });
		break;
	case FRAME_LIVE:
		n = frame_put_live(out, id, &(uint32_t){ (uint32_t)v }, 1);
		break;
	case FRAME_STREAMS: n = frame_put_streams(out, (uint32_t)v); break;
	case FRAME_RESET:
		n = frame_put_reset(out, id, (uint16_t)v, "why");
		break;
	case FRAME_END: n = frame_put_end(out, id, (uint16_t)(v % 3)); break;
	case FRAME_LEAVE: n = frame_put_empty(out, type, 0); break;
	case FRAME_ASK:
	case FRAME_GONE: n = frame_put_empty(out, type, id); break;
	default:
		n = frame_put_u64(out, type, type == FRAME_FIN ? id : 0, v);
		break;
	}
	feed(k, out, n);
}

static void use_stream(struct reader *r)
{
	uint8_t what = reader_u8(r), arg = reader_u8(r);
	struct stream *st = streams[what % STREAMS], **slot = slot_of(NULL);
	static uint8_t bytes[256 * 64];
	size_t n;

	in_call = true;
	if (what >> 4 == 0 && slot != NULL &&
	    stream_open(s, &(struct stream_to){ STREAM_TCP, "y:2" },
			&stream_ops, NULL, &st) == 0)
		*slot = st;
	else if (st == NULL)
		st = session_control(s);
	if (st == NULL) {
		in_call = false;
		return;
	}
	switch (what >> 4) {
	case 1:
		if (stream_room(st, &n) != NULL)
			stream_wrote(st, 0);
		break;
	case 2: stream_finish(st); break;
	case 3: stream_reset(st, -20000 - arg % 40, "\n\xff over"); break;
	case 4: stream_connected(st); break;
	case 5:
		if (stream_peek(st, &n) != NULL)
			stream_consume(st, MIN(n, (size_t)arg * 16));
		break;
	case 6:
		if (st == session_control(s) && slot_of(st) == NULL)
			stream_take(st, &stream_ops, NULL);
		break;
	default:
		if (what >> 4 > 6)
			stream_write(st, bytes, (size_t)arg * 64);
		break;
	}
	in_call = false;
}

/* What the spreading decides, at any time. */
static void move(struct carrier *c, uint8_t arg)
{
	if ((arg & 0xf0) == 0xf0 && s->p.is_client)
		carrier_retire(c, now);
	else if (c->state == CARRIER_LIVE && streams[arg % STREAMS] != NULL)
		stream_move(streams[arg % STREAMS], c);
}

static void order(struct reader *r)
{
	uint8_t op = reader_u8(r), arg;
	size_t k = op >> 4 & 3;
	size_t n;

	switch (op & 15) {
	case 0: attach(k, reader_u8(r)); break;
	case 1: answer(k, reader_u8(r)); break;
	case 2:
		n = MIN(reader_u16(r), r->left);
		feed(k, reader_bytes(r, n), n);
		break;
	case 3: pull(k, 1); break;
	case 4: pull(k, 100); break;
	case 5:
		if (carriers[k] != NULL)
			carrier_close(carriers[k], now);
		carriers[k] = NULL;
		break;
	case 6:
		arg = reader_u8(r);
		now += (uint64_t)arg * (op >> 6 == 3 ? 100000 : 1000);
		session_tick(s, now);
		break;
	case 7: taste = reader_u8(r); break;
	case 8:
		if (carriers[k] != NULL)
			carrier_suspect(carriers[k], 100000, now);
		break;
	case 9:
		arg = reader_u8(r);
		if (arg == 0xee)
			session_say_end(s, -20012, "replaced");
		else if (carriers[k] != NULL)
			move(carriers[k], arg);
		break;
	case 10:
	case 11: use_stream(r); break;
	default: feed_frame(k, r); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r;

	if (len < 1)
		return 0;
	taste = 0;
	start((data[0] & 1) != 0);
	reader_init(&r, data + 1, len - 1);
	while (r.left > 0 && !r.failed)
		order(&r);
	for (size_t k = 0; k < CARRIERS; k++)
		pull(k, 1000);
	CHECK(budget.lent <= budget.total / 2);
	CHECK(budget.streams <= 16);
	session_free(s);
	CHECK(budget.lent == 0 && budget.kept == 0 && budget.streams == 0);
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/frame.h"
#include "wire/hello.h"

/* DATA on stream 7 at offset 256, "hi", marked; also vectors/data.hex. */
static const uint8_t data_hi[] = { 0x11, 1, 0, 10, 0, 0, 0, 7,	 0,
				   0,	 0, 0, 0,  0, 1, 0, 'h', 'i' };

/* However the network cuts it, a frame is whole or not there yet. */
static void every_prefix_asks_for_more(void **state)
{
	struct frame f = { .stream = 99 };

	(void)state;
	for (size_t n = 0; n < sizeof(data_hi); n++)
		assert_int_equal(frame_decode(data_hi, n, &f), 0);
	assert_int_equal(f.stream, 99); /* untouched until success */
	assert_int_equal(frame_decode(data_hi, sizeof(data_hi), &f), 18);
	assert_int_equal(f.type, FRAME_DATA);
	assert_int_equal(f.flags, FRAME_FLAG_MARK);
	assert_int_equal(f.stream, 7);
	assert_int_equal(f.len, 10);
	assert_int_equal(get_be64(f.payload), 256);
	assert_memory_equal(f.payload + 8, "hi", 2);
}

static void bad_headers_fail_before_the_payload_arrives(void **state)
{
	static const uint8_t bad[][FRAME_HDR_LEN] = {
		{ 0, 0, 0, 0, 0, 0, 0, 0 },    /* no type */
		{ 0x0b, 0, 0, 0, 0, 0, 0, 0 }, /* not given out */
		{ 0x18, 0, 0, 8, 0, 0, 0, 1 }, /* nor this */
		{ 0x21, 0, 0, 8, 0, 0, 0, 1 }, /* nor this */
		{ 0x40, 0, 0, 8, 0, 0, 0, 0 }, /* the relay's */
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 0x11, 2, 0, 10, 0, 0, 0, 7 },	     /* a flag of STATE */
		{ 0x11, 0x80, 0, 10, 0, 0, 0, 7 },   /* no flag at all */
		{ 0x01, 1, 0, 20, 0, 0, 0, 0 },	     /* HELLO has none */
		{ 0x11, 0, 0x3f, 0xf9, 0, 0, 0, 7 }, /* one too long */
		{ 0x11, 0, 0, 8, 0, 0, 0, 7 },	     /* DATA without bytes */
		{ 0x04, 0, 0, 8, 0, 0, 0, 1 },	     /* PING on a stream */
		{ 0x10, 0, 0, 9, 0, 0, 0, 0 },	     /* OPEN of stream 0 */
		{ 0x12, 0, 0, 8, 0, 0, 0, 0 },	     /* which has no end */
		{ 0x14, 0, 0, 1, 0, 0, 0, 1 },	     /* ASK with a payload */
	};
	struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(frame_decode(bad[i], FRAME_HDR_LEN, &f),
				 RW_ERR_PROTO);
}

/* The bounds of each type, and one beyond each. */
static void each_type_keeps_its_bounds(void **state)
{
	static uint8_t buf[FRAME_HDR_LEN + UINT16_MAX];
	struct frame f;
	size_t min, max, types = 0;

	(void)state;
	for (unsigned t = 0; t < 256; t++) {
		if (!frame_type_bounds((uint8_t)t, &min, &max))
			continue;
		types++;
		for (uint32_t id = 0; id < 2; id++) {
			bool takes;
			const size_t lens[] = { min, max };

			buf[0] = (uint8_t)t;
			put_be32(buf + 4, id);
			put_be16(buf + 2, (uint16_t)min);
			takes = frame_decode(buf, sizeof(buf), &f) > 0;
			for (int k = 0; k < 2 && takes; k++) {
				put_be16(buf + 2, (uint16_t)lens[k]);
				assert_int_equal(
					frame_decode(buf, sizeof(buf), &f),
					FRAME_HDR_LEN + lens[k]);
			}
			put_be16(buf + 2, (uint16_t)(max + 1));
			assert_int_equal(frame_decode(buf, sizeof(buf), &f),
					 RW_ERR_PROTO);
			if (min == 0)
				continue;
			put_be16(buf + 2, (uint16_t)(min - 1));
			assert_int_equal(frame_decode(buf, sizeof(buf), &f),
					 RW_ERR_PROTO);
		}
	}
	assert_int_equal(types, 19);
	assert_int_equal(FRAME_MAX, 16384); /* one TLS record */
}

static void what_is_written_reads_as_the_same(void **state)
{
	uint8_t b[FRAME_MAX];
	struct frame f;
	size_t n;

	(void)state;
	n = frame_put_u64(b, FRAME_FIN, 5, UINT64_C(0x0102030405060708));
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(get_be64(f.payload), 0x0102030405060708);
	n = frame_put_streams(b, UINT32_MAX);
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(get_be32(f.payload), UINT32_MAX);
	n = frame_put_empty(b, FRAME_GONE, UINT32_MAX);
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(f.stream, UINT32_MAX);
	n = frame_put_open(b, 9, 16384, 1, "node2:8888");
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(get_be32(f.payload), 16384);
	assert_int_equal(f.payload[4], 1);
	assert_memory_equal(f.payload + 5, "node2:8888", f.len - 5);
	n = frame_put_state(b, 9,
			    &(struct frame_state){ true, 1, 2, UINT64_MAX });
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(f.flags, FRAME_FLAG_CONNECTED);
	assert_int_equal(get_be64(f.payload + 16), UINT64_MAX);
	n = frame_put_end(b, 9, 0);
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(f.type, FRAME_END);
}

/* RESET's text, whatever it was. */
static void text_is_cut_and_cleaned(void **state)
{
	static const struct {
		const char *in, *out;
		size_t max;
	} rows[] = {
		{ "", "", 9 },
		{ "abc", "abc", 3 },
		{ "abc", "ab", 2 },
		{ "a\nb\x7f", "a?b?", 9 },
		{ "\xc3\xa4\xc3\xa4", "\xc3\xa4", 3 },
		{ "\xc3", "?", 9 },
		{ "\xff\xfe", "??", 9 },
		{ "\xc2\x85x", "?x", 9 },     /* C1 */
		{ "\xe2\x80\xaex", "?x", 9 }, /* turns the text around */
		{ "\xed\xa0\x80", "???", 9 }, /* half of a pair */
	};
	char big[1000];
	uint8_t b[FRAME_MAX], out[16];
	struct frame f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = frame_put_text(out, rows[i].in, rows[i].max);

		assert_int_equal(n, strlen(rows[i].out));
		assert_memory_equal(out, rows[i].out, n);
	}
	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	size_t n = frame_put_reset(b, 3, 22, big);

	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(f.len, 2 + 200);
	assert_int_equal(get_be16(f.payload), 22);
}

static void reasons_survive_the_wire(void **state)
{
	(void)state;
	for (int err = RW_ERR_PROTO; err >= RW_ERR_EOF; err--) {
		uint16_t code = reason_to_wire(err);

		assert_in_range(code, 1, 31);
		assert_int_equal(reason_from_wire(code), err);
	}
	assert_int_equal(reason_to_wire(0), 0);
	assert_int_equal(reason_from_wire(0), 0);
	assert_int_equal(reason_to_wire(-2), reason_to_wire(RW_ERR_IO));
	assert_int_equal(reason_to_wire(-99999), reason_to_wire(RW_ERR_IO));
	for (unsigned code = 32; code <= UINT16_MAX; code++)
		assert_int_equal(reason_from_wire((uint16_t)code),
				 RW_ERR_REFUSED);
}

/* --- datagrams --- */

static size_t put_piece(uint8_t *b, uint16_t length, uint16_t offset,
			size_t len)
{
	static const uint8_t bytes[DGRAM_PIECE_MAX];
	const struct dgram_piece p = { .number = 42,
				       .length = length,
				       .offset = offset,
				       .data = bytes,
				       .len = len };

	return frame_put_dgram(b, 6, &p);
}

static void a_datagram_travels_in_pieces(void **state)
{
	static uint8_t whole[DGRAM_MAX], got[DGRAM_MAX];
	uint8_t b[FRAME_MAX];
	size_t at = 0, frames = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(whole); i++)
		whole[i] = (uint8_t)(i * 7);
	while (at < sizeof(whole)) {
		struct dgram_piece p = { .number = UINT32_MAX,
					 .length = DGRAM_MAX,
					 .offset = (uint16_t)at,
					 .data = whole + at },
				   q;
		struct frame f;

		p.len = MIN(sizeof(whole) - at, DGRAM_PIECE_MAX);
		size_t n = frame_put_dgram(b, 6, &p);

		assert_true(n <= FRAME_MAX);
		assert_int_equal(frame_decode(b, n, &f), n);
		assert_int_equal(dgram_decode(&f, &q), 0);
		assert_int_equal(q.number, UINT32_MAX);
		assert_int_equal(q.length, DGRAM_MAX);
		memcpy(got + q.offset, q.data, q.len);
		at += q.len;
		frames++;
	}
	assert_int_equal(frames, 5);
	assert_memory_equal(got, whole, sizeof(whole));
}

static void a_piece_lies_inside_its_datagram(void **state)
{
	static const struct {
		uint16_t length, offset;
		size_t len;
		int want;
	} rows[] = {
		{ 0, 0, 0, 0 }, /* an empty datagram */
		{ 100, 0, 100, 0 },
		{ 100, 99, 1, 0 },
		{ 100, 99, 2, RW_ERR_PROTO },
		{ 100, 100, 1, RW_ERR_PROTO },
		{ 100, 50, 0, RW_ERR_PROTO }, /* says nothing */
		{ 0, 1, 0, RW_ERR_PROTO },
		{ DGRAM_MAX, DGRAM_MAX - 1, 1, 0 },
		{ DGRAM_MAX + 1, 0, 1, RW_ERR_PROTO },
		{ UINT16_MAX, UINT16_MAX, 1, RW_ERR_PROTO },
	};
	uint8_t b[FRAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = put_piece(b, rows[i].length, rows[i].offset,
				     rows[i].len);
		struct dgram_piece p;
		struct frame f;

		assert_int_equal(frame_decode(b, n, &f), n);
		assert_int_equal(dgram_decode(&f, &p), rows[i].want);
	}
}

/* --- tests/vectors --- */

/* The bytes of a file of hex digits. meson says where they lie. */
static size_t read_vector(const char *name, uint8_t *out, size_t cap)
{
	const char *dir = getenv("RIGWAY_VECTORS");
	char path[1024], hex[4096];
	size_t n;
	int len;
	FILE *f;

	assert_non_null(dir);
	snprintf(path, sizeof(path), "%s/%s.hex", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(hex, 1, sizeof(hex), f);
	fclose(f);
	len = str_hex_decode(hex, n > 0 && hex[n - 1] == '\n' ? n - 1 : n, out,
			     cap);
	assert_true(len > 0);
	return (size_t)len;
}

static void check_vector(const char *name, const uint8_t *want, size_t len)
{
	uint8_t b[FRAME_MAX];

	assert_int_equal(read_vector(name, b, sizeof(b)), len);
	assert_memory_equal(b, want, len);
}

/* What the page shows is what is written. */
static void the_vectors_are_what_is_written(void **state)
{
	static const struct dgram_piece hello = {
		.number = 42,
		.length = 5,
		.data = (const uint8_t *)"hello",
		.len = 5,
	};
	static const uint32_t live[] = { 3, 5 };
	uint8_t b[FRAME_MAX];

	(void)state;
	check_vector("ping", b, frame_put_u64(b, FRAME_PING, 0, 1));
	check_vector("pong", b, frame_put_u64(b, FRAME_PONG, 0, 1));
	check_vector("read", b, frame_put_u64(b, FRAME_READ, 0, 32768));
	check_vector("streams", b, frame_put_streams(b, 4095));
	check_vector("live", b, frame_put_live(b, 5, live, 2));
	check_vector("wants", b,
		     frame_put_u64(b, FRAME_WANTS, 0, UINT64_C(3) << 32 | 4));
	check_vector("leave", b, frame_put_empty(b, FRAME_LEAVE, 0));
	check_vector("open", b, frame_put_open(b, 7, 16384, 1, "node2:8888"));
	check_vector("data", data_hi, sizeof(data_hi));
	check_vector("fin", b, frame_put_u64(b, FRAME_FIN, 7, 258));
	check_vector(
		"state", b,
		frame_put_state(
			b, 7, &(struct frame_state){ true, 259, 259, 16643 }));
	check_vector("ask", b, frame_put_empty(b, FRAME_ASK, 7));
	check_vector("reset", b,
		     frame_put_reset(b, 7, 6, "connection refused"));
	check_vector("end", b, frame_put_end(b, 7, 0));
	check_vector("gone", b, frame_put_empty(b, FRAME_GONE, 7));
	check_vector("dgram", b, frame_put_dgram(b, 8, &hello));
}

static void the_vectors_of_greetings_are_read(void **state)
{
	uint8_t b[FRAME_MAX];
	struct frame f;
	struct hello h;
	struct refused r;
	static struct welcome w;
	size_t n = read_vector("hello", b, sizeof(b));

	(void)state;
	assert_int_equal(hello_read(b, n, &h), n);
	assert_string_equal(h.extra.name, "laptop");
	assert_false(h.extra.redeems);
	n = read_vector("hello-redeem", b, sizeof(b));
	assert_int_equal(hello_read(b, n, &h), n);
	assert_true(h.extra.redeems);
	n = read_vector("welcome", b, sizeof(b));
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(welcome_decode(f.payload, f.len, &w), 0);
	assert_string_equal(w.info.host, "desk.home");
	n = read_vector("refused", b, sizeof(b));
	assert_int_equal(frame_decode(b, n, &f), n);
	assert_int_equal(refused_decode(f.payload, f.len, &r), 0);
	assert_int_equal(reason_from_wire(r.code), RW_ERR_REPLACED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_prefix_asks_for_more),
		cmocka_unit_test(bad_headers_fail_before_the_payload_arrives),
		cmocka_unit_test(each_type_keeps_its_bounds),
		cmocka_unit_test(what_is_written_reads_as_the_same),
		cmocka_unit_test(text_is_cut_and_cleaned),
		cmocka_unit_test(reasons_survive_the_wire),
		cmocka_unit_test(a_datagram_travels_in_pieces),
		cmocka_unit_test(a_piece_lies_inside_its_datagram),
		cmocka_unit_test(the_vectors_are_what_is_written),
		cmocka_unit_test(the_vectors_of_greetings_are_read),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}

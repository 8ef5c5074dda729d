/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "base/err.h"
#include "wire/msg.h"

struct sample {
	uint64_t present;
	uint8_t kind;
	uint16_t port;
	uint32_t count;
	uint64_t offset;
	uint8_t id[4];
	struct msg_view data;
	char name[8];
};

enum {
	TAG_KIND = 1,
	TAG_PORT = 2,
	TAG_COUNT = 3,
	TAG_OFFSET = 4,
	TAG_ID = 5,
	TAG_DATA = 6,
	TAG_NAME = 63,
};

static const struct msg_field fields[] = {
	MSG_U8(TAG_KIND, struct sample, kind, true),
	MSG_U16(TAG_PORT, struct sample, port, false),
	MSG_U32(TAG_COUNT, struct sample, count, false),
	MSG_U64(TAG_OFFSET, struct sample, offset, false),
	MSG_FIXED(TAG_ID, struct sample, id, false),
	MSG_BYTES(TAG_DATA, struct sample, data, 10, false),
	MSG_STR(TAG_NAME, struct sample, name, false),
};

static const struct msg_schema schema = MSG_SCHEMA(struct sample, fields);

/* Every field; also tests/vectors/msg-sample.hex. */
static const uint8_t all[] = {
	1, 0,	1, 7,	2,  0, 2,    0x1f, 0x90, 3,    0,   4,
	0, 0,	1, 0,	4,  0, 8,    1,	   2,	 3,    4,   5,
	6, 7,	8, 5,	0,  4, 0xaa, 0xbb, 0xcc, 0xdd, 6,   0,
	3, 'x', 0, 'z', 63, 0, 4,    'd',  'e',	 's',  'k',
};

static struct sample sample_of_all(void)
{
	struct sample s = {
		.present = MSG_BIT(TAG_PORT) | MSG_BIT(TAG_COUNT) |
			   MSG_BIT(TAG_OFFSET) | MSG_BIT(TAG_ID) |
			   MSG_BIT(TAG_DATA) | MSG_BIT(TAG_NAME),
		.kind = 7,
		.port = 8080,
		.count = 256,
		.offset = 0x0102030405060708,
		.id = { 0xaa, 0xbb, 0xcc, 0xdd },
		.data = { (const uint8_t *)"x\0z", 3 },
		.name = "desk",
	};

	return s;
}

static void every_type_is_written_as_stated(void **state)
{
	struct sample s = sample_of_all();
	uint8_t out[100];

	(void)state;
	assert_int_equal(msg_encode(&schema, &s, out, sizeof(out)),
			 sizeof(all));
	assert_memory_equal(out, all, sizeof(all));
}

static void every_type_is_read_as_written(void **state)
{
	struct sample s;

	(void)state;
	memset(&s, 0xff, sizeof(s));
	assert_int_equal(msg_decode(&schema, all, sizeof(all), &s), 0);
	assert_int_equal(s.kind, 7);
	assert_int_equal(s.port, 8080);
	assert_int_equal(s.count, 256);
	assert_true(s.offset == 0x0102030405060708);
	assert_memory_equal(s.id, "\xaa\xbb\xcc\xdd", 4);
	assert_int_equal(s.data.len, 3);
	assert_memory_equal(s.data.data, "x\0z", 3);
	assert_string_equal(s.name, "desk");
	assert_true(s.present == (sample_of_all().present | MSG_BIT(TAG_KIND)));
	assert_true(MSG_HAS(&s, TAG_NAME));
}

static void absent_fields_are_zero(void **state)
{
	static const uint8_t in[] = { 1, 0, 1, 9 };
	struct sample s, want = { .present = MSG_BIT(TAG_KIND), .kind = 9 };

	(void)state;
	memset(&s, 0xff, sizeof(s));
	memset(&want, 0, sizeof(want));
	want.present = MSG_BIT(TAG_KIND);
	want.kind = 9;
	assert_int_equal(msg_decode(&schema, in, sizeof(in), &s), 0);
	assert_memory_equal(&s, &want, sizeof(s));
	assert_false(MSG_HAS(&s, TAG_PORT));
}

/* A cut inside a field is seen; a cut between fields leaves a valid shorter
 * message, which is why a message travels in a frame with its length. */
static void a_cut_field_is_refused(void **state)
{
	struct sample s, before;

	(void)state;
	memset(&s, 0x5a, sizeof(s));
	before = s;
	for (size_t n = 0; n < sizeof(all); n++) {
		bool between = n == 4 || n == 9 || n == 16 || n == 27 ||
			       n == 34 || n == 40;

		assert_int_equal(msg_decode(&schema, all, n, &s),
				 between ? 0 : RW_ERR_PROTO);
		if (between)
			s = before;
		/* Untouched on failure. */
		assert_memory_equal(&s, &before, sizeof(s));
	}
}

static void newer_fields_are_skipped(void **state)
{
	static const uint8_t in[] = {
		7, 0, 2, 1, 2, 1, 0, 1, 9, 255, 0, 0, 7, 0, 1, 0,
	};
	struct sample s;

	(void)state;
	assert_int_equal(msg_decode(&schema, in, sizeof(in), &s), 0);
	assert_int_equal(s.kind, 9);
	assert_true(s.present == MSG_BIT(TAG_KIND));
}

static void what_breaks_the_rules_is_refused(void **state)
{
	static const struct {
		const char *why;
		uint8_t len, in[24];
	} bad[] = {
		{ "nothing at all", 0, { 0 } },
		{ "no must field", 5, { 2, 0, 2, 0, 1 } },
		{ "doubled", 8, { 1, 0, 1, 9, 1, 0, 1, 9 } },
		{ "tag zero", 7, { 1, 0, 1, 9, 0, 0, 0 } },
		{ "u8 of two", 5, { 1, 0, 2, 9, 9 } },
		{ "u8 of none", 3, { 1, 0, 0 } },
		{ "u16 of one", 8, { 1, 0, 1, 9, 2, 0, 1, 0 } },
		{ "fixed too short", 10, { 1, 0, 1, 9, 5, 0, 3, 1, 2, 3 } },
		{ "bytes too long", 18, { 1, 0, 1, 9, 6, 0, 11 } },
		{ "string too long",
		  15,
		  { 1, 0, 1, 9, 63, 0, 8, 'a', 'a', 'a', 'a', 'a', 'a', 'a',
		    'a' } },
		{ "string with NUL", 9, { 1, 0, 1, 9, 63, 0, 2, 'a', 0 } },
		{ "string with escape", 8, { 1, 0, 1, 9, 63, 0, 1, 27 } },
		{ "string not UTF-8", 8, { 1, 0, 1, 9, 63, 0, 1, 0xff } },
	};
	struct sample s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (msg_decode(&schema, bad[i].in, bad[i].len, &s) !=
		    RW_ERR_PROTO)
			fail_msg("accepted: %s", bad[i].why);
}

static void the_limits_themselves_are_allowed(void **state)
{
	struct sample s = { .present = MSG_BIT(TAG_DATA) | MSG_BIT(TAG_NAME),
			    .data = { (const uint8_t *)"0123456789", 10 },
			    .name = "1234567" },
		      t;
	uint8_t out[100];

	(void)state;
	int n = msg_encode(&schema, &s, out, sizeof(out));

	assert_true(n > 0);
	assert_int_equal(msg_decode(&schema, out, (size_t)n, &t), 0);
	assert_int_equal(t.data.len, 10);
	assert_string_equal(t.name, "1234567");
	s.data.len = 0;
	s.name[0] = '\0';
	n = msg_encode(&schema, &s, out, sizeof(out));
	assert_int_equal(msg_decode(&schema, out, (size_t)n, &t), 0);
	assert_true(MSG_HAS(&t, TAG_DATA) && MSG_HAS(&t, TAG_NAME));
}

static void encoding_never_writes_behind_its_room(void **state)
{
	struct sample s = sample_of_all();
	uint8_t out[sizeof(all) + 1];

	(void)state;
	for (size_t cap = 0; cap < sizeof(all); cap++) {
		memset(out, 0x5a, sizeof(out));
		assert_int_equal(msg_encode(&schema, &s, out, cap),
				 RW_ERR_LIMIT);
		assert_int_equal(out[cap], 0x5a);
	}
	assert_int_equal(msg_encode(&schema, &s, out, sizeof(all)),
			 sizeof(all));
}

static void what_cannot_be_read_is_not_written(void **state)
{
	struct sample s = { .present = MSG_BIT(TAG_DATA),
			    .data = { (const uint8_t *)"01234567890", 11 } };
	uint8_t out[100];

	(void)state;
	assert_int_equal(msg_encode(&schema, &s, out, 100), RW_ERR_LIMIT);
	s.present = MSG_BIT(TAG_NAME);
	memset(s.name, 'x', sizeof(s.name));
	assert_int_equal(msg_encode(&schema, &s, out, 100), RW_ERR_FORMAT);
	memcpy(s.name, "a\nb", 4);
	assert_int_equal(msg_encode(&schema, &s, out, 100), RW_ERR_FORMAT);
	s.present = 0;
	assert_int_equal(msg_encode(&schema, &s, out, 100), 4);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_written_as_stated),
		cmocka_unit_test(every_type_is_read_as_written),
		cmocka_unit_test(absent_fields_are_zero),
		cmocka_unit_test(a_cut_field_is_refused),
		cmocka_unit_test(newer_fields_are_skipped),
		cmocka_unit_test(what_breaks_the_rules_is_refused),
		cmocka_unit_test(the_limits_themselves_are_allowed),
		cmocka_unit_test(encoding_never_writes_behind_its_room),
		cmocka_unit_test(what_cannot_be_read_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

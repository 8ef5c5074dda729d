/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/frame.h"
#include "wire/hello.h"

static struct hello sample(void)
{
	struct hello h = {
		.version_min = 1,
		.version_max = 3,
		.session = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
			     16 },
		.incarnation = 0x1122334455667788,
		.welcomed_by = 0x99,
		.carrier = 7,
		.live = { 3, 5, UINT32_MAX },
		.live_count = 3,
		.floor = 16384,
		.max_streams = 2048,
	};

	strcpy(h.extra.name, "laptop");
	return h;
}

static void a_hello_reads_as_it_was_written(void **state)
{
	struct hello h = sample(), got;
	uint8_t b[FRAME_MAX];

	(void)state;
	for (int k = 0; k < 2; k++) {
		size_t n = hello_write(&h, b);

		for (size_t i = 0; i < n; i++)
			assert_int_equal(hello_read(b, i, &got), 0);
		assert_int_equal(hello_read(b, sizeof(b), &got), n);
		assert_memory_equal(&got, &h, sizeof(h));
		h.extra.redeems = true;
		memset(h.extra.secret, 0xa5, sizeof(h.extra.secret));
		memset(h.extra.invite_id, 0x5a, sizeof(h.extra.invite_id));
		h.waiting[0] = 9;
		h.waiting_count = 1;
	}
}

/* The bytes of PROTOCOL.md, section 4; also tests/vectors/hello.hex. */
static void a_hello_has_the_bytes_of_the_protocol_page(void **state)
{
	static const uint8_t want[] = {
		0x01, 0,    0,	  96,	0,   0, 0, 0,	 1,    0,    2,
		0,    1,    2,	  0,	2,   0, 3, 3,	 0,    16,   1,
		2,    3,    4,	  5,	6,   7, 8, 9,	 10,   11,   12,
		13,   14,   15,	  16,	4,   0, 8, 0x11, 0x22, 0x33, 0x44,
		0x55, 0x66, 0x77, 0x88, 5,   0, 8, 0,	 0,    0,    0,
		0,    0,    0,	  0x99, 6,   0, 4, 0,	 0,    0,    7,
		7,    0,    12,	  0,	0,   0, 3, 0,	 0,    0,    5,
		0xff, 0xff, 0xff, 0xff, 8,   0, 4, 0,	 0,    0x40, 0,
		9,    0,    4,	  0,	0,   8, 0, 10,	 0,    6,    'l',
		'a',  'p',  't',  'o',	'p',
	};
	struct hello h = sample();
	uint8_t b[FRAME_MAX];

	(void)state;
	assert_int_equal(hello_write(&h, b), sizeof(want));
	assert_memory_equal(b, want, sizeof(want));
}

static void a_stranger_is_refused_at_the_first_wrong_byte(void **state)
{
	struct hello got;

	(void)state;
	assert_int_equal(hello_read((const uint8_t *)"GET", 3, &got),
			 RW_ERR_PROTO);
	assert_int_equal(hello_read((const uint8_t *)"\x02", 1, &got),
			 RW_ERR_PROTO);
	assert_int_equal(hello_read((const uint8_t *)"", 0, &got), 0);
}

static void an_unsound_hello_is_refused(void **state)
{
	struct hello rows[5], got;
	uint8_t b[FRAME_MAX];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows[i] = sample();
	rows[0].version_min = 4;
	rows[1].carrier = 0;
	rows[2].incarnation = 0;
	for (size_t i = 0; i < 3; i++) {
		n = hello_write(&rows[i], b);
		assert_int_equal(hello_read(b, n, &got), RW_ERR_PROTO);
	}
	/* A missing field, a cut one, one that comes twice. */
	n = hello_write(&rows[3], b);
	b[3] = (uint8_t)(n - FRAME_HDR_LEN - 9 - 7);
	assert_int_equal(hello_read(b, n, &got), RW_ERR_PROTO);
	b[3] = (uint8_t)(n - FRAME_HDR_LEN - 1);
	assert_int_equal(hello_read(b, n, &got), RW_ERR_PROTO);
	n = hello_write(&rows[4], b);
	b[8 + 5] = 1;
	assert_int_equal(hello_read(b, n, &got), RW_ERR_PROTO);
	/* The id of an invite without its secret. */
	rows[4].extra.redeems = true;
	n = hello_write(&rows[4], b);
	n -= 35;
	b[3] = (uint8_t)(n - FRAME_HDR_LEN);
	assert_int_equal(hello_read(b, n, &got), RW_ERR_PROTO);
}

static void unknown_fields_are_skipped(void **state)
{
	struct hello h = sample(), got;
	uint8_t b[FRAME_MAX];
	size_t n = hello_write(&h, b);

	(void)state;
	memcpy(b + n, "\x3e\x00\x02ok\xc8\x00\x00", 8);
	b[3] = (uint8_t)(b[3] + 8);
	assert_int_equal(hello_read(b, n + 8, &got), n + 8);
	assert_memory_equal(&got, &h, sizeof(h));
}

/* As many addresses and relays as there may be, each as long as it gets. */
static void fill_places(struct rig_info *info)
{
	for (size_t at = 0; at < sizeof(info->addrs) - 1; at += 128) {
		memset(info->addrs + at, 'a', 127);
		memcpy(info->addrs + at + 120, ":65535,", 7);
		info->addrs[at + 127] = 'b';
	}
	memset(info->addrs + sizeof(info->addrs) - 10, 'a', 3);
	memcpy(info->addrs + sizeof(info->addrs) - 7, ":65535", 6);
	info->probe_port = 65535;
	info->relay_count = RIG_INFO_RELAYS;
	for (size_t i = 0; i < RIG_INFO_RELAYS; i++) {
		struct rig_relay_info *r = &info->relays[i];

		memset(r->pin.b, (int)i + 1, PIN_LEN);
		r->count = RIG_INFO_RELAY_AT;
		for (size_t j = 0; j < RIG_INFO_RELAY_AT; j++) {
			memset(r->at[j], 'a' + (int)j, HOST_MAX);
			memcpy(r->at[j] + HOST_MAX, ":65535", 7);
		}
	}
}

static void a_welcome_reads_as_it_was_written(void **state)
{
	struct welcome *w = calloc(2, sizeof(*w)), *got = w + 1;
	uint8_t b[FRAME_MAX];
	struct frame f;

	(void)state;
	*w = (struct welcome){ .version = 1,
			       .incarnation = 5,
			       .fresh = true,
			       .floor = 16384,
			       .max_streams = 9,
			       .keep_s = 86400 };
	for (int k = 0; k < 2; k++) {
		memset(got, 0xee, sizeof(*got));
		size_t n = welcome_write(w, b);

		assert_int_equal(frame_decode(b, n, &f), n);
		assert_int_equal(f.type, FRAME_WELCOME);
		assert_int_equal(welcome_decode(f.payload, f.len, got), 0);
		assert_memory_equal(got, w, sizeof(*w));
		/* As long as it gets. */
		w->info.sshd_port = 22;
		memset(w->info.name, 'n', sizeof(w->info.name) - 1);
		memset(w->info.user, 'u', sizeof(w->info.user) - 1);
		memset(w->info.host, 'h', sizeof(w->info.host) - 1);
		memset(w->info.version, 'v', sizeof(w->info.version) - 1);
		memset(w->info.role, 'r', sizeof(w->info.role) - 1);
		memset(w->info.host_keys, 'k', sizeof(w->info.host_keys) - 1);
		w->info.host_keys[100] = '\n';
		fill_places(&w->info);
	}
	free(w);
}

static void an_unsound_welcome_is_refused(void **state)
{
	struct welcome *w = calloc(1, sizeof(*w));
	uint8_t b[FRAME_MAX];
	size_t n;

	(void)state;
	*w = (struct welcome){ .version = 1, .incarnation = 5 };
	strcpy(w->info.host_keys, "ssh-ed25519 AAAA\x1b[2J\n");
	n = welcome_write(w, b);
	assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	w->info.host_keys[0] = '\0';
	w->incarnation = 0;
	n = welcome_write(w, b);
	assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	w->incarnation = 5;
	n = welcome_write(w, b);
	b[8 + 5 + 11 + 3] = 2; /* fresh is 0 or 1 */
	assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	b[8 + 5 + 11 + 3] = 1;
	for (size_t i = 0; i < n - 8; i++)
		assert_int_equal(welcome_decode(b + 8, i, w), RW_ERR_PROTO);
	assert_int_equal(welcome_decode(b + 8, n - 8, w), 0);
	free(w);
}

/* What a client would dial must be an address, in each of its places. */
static void a_welcome_with_a_wrong_address_is_refused(void **state)
{
	static const char *const wrong[] = { "desk",	 "desk:0",   "a:1,",
					     ",a:1",	 "a:1,,b:2", "a b:1",
					     "a:1, b:2", "[::1]" };
	struct welcome *w = calloc(1, sizeof(*w));
	uint8_t b[FRAME_MAX];
	size_t n;

	(void)state;
	*w = (struct welcome){ .version = 1, .incarnation = 5 };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		str_copy(w->info.addrs, sizeof(w->info.addrs), wrong[i]);
		n = welcome_write(w, b);
		assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	}
	str_copy(w->info.addrs, sizeof(w->info.addrs), "a:1,[::1]:2");
	w->info.relay_count = 1;
	w->info.relays[0].count = 1;
	str_copy(w->info.relays[0].at[0], HOSTPORT_CAP, "desk:1");
	n = welcome_write(w, b);
	assert_int_equal(welcome_decode(b + 8, n - 8, w), 0);
	assert_int_equal(w->info.relay_count, 1);
	/* The last field: a pin, a count, a length of two bytes, the text. */
	b[n - 1] = 'x';
	assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	b[n - 1] = '1';
	b[n - 7] = 7;
	assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	b[n - 7] = 6;
	b[n - 9] = 0;
	assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	b[n - 9] = 5;
	assert_int_equal(welcome_decode(b + 8, n - 8, w), RW_ERR_PROTO);
	free(w);
}

static void a_refusal_reads_as_it_was_written(void **state)
{
	struct refused r = { .code = 12, .text = "another process" }, got;
	uint8_t b[FRAME_MAX];
	size_t n;

	(void)state;
	n = refused_write(&r, b);
	assert_int_equal(refused_decode(b + 8, n - 8, &got), 0);
	assert_int_equal(got.code, 12);
	assert_string_equal(got.text, r.text);
	/* The longest, cut in the middle of a character by whoever wrote it. */
	memset(r.text, 'x', REFUSED_TEXT_MAX);
	r.text[REFUSED_TEXT_MAX - 1] = '\xc3';
	n = refused_write(&r, b);
	assert_int_equal(n, 8 + 2 + REFUSED_TEXT_MAX);
	assert_int_equal(refused_decode(b + 8, n - 8, &got), 0);
	assert_int_equal(got.text[REFUSED_TEXT_MAX - 1], '?');
	assert_int_equal(refused_decode(b + 8, n - 8 + 1, &got), RW_ERR_PROTO);
	assert_int_equal(refused_decode(b + 8, 1, &got), RW_ERR_PROTO);
	b[12] = '\n';
	assert_int_equal(refused_decode(b + 8, n - 8, &got), RW_ERR_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_reads_as_it_was_written),
		cmocka_unit_test(a_hello_has_the_bytes_of_the_protocol_page),
		cmocka_unit_test(a_stranger_is_refused_at_the_first_wrong_byte),
		cmocka_unit_test(an_unsound_hello_is_refused),
		cmocka_unit_test(unknown_fields_are_skipped),
		cmocka_unit_test(a_welcome_reads_as_it_was_written),
		cmocka_unit_test(an_unsound_welcome_is_refused),
		cmocka_unit_test(a_welcome_with_a_wrong_address_is_refused),
		cmocka_unit_test(a_refusal_reads_as_it_was_written),
	};

	return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

static bool is_clean(const char *s)
{
	return str_is_clean(s, strlen(s));
}

static void copies_are_cut_and_always_ended(void **state)
{
	char out[5];

	(void)state;
	assert_true(str_copy(out, sizeof(out), "abcd"));
	assert_string_equal(out, "abcd");
	assert_false(str_copy(out, sizeof(out), "wxyz+"));
	assert_string_equal(out, "wxyz");
	assert_false(str_copy(out, 1, "a"));
	assert_string_equal(out, "");
}

static void clean_text_is_utf8_without_controls(void **state)
{
	static const char *const good[] = {
		"",
		"desk",
		"Gro\xc3\x9fmutters Rechner",
		"\xe6\x9c\xba",
		"\xf0\x9f\x96\xa5",
		"\xef\xbf\xbd",
		"\xf4\x8f\xbf\xbf",
	};
	static const char *const bad[] = {
		"a\nb",
		"\x1b[2J",
		"\x7f",
		"\xc2\x85",	/* C1: next line */
		"\xe2\x80\xa8", /* line separator */
		"\xe2\x80\xae", /* right to left */
		"\xe2\x81\xa7", /* isolate */
		"\xc0\xaf",
		"\xe0\x80\xaf",
		"\xf0\x80\x80\xaf", /* overlong */
		"\xed\xa0\x80",	    /* a surrogate */
		"\xf4\x90\x80\x80", /* over U+10FFFF */
		"\xff",
		"\x80",
		"\xc3",
		"\xe6\x9c",
		"\xf0\x9f\x96",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(is_clean(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(is_clean(bad[i]));
	assert_false(str_is_clean("a\0b", 3));
	assert_true(str_is_printable("a ~", 3));
	assert_false(str_is_printable("\xc3\x9f", 2));
	assert_false(str_is_printable("\t", 1));
}

static void names_are_short_and_plain(void **state)
{
	char name[65];

	(void)state;
	assert_true(str_is_name("desk"));
	assert_true(str_is_name("2.node_a-b"));
	assert_false(str_is_name(""));
	assert_false(str_is_name("-rf"));
	assert_false(str_is_name(".."));
	assert_false(str_is_name("a/b"));
	assert_false(str_is_name("a b"));
	memset(name, 'a', sizeof(name));
	name[63] = '\0';
	assert_true(str_is_name(name));
	name[63] = 'a';
	name[64] = '\0';
	assert_false(str_is_name(name));
}

static void distance_counts_edits(void **state)
{
	char longer[80];

	(void)state;
	assert_int_equal(str_distance("", ""), 0);
	assert_int_equal(str_distance("abc", ""), 3);
	assert_int_equal(str_distance("", "abc"), 3);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	assert_int_equal(str_distance("forwrad", "forward"), 1);
	assert_int_equal(str_distance("PORT", "port"), 0);
	memset(longer, 'x', sizeof(longer));
	longer[79] = '\0';
	assert_true(str_distance(longer, "x") == SIZE_MAX);
}

static void a_mistyped_word_finds_the_one_meant(void **state)
{
	static const char *const words[] = { "relay",	"rig",	"join", "ls",
					     "forward", "port", "gpu" };

	(void)state;
	assert_string_equal(str_near("prt", words, 7), "port");
	assert_string_equal(str_near("foward", words, 7), "forward");
	assert_string_equal(str_near("rlay", words, 7), "relay");
	assert_string_equal(str_near("jion", words, 7), "join");
	assert_null(str_near("banana", words, 7));
	assert_null(str_near("xy", words, 7));
	assert_null(str_near("", words, 7));
}

static void hex_comes_back(void **state)
{
	uint8_t out[4] = { 0 };
	char text[9];

	(void)state;
	str_hex_encode("\x00\x9a\xff\x01", 4, text);
	assert_string_equal(text, "009aff01");
	assert_int_equal(str_hex_decode("009AfF01", 8, out, 4), 4);
	assert_memory_equal(out, "\x00\x9a\xff\x01", 4);
	assert_int_equal(str_hex_decode("00f", 3, out, 4), RW_ERR_FORMAT);
	assert_int_equal(str_hex_decode("0g", 2, out, 4), RW_ERR_FORMAT);
	assert_int_equal(str_hex_decode("0011", 4, out, 1), RW_ERR_LIMIT);
}

/* RFC 4648, section 10, in lower case and without padding. */
static void base32_agrees_with_the_rfc(void **state)
{
	static const struct {
		const char *plain, *text;
	} vectors[] = {
		{ "", "" },
		{ "f", "my" },
		{ "fo", "mzxq" },
		{ "foo", "mzxw6" },
		{ "foob", "mzxw6yq" },
		{ "fooba", "mzxw6ytb" },
		{ "foobar", "mzxw6ytboi" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		size_t len = strlen(vectors[i].plain);
		size_t text_len = strlen(vectors[i].text);
		char text[32], plain[8] = { 0 };

		assert_int_equal(STR_BASE32_LEN(len), text_len);
		str_base32_encode(vectors[i].plain, len, text);
		assert_string_equal(text, vectors[i].text);
		assert_int_equal(str_base32_decode(text, text_len, plain, len),
				 len);
		assert_string_equal(plain, vectors[i].plain);
	}
}

static void a_value_has_one_base32_text(void **state)
{
	uint8_t out[8];

	(void)state;
	assert_int_equal(str_base32_decode("MY", 2, out, 8), 1);
	assert_int_equal(str_base32_decode("mz", 2, out, 8), RW_ERR_FORMAT);
	assert_int_equal(str_base32_decode("m", 1, out, 8), RW_ERR_FORMAT);
	assert_int_equal(str_base32_decode("mya", 3, out, 8), RW_ERR_FORMAT);
	assert_int_equal(str_base32_decode("m1", 2, out, 8), RW_ERR_FORMAT);
	assert_int_equal(str_base32_decode("my=", 3, out, 8), RW_ERR_FORMAT);
	assert_int_equal(str_base32_decode("mzxw6", 5, out, 2), RW_ERR_LIMIT);
}

static void ports_are_from_1_to_65535(void **state)
{
	uint16_t port = 7;

	(void)state;
	assert_int_equal(parse_port("0", &port), RW_ERR_LIMIT);
	assert_int_equal(parse_port("65536", &port), RW_ERR_LIMIT);
	assert_int_equal(parse_port("99999999999999999999999", &port),
			 RW_ERR_LIMIT);
	assert_int_equal(parse_port("", &port), RW_ERR_FORMAT);
	assert_int_equal(parse_port("010", &port), RW_ERR_FORMAT);
	assert_int_equal(parse_port("+1", &port), RW_ERR_FORMAT);
	assert_int_equal(parse_port(" 1", &port), RW_ERR_FORMAT);
	assert_int_equal(parse_port("0x10", &port), RW_ERR_FORMAT);
	assert_int_equal(parse_port("1 ", &port), RW_ERR_FORMAT);
	assert_int_equal(port, 7);
	assert_int_equal(parse_port("65535", &port), 0);
	assert_int_equal(port, 65535);
}

static void addresses_come_with_and_without_a_port(void **state)
{
	static const struct {
		const char *text;
		uint16_t default_port;
		const char *host;
		uint16_t port;
	} good[] = {
		{ "relay.example.org:7443", 0, "relay.example.org", 7443 },
		{ "203.0.113.5:1", 0, "203.0.113.5", 1 },
		{ "[2001:db8::1]:7443", 0, "2001:db8::1", 7443 },
		{ "[fe80::1%eth0]:22", 0, "fe80::1%eth0", 22 },
		{ "node2", 22, "node2", 22 },
		{ "node2:8888", 22, "node2", 8888 },
		{ "2001:db8::1", 22, "2001:db8::1", 22 },
		{ "::1", 22, "::1", 22 },
		{ "[::1]", 22, "::1", 22 },
		{ "::ffff:192.0.2.1", 22, "::ffff:192.0.2.1", 22 },
	};
	struct hostport hp;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char text[HOSTPORT_CAP];

		assert_int_equal(
			parse_hostport(good[i].text, good[i].default_port, &hp),
			0);
		assert_string_equal(hp.host, good[i].host);
		assert_int_equal(hp.port, good[i].port);
		format_hostport(hp.host, hp.port, text);
		assert_int_equal(parse_hostport(text, 0, &hp), 0);
		assert_string_equal(hp.host, good[i].host);
		assert_int_equal(hp.port, good[i].port);
	}
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		":22",
		"host",
		"host:",
		"host:0x1",
		"host:22 ",
		"ho st:22",
		"[::1]",
		"[::1",
		"[::1]22",
		"[]:22",
		"[host]:22",
		"::1",
		"a:b:c",
		"http://host:80",
		"me@host:22",
		"h\n:22",
		"h\xc3\xb6st:22",
		"[::1%]:22",
		"[[::1]]:22",
	};
	char longer[300];
	struct hostport hp = { .port = 9 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_hostport(bad[i], 0, &hp), RW_ERR_FORMAT);
	memset(longer, 'a', sizeof(longer));
	strcpy(longer + 256, ":22");
	assert_int_equal(parse_hostport(longer, 0, &hp), RW_ERR_LIMIT);
	assert_int_equal(hp.port, 9);
	strcpy(longer + 255, ":22");
	assert_int_equal(parse_hostport(longer, 0, &hp), 0);
	assert_int_equal(strlen(hp.host), 255);
	assert_int_equal(parse_hostport("a:70000", 0, &hp), RW_ERR_LIMIT);
}

static void durations_need_a_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{ "0", 0 },
		{ "250ms", 250 },
		{ "90s", 90000 },
		{ "15m", 900000 },
		{ "24h", 86400000 },
		{ "7d", 604800000 },
		{ "2w", 1209600000 },
		{ "1h30m", 5400000 },
		{ "1d2h3m4s5ms", 93784005 },
	};
	static const char *const bad[] = {
		"",   "1",     "s",    "-1s",  "1.5h", "1 h",  "1H",
		"1y", "30m1h", "1s1s", "1h30", "01s",  "0x1s",
	};
	uint64_t ms = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_duration(bad[i], &ms), RW_ERR_FORMAT);
	assert_int_equal(parse_duration("400000d", &ms), RW_ERR_LIMIT);
	assert_int_equal(parse_duration("18446744073709551615w", &ms),
			 RW_ERR_LIMIT);
	assert_int_equal(parse_duration("99999999999999999999s", &ms),
			 RW_ERR_LIMIT);
	assert_int_equal(ms, 77);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(parse_duration(good[i].text, &ms), 0);
		assert_true(ms == good[i].ms);
	}
}

static void durations_show_their_two_largest_units(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0s" },
		{ 1, "1ms" },
		{ 999, "999ms" },
		{ 1000, "1s" },
		{ 45678, "45s" },
		{ 60000, "1m" },
		{ 61000, "1m1s" },
		{ 5400000, "1h30m" },
		{ 3600000, "1h" },
		{ 3601000, "1h" },
		{ 604800000, "7d" },
		{ 90000000, "1d1h" },
		{ UINT64_MAX, "213503982334d14h" },
	};
	char out[FORMAT_CAP];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(format_duration(rows[i].ms, out),
				    rows[i].text);
}

static void sizes_read_and_show_powers_of_1024(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1 KiB" },
		{ 1536, "1.5 KiB" },
		{ 16u << 20, "16 MiB" },
		{ (1u << 20) - 1, "1 MiB" },
		{ 150u << 10, "150 KiB" },
		{ UINT64_MAX, "16 EiB" },
	};
	char out[FORMAT_CAP];
	uint64_t v = 3;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(format_bytes(rows[i].bytes, out),
				    rows[i].text);
	assert_int_equal(parse_bytes("16MiB", &v), 0);
	assert_int_equal(v, 16u << 20);
	assert_int_equal(parse_bytes("64k", &v), 0);
	assert_int_equal(v, 65536);
	assert_int_equal(parse_bytes("123", &v), 0);
	assert_int_equal(v, 123);
	assert_int_equal(parse_bytes("1MB", &v), RW_ERR_FORMAT);
	assert_int_equal(parse_bytes("K", &v), RW_ERR_FORMAT);
	assert_int_equal(parse_bytes("18446744073709551615K", &v),
			 RW_ERR_LIMIT);
	assert_int_equal(v, 123);
}

static void times_say_their_offset(void **state)
{
	char out[FORMAT_CAP];

	(void)state;
	setenv("TZ", "XYZ-2", 1);
	tzset();
	assert_string_equal(format_time(1777894620, out),
			    "2026-05-04 13:37:00 +0200");
	assert_string_equal(format_time_utc(1777894620, out),
			    "2026-05-04T11:37:00Z");
	assert_string_equal(format_time(INT64_MAX, out), "9223372036854775807");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_are_cut_and_always_ended),
		cmocka_unit_test(clean_text_is_utf8_without_controls),
		cmocka_unit_test(names_are_short_and_plain),
		cmocka_unit_test(distance_counts_edits),
		cmocka_unit_test(a_mistyped_word_finds_the_one_meant),
		cmocka_unit_test(hex_comes_back),
		cmocka_unit_test(base32_agrees_with_the_rfc),
		cmocka_unit_test(a_value_has_one_base32_text),
		cmocka_unit_test(ports_are_from_1_to_65535),
		cmocka_unit_test(addresses_come_with_and_without_a_port),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(durations_need_a_unit),
		cmocka_unit_test(durations_show_their_two_largest_units),
		cmocka_unit_test(sizes_read_and_show_powers_of_1024),
		cmocka_unit_test(times_say_their_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "client/target.h"

static const struct {
	const char *text, *bind;
	uint16_t port;
	enum stream_kind kind;
	const char *to;
} good[] = {
	{ "8888", "", 8888, STREAM_TCP, "127.0.0.1:8888" },
	{ "8888:node2", "", 8888, STREAM_TCP, "node2:8888" },
	{ "8080:80", "", 8080, STREAM_TCP, "127.0.0.1:80" },
	{ "8080:localhost:80", "", 8080, STREAM_TCP, "localhost:80" },
	{ "8080:[::1]:80", "", 8080, STREAM_TCP, "[::1]:80" },
	{ "8080:[fe80::1]", "", 8080, STREAM_TCP, "[fe80::1]:8080" },
	{ "0.0.0.0:8888", "0.0.0.0", 8888, STREAM_TCP, "127.0.0.1:8888" },
	{ "*:8080:h:80", "*", 8080, STREAM_TCP, "h:80" },
	{ ":8080:h:80", "*", 8080, STREAM_TCP, "h:80" },
	{ "[::1]:8080:h:80", "::1", 8080, STREAM_TCP, "h:80" },
	{ "127.0.0.1:8080:h:80", "127.0.0.1", 8080, STREAM_TCP, "h:80" },
	{ "localhost:8080:[2001:db8::1]:80", "localhost", 8080, STREAM_TCP,
	  "[2001:db8::1]:80" },
	{ "127.0.0.1:8888:node2", "127.0.0.1", 8888, STREAM_TCP, "node2:8888" },
	{ "8080:/run/x.sock", "", 8080, STREAM_UNIX, "/run/x.sock" },
	{ "*:8080:/run/a:b", "*", 8080, STREAM_UNIX, "/run/a:b" },
};

static void every_form_of_a_spec_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct target_spec s;
		char *text;

		assert_int_equal(target_parse_spec(good[i].text, &s, &text), 0);
		assert_string_equal(s.bind, good[i].bind);
		assert_int_equal(s.port, good[i].port);
		assert_int_equal(s.target.kind, good[i].kind);
		assert_string_equal(s.target.to, good[i].to);
	}
}

static void a_printed_spec_is_read_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct target_spec s, again;
		char text[TARGET_SPEC_CAP], *err;

		assert_int_equal(target_parse_spec(good[i].text, &s, &err), 0);
		target_format_spec(&s, text);
		assert_int_equal(target_parse_spec(text, &again, &err), 0);
		assert_memory_equal(&s, &again, sizeof(s));
	}
}

static void a_bad_spec_is_refused_in_words(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		"::",
		"0",
		"65536",
		"8888:",
		"desk",
		"desk:8888",
		"8888:h:",
		"8888:h:0",
		"8888:h:70000",
		"8888:a:b:c",
		"1:2:3:4:5",
		"::1:8888:h:80",
		"[::1:8888:h:80",
		"[::1]x:8888",
		"8888:a b",
		"8888:a@b:80",
		"-1",
		"08888",
		"/run/x",
		"8888:h:/x",
		"8888:[]:80",
		"8888::80",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct target_spec s = { .port = 77 };
		char *text = NULL;
		int err = target_parse_spec(bad[i], &s, &text);

		if (err != RW_ERR_FORMAT)
			fail_msg("'%s' was taken", bad[i]);
		assert_non_null(text);
		assert_int_equal(s.port, 77);
		free(text);
	}
}

static void too_long_a_host_is_refused(void **state)
{
	struct target_spec s;
	struct target t;
	char text[400] = "8888:", *err = NULL;

	(void)state;
	memset(text + 5, 'a', 300);
	assert_int_equal(target_parse_spec(text, &s, &err), RW_ERR_FORMAT);
	assert_non_null(strstr(err, "longer than 255"));
	free(err);
	strcat(text, ":80");
	assert_int_equal(target_parse_dest(text + 5, "desk", &t, &err),
			 RW_ERR_FORMAT);
	assert_non_null(strstr(err, "longer than 255"));
	free(err);
}

static void port_22_of_the_rig_is_its_sshd(void **state)
{
	static const struct {
		const char *text;
		enum stream_kind kind;
		const char *to;
	} rows[] = {
		{ "desk.rig:22", STREAM_SERVICE, "ssh" },
		{ "DESK.RIG:22", STREAM_SERVICE, "ssh" },
		{ "ssh", STREAM_SERVICE, "ssh" },
		{ "desk.rig:8888", STREAM_TCP, "127.0.0.1:8888" },
		{ "other.rig:22", STREAM_TCP, "other.rig:22" },
		{ "localhost:22", STREAM_TCP, "localhost:22" },
		{ "8888", STREAM_TCP, "127.0.0.1:8888" },
		{ "[::1]:80", STREAM_TCP, "[::1]:80" },
		{ "/run/x", STREAM_UNIX, "/run/x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct target t;
		char *err;

		assert_int_equal(
			target_parse_dest(rows[i].text, "desk", &t, &err), 0);
		assert_int_equal(t.kind, rows[i].kind);
		assert_string_equal(t.to, rows[i].to);
	}
}

static void a_destination_needs_a_port(void **state)
{
	struct target t;
	char *err = NULL;

	(void)state;
	assert_int_equal(target_parse_dest("node2", "desk", &t, &err),
			 RW_ERR_FORMAT);
	free(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_spec_is_read),
		cmocka_unit_test(a_printed_spec_is_read_back),
		cmocka_unit_test(a_bad_spec_is_refused_in_words),
		cmocka_unit_test(too_long_a_host_is_refused),
		cmocka_unit_test(port_22_of_the_rig_is_its_sshd),
		cmocka_unit_test(a_destination_needs_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

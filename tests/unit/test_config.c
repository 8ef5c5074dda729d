/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/schema.h"
#include "config/settings.h"
#include "config/value.h"

/* Reads text as the file f.yml: all errors in one string, one a line; "" when
 * it is right, and then s is filled. To be freed. */
static char *read_into(const char *text, struct settings *s)
{
	struct config_errors errs = { 0 };
	char *all = NULL;
	size_t len;
	FILE *to = open_memstream(&all, &len);
	int err = settings_parse("f.yml", text, strlen(text), s, &errs);

	assert_int_equal(err, errs.len > 0 ? RW_ERR_FORMAT : 0);
	config_errors_print(&errs, to);
	fclose(to);
	config_errors_done(&errs);
	return all;
}

/* Exactly these errors come of text. */
static void assert_errors(const char *text, const char *want)
{
	struct settings s;
	char *got = read_into(text, &s);

	if (got[0] == '\0')
		settings_done(&s);
	assert_string_equal(got, want);
	free(got);
}

static void nothing_at_all_gives_the_defaults(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"# only this\n",
		"---\n",
		"relay:\nrig:\n",
		"relay:\n  # max_pairs: 1\n",
		"\xef\xbb\xbf",
		"{}\n",
		"---\n...\n",
	};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *errs = read_into(texts[i], &s);

		assert_string_equal(errs, "");
		free(errs);
		assert_int_equal(s.relay.max_devices, 4096);
		assert_int_equal(s.relay.listen.len, 0);
		assert_string_equal(s.rig.name, "");
		assert_string_equal(s.client.bind, "127.0.0.1");
		assert_int_equal(s.client.wait_ms, 30000);
		assert_int_equal(s.session.budget_bytes, 256 << 20);
		assert_int_equal(s.log.level, LOG_LEVEL_INFO);
		settings_done(&s);
	}
}

static void every_type_is_read(void **state)
{
	static const char text[] =
		"relay:\n"
		"  listen: [\"0.0.0.0:443\", '[::1]:7443', \"*:0\"]\n"
		"  name:\n"
		"    - relay.example.org\n"
		"    - 192.0.2.7:8443\n"
		"  max_pairs: 12\r\n"
		"rig:\n"
		"  name: \"desk\" # the one under it\n"
		"  keep_absent: 1h30m\n"
		"session: { budget: 64MiB, max_streams: 100 }\n"
		"log: { level: debug }\n"
		"client: { bind: \"::1\", wait: 0s }\n";
	struct settings s;
	char *errs = read_into(text, &s);

	(void)state;
	assert_string_equal(errs, "");
	free(errs);
	assert_int_equal(s.relay.listen.len, 3);
	assert_string_equal(s.relay.listen.items[1].host, "::1");
	assert_int_equal(s.relay.listen.items[1].port, 7443);
	assert_string_equal(s.relay.listen.items[2].host, "");
	assert_int_equal(s.relay.listen.items[2].port, 0);
	assert_int_equal(s.relay.name.len, 2);
	assert_string_equal(s.relay.name.items[0].host, "relay.example.org");
	assert_int_equal(s.relay.name.items[0].port, 0);
	assert_int_equal(s.relay.name.items[1].port, 8443);
	assert_int_equal(s.relay.max_pairs, 12);
	assert_string_equal(s.rig.name, "desk");
	assert_int_equal(s.rig.keep_absent_ms, 5400000);
	assert_int_equal(s.session.budget_bytes, 64 << 20);
	assert_int_equal(s.log.level, LOG_LEVEL_DEBUG);
	assert_string_equal(s.client.bind, "::1");
	assert_int_equal(s.client.wait_ms, 0);
	settings_done(&s);
}

static void a_list_of_one_needs_no_brackets(void **state)
{
	struct settings s;
	char *errs = read_into("relay:\n  listen: 127.0.0.1:7443\n", &s);

	(void)state;
	assert_string_equal(errs, "");
	free(errs);
	assert_int_equal(s.relay.listen.len, 1);
	settings_done(&s);
}

static void all_errors_come_at_once_with_their_places(void **state)
{
	(void)state;
	assert_errors("relay:\n"
		      "  max_pears: 4\n"
		      "  max_pairs: 88888\n"
		      "  flush_timeout: 5\n"
		      "  colour: blue\n"
		      "rgi:\n"
		      "  name: x\n"
		      "session:\n"
		      "  budget: lots\n"
		      "log:\n"
		      "  level: loud\n",
		      "f.yml:2:3: error: unknown setting 'max_pears'; did you "
		      "mean 'max_pairs'?\n"
		      "f.yml:3:14: error: 'relay.max_pairs' must be between 1 "
		      "and 65536, not '88888'\n"
		      "f.yml:4:18: error: 'relay.flush_timeout' must be a time "
		      "with its unit, such as 500ms, 30s or 24h, not '5'\n"
		      "f.yml:5:3: error: unknown setting 'colour' in section "
		      "'relay'\n"
		      "f.yml:6:1: error: unknown section 'rgi'; did you mean "
		      "'rig'?\n"
		      "f.yml:9:11: error: 'session.budget' must be a size, "
		      "such as 64KiB or 16MiB, not 'lots'\n"
		      "f.yml:11:10: error: 'log.level' must be error, warn, "
		      "info or debug, not 'loud'\n");
}

static void numbers_are_decimal(void **state)
{
	static const char *const bad[] = { "0x10", "010",  "0o10", "1e3",
					   "+5",   "-5",   "5.0",  "1_000",
					   "5 5",  "1:30", "true" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *text = xasprintf("relay:\n  max_pairs: %s\n", bad[i]);
		char *want = xasprintf("f.yml:2:14: error: 'relay.max_pairs' "
				       "must be a decimal number without "
				       "leading zeros, not '%s'\n",
				       bad[i]);

		assert_errors(text, want);
		free(text);
		free(want);
	}
}

static void nothing_is_set_twice(void **state)
{
	(void)state;
	assert_errors("rig:\n  max_invites: 3\n  max_invites: 4\n",
		      "f.yml:3:3: error: 'rig.max_invites' is set twice; the "
		      "first time in line 2\n");
	assert_errors("rig:\n  max_invites: 3\nlog:\n  level: info\n"
		      "rig:\n  max_invites: 4\n",
		      "f.yml:5:1: error: section 'rig' stands twice; the first "
		      "time in line 1\n"
		      "f.yml:6:3: error: 'rig.max_invites' is set twice; the "
		      "first time in line 2\n");
}

static void the_clever_parts_of_yaml_are_refused(void **state)
{
	(void)state;
	assert_errors("rig: &a\n  name: x\n",
		      "f.yml:1:6: error: anchors (&) are not used here\n");
	assert_errors("rig:\n  name: &b x\nclient:\n  bind: *b\n",
		      "f.yml:2:9: error: anchors (&) are not used here\n"
		      "f.yml:4:9: error: aliases (*) are not used here\n");
	assert_errors("rig:\n  <<: {name: x}\n",
		      "f.yml:2:3: error: merge keys (<<) are not used here\n");
	assert_errors("rig:\n  name: !!str x\n",
		      "f.yml:2:9: error: tags (!) are not used here\n");
	assert_errors("rig:\n  name: x\n---\nrig:\n  name: y\n",
		      "f.yml:3:1: error: only one document (---) may stand in "
		      "the file\n");
	assert_errors("rig:\n  ? [a]\n  : x\n",
		      "f.yml:2:5: error: a name is expected here\n");
	assert_errors("rig:\n  name: \"a\\0b\"\n",
		      "f.yml:2:9: error: a NUL character in a text\n");
}

static void tabs_are_refused_but_in_comments(void **state)
{
	(void)state;
	assert_errors("rig:\n\tname: x\n  max_invites:\t\t5 # \t\n",
		      "f.yml:2:1: error: a tab; use spaces\n"
		      "f.yml:3:15: error: a tab; use spaces\n");
	assert_errors("rig: #\ta comment\n  name: x #\tone more\n", "");
}

static void shapes_must_be_the_right_ones(void **state)
{
	(void)state;
	assert_errors(
		"rig: 5\n",
		"f.yml:1:6: error: 'rig' is a section: its settings stand "
		"below it, indented\n");
	assert_errors("- rig\n", "f.yml:1:1: error: sections are expected "
				 "here, such as 'relay:'\n");
	assert_errors("just words\n", "f.yml:1:1: error: sections are expected "
				      "here, such as 'relay:'\n");
	assert_errors("rig:\n  name: [a, [b]]\n  max_invites: {a: 1}\n",
		      "f.yml:2:9: error: 'rig.name' takes one value, not a "
		      "list\n"
		      "f.yml:3:16: error: 'rig.max_invites' takes one value, "
		      "not a section\n");
	assert_errors("relay:\n  listen: [[\"*:1\"], {a: b}]\n",
		      "f.yml:2:12: error: an item of 'relay.listen' is one "
		      "value\n"
		      "f.yml:2:21: error: an item of 'relay.listen' is one "
		      "value\n");
	assert_errors("rig:\n  max_invites:\n  name: ~\n",
		      "f.yml:2:15: error: 'rig.max_invites' has no value\n"
		      "f.yml:3:9: error: 'rig.name' has no value\n");
	assert_errors(
		"relay.max_pairs: 5\n",
		"f.yml:1:1: error: write 'relay:' and, indented below it, "
		"'max_pairs:'\n");
	assert_errors("relay:\n  wait: 5s\n",
		      "f.yml:2:3: error: unknown setting 'wait'; did you mean "
		      "'client.wait'?\n");
}

static void depth_has_a_limit(void **state)
{
	char text[200] = "x: ";

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(text, "[");
	assert_errors(text, "f.yml:1:1: error: unknown section 'x'\n"
			    "f.yml:1:11: error: more than 8 sections and lists "
			    "in each other\n");
	assert_errors("x: [[[[[[[]]]]]]]\n",
		      "f.yml:1:1: error: unknown section 'x'\n");
}

static void what_yaml_refuses_is_said_with_its_place(void **state)
{
	(void)state;
	assert_errors(
		"rig:\n  name: \"x\n",
		"f.yml:3:1: error: not readable as YAML: found unexpected "
		"end of stream\n");
	assert_errors("rig:\n  # \xc3\xa4\xff\n",
		      "f.yml:2:6: error: not readable as YAML: invalid leading "
		      "UTF-8 octet\n");
	assert_errors("rig:\n  name: a\x01\n",
		      "f.yml:2:10: error: not readable as YAML: control "
		      "characters are not allowed\n");
	assert_errors("relay:\n  listen:\n    - [::]:443\n",
		      "f.yml:3:7: error: an item of 'relay.listen' is one "
		      "value\n"
		      "f.yml:3:8: error: not readable as YAML: did not find "
		      "expected node content; an address with brackets must "
		      "stand in quotes: \"[::]:443\"\n");
	assert_errors("client:\n  bind: [::1]:443\n",
		      "f.yml:2:9: error: 'client.bind' takes one value, not a "
		      "list\n"
		      "f.yml:2:10: error: not readable as YAML: did not find "
		      "expected node content; an address with brackets must "
		      "stand in quotes: \"[::]:443\"\n");
}

static void addresses_are_judged(void **state)
{
	static const char *const bad[] = { "0",
					   "relay.example.org:443",
					   "127.0.0.1",
					   ":443",
					   "1.2.3.4:65536",
					   "[::1]",
					   "::1:443",
					   "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *text = xasprintf("relay:\n  listen: [\"%s\"]\n", bad[i]);
		char *want = xasprintf("f.yml:2:12: error: 'relay.listen' must "
				       "be PORT or ADDRESS:PORT, such as 7443, "
				       "0.0.0.0:443 or [::]:443, not '%s'\n",
				       bad[i]);

		assert_errors(text, want);
		free(text);
		free(want);
	}
	assert_errors("relay:\n  name: \"a b\"\n",
		      "f.yml:2:9: error: 'relay.name' must be HOST or "
		      "HOST:PORT, not 'a b'\n");
	assert_errors("client:\n  bind: localhost\n",
		      "f.yml:2:9: error: 'client.bind' must be a numeric "
		      "address, such as 127.0.0.1 or ::1, not 'localhost'\n");
	assert_errors("rig:\n  name: \"my rig\"\n",
		      "f.yml:2:9: error: 'rig.name' must be 1 to 63 letters, "
		      "digits, '.', '_' and '-', beginning with a letter or "
		      "digit, not 'my rig'\n");
	assert_errors("relay:\n  name: [a,b,c,d,e,f,g,h,i]\n",
		      "f.yml:2:26: error: 'relay.name' takes at most 8 "
		      "items\n");
}

static void paths_are_absolute(void **state)
{
	(void)state;
	assert_errors("rig:\n  authorized_keys: keys\n",
		      "f.yml:2:20: error: 'rig.authorized_keys' must be a path "
		      "that begins with '/', not 'keys'\n");
	assert_errors("rig:\n  authorized_keys: \"/a\\nb\"\n",
		      "f.yml:2:20: error: 'rig.authorized_keys' must be a path "
		      "that begins with '/', not '/a?b'\n");
	assert_errors("rig:\n  authorized_keys: '/a \"b\"\\'\n", "");
}

static void somebodys_text_cannot_reach_the_terminal(void **state)
{
	(void)state;
	assert_errors("rig:\n  name: \"\\e[31mred\"\n",
		      "f.yml:2:9: error: 'rig.name' must be 1 to 63 letters, "
		      "digits, '.', '_' and '-', beginning with a letter or "
		      "digit, not '?[31mred'\n");
	assert_errors(
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: 1\n",
		"f.yml:1:1: error: unknown section "
		"'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaa...'\n");
}

static void settings_that_do_not_go_together_are_refused(void **state)
{
	(void)state;
	assert_errors("session:\n  floor: 1MiB\n  window_max: 64KiB\n",
		      "f.yml:2:3: error: 'session.floor' is more than "
		      "'session.window_max'\n");
	assert_errors("session:\n  budget: 1MiB\n",
		      "f.yml:2:3: error: 'session.max_streams' may be at most "
		      "32: half of 'session.budget' over 'session.floor'\n");
}

static void too_many_errors_are_counted(void **state)
{
	struct config_errors errs = { 0 };
	struct settings s;
	char text[2000] = "";
	char *all = NULL;
	size_t len;
	FILE *to = open_memstream(&all, &len);

	(void)state;
	for (int i = 0; i < CONFIG_ERRORS_MAX + 3; i++)
		strcat(text, "zzzzzzzz: 1\n");
	assert_int_equal(settings_parse("f", text, strlen(text), &s, &errs),
			 RW_ERR_FORMAT);
	assert_int_equal(config_errors_print(&errs, to), CONFIG_ERRORS_MAX + 3);
	fclose(to);
	assert_non_null(strstr(all, "\nand 3 more\n"));
	free(all);
	config_errors_done(&errs);
}

/* Puts text on disk and returns what settings_load() made of it. */
static int load_file(const char *path, const void *text, size_t len,
		     struct config_errors *errs)
{
	FILE *f = fopen(path, "w");
	struct settings s;
	int err;

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	err = settings_load(path, &s, errs);
	if (err == 0)
		settings_done(&s);
	return err;
}

static void files_are_read_within_their_limit(void **state)
{
	char dir[] = "/tmp/rigway-test-XXXXXX";
	struct config_errors errs = { 0 };
	struct settings s;
	char *path, *want, *big = xmalloc(SETTINGS_FILE_MAX + 1);

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/rigway.yml", dir);
	assert_int_equal(settings_load(path, &s, &errs), 0);
	settings_done(&s);
	memset(big, '\n', SETTINGS_FILE_MAX + 1);
	assert_int_equal(load_file(path, big, SETTINGS_FILE_MAX, &errs), 0);
	assert_int_equal(load_file(path, big, SETTINGS_FILE_MAX + 1, &errs),
			 RW_ERR_LIMIT);
	want = xasprintf("%s: error: larger than 1 MiB", path);
	assert_string_equal(errs.items[0], want);
	free(want);
	config_errors_done(&errs);

	assert_int_equal(settings_load(dir, &s, &errs), -EISDIR);
	want = xasprintf("%s: error: cannot be read: %s", dir,
			 err_text(-EISDIR));
	assert_string_equal(errs.items[0], want);
	free(want);
	config_errors_done(&errs);

	unlink(path);
	rmdir(dir);
	free(path);
	free(big);
}

static void every_row_has_a_sound_default_and_help(void **state)
{
	size_t len;
	const struct setting *rows = schema_rows(&len);
	struct settings s;

	(void)state;
	settings_init(&s); /* checks that each default can be read */
	for (size_t i = 0; i < len; i++) {
		const char *dot = strchr(rows[i].name, '.');
		char section[32] = "";
		size_t help = strlen(rows[i].help);

		assert_non_null(dot);
		memcpy(section, rows[i].name, (size_t)(dot - rows[i].name));
		assert_true(schema_has_section(section));
		assert_ptr_equal(schema_in(section, dot + 1), &rows[i]);
		assert_ptr_equal(schema_find(rows[i].name), &rows[i]);
		assert_true(help > 0 && rows[i].help[help - 1] == '.');
		assert_true(rows[i].offset < sizeof(struct settings));
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(rows[i].offset, rows[j].offset);
	}
	settings_done(&s);
}

static bool is_number(const struct setting *row)
{
	return row->type == SETTING_INT || row->type == SETTING_DURATION ||
	       row->type == SETTING_BYTES;
}

/* A number of the row's type as it is typed. */
static char *typed(const struct setting *row, int64_t v)
{
	return xasprintf(row->type == SETTING_DURATION ? "%lldms" : "%lld",
			 (long long)v);
}

static void both_ends_of_each_range_are_in_it(void **state)
{
	size_t len;
	const struct setting *rows = schema_rows(&len);
	struct settings s;

	(void)state;
	settings_init(&s);
	for (size_t i = 0; i < len; i++) {
		const int64_t good[] = { rows[i].min, rows[i].max };
		const int64_t bad[] = { rows[i].min - 1, rows[i].max + 1 };

		if (!is_number(&rows[i]))
			continue;
		for (size_t j = 0; j < 2; j++) {
			char *text = typed(&rows[i], good[j]), *err = NULL;

			assert_int_equal(
				settings_set(&s, rows[i].name, text, &err), 0);
			free(text);
			if (bad[j] < 0)
				continue;
			text = typed(&rows[i], bad[j]);
			assert_int_equal(
				settings_set(&s, rows[i].name, text, &err),
				RW_ERR_FORMAT);
			assert_non_null(strstr(err, "must be between"));
			free(err);
			free(text);
		}
	}
	settings_done(&s);
}

/* So that none gets lost, and no default changes by accident. */
static void every_limit_has_its_row(void **state)
{
	static const char *const names[][2] = {
		{ "relay.listen", "" },
		{ "relay.name", "" },
		{ "relay.max_devices", "4096" },
		{ "relay.max_fleets", "1024" },
		{ "relay.max_invites", "256" },
		{ "relay.max_pairs", "4096" },
		{ "relay.max_pipes", "512" },
		{ "relay.max_rate", "0" },
		{ "relay.max_waiting", "64" },
		{ "relay.max_connections", "65536" },
		{ "relay.max_unproven_per_address", "64" },
		{ "relay.max_handshakes", "256" },
		{ "relay.guesses_per_minute", "20" },
		{ "relay.handshake_timeout", "10s" },
		{ "relay.idle_timeout", "1m" },
		{ "relay.max_guessers", "65536" },
		{ "relay.max_changes", "128" },
		{ "relay.max_queued", "1MiB" },
		{ "relay.flush_timeout", "5s" },
		{ "rig.name", "" },
		{ "rig.keep_absent", "24h" },
		{ "rig.connect_timeout", "10s" },
		{ "rig.max_devices", "256" },
		{ "rig.max_invites", "64" },
		{ "rig.max_sessions", "64" },
		{ "rig.dials_per_minute", "600" },
		{ "rig.guesses_per_minute", "60" },
		{ "rig.strangers_per_minute", "120" },
		{ "rig.max_calls", "256" },
		{ "rig.handshake_timeout", "10s" },
		{ "rig.sshd_port", "0" },
		{ "rig.sshd_config", "/etc/ssh/sshd_config" },
		{ "rig.authorized_keys", "" },
		{ "client.wait", "30s" },
		{ "client.bind", "127.0.0.1" },
		{ "client.max_forwards", "256" },
		{ "client.max_rigs", "256" },
		{ "client.max_waiting", "256" },
		{ "client.max_requests", "64" },
		{ "session.budget", "256MiB" },
		{ "session.floor", "16KiB" },
		{ "session.window_max", "16MiB" },
		{ "session.send_max", "16MiB" },
		{ "session.in_flight_min", "32KiB" },
		{ "session.max_streams", "2048" },
		{ "session.carriers_max", "9" },
		{ "session.ping_interval", "5s" },
		{ "session.ping_timeout", "4s" },
		{ "log.level", "info" },
		{ "log.lines_per_minute", "600" },
	};
	struct settings s;

	(void)state;
	settings_init(&s);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *text = settings_get(&s, names[i][0]);

		assert_non_null(text);
		assert_string_equal(text, names[i][1]);
		free(text);
	}
	assert_null(settings_get(&s, "relay.nothing"));
	settings_done(&s);
}

static void flags_go_through_the_same_parsers(void **state)
{
	struct settings s;
	char *err = NULL, *text;

	(void)state;
	settings_init(&s);
	assert_int_equal(
		settings_set(&s, "relay.listen", "0.0.0.0:443,[::]:443", &err),
		0);
	text = settings_get(&s, "relay.listen");
	assert_string_equal(text, "0.0.0.0:443,[::]:443");
	free(text);

	/* One wrong item leaves all as it was. */
	assert_int_equal(settings_set(&s, "relay.listen", "*:1,x443", &err),
			 RW_ERR_FORMAT);
	assert_string_equal(err,
			    "'relay.listen' must be PORT or ADDRESS:PORT, such "
			    "as 7443, 0.0.0.0:443 or [::]:443, not 'x443'");
	free(err);
	assert_int_equal(s.relay.listen.len, 2);
	assert_int_equal(settings_set(&s, "relay.listen", "", &err), 0);
	assert_int_equal(s.relay.listen.len, 0);

	assert_int_equal(settings_set(&s, "relay.lisen", "*:1", &err),
			 RW_ERR_FORMAT);
	assert_string_equal(err, "unknown setting 'relay.lisen'; did you mean "
				 "'relay.listen'?");
	free(err);
	assert_int_equal(settings_set(&s, "qqqqqqqqqqq", "1", &err),
			 RW_ERR_FORMAT);
	assert_string_equal(err, "unknown setting 'qqqqqqqqqqq'");
	free(err);
	assert_int_equal(settings_set(&s, "session.budget", "1MiB", &err), 0);
	assert_int_equal(settings_check(&s, &err), RW_ERR_FORMAT);
	free(err);
	settings_done(&s);
}

/* Types that no row uses yet, through a row of the test's own. */
static void truths_and_words_are_read(void **state)
{
	static const char *const truths[] = { "true", "yes", "false", "no" };
	static const char *const lies[] = { "nope", "True", "on", "1", "" };
	const struct setting is_on = { .name = "t.on",
				       .type = SETTING_BOOL,
				       .offset = 0 };
	const struct setting words = { .name = "t.words",
				       .type = SETTING_STRINGS,
				       .offset = 0,
				       .max = 2 };
	struct settings s = { 0 };
	char *err = NULL, *text;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(truths); i++) {
		assert_int_equal(value_read(&is_on, &s, truths[i], &err), 0);
		text = value_text(&is_on, &s);
		assert_string_equal(text, i < 2 ? "true" : "false");
		free(text);
	}
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		assert_int_equal(value_read(&is_on, &s, lies[i], &err),
				 RW_ERR_FORMAT);
		text = xasprintf("'t.on' must be true, false, yes or no, "
				 "not '%s'",
				 lies[i]);
		assert_string_equal(err, text);
		free(text);
		free(err);
	}
	memset(&s, 0, sizeof(s));
	assert_int_equal(value_read_all(&words, &s, "one,two", &err), 0);
	text = value_text(&words, &s);
	assert_string_equal(text, "one,two");
	free(text);
	assert_int_equal(value_read(&words, &s, "three", &err), RW_ERR_FORMAT);
	assert_string_equal(err, "'t.words' takes at most 2 items");
	free(err);
	value_clear(&words, &s);
	assert_int_equal(value_read(&words, &s, "a\033b", &err), RW_ERR_FORMAT);
	free(err);
}

static char *show(const struct settings *s)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	settings_show(s, to);
	fclose(to);
	return text;
}

static void what_is_shown_can_be_read_back(void **state)
{
	struct settings s, again;
	char *err = NULL, *first, *second, *errs;

	(void)state;
	settings_init(&s);
	settings_set(&s, "relay.listen", "[::]:443,127.0.0.1:7443", &err);
	settings_set(&s, "relay.name", "relay.example.org,[2001:db8::1]", &err);
	settings_set(&s, "rig.name", "desk", &err);
	settings_set(&s, "relay.flush_timeout", "1500ms", &err);
	settings_set(&s, "log.level", "debug", &err);
	assert_null(err);
	first = show(&s);
	errs = read_into(first, &again);
	assert_string_equal(errs, "");
	second = show(&again);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, "\n  name: \"desk\"  # default: none\n"));
	assert_non_null(strstr(first, "\n  flush_timeout: 1500ms  # default: "
				      "5s\n"));
	assert_non_null(strstr(first, "\n  max_invites: 256\n"));
	free(first);
	free(second);
	free(errs);
	settings_done(&s);
	settings_done(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_at_all_gives_the_defaults),
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(a_list_of_one_needs_no_brackets),
		cmocka_unit_test(all_errors_come_at_once_with_their_places),
		cmocka_unit_test(numbers_are_decimal),
		cmocka_unit_test(nothing_is_set_twice),
		cmocka_unit_test(the_clever_parts_of_yaml_are_refused),
		cmocka_unit_test(tabs_are_refused_but_in_comments),
		cmocka_unit_test(shapes_must_be_the_right_ones),
		cmocka_unit_test(depth_has_a_limit),
		cmocka_unit_test(what_yaml_refuses_is_said_with_its_place),
		cmocka_unit_test(addresses_are_judged),
		cmocka_unit_test(paths_are_absolute),
		cmocka_unit_test(somebodys_text_cannot_reach_the_terminal),
		cmocka_unit_test(settings_that_do_not_go_together_are_refused),
		cmocka_unit_test(too_many_errors_are_counted),
		cmocka_unit_test(files_are_read_within_their_limit),
		cmocka_unit_test(every_row_has_a_sound_default_and_help),
		cmocka_unit_test(both_ends_of_each_range_are_in_it),
		cmocka_unit_test(every_limit_has_its_row),
		cmocka_unit_test(flags_go_through_the_same_parsers),
		cmocka_unit_test(truths_and_words_are_read),
		cmocka_unit_test(what_is_shown_can_be_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

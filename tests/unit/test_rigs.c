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
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/rigs.h"

struct place {
	char dir[64];
	char *path;
	struct rigs rigs;
};

static int set_up(void **state)
{
	struct place *at = xcalloc(1, sizeof(*at));
	char *text;

	strcpy(at->dir, "/tmp/rigway-test-XXXXXX");
	assert_non_null(mkdtemp(at->dir));
	at->path = xasprintf("%s/rigs", at->dir);
	assert_int_equal(rigs_load(&at->rigs, at->path, 4, &text), 0);
	*state = at;
	return 0;
}

static int tear_down(void **state)
{
	struct place *at = *state;

	rigs_done(&at->rigs);
	unlink(at->path);
	rmdir(at->dir);
	free(at->path);
	free(at);
	return 0;
}

static struct rigs_row *add(struct rigs *r, uint8_t n, const char *label)
{
	struct pin pin = { .b = { n } };
	struct rigs_row *row = rigs_add(r, &pin, label);

	if (row == NULL)
		return NULL;
	row->relay_pin.b[0] = 0xff;
	row->relay_count = 2;
	strcpy(row->relays[0], "relay.example.org:443");
	strcpy(row->relays[1], "[2001:db8::1]:7443");
	return row;
}

static void what_was_saved_comes_back(void **state)
{
	struct place *at = *state;
	struct rigs_row *row = add(&at->rigs, 1, "desk"), *back;
	struct rigs again;
	char *text;

	row->pending = false;
	row->added = 1767225600;
	row->welcomed = 1767225601;
	strcpy(row->fleet, "f-7k2m");
	strcpy(row->info.user, "alice");
	strcpy(row->info.host, "desk.lan");
	strcpy(row->info.role, "owner");
	strcpy(row->info.version, "0.1.0");
	strcpy(row->info.host_keys, "ssh-ed25519 AAAA\nssh-rsa BBBB\n");
	row->info.sshd_port = 2222;
	strcpy(row->addrs, "home.example.org:7443,203.0.113.9:7443");
	strcpy(row->lan, "[fe80::1%2]");
	strcpy(row->info.addrs, "192.168.1.5:7443");
	row->info.probe_port = 7443;
	row->info.relay_count = 2;
	for (uint8_t i = 0; i < 2; i++) {
		row->info.relays[i].pin.b[0] = (uint8_t)(i + 1);
		row->info.relays[i].count = (uint8_t)(i + 1);
		strcpy(row->info.relays[i].at[0], "a.example:443");
	}
	strcpy(row->info.relays[1].at[1], "[2001:db8::2]:443");
	assert_int_equal(rigs_save(&at->rigs), 0);
	assert_int_equal(rigs_load(&again, at->path, 4, &text), 0);
	assert_int_equal(again.count, 1);
	back = rigs_find(&again, "desk");
	assert_non_null(back);
	assert_true(pin_eq(&back->pin, &row->pin));
	assert_true(pin_eq(&back->relay_pin, &row->relay_pin));
	assert_int_equal(back->relay_count, 2);
	assert_string_equal(back->relays[1], "[2001:db8::1]:7443");
	assert_string_equal(back->fleet, "f-7k2m");
	assert_int_equal(back->added, 1767225600);
	assert_int_equal(back->welcomed, 1767225601);
	assert_string_equal(back->addrs, row->addrs);
	assert_string_equal(back->lan, "[fe80::1%2]");
	assert_string_equal(back->info.relays[1].at[1], "[2001:db8::2]:443");
	assert_false(rigs_learn(back, &row->info));
	assert_false(back->pending);
	rigs_done(&again);
}

static void a_rig_may_have_no_relay(void **state)
{
	struct place *at = *state;
	struct rigs_row *row = add(&at->rigs, 1, "desk");
	struct rigs again;
	char *text;

	row->pending = false;
	row->relay_count = 0;
	strcpy(row->addrs, "203.0.113.9:7443");
	assert_int_equal(rigs_save(&at->rigs), 0);
	assert_int_equal(rigs_load(&again, at->path, 4, &text), 0);
	assert_int_equal(rigs_find(&again, "desk")->relay_count, 0);
	rigs_done(&again);
}

static void what_worked_stands_first_and_the_oldest_goes(void **state)
{
	struct place *at = *state;
	struct rigs_row *row = add(&at->rigs, 1, "desk");
	char place[64];

	assert_true(rigs_learn_addr(row, "a.example:1"));
	assert_false(rigs_learn_addr(row, "a.example:1"));
	assert_true(rigs_learn_addr(row, "a.example:12"));
	assert_string_equal(row->addrs, "a.example:12,a.example:1");
	assert_true(rigs_learn_addr(row, "a.example:1"));
	assert_string_equal(row->addrs, "a.example:1,a.example:12");
	for (int i = 0; i < 50; i++) {
		snprintf(place, sizeof(place), "b%d.example:1", i);
		assert_true(rigs_learn_addr(row, place));
	}
	assert_non_null(strstr(row->addrs, "b49.example:1,b48"));
	assert_non_null(strstr(row->addrs, "b42.example:1"));
	assert_null(strstr(row->addrs, "b41.example:1"));
	assert_false(rigs_learn_addr(row, "a:1,b:1"));
}

static void a_pending_rig_is_not_written(void **state)
{
	struct place *at = *state;
	struct rigs again;
	char *text;

	add(&at->rigs, 1, "desk");
	assert_int_equal(rigs_save(&at->rigs), 0);
	assert_int_equal(rigs_load(&again, at->path, 4, &text), 0);
	assert_int_equal(again.count, 0);
	rigs_done(&again);
}

static void names_are_unique_whatever_their_case(void **state)
{
	struct place *at = *state;

	assert_string_equal(add(&at->rigs, 1, "desk")->name, "desk");
	assert_string_equal(add(&at->rigs, 2, "Desk")->name, "Desk-2");
	assert_string_equal(add(&at->rigs, 3, "desk")->name, "desk-3");
}

static void a_label_becomes_a_name(void **state)
{
	static const char *const rows[][2] = {
		{ "my desk!", "mydesk" },
		{ "8888", "rig-8888" },
		{ "", "rig" },
		{ "../x", "x" },
		{ "desk.rig", "desk" },
		{ "\xc3\xa4", "rig" },
	};
	struct place *at = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rigs_row *row = add(&at->rigs, 1, rows[i][0]);

		assert_string_equal(row->name, rows[i][1]);
		assert_true(str_is_name(row->name));
		rigs_forget(&at->rigs, row);
		free(row);
	}
}

static void no_more_than_the_limit(void **state)
{
	struct place *at = *state;

	for (uint8_t i = 0; i < 4; i++)
		assert_non_null(add(&at->rigs, i, "desk"));
	assert_null(add(&at->rigs, 9, "desk"));
}

static void a_mistyped_name_is_told_the_near_one(void **state)
{
	struct place *at = *state;
	struct rigs_row *row;
	char *text = NULL;

	assert_int_equal(rigs_resolve(&at->rigs, NULL, &row, &text),
			 RW_ERR_NOT_FOUND);
	assert_non_null(strstr(text, "rigway join"));
	free(text);
	add(&at->rigs, 1, "workstation")->pending = false;
	assert_int_equal(rigs_resolve(&at->rigs, NULL, &row, &text), 0);
	assert_int_equal(
		rigs_resolve(&at->rigs, "WorkStation.rig", &row, &text), 0);
	assert_int_equal(rigs_resolve(&at->rigs, "workstaton", &row, &text),
			 RW_ERR_NOT_FOUND);
	assert_non_null(strstr(text, "did you mean 'workstation'"));
	free(text);
	add(&at->rigs, 2, "lab")->pending = false;
	assert_int_equal(rigs_resolve(&at->rigs, NULL, &row, &text),
			 RW_ERR_NOT_FOUND);
	assert_non_null(strstr(text, "workstation, lab"));
	free(text);
}

static void a_pending_rig_cannot_be_meant(void **state)
{
	struct place *at = *state;
	struct rigs_row *row;
	char *text = NULL;

	add(&at->rigs, 1, "desk");
	assert_int_equal(rigs_resolve(&at->rigs, "desk", &row, &text),
			 RW_ERR_NOT_FOUND);
	free(text);
}

#define PIN "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void a_wrong_file_is_an_error_with_its_line(void **state)
{
	static const char *const rows[] = {
		"name=desk relays=a:1 relay_pin=x pin=y\n",
		"name=desk\n",
		"name=\"a b\" pin=x\n",
		"name=desk pin=" PIN " relays=,\n",
		"name=desk pin=" PIN " relays=a:1\n",
		"name=desk pin=" PIN " said_relays=x@a:1\n",
		"name=desk pin=" PIN " said_relays=" PIN "@a:1,,b:1\n",
		"name=desk pin=" PIN " said_relays=" PIN "@\n",
		"what=1\n",
	};
	struct place *at = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *all = xasprintf("# rigway rigs 1\n%s", rows[i]);
		char *text = NULL;
		struct rigs again;

		assert_int_equal(
			file_write_atomic(at->path, all, strlen(all), 0600), 0);
		assert_int_not_equal(rigs_load(&again, at->path, 4, &text), 0);
		assert_non_null(strstr(text, ":2"));
		free(text);
		rigs_done(&again);
		free(all);
	}
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(what_was_saved_comes_back),
		ROW(a_rig_may_have_no_relay),
		ROW(what_worked_stands_first_and_the_oldest_goes),
		ROW(a_pending_rig_is_not_written),
		ROW(names_are_unique_whatever_their_case),
		ROW(a_label_becomes_a_name),
		ROW(no_more_than_the_limit),
		ROW(a_mistyped_name_is_told_the_near_one),
		ROW(a_pending_rig_cannot_be_meant),
		ROW(a_wrong_file_is_an_error_with_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "client/race.h"

#define MS	1000
#define SECOND	UINT64_C(1000000)
#define START	(1000 * SECOND)
#define LAN	"192.168.1.5:7443"
#define LAN6	"[fe80::1%eth0]:7443"
#define DIRECT	"203.0.113.9:7443"
#define RELAY_A "a.example:443"
#define RELAY_B "b.example:443"

static struct race race;

static void offer(bool lan, bool direct, bool relays)
{
	const struct pin a = { .b = { 1 } }, b = { .b = { 2 } };

	race_offers_begin(&race);
	if (relays) {
		race_offer_relay(&race, &a, RELAY_A);
		race_offer_relay(&race, &b, RELAY_B);
	}
	if (lan)
		race_offer_address(&race, LAN);
	if (direct)
		race_offer_address(&race, DIRECT);
	race_offers_end(&race, START);
}

static int set_up(void **state)
{
	(void)state;
	race_init(&race);
	return 0;
}

static struct path *path_at(const char *at)
{
	for (size_t i = 0; i < race.count; i++)
		for (size_t k = 0; k < race.paths[i].at_count; k++)
			if (strcmp(race.paths[i].at[k], at) == 0)
				return &race.paths[i];
	fail_msg("no path %s", at);
	return NULL;
}

/* What is dialled from START + from to START + to, as "ms at, ms at ". */
static const char *dialled(uint64_t from_ms, uint64_t to_ms)
{
	static char text[65536];
	uint64_t now = START + from_ms * MS, end = START + to_ms * MS, at;
	size_t len = 0;

	text[0] = '\0';
	while (now < end) {
		const struct path *p = race_next(&race, now, 0, &at);

		if (p == NULL) {
			assert_true(at > now);
			now = at;
			continue;
		}
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%llu %s, ",
					(unsigned long long)(now - START) / MS,
					p->is_search ? "search" : p->at[0]);
	}
	return text;
}

static void addresses_are_of_the_kind_that_they_say(void **state)
{
	static const struct {
		const char *at;
		enum path_kind kind;
	} rows[] = {
		{ "10.1.2.3:1", PATH_LAN },
		{ "172.16.0.1:1", PATH_LAN },
		{ "172.32.0.1:1", PATH_DIRECT },
		{ "192.168.50.2:40000", PATH_LAN },
		{ "169.254.1.1:1", PATH_LAN },
		{ "127.0.0.1:1", PATH_LAN },
		{ "100.64.0.1:1", PATH_LAN },
		{ "45.0.0.2:7443", PATH_DIRECT },
		{ LAN6, PATH_LAN },
		{ "[fd00::5]:1", PATH_LAN },
		{ "[2001:db8::5]:1", PATH_DIRECT },
		{ "home.example.org:7443", PATH_DIRECT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		race_offer_address(&race, rows[i].at);
		assert_int_equal(path_at(rows[i].at)->kind, rows[i].kind);
	}
	race_offer_address(&race, "not an address");
	race_offer_address(&race, "no-port.example");
	assert_int_equal(race.count, sizeof(rows) / sizeof(rows[0]));
}

static void everything_starts_at_once(void **state)
{
	(void)state;
	offer(true, true, true);
	race_begin(&race, START);
	assert_string_equal(dialled(0, 400), "0 " RELAY_A ", 0 " RELAY_B
					     ", 0 " LAN ", 0 " DIRECT ", ");
}

static void what_worked_last_has_a_head_start_over_worse_paths(void **state)
{
	(void)state;
	offer(true, true, true);
	race_works(&race, path_at(DIRECT)->id, 1);
	race_begin(&race, START);
	assert_string_equal(dialled(0, 400),
			    "0 " LAN ", 0 " DIRECT ", 250 " RELAY_A
			    ", 250 " RELAY_B ", ");
	/* Once: it may be gone for good. */
	assert_string_equal(dialled(400, 600), "400 " RELAY_A ", 400 " RELAY_B
					       ", 400 " DIRECT ", ");
}

static void who_lost_to_a_relay_has_no_head_start(void **state)
{
	(void)state;
	offer(true, false, true);
	race_works(&race, path_at(LAN)->id, 1);
	race_begin(&race, START);
	dialled(0, 400);
	race_works(&race, path_at(RELAY_B)->id, 2);
	race_begin(&race, START + 10 * SECOND);
	assert_string_equal(dialled(10000, 10100),
			    "10000 " RELAY_A ", 10000 " RELAY_B ", 10000 " LAN
			    ", ");
}

static void relays_are_asked_every_400_ms_and_hopes_seldom(void **state)
{
	(void)state;
	offer(false, true, true);
	race_begin(&race, START);
	assert_string_equal(dialled(0, 1100),
			    "0 " RELAY_A ", 0 " RELAY_B ", 0 " DIRECT
			    ", 400 " RELAY_A ", 400 " RELAY_B ", 800 " RELAY_A
			    ", 800 " RELAY_B ", ");
	assert_non_null(strstr(dialled(4900, 5600), "00 " DIRECT));
}

/* Without a relay the address that worked is all there is. */
static void the_path_that_worked_is_asked_every_400_ms(void **state)
{
	(void)state;
	offer(false, true, false);
	race_works(&race, path_at(DIRECT)->id, 1);
	race_begin(&race, START);
	assert_string_equal(dialled(0, 1100),
			    "0 " DIRECT ", 400 " DIRECT ", 800 " DIRECT ", ");
}

/* A rig that was found in this network sleeps: it is looked for again and
 * again, one search after the other, since its port may be another one. */
static void a_rig_that_was_found_is_searched_for_all_the_time(void **state)
{
	const char *at = "192.168.1.9:40000";
	struct path *search;

	(void)state;
	offer(false, false, true);
	race_offer_search(&race);
	race_found(&race, at, START);
	race_works(&race, path_at(at)->id, 1);
	race_begin(&race, START);
	search = race_search(&race);
	assert_non_null(strstr(dialled(0, 100), "0 search"));
	search->dials = 1;
	assert_null(strstr(dialled(100, 1400), "search"));
	search->dials = 0;
	assert_non_null(strstr(dialled(1400, 2100), "00 search"));
}

static void one_in_line_is_not_polled_and_holds_up_nobody(void **state)
{
	(void)state;
	offer(false, false, true);
	race_begin(&race, START);
	dialled(0, 100);
	path_at(RELAY_A)->in_line = 1;
	race_waits(&race, path_at(RELAY_A)->id, "the rig is away");
	race_failed(&race, path_at(RELAY_B)->id, RW_ERR_REFUSED, "the port", 1);
	assert_string_equal(dialled(400, 600), "400 " RELAY_B ", ");
	assert_true(race_waits_in_line(&race));
	assert_string_equal(race_reason(&race), "the rig is away");
}

static void a_busy_relay_that_has_a_dial_is_not_dialled_anew(void **state)
{
	(void)state;
	offer(false, false, true);
	race_begin(&race, START);
	dialled(0, 100);
	path_at(RELAY_A)->is_heard = true;
	assert_string_equal(dialled(400, 600), "400 " RELAY_B ", ");
	path_at(RELAY_A)->is_heard = false;
	assert_string_equal(dialled(800, 1000),
			    "800 " RELAY_A ", 800 " RELAY_B ", ");
}

static void a_relay_that_says_no_is_asked_seldom(void **state)
{
	(void)state;
	offer(false, false, true);
	race_begin(&race, START);
	dialled(0, 100);
	race_failed(&race, path_at(RELAY_A)->id, RW_ERR_NOT_ALLOWED, "no", 1);
	assert_false(race_is_lost(&race));
	assert_string_equal(dialled(400, 600), "400 " RELAY_B ", ");
	race_failed(&race, path_at(RELAY_B)->id, RW_ERR_NOT_ALLOWED, "no", 1);
	assert_true(race_is_lost(&race));
	race_begin(&race, START + SECOND);
	assert_false(race_is_lost(&race));
}

/* The rig itself, through its relay: there is nothing to wait for. */
static void a_code_that_has_expired_is_a_no(void **state)
{
	(void)state;
	offer(false, false, true);
	race_begin(&race, START);
	dialled(0, 600);
	race_failed(&race, path_at(RELAY_A)->id, RW_ERR_EXPIRED, "late", 1);
	assert_false(race_is_lost(&race));
	race_failed(&race, path_at(RELAY_B)->id, RW_ERR_EXPIRED, "late", 1);
	assert_true(race_is_lost(&race));
}

static void one_relays_no_is_not_that_of_one_that_worked(void **state)
{
	(void)state;
	offer(false, false, true);
	race_works(&race, path_at(RELAY_B)->id, 1);
	race_begin(&race, START);
	dialled(0, 600);
	race_failed(&race, path_at(RELAY_A)->id, RW_ERR_NOT_ALLOWED, "no", 2);
	race_failed(&race, path_at(RELAY_B)->id, RW_ERR_TIMEOUT, "hole", 2);
	assert_false(race_is_lost(&race));
	race_failed(&race, path_at(RELAY_B)->id, RW_ERR_NOT_ALLOWED, "no", 3);
	assert_true(race_is_lost(&race));
}

static void a_relays_no_is_not_that_of_another_which_is_silent(void **state)
{
	(void)state;
	offer(false, false, true);
	race_begin(&race, START);
	dialled(0, 600);
	race_failed(&race, path_at(RELAY_A)->id, RW_ERR_NOT_ALLOWED, "no", 2);
	race_failed(&race, path_at(RELAY_B)->id, RW_ERR_TIMEOUT, "hole", 2);
	assert_false(race_is_lost(&race));
}

/* Both relays refuse, everything else fails. */
static void everything_fails(void)
{
	race_begin(&race, START);
	dialled(0, 600);
	race_failed(&race, path_at(RELAY_A)->id, RW_ERR_NOT_ALLOWED, "no", 2);
	race_failed(&race, path_at(RELAY_B)->id, RW_ERR_NOT_ALLOWED, "no", 2);
	for (size_t i = 0; i < race.count; i++)
		if (race.paths[i].kind != PATH_RELAY)
			race_failed(&race, race.paths[i].id, RW_ERR_TIMEOUT,
				    "hole", 2);
}

static void relays_say_nothing_of_an_address_that_worked(void **state)
{
	(void)state;
	offer(true, true, true);
	everything_fails();
	assert_true(race_is_lost(&race)); /* neither ever worked */
	race_works(&race, path_at(DIRECT)->id, 1);
	everything_fails();
	assert_false(race_is_lost(&race));
}

static void relays_say_nothing_of_a_network_it_was_found_in(void **state)
{
	(void)state;
	offer(false, false, true);
	race_offer_search(&race);
	everything_fails();
	assert_true(race_is_lost(&race));
	race_found(&race, LAN, START);
	race_works(&race, path_at(LAN)->id, 1);
	/* The answer itself is too old by now. */
	race_offers_end(&race, START + RACE_FOUND_US + SECOND);
	everything_fails();
	assert_false(race_is_lost(&race));
}

static void better_paths_are_looked_for_with_growing_pauses(void **state)
{
	(void)state;
	offer(true, true, true);
	race_offer_search(&race);
	race_aim(&race, RACE_BETTER, PATH_RELAY, START);
	assert_string_equal(dialled(0, 700000),
			    "0 " LAN ", 0 " DIRECT ", 0 search, 3000 " LAN
			    ", 3000 " DIRECT ", 3000 search, 18000 " LAN
			    ", 18000 " DIRECT ", 18000 search, 78000 " LAN
			    ", 78000 " DIRECT ", 78000 search, 378000 " LAN
			    ", 378000 " DIRECT ", 378000 search, 678000 " LAN
			    ", 678000 " DIRECT ", 678000 search, ");
	race_look_again(&race, START + 700 * SECOND);
	assert_string_equal(dialled(700000, 716000),
			    "700000 " LAN ", 700000 " DIRECT
			    ", 700000 search, 703000 " LAN ", 703000 " DIRECT
			    ", 703000 search, ");
	race_aim(&race, RACE_BETTER, PATH_DIRECT, START + 720 * SECOND);
	assert_string_equal(dialled(720000, 721000),
			    "720000 " LAN ", 720000 search, ");
	race_aim(&race, RACE_OFF, PATH_LAN, START + 730 * SECOND);
	assert_string_equal(dialled(730000, 9000000), "");
}

/* The race has just asked: an answer is on its way. */
static void what_was_just_asked_is_not_asked_again(void **state)
{
	(void)state;
	offer(true, true, true);
	race_begin(&race, START);
	dialled(0, 100);
	race_aim(&race, RACE_BETTER, PATH_RELAY, START + 50 * MS);
	assert_string_equal(dialled(100, 1000), "");
}

static void an_answer_on_this_network_is_dialled_at_once(void **state)
{
	uint32_t id;

	(void)state;
	offer(false, false, true);
	race_offer_search(&race);
	race_aim(&race, RACE_BETTER, PATH_RELAY, START);
	assert_string_equal(dialled(0, 10), "0 search, ");
	race_found(&race, "192.168.1.7:4000", START + 10 * MS);
	assert_string_equal(dialled(10, 100), "10 192.168.1.7:4000, ");
	/* The same machine with another port is the same path. */
	id = path_at("192.168.1.7:4000")->id;
	race_found(&race, "192.168.1.7:4001", START + 200 * MS);
	assert_int_equal(path_at("192.168.1.7:4001")->id, id);
	assert_string_equal(dialled(200, 300), "200 192.168.1.7:4001, ");
	/* It outlives new offers, but not for ever. */
	offer(false, true, true);
	path_at("192.168.1.7:4001");
	race_offers_begin(&race);
	race_offers_end(&race, START + RACE_FOUND_US + SECOND);
	assert_int_equal(race.count, 0);
}

static void offers_keep_what_is_known_of_a_path(void **state)
{
	const struct pin a = { .b = { 1 } };
	uint32_t id;

	(void)state;
	offer(false, true, true);
	id = path_at(DIRECT)->id;
	race_failed(&race, id, RW_ERR_TIMEOUT, "no answer", 5);
	race_offers_begin(&race);
	race_offer_relay(&race, &a, "other.example:443");
	race_offer_relay(&race, &a, RELAY_A);
	race_offer_relay(&race, &a, RELAY_A);
	race_offer_address(&race, DIRECT);
	race_offers_end(&race, START);
	assert_int_equal(race.count, 2);
	assert_int_equal(path_at(DIRECT)->id, id);
	assert_string_equal(path_at(DIRECT)->text, "no answer");
	assert_int_equal(path_at(RELAY_A)->at_count, 2);
	assert_string_equal(path_at(RELAY_A)->at[0], "other.example:443");
}

static void there_are_never_more_than_the_table_holds(void **state)
{
	char at[64];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(at, sizeof(at), "203.0.113.%d:1", i);
		race_offer_address(&race, at);
		snprintf(at, sizeof(at), "192.168.9.%d:1", i);
		race_found(&race, at, START);
	}
	race_offer_search(&race);
	assert_int_equal(race.count, RACE_PATHS_MAX);
}

static void a_demand_within_the_back_off_is_served_at_once(void **state)
{
	(void)state;
	offer(false, false, true);
	race_begin(&race, START);
	dialled(0, 200000);
	assert_true(race.next_us > START + 200 * SECOND);
	race_begin(&race, START + 200 * SECOND);
	assert_string_equal(dialled(200000, 200400),
			    "200000 " RELAY_A ", 200000 " RELAY_B ", ");
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
		ROW(addresses_are_of_the_kind_that_they_say),
		ROW(everything_starts_at_once),
		ROW(what_worked_last_has_a_head_start_over_worse_paths),
		ROW(a_relays_no_is_not_that_of_another_which_is_silent),
		ROW(relays_say_nothing_of_an_address_that_worked),
		ROW(relays_say_nothing_of_a_network_it_was_found_in),
		ROW(who_lost_to_a_relay_has_no_head_start),
		ROW(relays_are_asked_every_400_ms_and_hopes_seldom),
		ROW(the_path_that_worked_is_asked_every_400_ms),
		ROW(a_rig_that_was_found_is_searched_for_all_the_time),
		ROW(one_in_line_is_not_polled_and_holds_up_nobody),
		ROW(a_busy_relay_that_has_a_dial_is_not_dialled_anew),
		ROW(a_relay_that_says_no_is_asked_seldom),
		ROW(a_code_that_has_expired_is_a_no),
		ROW(one_relays_no_is_not_that_of_one_that_worked),
		ROW(better_paths_are_looked_for_with_growing_pauses),
		ROW(what_was_just_asked_is_not_asked_again),
		ROW(an_answer_on_this_network_is_dialled_at_once),
		ROW(offers_keep_what_is_known_of_a_path),
		ROW(there_are_never_more_than_the_table_holds),
		ROW(a_demand_within_the_back_off_is_served_at_once),
	};

	return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}

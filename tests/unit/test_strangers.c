/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <netinet/in.h>
#include <string.h>

#include "net/sockaddr.h"
#include "net/strangers.h"

static uint64_t key_of(const char *ip)
{
	struct sockaddr_storage ss;

	assert_true(sockaddr_parse(ip, 0, &ss));
	return strangers_key(&ss);
}

/* A neighbour's, on the interface of that number. */
static uint64_t key_at(unsigned iface, const char *ip)
{
	struct sockaddr_storage ss;
	struct sockaddr_in6 a;

	assert_true(sockaddr_parse(ip, 0, &ss));
	memcpy(&a, &ss, sizeof(a));
	a.sin6_scope_id = iface;
	memcpy(&ss, &a, sizeof(a));
	return strangers_key(&ss);
}

static void v6_strangers_are_counted_by_their_64(void **state)
{
	(void)state;
	assert_true(key_of("2001:db8:1:2::1") ==
		    key_of("2001:db8:1:2:ffff::9"));
	assert_true(key_of("2001:db8:1:2::1") != key_of("2001:db8:1:3::1"));
	assert_true(key_of("1.2.3.4") != key_of("1.2.3.5"));
	assert_true(key_of("0.0.0.0") != key_of("::"));
}

/* fe80::/64 is every link's. */
static void link_local_strangers_are_counted_one_by_one(void **state)
{
	(void)state;
	assert_true(key_at(2, "fe80::1") == key_at(2, "fe80::1"));
	assert_true(key_at(2, "fe80::1") != key_at(2, "fe80::2"));
	assert_true(key_at(2, "fe80::1") != key_at(2, "fe80::8000:0:0:1"));
	assert_true(key_at(2, "fe80::1") != key_at(3, "fe80::1"));
	assert_true(key_at(2, "fe80::102:304") != key_of("1.2.3.4"));
}

static void strangers_are_limited_and_forgotten(void **state)
{
	const uint64_t minute = 60000000;
	struct strangers d;

	(void)state;
	strangers_init(&d, 2, 3);
	assert_true(strangers_enter(&d, 1));
	assert_true(strangers_enter(&d, 1));
	assert_false(strangers_enter(&d, 1));
	assert_true(strangers_enter(&d, 2));
	strangers_leave(&d, 1);
	assert_true(strangers_enter(&d, 1));
	for (int i = 0; i < 3; i++) {
		assert_true(strangers_may_guess(&d, 1, minute));
		strangers_guessed(&d, 1, minute);
	}
	assert_false(strangers_may_guess(&d, 1, minute));
	assert_false(strangers_may_guess(&d, 1, 2 * minute - 1));
	assert_true(strangers_may_guess(&d, 2, minute));
	assert_true(strangers_may_guess(&d, 1, 2 * minute));
	strangers_guessed(&d, 1, 2 * minute);
	assert_true(strangers_may_guess(&d, 1, 2 * minute));
	/* Those who have gone and not guessed leave nothing behind. */
	strangers_leave(&d, 2);
	assert_int_equal(map_count(&d.seen), 1);
	strangers_done(&d);
}

/* Whoever has many addresses makes the relay remember no more than so many,
 * and then nobody can try a code until they have been quiet for a minute. */
static void guessing_addresses_have_a_limit(void **state)
{
	const uint64_t minute = 60000000;
	struct strangers d;

	(void)state;
	strangers_init(&d, 2, 3);
	d.max_seen = 100;
	for (uint64_t i = 0; i < 1000; i++) {
		if (!strangers_may_guess(&d, i, minute + i))
			continue;
		strangers_guessed(&d, i, minute + i);
		assert_true(map_count(&d.seen) <= 100);
	}
	assert_int_equal(map_count(&d.seen), 100);
	assert_false(strangers_may_guess(&d, 5000, 2 * minute - 1));
	assert_true(strangers_may_guess(&d, 5000, 2 * minute + 100));
	assert_int_equal(map_count(&d.seen), 0);
	strangers_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v6_strangers_are_counted_by_their_64),
		cmocka_unit_test(link_local_strangers_are_counted_one_by_one),
		cmocka_unit_test(strangers_are_limited_and_forgotten),
		cmocka_unit_test(guessing_addresses_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

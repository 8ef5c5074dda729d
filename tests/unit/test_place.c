/* SPDX-License-Identifier: MIT */
/* Where a relay's codes lead to: names before addresses, and on disk. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "config/settings.h"
#include "relay/place.h"

static bool is_public(const char *ip)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *a4 = (void *)&ss;
	struct sockaddr_in6 *a6 = (void *)&ss;

	if (inet_pton(AF_INET, ip, &a4->sin_addr) == 1)
		ss.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &a6->sin6_addr) == 1)
		ss.ss_family = AF_INET6;
	return place_is_public((struct sockaddr *)&ss);
}

static void private_addresses_are_known(void **state)
{
	static const char *const no[] = {
		"10.0.0.1",    "127.0.0.1",  "192.168.1.1", "172.16.0.1",
		"172.31.9.9",  "100.64.0.1", "169.254.1.1", "0.0.0.0",
		"224.0.0.1",   "::1",	     "fe80::1",	    "fd00::1",
		"2001:db8::1", "::",
	};
	static const char *const yes[] = { "8.8.8.8", "172.32.0.1",
					   "100.128.0.1", "2a01:4f8::1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		assert_false(is_public(no[i]));
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		assert_true(is_public(yes[i]));
}

static void set(struct settings *s, const char *name, const char *text)
{
	char *err;

	assert_int_equal(settings_set(s, name, text, &err), 0);
}

static void a_name_goes_before_an_address(void **state)
{
	struct settings s;
	struct place p;
	char *err;

	(void)state;
	settings_init(&s);
	set(&s, "relay.listen", "127.0.0.1:7443");
	assert_int_equal(place_find(&s.relay, 7443, &p, &err), 0);
	assert_int_equal(p.count, 1);
	assert_string_equal(p.at[0], "127.0.0.1:7443");
	set(&s, "relay.name", "relay.example.org,other.example.org:444");
	assert_int_equal(place_find(&s.relay, 7443, &p, &err), 0);
	assert_int_equal(p.count, 2);
	assert_string_equal(p.at[0], "relay.example.org:7443");
	assert_string_equal(p.at[1], "other.example.org:444");
	settings_done(&s);
}

static void the_place_is_kept(void **state)
{
	struct place p = { .at = { "a:1", "[::1]:2" }, .count = 2 }, got;
	char dir[] = "/tmp/rigway-test-place-XXXXXX", path[64], *err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/place", dir);
	assert_int_equal(place_load(path, &got, &err), -ENOENT);
	assert_int_equal(place_save(&p, path), 0);
	assert_int_equal(place_load(path, &got, &err), 0);
	assert_int_equal(got.count, 2);
	assert_string_equal(got.at[0], "a:1");
	assert_string_equal(got.at[1], "[::1]:2");
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_addresses_are_known),
		cmocka_unit_test(a_name_goes_before_an_address),
		cmocka_unit_test(the_place_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* When something was, whatever the wall clock is set to. */
#include "unit.h"

#include <time.h>

#include "net/moment.h"
#include "net/wake.h"

#define S 1000000

static void a_moment_is_as_old_as_it_is_however_the_clock_is_set(void **state)
{
	const uint64_t then = 500 * S, now = 560 * S;
	const int64_t walls[] = { 61, 1000, 1795242148, 6000000000 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(moment_unix_at(then, now, walls[i] * S),
				 walls[i] - 60);
	assert_int_equal(moment_span_s(then, now), 60);
}

static void never_stays_never(void **state)
{
	(void)state;
	assert_int_equal(moment_unix_at(0, 560 * S, 1795242148L * S), 0);
	assert_int_equal(moment_unix(0), 0);
	assert_int_not_equal(moment_now(), 0);
}

/* A clock that begins in 1970 leaves no room for what was before. */
static void what_was_before_1970_is_not_never(void **state)
{
	(void)state;
	assert_int_equal(moment_unix_at(1 * S, 560 * S, 5 * S), 1);
	assert_int_equal(moment_unix_at(1 * S, 560 * S, -5 * S), 1);
}

/* Two threads' clocks, read one after the other. */
static void what_is_not_over_yet_is_now(void **state)
{
	(void)state;
	assert_int_equal(moment_unix_at(561 * S, 560 * S, 1000 * (int64_t)S),
			 1000);
	assert_int_equal(moment_span_s(561 * S, 560 * S), 0);
}

static void now_is_what_the_wall_clock_says(void **state)
{
	const int64_t before = time(NULL);
	const int64_t told = moment_unix(moment_now());

	(void)state;
	assert_in_range(told, before - 1, time(NULL) + 1);
	const uint64_t always = wake_always_us();

	if (always != 0)
		assert_in_range(moment_now(), always, wake_always_us());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_moment_is_as_old_as_it_is_however_the_clock_is_set),
		cmocka_unit_test(never_stays_never),
		cmocka_unit_test(what_was_before_1970_is_not_never),
		cmocka_unit_test(what_is_not_over_yet_is_now),
		cmocka_unit_test(now_is_what_the_wall_clock_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

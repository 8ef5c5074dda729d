/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "net/backoff.h"

#define SECOND UINT64_C(1000000)

static void for_a_minute_a_dial_starts_every_400_ms(void **state)
{
	struct backoff b;
	uint64_t now = 5 * SECOND;
	unsigned dials = 0;

	(void)state;
	backoff_reset(&b, now);
	while (now < 65 * SECOND) {
		uint64_t ms = backoff_next(&b, now, UINT64_MAX);

		assert_int_equal(ms, BACKOFF_EAGER_MS);
		now += ms * 1000;
		dials++;
	}
	assert_int_equal(dials, 150);
}

static void after_it_the_pauses_grow_to_30_s_and_no_further(void **state)
{
	static const uint64_t most[] = { 1000,	2000,  4000,  8000,
					 16000, 30000, 30000, 30000 };
	struct backoff b;
	uint64_t now = 100 * SECOND;

	(void)state;
	backoff_reset(&b, 0);
	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
		uint64_t ms = backoff_next(&b, now, most[i] / 2);

		assert_int_equal(ms, most[i]);
	}
	for (unsigned i = 0; i < 1000; i++)
		assert_true(backoff_next(&b, now, i * 7919) <= 30000);
}

static void jitter_is_at_most_half(void **state)
{
	(void)state;
	for (uint64_t random = 0; random < 5000; random++) {
		struct backoff b = { .since_us = 0, .late = 9 };
		uint64_t ms = backoff_next(&b, 100 * SECOND, random);

		assert_in_range(ms, 15000, 30000);
	}
}

static void a_demand_makes_it_eager_again(void **state)
{
	struct backoff b = { .since_us = 0, .late = 9 };

	(void)state;
	backoff_reset(&b, 500 * SECOND);
	assert_int_equal(backoff_next(&b, 500 * SECOND, 0), 400);
	assert_int_equal(backoff_next(&b, 559 * SECOND, 0), 400);
	assert_int_equal(backoff_next(&b, 560 * SECOND, 500), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(for_a_minute_a_dial_starts_every_400_ms),
		cmocka_unit_test(
			after_it_the_pauses_grow_to_30_s_and_no_further),
		cmocka_unit_test(jitter_is_at_most_half),
		cmocka_unit_test(a_demand_makes_it_eager_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

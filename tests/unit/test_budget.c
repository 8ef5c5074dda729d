/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "core/budget.h"

#define KIB UINT64_C(1024)

static void streams_are_half_the_budget_over_the_floor(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 1024 * KIB, 16 * 1024, 1 << 20);
	assert_int_equal(budget_streams(&b), 32);
	for (int i = 0; i < 32; i++)
		assert_true(budget_enter(&b));
	assert_false(budget_enter(&b));
	budget_leave(&b);
	assert_true(budget_enter(&b));
	budget_init(&b, UINT64_MAX, 1, 1);
	assert_int_equal(budget_streams(&b), UINT32_MAX);
}

static void a_loan_is_at_most_a_quarter_of_what_is_free(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 800, 10, 1000);
	assert_int_equal(budget_lend(&b, 50), 50);
	assert_int_equal(budget_lend(&b, 1000), 87);
	assert_int_equal(b.lent, 137);
	budget_return(&b, 137);
	assert_int_equal(b.lent, 0);
}

/* However many ask for however much, the next one still gets something, until
 * nearly nothing is left; and never more than half is lent. */
static void loans_never_exceed_half_the_budget(void **state)
{
	struct budget b;
	uint64_t last = UINT64_MAX;

	(void)state;
	budget_init(&b, 256 * KIB * KIB, 16 * 1024, 1 << 24);
	for (int i = 0; i < 1000; i++) {
		uint64_t got = budget_lend(&b, UINT64_MAX);

		assert_true(got <= last);
		assert_true(b.lent <= b.total / 2);
		last = got;
	}
	assert_true(b.total / 2 - b.lent < 4);
	assert_int_equal(budget_lend(&b, 100), 0);
}

static void a_sender_may_always_keep_the_floor(void **state)
{
	struct budget b;

	(void)state;
	budget_init(&b, 8000, 100, 1000);
	assert_int_equal(budget_room(&b, 0), 1000);
	budget_keep(&b, 4000);
	assert_int_equal(budget_room(&b, 0), 100);
	assert_int_equal(budget_room(&b, 60), 40);
	assert_int_equal(budget_room(&b, 100), 0);
	budget_keep(&b, 4000);
	assert_int_equal(budget_room(&b, 99), 1);
	budget_forget(&b, 8000);
	assert_int_equal(budget_room(&b, 5000), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_half_the_budget_over_the_floor),
		cmocka_unit_test(a_loan_is_at_most_a_quarter_of_what_is_free),
		cmocka_unit_test(loans_never_exceed_half_the_budget),
		cmocka_unit_test(a_sender_may_always_keep_the_floor),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}

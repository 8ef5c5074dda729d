/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "base/slab.h"

#define MANY 200

static struct slab slab;
static uint8_t *blocks[MANY];

static int setup(void **state)
{
	(void)state;
	slab_init(&slab);
	return 0;
}

static void take(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		blocks[i] = slab_take(&slab);
		assert_non_null(blocks[i]);
		memset(blocks[i], (int)i, SLAB_BLOCK);
	}
}

static void check(size_t i)
{
	for (size_t k = 0; k < SLAB_BLOCK; k++)
		assert_int_equal(blocks[i][k], (uint8_t)i);
}

static void give(size_t i)
{
	check(i);
	slab_give(&slab, blocks[i]);
}

static void blocks_do_not_touch_each_other(void **state)
{
	(void)state;
	take(0, MANY);
	for (size_t i = 0; i < MANY; i++)
		check(i);
	for (size_t i = 0; i < MANY; i += 2)
		give(i);
	for (size_t i = 1; i < MANY; i += 2)
		check(i);
	for (size_t i = 0; i < MANY; i += 2)
		take(i, i + 1);
	for (size_t i = MANY; i-- > 0;)
		give(i);
	slab_rest(&slab);
	assert_true(list_is_empty(&slab.regions));
}

static void a_rest_spares_what_is_used(void **state)
{
	(void)state;
	take(0, 3);
	slab_rest(&slab);
	give(1);
	slab_rest(&slab);
	take(1, 2);
	for (size_t i = 0; i < 3; i++)
		give(i);
	/* One who takes and gives by turns is at rest in between, too. */
	for (int i = 0; i < 5; i++) {
		take(0, 1);
		give(0);
		if (i % 2 != 0)
			slab_rest(&slab);
	}
	slab_rest(&slab);
	assert_true(list_is_empty(&slab.regions));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(blocks_do_not_touch_each_other),
		T(a_rest_spares_what_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define KEYS 2000

/* Against an array that does the same. */
static void a_map_holds_what_was_put_and_not_deleted(void **state)
{
	static char *model[KEYS];
	static char values[KEYS];
	size_t count = 0;
	struct map m;

	(void)state;
	srandom(2);
	map_init(&m, 42);
	for (int turn = 0; turn < 200000; turn++) {
		size_t k = (size_t)random() % KEYS;

		if (random() % 2 == 0) {
			char *v = &values[random() % KEYS];

			count += model[k] == NULL;
			model[k] = v;
			assert_int_equal(map_put(&m, k << 32, v), 0);
		} else {
			count -= model[k] != NULL;
			assert_ptr_equal(map_del(&m, k << 32), model[k]);
			model[k] = NULL;
		}
		k = (size_t)random() % KEYS;
		assert_ptr_equal(map_get(&m, k << 32), model[k]);
		assert_int_equal(map_count(&m), count);
	}
	map_done(&m);
	assert_null(map_get(&m, 0));
	assert_int_equal(map_count(&m), 0);
}

static void iterating_shows_each_key_once_while_keys_are_deleted(void **state)
{
	static uint8_t seen[KEYS];
	struct map m;
	size_t it = 0, n = 0;
	uint64_t key;

	(void)state;
	map_init(&m, 0);
	for (size_t i = 0; i < KEYS; i++)
		assert_int_equal(map_put(&m, i, &seen[i]), 0);
	for (uint8_t *v; (v = map_next(&m, &it, &key)) != NULL; n++) {
		assert_ptr_equal(v, &seen[key]);
		assert_int_equal(seen[key]++, 0);
		assert_ptr_equal(map_del(&m, key), v);
	}
	assert_int_equal(n, KEYS);
	assert_int_equal(map_count(&m), 0);
	map_done(&m);
}

/* Ids are never used again: a session's map sees millions of them. */
static void ever_new_keys_do_not_grow_the_table(void **state)
{
	char v;
	struct map m;

	(void)state;
	map_init(&m, 7);
	for (uint64_t i = 0; i < 1000000; i++) {
		assert_int_equal(map_put(&m, i, &v), 0);
		if (i >= 8)
			assert_ptr_equal(map_del(&m, i - 8), &v);
	}
	assert_int_equal(map_count(&m), 8);
	assert_true(m.t.cap <= 64);
	map_done(&m);
}

static void a_map_that_shrank_gives_memory_back_when_used(void **state)
{
	char v;
	struct map m;

	(void)state;
	map_init(&m, 0);
	for (uint64_t i = 0; i < 100000; i++)
		assert_int_equal(map_put(&m, i, &v), 0);
	for (uint64_t i = 0; i < 100000; i++)
		assert_non_null(map_del(&m, i));
	for (uint64_t i = 0; i < 1000000 && m.t.cap > 64; i++) {
		assert_int_equal(map_put(&m, i, &v), 0);
		assert_non_null(map_del(&m, i));
	}
	assert_int_equal(map_count(&m), 0);
	map_done(&m);
}

static void pins_are_told_apart_by_every_byte(void **state)
{
	static char values[32];
	uint8_t key[PINMAP_KEY_LEN] = { 0 };
	const uint8_t *at;
	struct pinmap m;
	size_t it = 0, n = 0;

	(void)state;
	pinmap_init(&m, 3);
	for (int i = 0; i < 32; i++) {
		key[i] ^= 0x80;
		assert_int_equal(pinmap_put(&m, key, &values[i]), 0);
		key[i] ^= 0x80;
	}
	assert_int_equal(pinmap_count(&m), 32);
	assert_null(pinmap_get(&m, key));
	for (void *v; (v = pinmap_next(&m, &it, &at)) != NULL; n++)
		assert_ptr_equal(pinmap_get(&m, at), v);
	assert_int_equal(n, 32);
	for (int i = 0; i < 32; i++) {
		key[i] ^= 0x80;
		assert_ptr_equal(pinmap_del(&m, key), &values[i]);
		assert_null(pinmap_del(&m, key));
		key[i] ^= 0x80;
	}
	pinmap_done(&m);
}

static void ten_thousand_pins_are_found_again(void **state)
{
	static uint8_t keys[10000][PINMAP_KEY_LEN];
	struct pinmap m;

	(void)state;
	srandom(4);
	pinmap_init(&m, 5);
	for (size_t i = 0; i < 10000; i++) {
		for (size_t j = 0; j < PINMAP_KEY_LEN; j++)
			keys[i][j] = (uint8_t)random();
		assert_int_equal(pinmap_put(&m, keys[i], keys[i]), 0);
	}
	for (size_t i = 0; i < 10000; i++)
		assert_ptr_equal(pinmap_get(&m, keys[i]), keys[i]);
	pinmap_done(&m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_holds_what_was_put_and_not_deleted),
		cmocka_unit_test(
			iterating_shows_each_key_once_while_keys_are_deleted),
		cmocka_unit_test(ever_new_keys_do_not_grow_the_table),
		cmocka_unit_test(a_map_that_shrank_gives_memory_back_when_used),
		cmocka_unit_test(pins_are_told_apart_by_every_byte),
		cmocka_unit_test(ten_thousand_pins_are_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

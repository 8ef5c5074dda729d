/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/str.h"
#include "wire/probe.h"

static struct probe_keys keys_of(uint8_t rig)
{
	struct probe_keys k;
	struct pin pin;

	memset(pin.b, rig, PIN_LEN);
	probe_keys_init(&k, &pin);
	return k;
}

static const uint8_t nonce[PROBE_NONCE_LEN] = { 1, 2,  3,  4,  5,  6,  7,  8,
						9, 10, 11, 12, 13, 14, 15, 16 };

static void a_question_is_understood_by_its_rig_only(void **state)
{
	const struct probe_keys desk = keys_of(0x33), other = keys_of(0x34);
	uint8_t b[PROBE_LEN], got[PROBE_NONCE_LEN] = { 0 };

	(void)state;
	probe_write(&desk, nonce, b);
	assert_false(probe_read(&other, b, sizeof(b), got));
	assert_int_equal(got[0], 0);
	assert_true(probe_read(&desk, b, sizeof(b), got));
	assert_memory_equal(got, nonce, sizeof(nonce));
}

static void an_answer_is_bound_to_its_question(void **state)
{
	const struct probe_keys desk = keys_of(0x33), other = keys_of(0x34);
	uint8_t b[PROBE_ANSWER_LEN], again[PROBE_NONCE_LEN] = { 7 };
	uint16_t port = 1;

	(void)state;
	probe_answer_write(&desk, nonce, 40123, b);
	assert_false(probe_answer_read(&desk, again, b, sizeof(b), &port));
	assert_false(probe_answer_read(&other, nonce, b, sizeof(b), &port));
	assert_int_equal(port, 1);
	assert_true(probe_answer_read(&desk, nonce, b, sizeof(b), &port));
	assert_int_equal(port, 40123);
	assert_true(PROBE_ANSWER_LEN < PROBE_LEN);
}

static void every_bit_counts(void **state)
{
	const struct probe_keys desk = keys_of(0x33);
	uint8_t ask[PROBE_LEN + 1] = { 0 }, ans[PROBE_ANSWER_LEN + 1] = { 0 };
	uint8_t got[PROBE_NONCE_LEN];
	uint16_t port;

	(void)state;
	probe_write(&desk, nonce, ask);
	probe_answer_write(&desk, nonce, 1, ans);
	for (size_t i = 0; i < 8 * PROBE_LEN; i++) {
		ask[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(probe_read(&desk, ask, PROBE_LEN, got));
		ask[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t i = 0; i < 8 * PROBE_ANSWER_LEN; i++) {
		ans[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(probe_answer_read(&desk, nonce, ans,
					       PROBE_ANSWER_LEN, &port));
		ans[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (size_t n = 0; n <= PROBE_LEN + 1; n++)
		assert_int_equal(probe_read(&desk, ask, n, got),
				 n == PROBE_LEN);
	for (size_t n = 0; n <= PROBE_ANSWER_LEN + 1; n++)
		assert_int_equal(probe_answer_read(&desk, nonce, ans, n, &port),
				 n == PROBE_ANSWER_LEN);
	/* Nobody can be made to say his own words to himself. */
	assert_false(probe_read(&desk, ans, PROBE_ANSWER_LEN, got));
}

/* The bytes of PROTOCOL.md, section 14. */
static void the_vectors_are_what_is_written(void **state)
{
	const struct probe_keys desk = keys_of(0x33);
	const char *dir = getenv("RIGWAY_VECTORS");
	uint8_t b[2][PROBE_LEN];
	char path[1024], hex[2 * PROBE_LEN + 2], want[2 * PROBE_LEN + 1];

	(void)state;
	assert_non_null(dir);
	probe_write(&desk, nonce, b[0]);
	probe_answer_write(&desk, nonce, 7443, b[1]);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s.hex", dir,
			 i == 0 ? "probe" : "probe-answer");
		FILE *f = fopen(path, "r");

		assert_non_null(f);
		assert_non_null(fgets(hex, sizeof(hex), f));
		fclose(f);
		hex[strcspn(hex, "\n")] = '\0';
		str_hex_encode(b[i], i == 0 ? PROBE_LEN : PROBE_ANSWER_LEN,
			       want);
		assert_string_equal(hex, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_understood_by_its_rig_only),
		cmocka_unit_test(an_answer_is_bound_to_its_question),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(the_vectors_are_what_is_written),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}

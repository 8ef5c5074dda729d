/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <math.h>
#include <string.h>

#include <jansson.h>

#include "base/json.h"

static void items_are_separated_and_nested(void **state)
{
	struct buf b = { 0 };
	struct json j;

	(void)state;
	json_init(&j, &b);
	json_obj_begin(&j);
	json_key_str(&j, "name", "desk");
	json_key(&j, "empty");
	json_arr_begin(&j);
	json_arr_end(&j);
	json_key(&j, "rigs");
	json_arr_begin(&j);
	for (int i = 0; i < 2; i++) {
		json_obj_begin(&j);
		json_key_int(&j, "n", -i);
		json_key_bool(&j, "up", i == 1);
		json_obj_end(&j);
	}
	json_put_null(&j);
	json_str(&j, NULL);
	json_arr_end(&j);
	json_key_uint(&j, "max", UINT64_MAX);
	json_obj_end(&j);
	assert_int_equal(json_end(&j), 0);
	assert_string_equal(
		buf_text(&b),
		"{\"name\":\"desk\",\"empty\":[],\"rigs\":["
		"{\"n\":0,\"up\":false},{\"n\":-1,\"up\":true},null,null],"
		"\"max\":18446744073709551615}");
	buf_done(&b);
}

/* Writes s, reads it with a foreign parser. */
static void assert_reads_back(const char *s, size_t len, const char *want,
			      size_t want_len)
{
	struct buf b = { 0 };
	struct json j;

	json_init(&j, &b);
	json_strn(&j, s, len);
	assert_int_equal(json_end(&j), 0);
	json_t *v = json_loadb((const char *)b.data + b.off, b.len,
			       JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	assert_non_null(v);
	assert_int_equal(json_string_length(v), want_len);
	assert_memory_equal(json_string_value(v), want, want_len);
	json_decref(v);
	buf_done(&b);
}

static void every_byte_reads_back_in_a_foreign_parser(void **state)
{
	char all[128];

	(void)state;
	for (int i = 0; i < 128; i++)
		all[i] = (char)i;
	assert_reads_back(all, 128, all, 128);
	assert_reads_back("\xc3\x9f\xf0\x9f\x96\xa5", 6,
			  "\xc3\x9f\xf0\x9f\x96\xa5", 6);
}

static void broken_utf8_becomes_a_replacement(void **state)
{
	(void)state;
	assert_reads_back("a\xff\xe6\x9c", 4,
			  "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 10);
	assert_reads_back("\xed\xa0\x80", 3,
			  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9);
}

static void numbers_read_back_exactly(void **state)
{
	static const double values[] = {
		0, 0.1, 1.0 / 3, -1e300, 5e-324, 16.25
	};
	struct buf b = { 0 };
	struct json j;

	(void)state;
	json_init(&j, &b);
	json_arr_begin(&j);
	for (size_t i = 0; i < 6; i++)
		json_double(&j, values[i]);
	json_double(&j, (double)NAN);
	json_double(&j, (double)INFINITY);
	json_int(&j, INT64_MIN);
	json_arr_end(&j);
	assert_int_equal(json_end(&j), 0);
	json_t *v = json_loads(buf_text(&b), 0, NULL);

	assert_non_null(v);
	for (size_t i = 0; i < 6; i++) {
		double got = json_number_value(json_array_get(v, i));

		assert_memory_equal(&got, &values[i], sizeof(got));
	}
	assert_true(json_is_null(json_array_get(v, 6)));
	assert_true(json_is_null(json_array_get(v, 7)));
	assert_true(json_integer_value(json_array_get(v, 8)) == INT64_MIN);
	json_decref(v);
	buf_done(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_are_separated_and_nested),
		cmocka_unit_test(every_byte_reads_back_in_a_foreign_parser),
		cmocka_unit_test(broken_utf8_becomes_a_replacement),
		cmocka_unit_test(numbers_read_back_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

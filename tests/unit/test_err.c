/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"

static const int codes[] = {
#define RW_ERR_ROW(name, number, text) number,
	RW_ERRORS(RW_ERR_ROW)
#undef RW_ERR_ROW
};

static void every_code_has_its_own_number_and_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		assert_true(strlen(err_text(codes[i])) > 5);
		assert_string_not_equal(err_name(codes[i]), "OTHER");
		assert_int_equal(codes[i], -20001 - (int)i);
	}
	assert_string_equal(err_name(RW_ERR_PIN), "PIN");
}

static void foreign_codes_have_texts_too(void **state)
{
	(void)state;
	assert_string_equal(err_text(-ECONNREFUSED), "Connection refused");
	assert_string_equal(err_text(-3008), "no such host");
	for (int e = -3000; e >= -3014; e--)
		if (e != -3012)
			assert_null(strstr(err_text(e), "error -"));
	assert_string_equal(err_text(-2999), "error -2999");
	assert_string_equal(err_text(-3012), "error -3012");
	assert_string_equal(err_text(5), "error 5");
	assert_string_equal(err_text(0), "no error");
	assert_string_equal(err_name(-ENOENT), "OTHER");
}

static struct {
	int count;
	enum log_level level;
	char line[LOG_LINE_MAX + 128];
} seen;

static void keep_line(enum log_level level, const char *line, void *user)
{
	(void)user;
	seen.count++;
	seen.level = level;
	strcpy(seen.line, line);
}

static int count_up(int *n)
{
	return ++*n;
}

static void a_level_that_is_off_costs_nothing(void **state)
{
	int evaluated = 0;

	(void)state;
	seen.count = 0;
	log_set_sink(keep_line, NULL);
	log_set_level(LOG_LEVEL_WARN);
	log_info("%d", count_up(&evaluated));
	assert_int_equal(evaluated, 0);
	assert_int_equal(seen.count, 0);
	log_warn("%d", count_up(&evaluated));
	assert_int_equal(evaluated, 1);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.level, LOG_LEVEL_WARN);
	assert_string_equal(seen.line, "1");
	log_set_sink(NULL, NULL);
}

static void a_peers_text_cannot_forge_a_line(void **state)
{
	char longer[4 * LOG_LINE_MAX];

	(void)state;
	log_set_sink(keep_line, NULL);
	log_error("rig '%s'", "x\n2026 error: all is lost\x1b[2J\x7f");
	assert_string_equal(seen.line,
			    "rig 'x\\x0a2026 error: all is lost\\x1b[2J\\x7f'");
	memset(longer, '\n', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	log_error("%s", longer);
	assert_true(strlen(seen.line) < sizeof(seen.line));
	log_set_sink(NULL, NULL);
}

static void logging_keeps_errno(void **state)
{
	(void)state;
	log_set_sink(keep_line, NULL);
	errno = EPIPE;
	log_error("x");
	assert_int_equal(errno, EPIPE);
	log_set_sink(NULL, NULL);
}

static unsigned lines, told;

static void count_line(enum log_level level, const char *line, void *user)
{
	(void)level, (void)user;
	if (strstr(line, "log.lines_per_minute") != NULL)
		told += (unsigned)strtoul(line, NULL, 10);
	else
		lines++;
}

/* Somebody is refused again and again: that fills no disk. */
static void lines_that_others_cause_are_limited(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_INFO);
	log_set_sink(count_line, NULL);
	lines = told = 0;
	log_set_limit(5);
	for (int i = 0; i < 100; i++)
		log_info("somebody is not allowed to do this");
	/* A minute may have begun in between. */
	assert_in_range(lines, 5, 10);
	for (int i = 0; i < 100; i++)
		log_error("the disk is full");
	assert_in_range(lines, 105, 110);
	log_set_limit(0);
	assert_int_equal(lines + told, 200);
	for (int i = 0; i < 100; i++)
		log_warn("no limit");
	assert_int_equal(lines + told, 300);
	log_set_sink(NULL, NULL);
}

static void levels_are_read_by_name(void **state)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	enum log_level level = LOG_LEVEL_ERROR;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(log_level_parse(names[i], &level), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse("INFO", &level), 0);
	assert_int_equal(log_level_parse("loud", &level), RW_ERR_FORMAT);
	assert_int_equal(level, LOG_LEVEL_INFO);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_its_own_number_and_text),
		cmocka_unit_test(foreign_codes_have_texts_too),
		cmocka_unit_test(a_level_that_is_off_costs_nothing),
		cmocka_unit_test(a_peers_text_cannot_forge_a_line),
		cmocka_unit_test(logging_keeps_errno),
		cmocka_unit_test(lines_that_others_cause_are_limited),
		cmocka_unit_test(levels_are_read_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

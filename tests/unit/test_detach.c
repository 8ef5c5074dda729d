/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/detach.h"
#include "base/err.h"

static char dir[] = "/tmp/detach-XXXXXX";
static char log_path[64];

static int setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(log_path);
	return rmdir(dir);
}

/* Runs script as the new process; what it said last goes to *ret_text. */
static int start(const char *script, char **ret_text)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct detach_params p = {
		.program = "/bin/sh",
		.argv = argv,
		.log = log_path,
	};

	*ret_text = NULL;
	return detach_start(&p, ret_text);
}

static void a_byte_says_that_it_is_ready(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(start("printf . >&3", &text), 0);
	assert_null(text);
}

static void its_errors_are_its_last_words(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(start("echo '10:00 error: one'; echo '10:00 info: x';"
			       "echo '10:00 error: two' >&2; echo more",
			       &text),
			 RW_ERR_GONE);
	assert_string_equal(text, "one\ntwo");
	free(text);
}

static void without_errors_the_last_line_is_shown(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(start("echo first; echo second; echo", &text),
			 RW_ERR_GONE);
	assert_string_equal(text, "second");
	free(text);
}

static void words_of_an_earlier_process_do_not_count(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(start("echo 'a error: old'", &text), RW_ERR_GONE);
	free(text);
	assert_int_equal(start("true", &text), RW_ERR_GONE);
	assert_string_equal(text, "");
	free(text);
}

static void no_other_file_stays_open_in_it(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(start("test ! -e /proc/self/fd/4 && "
			       "test -c /proc/self/fd/0 && printf . >&3",
			       &text),
			 0);
}

static void a_log_that_cannot_be_is_told(void **state)
{
	const char *const argv[] = { "true", NULL };
	const struct detach_params p = {
		.program = "/bin/true",
		.argv = argv,
		.log = "/dev/null/log",
	};
	char *text = NULL;

	(void)state;
	assert_true(detach_start(&p, &text) < 0);
	assert_non_null(strstr(text, "/dev/null/log: "));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_byte_says_that_it_is_ready),
		cmocka_unit_test(its_errors_are_its_last_words),
		cmocka_unit_test(without_errors_the_last_line_is_shown),
		cmocka_unit_test(words_of_an_earlier_process_do_not_count),
		cmocka_unit_test(no_other_file_stays_open_in_it),
		cmocka_unit_test(a_log_that_cannot_be_is_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

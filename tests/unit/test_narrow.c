/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "net/narrow.h"

#define SECOND UINT64_C(1000000)
#define START  (1000 * SECOND)

static bool is_news;

static const char *told(struct narrow *n, unsigned at)
{
	return narrow_text(n, START + at * SECOND, &is_news);
}

static void three_young_deaths_in_a_row_make_it_narrow(void **state)
{
	struct narrow n = { .deaths = 0 };

	(void)state;
	narrow_died(&n, SECOND, START);
	assert_null(told(&n, 0));
	narrow_died(&n, SECOND, START + SECOND);
	assert_false(narrow_is_on(&n, START + SECOND));
	assert_non_null(strstr(told(&n, 1), "perhaps"));
	assert_false(is_news);
	narrow_died(&n, SECOND, START + 2 * SECOND);
	assert_true(narrow_is_on(&n, START + 2 * SECOND));
	for (int i = 0; i < 2; i++) {
		assert_null(strstr(told(&n, 3), "perhaps"));
		assert_int_equal(is_news, i == 0);
	}
	assert_null(told(&n, 60));
	/* It ends, and begins anew. */
	assert_true(narrow_is_on(&n, START + 3600 * SECOND));
	assert_false(narrow_is_on(&n, START + 3603 * SECOND));
	for (int i = 0; i < 3; i++)
		narrow_died(&n, SECOND, START + (4000 + i) * SECOND);
	assert_non_null(told(&n, 4002));
	assert_true(is_news);
}

static void what_else_dies_does_not_count(void **state)
{
	struct narrow n = { .deaths = 0 };

	(void)state;
	/* Old ones, several at once, and now and then one. */
	for (uint64_t i = 0; i < 10; i++) {
		narrow_died(&n, 20 * SECOND, START + i * SECOND);
		narrow_died(&n, SECOND, START);
	}
	for (uint64_t i = 1; i < 10; i++)
		narrow_died(&n, SECOND, START + i * 40 * SECOND);
	assert_false(narrow_is_on(&n, START + 360 * SECOND));
}

/* Seven that were dialled one by one, and die one by one of the same hole. */
static void young_ones_of_one_outage_are_one_death(void **state)
{
	struct narrow n = { .deaths = 0 };

	(void)state;
	for (uint64_t i = 0; i < 7; i++)
		narrow_died(&n, 8 * SECOND - i * SECOND / 4,
			    START + i * SECOND / 2);
	assert_int_equal(n.deaths, 1);
	assert_false(narrow_is_on(&n, START + 4 * SECOND));
}

static int segment_towards(const struct narrow *n, const char *host)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), bytes = 0;
	socklen_t len = sizeof(bytes);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, host, &to.sin_addr), 1);
	narrow_apply(n, fd, (struct sockaddr *)&to, START);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, &len),
			 0);
	close(fd);
	return bytes;
}

static void only_what_leads_out_of_here_has_small_segments(void **state)
{
	const struct narrow wide = { .deaths = 0 };
	const struct narrow n = { .until_us = START + 1 };

	(void)state;
	assert_int_equal(segment_towards(&n, "192.0.2.1"), NARROW_SEGMENT);
	assert_int_not_equal(segment_towards(&n, "127.0.0.1"), NARROW_SEGMENT);
	assert_int_not_equal(segment_towards(&wide, "192.0.2.1"),
			     NARROW_SEGMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_young_deaths_in_a_row_make_it_narrow),
		cmocka_unit_test(what_else_dies_does_not_count),
		cmocka_unit_test(young_ones_of_one_outage_are_one_death),
		cmocka_unit_test(
			only_what_leads_out_of_here_has_small_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

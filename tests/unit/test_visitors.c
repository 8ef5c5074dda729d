/* SPDX-License-Identifier: MIT */
/* Questions of discovery that come again, and who gets a port for them. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "net/sockaddr.h"
#include "rig/questions.h"
#include "rig/visitors.h"

#define START UINT64_C(1000000000)

struct nonce {
	uint8_t b[PROBE_NONCE_LEN];
};

static struct nonce nonce_of(unsigned n)
{
	struct nonce ret = { { 0 } };

	memcpy(ret.b, &n, sizeof(n));
	return ret;
}

static bool is_answered(struct questions *q, unsigned n, uint64_t now_us)
{
	const struct nonce nonce = nonce_of(n);
	const enum question_kind kind = questions_judge(q, nonce.b, now_us);

	if (kind == QUESTION_NEW)
		questions_add(q, nonce.b, now_us);
	return kind != QUESTION_OVER;
}

static void a_question_is_good_for_a_moment_only(void **state)
{
	static struct questions q;
	const uint64_t later = START + QUESTIONS_GOOD_US;

	(void)state;
	q = (struct questions){ .next = 0 };
	assert_true(is_answered(&q, 1, START));
	assert_true(is_answered(&q, 1, later - 1)); /* the client asks again */
	assert_false(is_answered(&q, 1, later));
	assert_false(is_answered(&q, 1, 100 * later));
	assert_true(is_answered(&q, 2, later)); /* the next search */
}

static void a_question_has_so_many_answers(void **state)
{
	static struct questions q;
	int n = 0;

	(void)state;
	q = (struct questions){ .next = 0 };
	for (int i = 0; i < 100; i++)
		n += is_answered(&q, 1, START);
	assert_int_equal(n, QUESTIONS_ANSWERS);
}

static void questions_that_are_remembered_have_a_limit(void **state)
{
	static struct questions q;
	const uint64_t later = START + QUESTIONS_GOOD_US;

	(void)state;
	q = (struct questions){ .next = 0 };
	for (unsigned n = 0; n <= QUESTIONS_MAX; n++)
		assert_true(is_answered(&q, n, START));
	for (unsigned n = 1; n <= QUESTIONS_MAX; n++)
		assert_false(is_answered(&q, n, later));
	assert_true(is_answered(&q, 0, later)); /* the oldest is forgotten */
}

static bool let(struct visitors *v, unsigned host, unsigned question,
		uint64_t now_us)
{
	const struct nonce nonce = nonce_of(question);
	struct sockaddr_storage addr;
	char ip[20];

	snprintf(ip, sizeof(ip), "10.0.0.%u", host);
	assert_true(sockaddr_parse(ip, 0, &addr));
	return visitors_let(v, &addr, nonce.b, now_us);
}

static bool has(struct visitors *v, unsigned host, uint64_t now_us)
{
	struct sockaddr_storage addr;
	char ip[20];

	snprintf(ip, sizeof(ip), "10.0.0.%u", host);
	assert_true(sockaddr_parse(ip, 9, &addr));
	return visitors_has(v, &addr, now_us);
}

/* Somebody sends what he heard under many addresses. */
static void one_question_opens_for_few(void **state)
{
	struct visitors v = { .rows = { { .until_us = 0 } } };
	unsigned n = 0;

	(void)state;
	for (unsigned i = 1; i <= 200; i++)
		n += let(&v, i, 1, START + i);
	assert_int_equal(n, VISITORS_OF_ONE_QUESTION);
	assert_true(let(&v, 1, 1, START + 999)); /* one of them again */
	assert_true(let(&v, 201, 2, START + 999));
	assert_true(has(&v, 201, START + 999));
	assert_false(has(&v, 201, START + 999 + VISITORS_OPEN_US));
}

static void the_oldest_visitor_gives_way(void **state)
{
	struct visitors v = { .rows = { { .until_us = 0 } } };

	(void)state;
	for (unsigned i = 1; i <= VISITORS_MAX; i++)
		assert_true(let(&v, i, i, START + i));
	assert_true(let(&v, 1, 100, START + 100)); /* it asked again */
	assert_true(let(&v, 50, 50, START + 200));
	assert_true(has(&v, 50, START + 200));
	assert_true(has(&v, 1, START + 200));
	assert_false(has(&v, 2, START + 200));
	assert_true(has(&v, 3, START + 200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_good_for_a_moment_only),
		cmocka_unit_test(a_question_has_so_many_answers),
		cmocka_unit_test(questions_that_are_remembered_have_a_limit),
		cmocka_unit_test(one_question_opens_for_few),
		cmocka_unit_test(the_oldest_visitor_gives_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

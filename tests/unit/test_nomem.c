/* SPDX-License-Identifier: MIT */
/* The n-th allocation fails, for every n: nothing crashes, nothing leaks, and
 * whoever was served by then hears of an end. Linked with --wrap. */
#include "core_pair.h"

#include "base/slab.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strndup(const char *s, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strndup(const char *s, size_t n);
void __wrap_free(void *p);
void *__real_slab_take(struct slab *s);
void __real_slab_give(struct slab *s, void *block);
void *__wrap_slab_take(struct slab *s);
void __wrap_slab_give(struct slab *s, void *block);

static bool armed;
static unsigned long count, fail_at, fail_for;
static long balance; /* allocations not freed; those of the test as well */

static bool fails(void)
{
	if (!armed)
		return false;
	count++;
	return count >= fail_at && count < fail_at + fail_for;
}

static void *counted(void *p)
{
	balance += p != NULL;
	return p;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
	void *q = fails() ? NULL : __real_realloc(p, n);

	balance += p == NULL && q != NULL;
	return q;
}

char *__wrap_strndup(const char *s, size_t n)
{
	return fails() ? NULL : counted(__real_strndup(s, n));
}

void __wrap_free(void *p)
{
	balance -= p != NULL;
	__real_free(p);
}

void *__wrap_slab_take(struct slab *s)
{
	return fails() ? NULL : counted(__real_slab_take(s));
}

void __wrap_slab_give(struct slab *s, void *block)
{
	balance--;
	__real_slab_give(s, block);
}

/* --- what is tried --- */

static void restart_rig(void)
{
	for (size_t i = 0; i < pair.wire_count; i++)
		pair.wires[i]->c[RIG] = NULL;
	session_free(pair.side[RIG].s);
	pair.side[RIG].s = NULL;
	pair.side[RIG].come_count = 0;
}

static struct wire *redial(struct wire *w)
{
	if (w != NULL)
		wire_cut(w);
	w = wire_dial();
	settle();
	return w;
}

/* A life: streams both ways, cuts, refusals, resets, a restart. With memory
 * failing it goes as far as it gets. */
static void live(void)
{
	struct seen *e[4] = { NULL };
	struct wire *w;

	if (side_new(CLIENT, 11) != 0 || side_new(RIG, 22) != 0)
		return;
	w = redial(NULL);
	pair.side[RIG].take = 1000;
	for (int k = 0; k < 4; k++) {
		pair.side[RIG].refuses = k == 2;
		e[k] = open_at(k == 3, "a:1");
		if (e[k] != NULL && e[k]->st != NULL)
			write_at(k == 3, e[k], 40000);
		settle();
	}
	w = redial(w);
	struct wire *w2 = redial(NULL);

	for (int k = 0; k < 4; k++)
		if (e[k] != NULL && e[k]->st != NULL) {
			write_at(k == 3, e[k], 40000);
			if (w2 != NULL && w2->c[k == 3] != NULL &&
			    w2->c[k == 3]->state == CARRIER_LIVE)
				stream_move(e[k]->st, w2->c[k == 3]);
			if (k == 1 && w2 != NULL && w2->c[CLIENT] != NULL)
				carrier_retire(w2->c[CLIENT], pair.now);
			finish_at(k == 3, e[k]);
		}
	settle();
	if (e[1] != NULL && e[1]->st != NULL)
		reset_at(CLIENT, e[1], RW_ERR_IO, "enough of it");
	settle();
	w = redial(w);
	restart_rig();
	e[0] = open_at(CLIENT, "b:2");
	if (side_new(RIG, 33) != 0)
		return;
	w = redial(w);
	w = redial(w);
	if (e[0] != NULL && e[0]->st != NULL)
		write_at(CLIENT, e[0], 100);
	settle();
	advance(10000000);
}

/* Ends all, frees all: pair_done() does, and checks the budget. */
static unsigned long life(unsigned long at, unsigned long for_so_many)
{
	long before = balance;

	pair_init();
	fail_at = at;
	fail_for = for_so_many;
	count = 0;
	armed = true;
	live();
	armed = false;
	pair_done();
	assert_int_equal(balance, before);
	return count;
}

static void every_allocation_may_fail_once(void **state)
{
	unsigned long all = life(1, 0);

	(void)state;
	assert_true(all > 50);
	for (unsigned long n = 1; n <= all; n++)
		life(n, 1);
}

static void memory_may_end_at_any_allocation(void **state)
{
	unsigned long all = life(1, 0);

	(void)state;
	for (unsigned long n = 1; n <= all; n++)
		life(n, 1000000);
}

static void memory_may_fail_for_a_while(void **state)
{
	unsigned long all = life(1, 0);

	(void)state;
	for (unsigned long n = 1; n <= all; n++)
		for (unsigned long k = 2; k < 12; k += 3)
			life(n, k);
}

/* After one failure the streams that were not hit go on to their ends. */
static void what_was_not_hit_goes_on(void **state)
{
	unsigned long all =
		0; /* known after the first round, without a failure */

	(void)state;
	for (unsigned long n = 0; n <= all; n++) {
		pair_init();
		pair_start();
		struct wire *w = wire_up();
		struct seen *e = open_at(CLIENT, "c:3"), *hit;

		send_at(CLIENT, e, 10000);
		fail_at = n;
		fail_for = 1;
		count = 0;
		armed = true;
		hit = open_at(CLIENT, "c:4");
		if (hit != NULL && hit->st != NULL)
			write_at(CLIENT, hit, 3000);
		settle();
		armed = false;
		all = n == 0 ? count : all;
		/* A carrier may have been lost. */
		wire_cut(w);
		wire_up();
		send_at(CLIENT, e, 30000);
		finish_at(CLIENT, e);
		settle();
		check_got(pair.side[RIG].come[0], 40000);
		assert_int_equal(pair.side[RIG].come[0]->eofs, 1);
		pair_done();
	}
	assert_true(all > 3);
}

/* Nothing is in flight whose arrival would bring room: time does. */
static void a_first_write_without_memory_is_asked_for_again(void **state)
{
	(void)state;
	pair_init();
	pair_start();
	wire_up();
	struct seen *e = open_at(CLIENT, "d:4");
	uint64_t next;

	settle();
	fail_at = 1;
	fail_for = 1000;
	count = 0;
	armed = true;
	assert_int_equal(write_at(CLIENT, e, 10), 0);
	next = session_tick(pair.side[CLIENT].s, pair.now);
	armed = false;
	assert_true(next <= pair.now + LAG_US || e->rooms > 0);
	advance(LAG_US);
	assert_true(e->rooms > 0);
	assert_int_equal(write_at(CLIENT, e, 10), 10);
	settle();
	check_got(pair.side[RIG].come[0], 10);
	pair_done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_may_fail_once),
		cmocka_unit_test(memory_may_end_at_any_allocation),
		cmocka_unit_test(memory_may_fail_for_a_while),
		cmocka_unit_test(what_was_not_hit_goes_on),
		cmocka_unit_test(
			a_first_write_without_memory_is_asked_for_again),
	};

	return cmocka_run_group_tests_name("nomem", tests, NULL, NULL);
}

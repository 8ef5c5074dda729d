/* SPDX-License-Identifier: MIT */
/* What a loop does about once a second: memory goes back to the system. */
#include "unit.h"

#include <time.h>

#include "net/loop.h"
#include "net/loop_local.h"

void __wrap_mem_trim(void);

static unsigned trims;
static uint64_t trim_ms; /* processor time that one takes */

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void __wrap_mem_trim(void)
{
	const uint64_t end = cpu_us() + trim_ms * 1000;

	trims++;
	while (cpu_us() < end)
		continue;
}

static void on_idle(struct warm *w)
{
	(void)w;
}

/* Uses w for a moment; returns after how many sweeps memory was given back. */
static uint64_t sweeps_to_trim(uv_loop_t *loop, struct warm *w)
{
	const uint64_t before = loop_local(loop)->sweeps;
	const unsigned had = trims;

	loop_warm(loop_local(loop), w);
	while (trims == had)
		uv_run(loop, UV_RUN_ONCE);
	/* The sweep that did it counts itself last. */
	return loop_local(loop)->sweeps - before;
}

static void on_guard(void *user)
{
	(void)user;
}

static void what_takes_long_is_done_less_often(void **state)
{
	struct warm w = { .on_idle = on_idle };
	struct timer *guard;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	/* The sweeps alone keep no loop running. */
	guard = timer_new(&loop, on_guard, NULL);
	timer_start(guard, 600000);
	list_init(&w.link);
	trim_ms = 4;
	assert_int_equal(sweeps_to_trim(&loop, &w), 2);
	trim_ms = 0;
	assert_in_range(sweeps_to_trim(&loop, &w), 4, UINT64_MAX);
	assert_int_equal(sweeps_to_trim(&loop, &w), 2);
	timer_free(guard);
	loop_run_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_takes_long_is_done_less_often),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}

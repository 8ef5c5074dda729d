/* SPDX-License-Identifier: MIT */
/* The machine slept, the process was stopped: noticed, and judged rightly. */
#include "unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "base/check.h"
#include "net/loop.h"
#include "net/wake.h"

#define TICK_MS 5

static uv_loop_t loop;
static uint64_t awake_us, always_us; /* the clocks of these tests */
static int wakes;
static uint64_t away;
static struct wake *wake;

static uint64_t get_awake(void)
{
	return awake_us += TICK_MS * 1000;
}

static uint64_t get_always(void)
{
	return always_us += TICK_MS * 1000;
}

static void on_wake(void *user, uint64_t away_ms)
{
	assert_ptr_equal(user, &wakes);
	wakes++;
	away = away_ms;
}

static int start(void **state)
{
	const struct wake_params p = {
		.loop = &loop,
		.awake_us = get_awake,
		.always_us = get_always,
		.tick_ms = TICK_MS,
		.on_wake = on_wake,
		.user = &wakes,
	};

	(void)state;
	wakes = 0;
	away = 0;
	assert_int_equal(loop_init(&loop), 0);
	wake = wake_new(&p);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	wake_free(wake);
	loop_run_close(&loop);
	return 0;
}

static void on_over(void *user)
{
	*(bool *)user = true;
}

/* Some ticks. */
static void run_a_while(void)
{
	bool is_over = false;
	struct timer *t = timer_new(&loop, on_over, &is_over);

	timer_start(t, 20 * TICK_MS);
	while (!is_over)
		uv_run(&loop, UV_RUN_ONCE);
	timer_free(t);
}

static void an_even_time_is_no_sleep(void **state)
{
	(void)state;
	run_a_while();
	assert_int_equal(wakes, 0);
}

/* Suspended: only the clock that goes on in sleep has moved. */
static void a_jump_of_the_clocks_is_a_sleep(void **state)
{
	(void)state;
	run_a_while();
	always_us += 600 * UINT64_C(1000000);
	run_a_while();
	assert_int_equal(wakes, 1);
	assert_int_equal(away, 600000);
}

/* Stopped: both have moved, and the tick is late. */
static void a_late_tick_is_a_sleep(void **state)
{
	(void)state;
	run_a_while();
	awake_us += 8 * UINT64_C(1000000);
	always_us += 8 * UINT64_C(1000000);
	run_a_while();
	assert_int_equal(wakes, 1);
	assert_int_equal(away, 8000);
}

/* A busy second, and a clock that was set back, are none. */
static void small_differences_are_no_sleep(void **state)
{
	(void)state;
	run_a_while();
	awake_us += (WAKE_LATE_MS - 500) * UINT64_C(1000);
	run_a_while();
	always_us += (WAKE_LATE_MS - 500) * UINT64_C(1000);
	run_a_while();
	always_us -= 60 * UINT64_C(1000000);
	run_a_while();
	assert_int_equal(wakes, 0);
}

static void the_systems_clock_goes_on(void **state)
{
	const uint64_t before = wake_always_us();

	(void)state;
	assert_true(wake_always_us() >= before);
}

/* -- a process that was stopped ------------------------------------------- */

static int gate[2]; /* what proves life */
static bool has_read;

static void on_readable(uv_poll_t *poll, int status, int events)
{
	char byte;

	(void)status;
	(void)events;
	assert_int_equal(read(gate[0], &byte, 1), 1);
	has_read = true;
	uv_poll_stop(poll);
}

/* The deadline until which a byte must have come. */
static void on_deadline(void *user)
{
	(void)user;
	_exit(has_read ? 0 : 1);
}

static _Noreturn void run_stoppable(int ready)
{
	uv_poll_t poll;
	struct timer *t;

	CHECK(loop_init(&loop) == 0);
	t = timer_new(&loop, on_deadline, NULL);
	CHECK(uv_poll_init(&loop, &poll, gate[0]) == 0);
	CHECK(uv_poll_start(&poll, UV_READABLE, on_readable) == 0);
	timer_start(t, 400);
	CHECK(write(ready, "1", 1) == 1);
	for (;;)
		uv_run(&loop, UV_RUN_DEFAULT);
}

/* Waits until the deadline of 400 ms is surely over. */
static void let_it_pass(void)
{
	uint64_t end = loop_now_us(NULL) + 800000;

	while (loop_now_us(NULL) < end)
		;
}

/* What came in meanwhile is read before deadlines are judged. */
static void bytes_come_before_deadlines_that_passed(void **state)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(gate), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_stoppable(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(write(gate[1], "1", 1), 1);
	let_it_pass();
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	for (int i = 0; i < 2; i++) {
		close(gate[i]);
		close(ready[i]);
	}
}

static void on_second(void *user)
{
	++*(unsigned *)user;
}

/* However far into a second they were started. */
static void what_waits_for_the_next_second_fires_at_once(void **state)
{
	unsigned fired[2] = { 0 };
	struct timer *t[2];
	uv_loop_t own;

	(void)state;
	assert_int_equal(loop_init(&own), 0);
	for (int i = 0; i < 2; i++)
		t[i] = timer_new(&own, on_second, &fired[i]);
	do { /* a second may just be over between the two */
		uv_update_time(&own);
		fired[0] = (unsigned)(uv_now(&own) / 1000);
		timer_start_second(t[0]);
		timer_start_second(t[1]);
	} while (fired[0] != uv_now(&own) / 1000);
	fired[0] = 0;
	while (fired[0] == 0)
		uv_run(&own, UV_RUN_ONCE);
	assert_int_equal(fired[1], 1);
	for (int i = 0; i < 2; i++)
		timer_free(t[i]);
	loop_run_close(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_even_time_is_no_sleep, start,
						stop),
		cmocka_unit_test_setup_teardown(a_jump_of_the_clocks_is_a_sleep,
						start, stop),
		cmocka_unit_test_setup_teardown(a_late_tick_is_a_sleep, start,
						stop),
		cmocka_unit_test_setup_teardown(small_differences_are_no_sleep,
						start, stop),
		cmocka_unit_test(the_systems_clock_goes_on),
		cmocka_unit_test(bytes_come_before_deadlines_that_passed),
		cmocka_unit_test(what_waits_for_the_next_second_fires_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

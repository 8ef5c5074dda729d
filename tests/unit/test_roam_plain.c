/* SPDX-License-Identifier: MIT */
/*
 * Built with the files for systems that tell of nothing: addresses are
 * compared, and no clock goes on in sleep.
 */
#include "unit.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "net/loop.h"
#include "net/roam.h"
#include "net/wake.h"

static uv_loop_t loop;

static void on_roam(void *user)
{
	(*(int *)user)++;
	uv_stop(&loop);
}

static bool ip(const char *args)
{
	char line[256];

	snprintf(line, sizeof(line), "ip %s >/dev/null 2>&1", args);
	return system(line) == 0;
}

static void a_new_address_is_found(void **state)
{
	struct roam *r;
	struct timer *limit;
	int calls = 0, late = 0;

	(void)state;
	if ((unshare(CLONE_NEWNET) < 0 &&
	     unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) ||
	    !ip("link add rw0 type veth peer name rw1") ||
	    !ip("link set rw1 up") || !ip("link set rw0 up"))
		skip();
	assert_int_equal(loop_init(&loop), 0);
	limit = timer_new(&loop, on_roam, &late);
	timer_start(limit, 60000);
	r = roam_new(&loop, on_roam, &calls);
	assert_true(ip("addr add 192.0.2.1/24 dev rw0"));
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(late, 0);
	assert_int_equal(calls, 1);
	roam_free(r);
	loop_run_close(&loop);
}

static void no_clock_goes_on_in_sleep(void **state)
{
	(void)state;
	assert_int_equal(wake_always_us(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_address_is_found),
		cmocka_unit_test(no_clock_goes_on_in_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

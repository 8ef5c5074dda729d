/* SPDX-License-Identifier: MIT */
/* Changes of addresses, as the kernel tells them in a network namespace of the
 * test's own. */
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/check.h"
#include "net/loop.h"
#include "net/roam.h"

static uv_loop_t loop;
static int calls;

static void on_roam(void *user)
{
	assert_ptr_equal(user, &calls);
	calls++;
}

static void on_over(void *user)
{
	*(bool *)user = true;
}

/* Runs the loop for so long. */
static void run_for(uint64_t ms)
{
	bool is_over = false;
	struct timer *t = timer_new(&loop, on_over, &is_over);

	timer_start(t, ms);
	while (!is_over)
		uv_run(&loop, UV_RUN_ONCE);
	timer_free(t);
}

static void run_until_calls(int n)
{
	for (int i = 0; i < 200 && calls < n; i++)
		run_for(50);
	assert_int_equal(calls, n);
}

static bool ip(const char *args)
{
	char line[256];

	snprintf(line, sizeof(line), "ip %s >/dev/null 2>&1", args);
	return system(line) == 0;
}

/* A namespace with a link that is up and gives itself no addresses; false where
 * it cannot be had. */
static bool has_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	return ip("link add rw0 type veth peer name rw1") &&
	       ip("link set rw0 addrgenmode none") &&
	       ip("link set rw1 addrgenmode none") && ip("link set rw1 up") &&
	       ip("link set rw0 up");
}

static struct roam *start(void)
{
	struct roam *r;

	calls = 0;
	assert_int_equal(loop_init(&loop), 0);
	r = roam_new(&loop, on_roam, &calls);
	return r;
}

static void stop(struct roam *r)
{
	roam_free(r);
	loop_run_close(&loop);
}

static bool can_roam;

static void a_new_address_is_told(void **state)
{
	struct roam *r;

	(void)state;
	if (!can_roam)
		skip();
	r = start();
	assert_true(ip("addr add 192.0.2.1/24 dev rw0"));
	run_until_calls(1);
	assert_true(ip("addr del 192.0.2.1/24 dev rw0"));
	run_until_calls(2);
	stop(r);
}

static void a_link_and_a_route_are_told(void **state)
{
	struct roam *r;

	(void)state;
	if (!can_roam)
		skip();
	assert_true(ip("addr add 192.0.2.1/24 dev rw0"));
	r = start();
	assert_true(ip("route add default via 192.0.2.2"));
	run_until_calls(1);
	assert_true(ip("route replace default via 192.0.2.3"));
	run_until_calls(2);
	assert_true(ip("link set rw0 down"));
	run_until_calls(3);
	assert_true(ip("link set rw0 up"));
	run_until_calls(4);
	assert_true(ip("addr flush dev rw0"));
	run_until_calls(5);
	stop(r);
}

/* An address that is told again, with other lifetimes, has not changed. */
static void what_is_only_said_again_is_no_change(void **state)
{
	struct roam *r;

	(void)state;
	if (!can_roam)
		skip();
	r = start();
	assert_true(ip("addr replace 2001:db8::1/64 dev rw0 nodad valid_lft "
		       "1000 preferred_lft 900"));
	run_until_calls(1);
	for (int i = 0; i < 3; i++) {
		assert_true(ip("addr replace 2001:db8::1/64 dev rw0 nodad "
			       "valid_lft 1000 preferred_lft 900"));
		run_for(2 * ROAM_QUIET_MS);
	}
	assert_int_equal(calls, 1);
	assert_true(ip("addr flush dev rw0"));
	run_until_calls(2);
	stop(r);
}

static void many_changes_are_one_call(void **state)
{
	struct roam *r;

	(void)state;
	if (!can_roam)
		skip();
	r = start();
	assert_int_equal(
		system("for i in 1 2 3 4 5 6 7 8 9; do echo addr add "
		       "192.0.2.$i/24 dev rw0; done | ip -batch - 2>&1"),
		0);
	run_until_calls(1);
	run_for(3 * ROAM_QUIET_MS);
	assert_int_equal(calls, 1);
	stop(r);
}

/* The process may free it from its own call, and with a change on its way. */
static void it_ends_at_any_time(void **state)
{
	struct roam *r = start();

	(void)state;
	stop(r);
	if (!can_roam)
		skip();
	r = start();
	assert_true(ip("addr flush dev rw0"));
	assert_true(ip("addr add 192.0.2.77/24 dev rw0"));
	run_for(1);
	stop(r);
	assert_int_equal(calls, 0);
	roam_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_address_is_told),
		cmocka_unit_test(a_link_and_a_route_are_told),
		cmocka_unit_test(what_is_only_said_again_is_no_change),
		cmocka_unit_test(many_changes_are_one_call),
		cmocka_unit_test(it_ends_at_any_time),
	};

	can_roam = has_namespace();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "relay/lobby.h"

static int fd_new(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool fd_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* By numbers that are no descriptors: it does not touch them. */
static void the_oldest_goes_first_however_many_come_and_go(void **state)
{
	struct sockaddr_storage peer = { 0 };
	struct lobby l = { 0 };
	struct guest g;
	int in = 0, out = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 7 + round % 5; i++) {
			peer.ss_family = (sa_family_t)(in % 1000);
			assert_true(lobby_push(&l, 1000000 + in++, &peer));
		}
		for (int i = 0; i < 5 + round % 7 && out < in; i++) {
			assert_true(lobby_pop(&l, &g));
			assert_int_equal(g.fd, 1000000 + out);
			assert_int_equal(g.peer.ss_family, out++ % 1000);
		}
		assert_int_equal(l.count, in - out);
	}
	while (lobby_pop(&l, &g))
		assert_int_equal(g.fd, 1000000 + out++);
	assert_int_equal(in, out);
	assert_null(l.guests); /* nobody is there: no memory is */
}

static void at_the_end_all_are_closed(void **state)
{
	const struct sockaddr_storage peer = { 0 };
	struct lobby l = { 0 };
	struct guest g;
	int a = fd_new(), b = fd_new();

	(void)state;
	assert_true(lobby_push(&l, a, &peer));
	assert_true(lobby_push(&l, b, &peer));
	assert_true(lobby_pop(&l, &g));
	lobby_done(&l);
	assert_true(fd_is_open(a));
	assert_false(fd_is_open(b));
	close(a);
	lobby_done(&l); /* an empty one again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			the_oldest_goes_first_however_many_come_and_go),
		cmocka_unit_test(at_the_end_all_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

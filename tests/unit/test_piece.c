/* SPDX-License-Identifier: MIT */
/* Bulk goes in pieces, and what is small comes between them. */
#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "net/loop.h"
#include "net/loop_local.h"
#include "net/piece.h"

/* Who has bulk: so many pieces of it. */
struct worker {
	struct piece piece;
	char name;
	int left;
};

static uv_loop_t loop;
static char done[64]; /* who did what, in order */

static void note(char what)
{
	size_t n = strlen(done);

	assert_true(n + 1 < sizeof(done));
	done[n] = what;
}

static void on_piece(struct piece *pc)
{
	struct worker *w = container_of(pc, struct worker, piece);

	note(w->name);
	if (--w->left > 0)
		piece_later(loop_pieces(&loop), pc);
}

static void worker_start(struct worker *w, char name, int left)
{
	*w = (struct worker){ .name = name, .left = left };
	w->piece.on_piece = on_piece;
	list_init(&w->piece.link);
	piece_later(loop_pieces(&loop), &w->piece);
}

static int setup(void **state)
{
	(void)state;
	memset(done, 0, sizeof(done));
	assert_int_equal(loop_init(&loop), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_run_close(&loop);
	return 0;
}

static void each_turn_has_one_piece_and_all_take_turns(void **state)
{
	struct worker a, b;

	(void)state;
	worker_start(&a, 'a', 3);
	piece_later(loop_pieces(&loop), &a.piece); /* it is in line already */
	worker_start(&b, 'b', 2);
	for (size_t n = 1; n <= 5; n++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		assert_int_equal(strlen(done), n);
	}
	assert_string_equal(done, "ababa");
	/* Then there is nothing to run for. */
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_string_equal(done, "ababa");
}

static void on_byte(uv_poll_t *poll, int status, int events)
{
	const int *fd = poll->data;
	char c;

	(void)events;
	assert_int_equal(status, 0);
	assert_int_equal(read(*fd, &c, 1), 1);
	note(c);
}

static void what_is_small_comes_between_two_pieces(void **state)
{
	struct worker a;
	uv_poll_t poll;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(uv_poll_init(&loop, &poll, fd[0]), 0);
	poll.data = &fd[0];
	uv_poll_start(&poll, UV_READABLE, on_byte);
	worker_start(&a, 'a', 3);
	for (int k = 0; k < 3; k++) {
		assert_int_equal(write(fd[1], "k", 1), 1);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	assert_string_equal(done, "akakak");
	uv_close((uv_handle_t *)&poll, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	close(fd[0]);
	close(fd[1]);
}

static void a_piece_that_is_taken_back_does_not_run(void **state)
{
	struct worker a, b;

	(void)state;
	worker_start(&a, 'a', 1);
	worker_start(&b, 'b', 1);
	list_del(&a.piece.link);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_string_equal(done, "b");
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

static void pieces_are_short_while_somebody_types(void **state)
{
	struct pieces *all = loop_pieces(&loop);
	uint64_t began = loop_now_us(&loop);

	(void)state;
	assert_int_equal(piece_of(all, 1000, 250), 1000);
	piece_small(all);
	if (loop_now_us(&loop) < began + 50000) /* else the test was held up */
		assert_int_equal(piece_of(all, 1000, 250), 250);
	while (piece_of(all, 1000, 250) < 1000)
		assert_true(loop_now_us(&loop) < began + 10000000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_turn_has_one_piece_and_all_take_turns),
		T(what_is_small_comes_between_two_pieces),
		T(a_piece_that_is_taken_back_does_not_run),
		T(pieces_are_short_while_somebody_types),
	};

	return cmocka_run_group_tests_name("piece", tests, NULL, NULL);
}

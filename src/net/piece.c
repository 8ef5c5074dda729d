/* SPDX-License-Identifier: MIT */
#include "net/piece.h"

#include "base/check.h"
#include "net/loop.h"

/* So long after the last keystroke pieces are short. */
#define SMALL_US 100000

static void on_idle(uv_idle_t *idle)
{
	struct pieces *all = idle->data;
	struct list *it = list_pop(&all->waiting);

	if (it != NULL) {
		struct piece *pc = container_of(it, struct piece, link);

		pc->on_piece(pc);
	}
	if (list_is_empty(&all->waiting))
		uv_idle_stop(idle);
}

void pieces_init(struct pieces *all, uv_loop_t *loop)
{
	list_init(&all->waiting);
	CHECK(uv_idle_init(loop, &all->idle) == 0);
	all->idle.data = all;
}

void piece_later(struct pieces *all, struct piece *pc)
{
	if (list_is_linked(&pc->link))
		return;
	list_push(&all->waiting, &pc->link);
	uv_idle_start(&all->idle, on_idle);
}

void piece_small(struct pieces *all)
{
	all->small_us = loop_now_us(all->idle.loop);
}

size_t piece_of(const struct pieces *all, size_t most, size_t few)
{
	const uint64_t now = loop_now_us(all->idle.loop);

	return all->small_us != 0 && now - all->small_us < SMALL_US ? few
								    : most;
}

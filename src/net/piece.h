/* SPDX-License-Identifier: MIT */
/*
 * Bulk goes in pieces, one in each turn of the loop, and between two of them
 * the loop sees to everything that is small: a keystroke waits for one piece,
 * and not for all that could be read just now. While there are keystrokes,
 * pieces are short. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"

/* One read of so much, and more, is bulk. */
#define PIECE_BULK ((size_t)32 * 1024)
/* A read of at most so much that leaves nothing is small. */
#define PIECE_SMALL 4096

/* Embedded in what has bulk. on_piece does one piece, and queues itself again
 * if there is more. */
struct piece {
	struct list link;
	void (*on_piece)(struct piece *pc);
};

/* What a loop keeps of them. */
struct pieces {
	uv_idle_t idle; /* before the flushers and the poll, while any wait */
	struct list waiting;
	uint64_t small_us; /* when somebody had little to say */
};

/* The loop's own. */
struct pieces *loop_pieces(uv_loop_t *loop);
/* From loop.c only. */
void pieces_init(struct pieces *all, uv_loop_t *loop);
/* In a later turn, after those that wait already. list_del() takes it back. */
void piece_later(struct pieces *all, struct piece *pc);
/* Somebody has little to say, and waits for the answer. */
void piece_small(struct pieces *all);
/* How much is a piece now: few, if somebody has little to say. */
size_t piece_of(const struct pieces *all, size_t most, size_t few);

/* SPDX-License-Identifier: MIT */
/*
 * How many bytes this process has promised to hold for its peers, over all
 * sessions. Receivers lend limits from it; nothing here allocates. A stream's
 * floor is reserved (the stream count is half the budget over the floor), and
 * beyond the floor a stream gets at most a quarter of what is still free, so
 * no number of stalled streams can starve the next one. What is kept to be
 * sent again is bounded in the same way, whatever the peers would take. Loop
 * thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct budget {
	uint64_t total;	     /* bytes that may be promised */
	uint64_t lent;	     /* bytes promised beyond the floors; <= half */
	uint64_t kept;	     /* bytes kept for sending; <= total */
	uint32_t streams;    /* that have a floor */
	uint32_t floor;	     /* bytes every stream gets whatever happens */
	uint32_t window_max; /* most bytes one stream is lent, the floor too */
};

void budget_init(struct budget *b, uint64_t total, uint32_t floor,
		 uint32_t window_max);
/* How many streams may exist at once: half the budget over the floor. */
uint32_t budget_streams(const struct budget *b);
/* Lends up to want bytes beyond the floor: returns how many (0 to want), at
 * most a quarter of what is free. */
uint64_t budget_lend(struct budget *b, uint64_t want);
void budget_return(struct budget *b, uint64_t bytes);
/* Takes the floor of one more stream: false when all are taken. */
bool budget_enter(struct budget *b);
void budget_leave(struct budget *b);
/* How many more bytes a stream may keep for sending that keeps len now: up to
 * the floor always, beyond it a quarter of what is free of the other half. */
uint64_t budget_room(const struct budget *b, uint64_t len);
void budget_keep(struct budget *b, uint64_t bytes);
void budget_forget(struct budget *b, uint64_t bytes);

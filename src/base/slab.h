/* SPDX-License-Identifier: MIT */
/*
 * Large blocks of one size, apart from malloc()'s memory, where blocks that
 * were freed would be holes between small ones that live on: what is given back
 * here, the system has at once. Fails softly. Not for several threads.
 */
#pragma once
#include "base/list.h"

#define SLAB_BLOCK 16384 /* bytes; whole pages */

struct slab {
	struct list regions; /* those with a free block */
};

void slab_init(struct slab *s);
/* Any content; NULL when memory is out. */
void *slab_take(struct slab *s);
/* The block's memory is the system's; its address may stay for the next. */
void slab_give(struct slab *s, void *block);
/* Gives back what is still there for blocks to come. After the last slab_give()
 * nothing is left. */
void slab_rest(struct slab *s);

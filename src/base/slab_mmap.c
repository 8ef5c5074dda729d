/* SPDX-License-Identifier: MIT */
/*
 * Blocks of regions that are as large as their alignment, so that a block's
 * address leads to its region, whose first block is its head. A region without
 * used blocks goes; one stays for whoever takes a block again and again.
 */
#include "base/slab.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/check.h"

#define REGION	((size_t)64 * SLAB_BLOCK)
#define IS_HEAD UINT64_C(1) /* its bit in free is never set */

struct region {
	struct list link; /* in slab.regions while any is free */
	uint64_t free;	  /* bit n: block n */
};

void slab_init(struct slab *s)
{
	list_init(&s->regions);
}

/* Of twice the size, some aligned part is one. */
static struct region *region_map(void)
{
	uint8_t *all = mmap(NULL, 2 * REGION, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (all == MAP_FAILED)
		return NULL;
	before = (REGION - (uintptr_t)all % REGION) % REGION;
	if (before > 0)
		munmap(all, before);
	munmap(all + before + REGION, REGION - before);
	return (struct region *)(void *)(all + before);
}

static struct region *region_new(struct slab *s)
{
	struct region *r = region_map();

	if (r == NULL)
		return NULL;
	r->free = ~IS_HEAD;
	list_init(&r->link);
	list_push(&s->regions, &r->link);
	return r;
}

static void region_end(struct region *r)
{
	list_del(&r->link);
	munmap(r, REGION);
}

void *slab_take(struct slab *s)
{
	struct list *it = list_first(&s->regions);
	struct region *r = it != NULL ? container_of(it, struct region, link)
				      : region_new(s);
	int n;

	if (r == NULL)
		return NULL;
	n = __builtin_ctzll(r->free);
	r->free &= ~(UINT64_C(1) << n);
	if (r->free == 0)
		list_del(&r->link);
	return (uint8_t *)r + (size_t)n * SLAB_BLOCK;
}

void slab_give(struct slab *s, void *block)
{
	const size_t at = (uintptr_t)block % REGION;
	struct region *r = (struct region *)(void *)((uint8_t *)block - at);
	const uint64_t bit = UINT64_C(1) << at / SLAB_BLOCK;

	CHECK(at % SLAB_BLOCK == 0 && bit != IS_HEAD && (r->free & bit) == 0);
	if (r->free == 0)
		list_push(&s->regions, &r->link);
	r->free |= bit;
	if (r->free == ~IS_HEAD && s->regions.next != s->regions.prev)
		region_end(r);
	else
		madvise(block, SLAB_BLOCK, MADV_DONTNEED);
}

void slab_rest(struct slab *s)
{
	list_for_each_safe (it, &s->regions) {
		struct region *r = container_of(it, struct region, link);

		if (r->free == ~IS_HEAD)
			region_end(r);
	}
}

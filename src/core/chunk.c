/* SPDX-License-Identifier: MIT */
#include "core/chunk.h"

#include <string.h>

#include "base/check.h"

_Static_assert(offsetof(struct chunk, data) ==
		       offsetof(struct chunk, hdr) + FRAME_DATA_HDR,
	       "a chunk's header and bytes are one frame");
_Static_assert(sizeof(struct chunk) <= SLAB_BLOCK, "a chunk is a block");

void chunk_pool_init(struct chunk_pool *p, size_t max)
{
	*p = (struct chunk_pool){ .max = max };
	slab_init(&p->slab);
}

void chunk_pool_trim(struct chunk_pool *p, size_t keep)
{
	while (p->count > keep) {
		struct chunk *c = p->idle;

		p->idle = c->next;
		p->count--;
		slab_give(&p->slab, c);
	}
	if (keep == 0)
		slab_rest(&p->slab);
	p->least = MIN(p->least, p->count);
}

void chunk_pool_ebb(struct chunk_pool *p)
{
	chunk_pool_trim(p, p->count - p->least);
	p->least = p->count;
}

static struct chunk *chunk_get(struct chunk_pool *p)
{
	struct chunk *c = p->idle;

	if (c == NULL) {
		c = slab_take(&p->slab);
		if (c == NULL)
			return NULL;
	} else {
		p->idle = c->next;
		p->count--;
		p->least = MIN(p->least, p->count);
	}
	return c;
}

static void chunk_put(struct chunk_pool *p, struct chunk *c)
{
	if (p->count >= p->max) {
		slab_give(&p->slab, c);
		return;
	}
	c->next = p->idle;
	p->idle = c;
	p->count++;
}

void chunkq_init(struct chunkq *q)
{
	*q = (struct chunkq){ 0 };
}

void chunkq_clear(struct chunkq *q, struct chunk_pool *p)
{
	struct chunk *c = q->last != NULL ? q->last->next : NULL, *next;

	if (q->last != NULL)
		q->last->next = NULL;
	for (; c != NULL; c = next) {
		next = c->next;
		chunk_put(p, c);
	}
	q->last = q->near = NULL;
	q->base = q->end;
}

/* All but the last are full. */
size_t chunkq_memory(const struct chunkq *q)
{
	if (q->last == NULL)
		return 0;
	return (size_t)((q->last->at - q->last->next->at) / CHUNK_DATA + 1) *
	       SLAB_BLOCK;
}

/* Adds an empty chunk after the last; q is full to its brim or empty. */
static struct chunk *grow(struct chunkq *q, struct chunk_pool *p)
{
	struct chunk *c = chunk_get(p);

	if (c == NULL)
		return NULL;
	c->at = q->end;
	c->next = c;
	if (q->last != NULL) {
		c->next = q->last->next;
		q->last->next = c;
	}
	q->last = c;
	return c;
}

uint8_t *chunkq_room(struct chunkq *q, struct chunk_pool *p, size_t *len)
{
	size_t used = CHUNK_DATA;

	/* Asked for again without a byte written, the last one is empty. */
	if (q->last != NULL)
		used = (size_t)(q->end - q->last->at);
	if (used == CHUNK_DATA) {
		if (grow(q, p) == NULL)
			return NULL;
		used = 0;
	}
	*len = CHUNK_DATA - used;
	return q->last->data + used;
}

void chunkq_wrote(struct chunkq *q, size_t len)
{
	q->end += len;
}

size_t chunkq_append(struct chunkq *q, struct chunk_pool *p,
		     const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t room;
		uint8_t *at = chunkq_room(q, p, &room);

		if (at == NULL)
			break;
		size_t n = MIN(room, len - done);

		memcpy(at, data + done, n);
		chunkq_wrote(q, n);
		done += n;
	}
	return done;
}

/* The chunk that holds offset at, remembered for the next call: senders ask
 * for rising offsets. */
static struct chunk *seek(struct chunkq *q, uint64_t at)
{
	CHECK(at >= q->base && at < q->end);
	if (q->near == NULL || at < q->near->at)
		q->near = q->last->next;
	while (at - q->near->at >= CHUNK_DATA)
		q->near = q->near->next;
	return q->near;
}

const uint8_t *chunkq_at(struct chunkq *q, uint64_t at, size_t *len)
{
	struct chunk *c = seek(q, at);
	size_t skip = (size_t)(at - c->at);

	*len = (size_t)MIN(CHUNK_DATA - skip, q->end - at);
	return c->data + skip;
}

uint8_t *chunkq_frame(struct chunkq *q, uint64_t at)
{
	struct chunk *c = seek(q, at);

	return at == c->at ? c->hdr : NULL;
}

void chunkq_drop(struct chunkq *q, struct chunk_pool *p, uint64_t at)
{
	CHECK(at >= q->base && at <= q->end);
	q->base = at;
	if (at == q->end) {
		chunkq_clear(q, p);
		return;
	}
	for (struct chunk *c = q->last->next; at - c->at >= CHUNK_DATA;
	     c = q->last->next) {
		if (q->near == c)
			q->near = NULL;
		q->last->next = c->next;
		chunk_put(p, c);
	}
}

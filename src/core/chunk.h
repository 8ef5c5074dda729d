/* SPDX-License-Identifier: MIT */
/*
 * The bytes of one direction of a stream, kept in equal chunks: a queue that
 * is filled in place at its end, read in place at its beginning, and looked up
 * by offset in between. Each chunk has room for a DATA header before its
 * bytes, so that a full one is a whole frame without a copy. Empty queues hold
 * no memory; chunks go back to a pool, and the pool's to the system when idle.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/slab.h"
#include "wire/frame.h"

#define CHUNK_DATA FRAME_BULK

struct chunk {
	struct chunk *next;	     /* the last one's is the first */
	uint64_t at;		     /* offset of its first byte */
	uint8_t hdr[FRAME_DATA_HDR]; /* directly before data: one frame */
	uint8_t data[CHUNK_DATA];
};

struct chunk_pool {
	struct slab slab;
	struct chunk *idle;
	size_t count; /* in idle */
	size_t max;   /* idle chunks worth keeping while busy */
	size_t least; /* the fewest in idle since the last ebb */
};

void chunk_pool_init(struct chunk_pool *p, size_t max);
/* Gives idle chunks beyond keep back to the system. */
void chunk_pool_trim(struct chunk_pool *p, size_t keep);
/* Gives back what was idle all the time since the last call: what a burst left
 * while other streams go on. */
void chunk_pool_ebb(struct chunk_pool *p);

/* Bytes [base, end) of a stream; base lies in the first chunk. */
struct chunkq {
	struct chunk *last; /* NULL: it holds none */
	struct chunk *near; /* where the last look-up ended */
	uint64_t base, end;
};

void chunkq_init(struct chunkq *q);
void chunkq_clear(struct chunkq *q, struct chunk_pool *p);
static inline size_t chunkq_len(const struct chunkq *q)
{
	return (size_t)(q->end - q->base);
}
/* Bytes of memory that it holds: whole chunks. */
size_t chunkq_memory(const struct chunkq *q);
/* Space after end, in place, at least one byte; NULL when memory is out. */
uint8_t *chunkq_room(struct chunkq *q, struct chunk_pool *p, size_t *len);
void chunkq_wrote(struct chunkq *q, size_t len);
/* Copies len bytes to the end; returns fewer when memory is out. */
size_t chunkq_append(struct chunkq *q, struct chunk_pool *p,
		     const uint8_t *data, size_t len);
/* The contiguous bytes from offset at (base <= at < end). */
const uint8_t *chunkq_at(struct chunkq *q, uint64_t at, size_t *len);
/* For at on a chunk's first byte: the place of its frame's header. NULL
 * otherwise: the header's place would overwrite bytes still needed. */
uint8_t *chunkq_frame(struct chunkq *q, uint64_t at);
/* Forgets the bytes below at. */
void chunkq_drop(struct chunkq *q, struct chunk_pool *p, uint64_t at);

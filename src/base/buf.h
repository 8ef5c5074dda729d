/* SPDX-License-Identifier: MIT */
/*
 * A growable queue of bytes: written at the end, read from the front. It never
 * limits itself (its owner does) and fails softly when memory is out. An all
 * zero struct is an empty buf. Pointers into it hold until the next call that
 * is not buf_peek().
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* NULL while nothing was ever reserved */
	size_t off;    /* where the unread bytes begin */
	size_t len;    /* how many unread bytes there are; off + len <= cap */
	size_t cap;
};

void buf_init(struct buf *b);
/* Frees the memory; b is empty and usable again afterwards. */
void buf_done(struct buf *b);
/* Room for n more bytes behind the unread ones; NULL when memory is out.
 * Nothing is added until buf_commit(). The whole room is
 * b->cap - b->off - b->len, which may be more than n. */
uint8_t *buf_reserve(struct buf *b, size_t n);
/* Adds n bytes that were written into reserved room. */
void buf_commit(struct buf *b, size_t n);
/* 0 or RW_ERR_NOMEM, which leaves b as it was. data must not lie in b. */
int buf_append(struct buf *b, const void *data, size_t len);
/* Appends text without a NUL; 0 or RW_ERR_NOMEM. */
__attribute__((format(printf, 2, 3))) int buf_printf(struct buf *b,
						     const char *fmt, ...);
/* The unread bytes; *len may be 0, and then the pointer may be NULL. */
uint8_t *buf_peek(const struct buf *b, size_t *len);
/* Forgets the first n unread bytes, n <= b->len. */
void buf_drain(struct buf *b, size_t n);
/* Forgets all bytes, keeps the memory. */
void buf_reset(struct buf *b);
/* Gives the memory back if b is empty; else does nothing. */
void buf_release(struct buf *b);
/* A NUL behind the unread bytes (not counted in len), so that they can be read
 * as text; "" when memory is out. */
char *buf_text(struct buf *b);

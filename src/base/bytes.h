/* SPDX-License-Identifier: MIT */
/*
 * Big-endian numbers in byte arrays, and checked reading and writing of a
 * byte range: a failed reader or writer stays failed, so that a whole message
 * is read first and judged once at the end.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t get_be64(const uint8_t *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

/* What is still to be read. Numbers read after a failure are 0. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool failed; /* a read wanted more than was left */
};

static inline void reader_init(struct reader *r, const void *data, size_t len)
{
	*r = (struct reader){ .at = data, .left = len };
}

/* The next n bytes, in place; NULL when there are fewer. n may be 0. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (r->failed || n > r->left) {
		r->failed = true;
		return NULL;
	}
	r->at += n;
	r->left -= n;
	return at;
}

static inline uint8_t reader_u8(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 1);

	return p != NULL ? p[0] : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 2);

	return p != NULL ? get_be16(p) : 0;
}

static inline uint32_t reader_u32(struct reader *r)
{
	const uint8_t *p = reader_bytes(r, 4);

	return p != NULL ? get_be32(p) : 0;
}

/* Copies the next n bytes to out; leaves out alone on failure. */
static inline void reader_copy(struct reader *r, void *out, size_t n)
{
	const uint8_t *p = reader_bytes(r, n);

	if (p != NULL && n > 0)
		memcpy(out, p, n);
}

/* Room that is still to be filled. */
struct writer {
	uint8_t *at;
	size_t left;
	bool failed; /* a write did not fit; nothing of it was written */
};

static inline void writer_init(struct writer *w, void *data, size_t cap)
{
	*w = (struct writer){ .at = data, .left = cap };
}

/* Takes n bytes of the room for the caller to fill; NULL when full. */
static inline uint8_t *writer_take(struct writer *w, size_t n)
{
	uint8_t *at = w->at;

	if (w->failed || n > w->left) {
		w->failed = true;
		return NULL;
	}
	w->at += n;
	w->left -= n;
	return at;
}

static inline void writer_bytes(struct writer *w, const void *data, size_t n)
{
	uint8_t *p = writer_take(w, n);

	if (p != NULL && n > 0)
		memcpy(p, data, n);
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
	writer_bytes(w, &v, 1);
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
	uint8_t *p = writer_take(w, 2);

	if (p != NULL)
		put_be16(p, v);
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
	uint8_t *p = writer_take(w, 4);

	if (p != NULL)
		put_be32(p, v);
}

static inline void writer_u64(struct writer *w, uint64_t v)
{
	uint8_t *p = writer_take(w, 8);

	if (p != NULL)
		put_be64(p, v);
}

/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

/* The first allocation: most messages fit, and it is one malloc bin. */
#define BUF_MIN_CAP 256

void buf_init(struct buf *b)
{
	*b = (struct buf){ 0 };
}

void buf_done(struct buf *b)
{
	free(b->data);
	buf_init(b);
}

/* Moves the unread bytes to the front of the same block. */
static void buf_close_gap(struct buf *b)
{
	if (b->len > 0)
		memmove(b->data, b->data + b->off, b->len);
	b->off = 0;
}

/* At least doubles the block, and copies only the unread bytes, which
 * realloc() would not. */
static bool buf_grow(struct buf *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap * 2 : BUF_MIN_CAP;
	uint8_t *data;

	if (b->cap > SIZE_MAX / 4 || n > SIZE_MAX / 4)
		return false;
	while (cap < b->len + n)
		cap *= 2;
	if (b->off == 0) {
		data = realloc(b->data, cap);
		if (data == NULL)
			return false;
	} else {
		data = malloc(cap);
		if (data == NULL)
			return false;
		memcpy(data, b->data + b->off, b->len);
		free(b->data);
	}
	b->data = data;
	b->off = 0;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (b->data != NULL && b->cap - b->off - b->len >= n)
		return b->data + b->off + b->len;
	/* Bytes move only where that frees as many as it moves, so each is
	 * moved O(1) times on average. */
	if (b->data != NULL && b->cap - b->len >= n && b->off >= b->len)
		buf_close_gap(b);
	else if (!buf_grow(b, n))
		return NULL;
	return b->data + b->off + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	CHECK(n <= b->cap - b->off - b->len);
	b->len += n;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	uint8_t *room = buf_reserve(b, len);

	if (room == NULL)
		return RW_ERR_NOMEM;
	memcpy(room, data, len);
	buf_commit(b, len);
	return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	CHECK(n >= 0);
	char *room = (char *)buf_reserve(b, (size_t)n + 1);

	if (room == NULL)
		return RW_ERR_NOMEM;
	va_start(ap, fmt);
	vsnprintf(room, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf_commit(b, (size_t)n);
	return 0;
}

uint8_t *buf_peek(const struct buf *b, size_t *len)
{
	*len = b->len;
	return b->data != NULL ? b->data + b->off : NULL;
}

void buf_drain(struct buf *b, size_t n)
{
	CHECK(n <= b->len);
	b->off += n;
	b->len -= n;
	if (b->len == 0)
		b->off = 0;
}

void buf_reset(struct buf *b)
{
	b->off = b->len = 0;
}

void buf_release(struct buf *b)
{
	if (b->len == 0)
		buf_done(b);
}

char *buf_text(struct buf *b)
{
	static char none[1];
	uint8_t *end = buf_reserve(b, 1);

	if (end == NULL)
		return none;
	*end = '\0';
	return (char *)(b->data + b->off);
}

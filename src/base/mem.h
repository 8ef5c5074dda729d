/* SPDX-License-Identifier: MIT */
/*
 * Allocation that cannot fail: the process ends with a sentence when memory is
 * out. For what the process itself needs. What a peer makes us hold is
 * allocated with plain malloc() (or struct buf) and fails softly, so that only
 * that peer is dropped. Memory goes back through free().
 */
#pragma once
#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
/* Gives memory that was freed back to the system, where the allocator would
 * keep it. For moments in which nothing happens, and seldom while something
 * does: mostly it takes less than a tenth of a millisecond, but tens of them in
 * a heap of hundreds of MiB. */
void mem_trim(void);
/* s must not be NULL. */
char *xstrdup(const char *s);
__attribute__((format(printf, 1, 2))) char *xasprintf(const char *fmt, ...);

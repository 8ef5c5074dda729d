/* SPDX-License-Identifier: MIT */
/*
 * FNV-1a: a short number for bytes of our own, to tell them apart or to notice
 * a change. Who chooses the bytes can make two alike: not for a peer's. Any
 * thread.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define FNV_BEGIN UINT64_C(0xcbf29ce484222325)

/* h: FNV_BEGIN, or what the bytes before gave. */
static inline uint64_t fnv_add(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* SPDX-License-Identifier: MIT */
#pragma once
#include "unit.h"

#include <stdlib.h>

/* Random bytes with plenty of structure: offsets show in them. To be freed. */
static inline uint8_t *sample(size_t len)
{
	uint8_t *data = malloc(len);
	uint64_t x = 88172645463325252u;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)x;
	}
	return data;
}

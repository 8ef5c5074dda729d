/* SPDX-License-Identifier: MIT */
/*
 * Hash maps to pointers: struct map by 64-bit number, struct pinmap by 32
 * bytes (the pin of a key, a hash). They own their table and never what the
 * pointers lead to. NULL is not a value. Memory fails softly.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define PINMAP_KEY_LEN 32

/* Open addressing with linear probing; private to map.c. */
struct map_table {
	uint8_t *keys; /* cap keys in a row */
	void **values; /* NULL: never used; else a value or a grave */
	size_t cap;    /* 0 or a power of two */
	size_t count;  /* values */
	size_t used;   /* values and graves */
	uint64_t seed;
};

struct map {
	struct map_table t;
};

struct pinmap {
	struct map_table t;
};

/* seed: a random number where strangers choose the keys (so that they cannot
 * make them collide), else 0. */
void map_init(struct map *m, uint64_t seed);
/* Frees the table; m is empty and usable afterwards. */
void map_done(struct map *m);
size_t map_count(const struct map *m);
/* NULL when there is none. */
void *map_get(const struct map *m, uint64_t key);
/* Sets or replaces; 0 or RW_ERR_NOMEM. value is not NULL. */
int map_put(struct map *m, uint64_t key, void *value);
/* Takes the key out; returns what was there or NULL. */
void *map_del(struct map *m, uint64_t key);
/* The next value in no particular order, NULL at the end. *it starts as 0; key
 * may be NULL. map_del() is fine while iterating, map_put() is not. */
void *map_next(const struct map *m, size_t *it, uint64_t *key);

/* The same by 32 bytes. */
void pinmap_init(struct pinmap *m, uint64_t seed);
void pinmap_done(struct pinmap *m);
size_t pinmap_count(const struct pinmap *m);
void *pinmap_get(const struct pinmap *m, const uint8_t key[PINMAP_KEY_LEN]);
int pinmap_put(struct pinmap *m, const uint8_t key[PINMAP_KEY_LEN],
	       void *value);
void *pinmap_del(struct pinmap *m, const uint8_t key[PINMAP_KEY_LEN]);
/* key, if not NULL, is set to the key inside the table. */
void *pinmap_next(const struct pinmap *m, size_t *it, const uint8_t **key);

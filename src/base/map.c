/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define MAP_MIN_CAP 16

/* Stands where a value was deleted: a search goes on behind it. It keeps
 * iteration valid over deletions, which moving values up would not. */
static char grave_mark;
#define GRAVE ((void *)&grave_mark)

/* The finaliser of splitmix64: every input bit reaches every output bit. */
static uint64_t map_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* key_len is 8 or 32, a constant at every call: these are inlined twice. */
static inline uint64_t table_hash(const struct map_table *t, const uint8_t *key,
				  size_t key_len)
{
	uint64_t h = t->seed;

	for (size_t i = 0; i < key_len; i += 8) {
		uint64_t part;

		memcpy(&part, key + i, 8);
		h = map_mix(h ^ part) + UINT64_C(0x9e3779b97f4a7c15);
	}
	return h;
}

static inline uint8_t *table_key(const struct map_table *t, size_t slot,
				 size_t key_len)
{
	return t->keys + slot * key_len;
}

/* The slot of key, or SIZE_MAX. There is always an unused slot to stop at. */
static inline size_t table_find(const struct map_table *t, const uint8_t *key,
				size_t key_len)
{
	if (t->count == 0)
		return SIZE_MAX;
	size_t mask = t->cap - 1;
	size_t i = (size_t)table_hash(t, key, key_len) & mask;

	for (; t->values[i] != NULL; i = (i + 1) & mask)
		if (t->values[i] != GRAVE &&
		    memcmp(table_key(t, i, key_len), key, key_len) == 0)
			return i;
	return SIZE_MAX;
}

/* Puts a key that is not in the table into one that has room. */
static inline void table_insert(struct map_table *t, const uint8_t *key,
				void *value, size_t key_len)
{
	size_t mask = t->cap - 1;
	size_t i = (size_t)table_hash(t, key, key_len) & mask;

	while (t->values[i] != NULL && t->values[i] != GRAVE)
		i = (i + 1) & mask;
	if (t->values[i] == NULL)
		t->used++;
	t->count++;
	t->values[i] = value;
	memcpy(table_key(t, i, key_len), key, key_len);
}

static inline int table_resize(struct map_table *t, size_t cap, size_t key_len)
{
	struct map_table bigger = { .cap = cap, .seed = t->seed };

	bigger.keys = malloc(cap * key_len);
	bigger.values = calloc(cap, sizeof(void *));
	if (bigger.keys == NULL || bigger.values == NULL) {
		free(bigger.keys);
		free(bigger.values);
		return RW_ERR_NOMEM;
	}
	for (size_t i = 0; i < t->cap; i++)
		if (t->values[i] != NULL && t->values[i] != GRAVE)
			table_insert(&bigger, table_key(t, i, key_len),
				     t->values[i], key_len);
	free(t->keys);
	free(t->values);
	*t = bigger;
	return 0;
}

/* At most three quarters of the slots are in use, graves counted. */
static inline int table_make_room(struct map_table *t, size_t key_len)
{
	if (t->cap > 0 && t->used + 1 <= t->cap - t->cap / 4)
		return 0;
	size_t cap = MAP_MIN_CAP;

	while ((t->count + 1) * 2 > cap)
		cap *= 2;
	return table_resize(t, cap, key_len);
}

static inline int table_put(struct map_table *t, const uint8_t *key,
			    void *value, size_t key_len)
{
	CHECK(value != NULL);
	size_t i = table_find(t, key, key_len);

	if (i != SIZE_MAX) {
		t->values[i] = value;
		return 0;
	}
	int err = table_make_room(t, key_len);

	if (err == 0)
		table_insert(t, key, value, key_len);
	return err;
}

static inline void *table_del(struct map_table *t, const uint8_t *key,
			      size_t key_len)
{
	size_t i = table_find(t, key, key_len);

	if (i == SIZE_MAX)
		return NULL;
	void *value = t->values[i];

	t->values[i] = GRAVE;
	t->count--;
	/* Nothing lies behind: this grave and those before it can go. */
	size_t mask = t->cap - 1;

	if (t->values[(i + 1) & mask] != NULL)
		return value;
	for (; t->values[i] == GRAVE; i = (i - 1) & mask) {
		t->values[i] = NULL;
		t->used--;
	}
	return value;
}

static inline void *table_next(const struct map_table *t, size_t *it,
			       const uint8_t **key, size_t key_len)
{
	while (*it < t->cap) {
		size_t i = (*it)++;

		if (t->values[i] == NULL || t->values[i] == GRAVE)
			continue;
		*key = table_key(t, i, key_len);
		return t->values[i];
	}
	return NULL;
}

static void table_done(struct map_table *t)
{
	free(t->keys);
	free(t->values);
	*t = (struct map_table){ .seed = t->seed };
}

void map_init(struct map *m, uint64_t seed)
{
	*m = (struct map){ .t.seed = seed };
}

void map_done(struct map *m)
{
	table_done(&m->t);
}

size_t map_count(const struct map *m)
{
	return m->t.count;
}

void *map_get(const struct map *m, uint64_t key)
{
	size_t i = table_find(&m->t, (const uint8_t *)&key, sizeof(key));

	return i != SIZE_MAX ? m->t.values[i] : NULL;
}

int map_put(struct map *m, uint64_t key, void *value)
{
	return table_put(&m->t, (const uint8_t *)&key, value, sizeof(key));
}

void *map_del(struct map *m, uint64_t key)
{
	return table_del(&m->t, (const uint8_t *)&key, sizeof(key));
}

void *map_next(const struct map *m, size_t *it, uint64_t *key)
{
	const uint8_t *at;
	void *value = table_next(&m->t, it, &at, sizeof(*key));

	if (value != NULL && key != NULL)
		memcpy(key, at, sizeof(*key));
	return value;
}

void pinmap_init(struct pinmap *m, uint64_t seed)
{
	*m = (struct pinmap){ .t.seed = seed };
}

void pinmap_done(struct pinmap *m)
{
	table_done(&m->t);
}

size_t pinmap_count(const struct pinmap *m)
{
	return m->t.count;
}

void *pinmap_get(const struct pinmap *m, const uint8_t key[PINMAP_KEY_LEN])
{
	size_t i = table_find(&m->t, key, PINMAP_KEY_LEN);

	return i != SIZE_MAX ? m->t.values[i] : NULL;
}

int pinmap_put(struct pinmap *m, const uint8_t key[PINMAP_KEY_LEN], void *value)
{
	return table_put(&m->t, key, value, PINMAP_KEY_LEN);
}

void *pinmap_del(struct pinmap *m, const uint8_t key[PINMAP_KEY_LEN])
{
	return table_del(&m->t, key, PINMAP_KEY_LEN);
}

void *pinmap_next(const struct pinmap *m, size_t *it, const uint8_t **key)
{
	const uint8_t *at;
	void *value = table_next(&m->t, it, &at, PINMAP_KEY_LEN);

	if (value != NULL && key != NULL)
		*key = at;
	return value;
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/chunk.h"

static struct chunk_pool pool;
static struct chunkq q;

static int setup(void **state)
{
	(void)state;
	chunk_pool_init(&pool, 4);
	chunkq_init(&q);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	chunkq_clear(&q, &pool);
	chunk_pool_trim(&pool, 0);
	return 0;
}

static uint8_t byte_at(uint64_t off)
{
	return (uint8_t)(off * 131 + (off >> 8) * 7);
}

static void put(size_t len)
{
	while (len > 0) {
		size_t room;
		uint8_t *at = chunkq_room(&q, &pool, &room);

		assert_non_null(at);
		room = MIN(room, len);
		for (size_t i = 0; i < room; i++)
			at[i] = byte_at(q.end + i);
		chunkq_wrote(&q, room);
		len -= room;
	}
}

/* Every offset of the queue leads to its byte. */
static void check_all(void)
{
	for (uint64_t at = q.base; at < q.end;) {
		size_t len;
		const uint8_t *data = chunkq_at(&q, at, &len);

		assert_true(len > 0 && at + len <= q.end);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(data[i], byte_at(at + i));
		at += len;
	}
}

static void every_offset_leads_to_its_byte(void **state)
{
	(void)state;
	put(5);
	put(CHUNK_DATA);
	put(3 * CHUNK_DATA - 7);
	check_all();
	/* Also when looked up backwards. */
	for (uint64_t at = q.end; at > q.base; at -= MIN(at, 4001)) {
		size_t len;

		assert_int_equal(*chunkq_at(&q, at - 1, &len), byte_at(at - 1));
	}
}

/* A reader that finds nothing to read asks for room and writes nothing; at a
 * chunk's brim that once left a hole. */
static void room_asked_for_twice_leaves_no_hole(void **state)
{
	size_t room;

	(void)state;
	put(CHUNK_DATA);
	uint8_t *at = chunkq_room(&q, &pool, &room);

	assert_int_equal(room, CHUNK_DATA);
	assert_ptr_equal(chunkq_room(&q, &pool, &room), at);
	put(CHUNK_DATA + 10);
	assert_int_equal(chunkq_len(&q), 2 * CHUNK_DATA + 10);
	check_all();
}

static void dropping_forgets_whole_chunks_only(void **state)
{
	(void)state;
	put(3 * CHUNK_DATA);
	chunkq_drop(&q, &pool, CHUNK_DATA - 1);
	assert_int_equal(pool.count, 0);
	check_all();
	chunkq_drop(&q, &pool, 2 * CHUNK_DATA);
	assert_int_equal(pool.count, 2);
	check_all();
	put(CHUNK_DATA);
	check_all();
	chunkq_drop(&q, &pool, q.end);
	assert_null(q.last);
	assert_int_equal(chunkq_len(&q), 0);
	put(9);
	check_all();
}

/* Also what was consumed in part, and what is not filled yet. */
static void its_memory_is_that_of_whole_chunks(void **state)
{
	const size_t one = SLAB_BLOCK;

	(void)state;
	assert_int_equal(chunkq_memory(&q), 0);
	put(1);
	assert_int_equal(chunkq_memory(&q), one);
	put(CHUNK_DATA - 1);
	assert_int_equal(chunkq_memory(&q), one);
	put(CHUNK_DATA + 1);
	assert_int_equal(chunkq_memory(&q), 3 * one);
	chunkq_drop(&q, &pool, CHUNK_DATA - 1);
	assert_int_equal(chunkq_memory(&q), 3 * one);
	chunkq_drop(&q, &pool, CHUNK_DATA);
	assert_int_equal(chunkq_memory(&q), 2 * one);
	chunkq_drop(&q, &pool, q.end);
	assert_int_equal(chunkq_memory(&q), 0);
}

static void an_empty_queue_holds_no_memory(void **state)
{
	(void)state;
	put(2 * CHUNK_DATA + 1);
	chunkq_drop(&q, &pool, q.end);
	assert_null(q.last);
	assert_int_equal(pool.count, 3);
	chunk_pool_trim(&pool, 0);
	assert_null(pool.idle);
}

static void the_pool_keeps_no_more_than_its_most(void **state)
{
	(void)state;
	put(9 * CHUNK_DATA);
	chunkq_clear(&q, &pool);
	assert_int_equal(pool.count, 4);
	chunk_pool_trim(&pool, 1);
	assert_int_equal(pool.count, 1);
}

static void the_pool_gives_back_what_nobody_needed_meanwhile(void **state)
{
	(void)state;
	put(4 * CHUNK_DATA);
	chunkq_clear(&q, &pool);
	chunk_pool_ebb(&pool); /* they came just now */
	assert_int_equal(pool.count, 4);
	put(CHUNK_DATA + 1);
	chunkq_clear(&q, &pool);
	chunk_pool_ebb(&pool); /* two of four were in use */
	assert_int_equal(pool.count, 2);
	chunk_pool_trim(&pool, 1);
	chunk_pool_ebb(&pool);
	assert_int_equal(pool.count, 0);
}

static void only_a_chunks_first_byte_has_room_for_a_header(void **state)
{
	(void)state;
	put(2 * CHUNK_DATA);
	uint8_t *hdr = chunkq_frame(&q, CHUNK_DATA);
	size_t len;

	assert_non_null(hdr);
	assert_ptr_equal(hdr + FRAME_DATA_HDR, chunkq_at(&q, CHUNK_DATA, &len));
	assert_int_equal(len, CHUNK_DATA);
	assert_null(chunkq_frame(&q, 1));
	assert_null(chunkq_frame(&q, CHUNK_DATA + 1));
}

static void append_copies_over_any_number_of_chunks(void **state)
{
	size_t n = 4 * CHUNK_DATA + 3;
	uint8_t *data = malloc(n);

	(void)state;
	put(17);
	for (size_t i = 0; i < n; i++)
		data[i] = byte_at(17 + i);
	assert_int_equal(chunkq_append(&q, &pool, data, n), n);
	free(data);
	check_all();
}

/* Any order of writing, asking and dropping keeps every byte at its place. */
static void random_use_keeps_every_byte(void **state)
{
	uint64_t x = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t room;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		switch (x % 4) {
		case 0: chunkq_room(&q, &pool, &room); break;
		case 1:
			/* Often to the very brim. */
			if (chunkq_len(&q) > 20 * CHUNK_DATA)
				break;
			chunkq_room(&q, &pool, &room);
			put(x / 4 % 3 == 0 ? room : x / 16 % (room + 5));
			break;
		case 2:
			chunkq_drop(&q, &pool,
				    q.base + x / 4 % (chunkq_len(&q) + 1));
			break;
		default:
			if (chunkq_len(&q) > 0) {
				uint64_t at = q.base + x / 4 % chunkq_len(&q);

				assert_int_equal(*chunkq_at(&q, at, &room),
						 byte_at(at));
			}
			break;
		}
	}
	check_all();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_offset_leads_to_its_byte),
		T(room_asked_for_twice_leaves_no_hole),
		T(dropping_forgets_whole_chunks_only),
		T(its_memory_is_that_of_whole_chunks),
		T(an_empty_queue_holds_no_memory),
		T(the_pool_keeps_no_more_than_its_most),
		T(the_pool_gives_back_what_nobody_needed_meanwhile),
		T(only_a_chunks_first_byte_has_room_for_a_header),
		T(append_copies_over_any_number_of_chunks),
		T(random_use_keeps_every_byte),
	};

	return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/list.h"
#include "base/check.h"

static void bytes_come_out_in_the_order_they_went_in(void **state)
{
	struct buf b = { 0 };
	uint8_t in = 0, out = 0, chunk[300];

	(void)state;
	srandom(1);
	for (int turn = 0; turn < 20000; turn++) {
		size_t n = (size_t)random() % sizeof(chunk), len;

		for (size_t i = 0; i < n; i++)
			chunk[i] = in++;
		assert_int_equal(buf_append(&b, chunk, n), 0);
		const uint8_t *at = buf_peek(&b, &len);

		/* Swings between filling and emptying. */
		n = (size_t)random() % 600;
		n = turn % 200 < 100 ? n / 3 : n;
		n = MIN(n, len);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(at[i], out++);
		buf_drain(&b, n);
	}
	buf_done(&b);
}

static void a_queue_in_steady_use_does_not_grow(void **state)
{
	struct buf b = { 0 };
	uint8_t chunk[100] = { 0 };

	(void)state;
	for (int i = 0; i < 9; i++)
		assert_int_equal(buf_append(&b, chunk, sizeof(chunk)), 0);
	for (int i = 0; i < 100000; i++) {
		assert_int_equal(buf_append(&b, chunk, sizeof(chunk)), 0);
		buf_drain(&b, sizeof(chunk));
	}
	assert_int_equal(b.len, 900);
	assert_true(b.cap <= 4096);
	buf_done(&b);
}

static void memory_goes_back_only_when_empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_release(&b);
	assert_int_equal(buf_append(&b, "abc", 3), 0);
	buf_release(&b);
	assert_non_null(b.data);
	buf_drain(&b, 3);
	assert_non_null(b.data);
	buf_release(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
	assert_int_equal(buf_append(&b, "x", 1), 0);
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void a_reserve_that_cannot_be_met_changes_nothing(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(buf_append(&b, "abc", 3), 0);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_null(buf_reserve(&b, SIZE_MAX / 2));
	assert_string_equal(buf_text(&b), "abc");
	buf_done(&b);
}

static void text_is_ended_outside_of_the_bytes(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_string_equal(buf_text(&b), "");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_printf(&b, "%d,", i % 10), 0);
	assert_int_equal(b.len, 2000);
	buf_drain(&b, 1994);
	assert_string_equal(buf_text(&b), "7,8,9,");
	assert_int_equal(b.len, 6);
	buf_done(&b);
}

static void a_failed_reader_stays_failed(void **state)
{
	static const uint8_t in[] = { 1, 2,  3,	 4,  5,	 6,  7,	 8,
				      9, 10, 11, 12, 13, 14, 15, 16 };
	struct reader r;

	(void)state;
	reader_init(&r, in, sizeof(in));
	assert_int_equal(reader_u8(&r), 1);
	assert_int_equal(reader_u16(&r), 0x0203);
	assert_int_equal(reader_u32(&r), 0x04050607);
	assert_int_equal(get_be64(reader_bytes(&r, 8)), 0x08090a0b0c0d0e0f);
	assert_non_null(reader_bytes(&r, 0));
	assert_false(r.failed);
	assert_int_equal(reader_u16(&r), 0);
	assert_true(r.failed);
	assert_int_equal(reader_u8(&r), 0);
	assert_null(reader_bytes(&r, 0));
	reader_init(&r, in, sizeof(in));
	assert_null(reader_bytes(&r, SIZE_MAX));
}

static void a_writer_never_writes_behind_its_room(void **state)
{
	uint8_t out[16] = { 0 };
	struct writer w;

	(void)state;
	writer_init(&w, out, 15);
	writer_u8(&w, 1);
	writer_u16(&w, 0x0203);
	writer_u32(&w, 0x04050607);
	writer_u64(&w, 0x08090a0b0c0d0e0f);
	assert_false(w.failed);
	writer_u8(&w, 0xff);
	assert_true(w.failed);
	for (int i = 0; i < 15; i++)
		assert_int_equal(out[i], i + 1);
	assert_int_equal(out[15], 0);
}

struct item {
	int number;
	struct list link;
};

static int number_of(struct list *l)
{
	return container_of(l, struct item, link)->number;
}

static void lists_keep_order_and_let_items_go(void **state)
{
	struct item items[6];
	struct list a, b;
	int want = 0;

	(void)state;
	list_init(&a);
	list_init(&b);
	assert_true(list_is_empty(&a));
	assert_null(list_pop(&a));
	for (int i = 0; i < 6; i++) {
		items[i].number = i;
		list_init(&items[i].link);
		assert_false(list_is_linked(&items[i].link));
	}
	for (int i = 1; i < 5; i++)
		list_push(&a, &items[i].link);
	list_push_front(&a, &items[0].link);
	list_push(&b, &items[5].link);
	list_move_all(&a, &b);
	assert_true(list_is_empty(&b));
	list_move_all(&a, &b);
	list_for_each (it, &a)
		assert_int_equal(number_of(it), want++);
	assert_int_equal(want, 6);
	list_for_each_safe (it, &a)
		if (number_of(it) % 2 == 0)
			list_del(it);
	assert_false(list_is_linked(&items[2].link));
	list_del(&items[2].link);
	assert_int_equal(number_of(list_pop(&a)), 1);
	assert_int_equal(number_of(list_first(&a)), 3);
	list_move_all(&b, &a);
	assert_true(list_is_empty(&a));
	assert_int_equal(number_of(list_pop(&b)), 3);
	assert_int_equal(number_of(list_pop(&b)), 5);
	assert_true(list_is_empty(&b));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
		cmocka_unit_test(a_queue_in_steady_use_does_not_grow),
		cmocka_unit_test(memory_goes_back_only_when_empty),
		cmocka_unit_test(a_reserve_that_cannot_be_met_changes_nothing),
		cmocka_unit_test(text_is_ended_outside_of_the_bytes),
		cmocka_unit_test(a_failed_reader_stays_failed),
		cmocka_unit_test(a_writer_never_writes_behind_its_room),
		cmocka_unit_test(lists_keep_order_and_let_items_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

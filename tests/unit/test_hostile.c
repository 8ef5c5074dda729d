/* SPDX-License-Identifier: MIT */
/* An authenticated peer that breaks the rules loses its carrier; nothing else
 * is lost, nothing grows, and no number is too large. */
#include "core_wired.h"

/* Side i reads r: the carrier is closed, the session lives on. */
static void check_refused(int i, struct raw r)
{
	assert_int_equal(inject(w, i, r), RW_ERR_PROTO);
	assert_int_equal(pair.side[i].ends, 0);
	wire_cut(w);
	w = wire_up();
	assert_non_null(w->c[i]);
}

static void the_peer_cannot_state_more_than_was_sent(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "a:1");

	send_at(CLIENT, e, 100);
	check_refused(CLIENT, raw_state(1, 101, 0, FLOOR));
	check_refused(CLIENT, raw_state(1, UINT64_MAX, UINT64_MAX, FLOOR));
	check_refused(CLIENT, raw_state(1, 50, 51, FLOOR));
	check_refused(CLIENT, raw_state(1, 100, 100, UINT64_MAX));
	/* Nor what was written here and never left. */
	write_at(CLIENT, e, 50);
	check_refused(CLIENT, raw_state(1, 150, 150, FLOOR));
	settle();
	wire_cut(w);
	finish_at(CLIENT, e);
	w = wire_up_to_hello();
	check_refused(CLIENT, raw_state(1, 151, 151, FLOOR));
	settle();
	check_got(pair.side[RIG].come[0], 150);
	assert_int_equal(pair.side[RIG].come[0]->eofs, 1);
	assert_int_equal(e->closed, 0);
}

static void a_stated_limit_never_falls_back(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "b:2");

	settle();
	inject(w, CLIENT, raw_state(1, 0, 0, UINT64_MAX / 2));
	assert_int_equal(e->st->peer_limit, UINT64_MAX / 2);
	inject(w, CLIENT, raw_state(1, 0, 0, 0));
	assert_int_equal(e->st->peer_limit, UINT64_MAX / 2);
}

static void data_beyond_the_limit_is_refused(void **state)
{
	(void)state;
	pair.side[RIG].take = 0;
	assert_int_equal(inject(w, RIG, raw_open(1, FLOOR)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, 0, FLOOR / 2)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, FLOOR / 2, FLOOR / 2)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, FLOOR, 1)), RW_ERR_PROTO);
	assert_int_equal(chunkq_len(&pair.side[RIG].come[0]->st->in), FLOOR);
}

static void offsets_near_the_top_do_not_wrap(void **state)
{
	(void)state;
	open_at(CLIENT, "a:2");
	settle();
	check_refused(RIG, raw_data(1, UINT64_MAX, 10));
	check_refused(RIG, raw_data(1, UINT64_MAX - 4, 10));
	check_refused(RIG, raw_data(1, (uint64_t)1 << 63, 10));
	check_refused(RIG, raw_u64(FRAME_FIN, 1, UINT64_MAX));
	assert_int_equal(pair.side[RIG].come[0]->datas, 0);
}

static void nothing_follows_the_end(void **state)
{
	(void)state;
	inject(w, RIG, raw_open(1, FLOOR));
	inject(w, RIG, raw_data(1, 0, 10));
	inject(w, RIG, raw_u64(FRAME_FIN, 1, 10));
	inject(w, RIG, raw_u64(FRAME_FIN, 1, 10)); /* again: harmless */
	inject(w, RIG, raw_data(1, 0, 10));
	assert_int_equal(pair.side[RIG].come[0]->eofs, 1);
	check_got(pair.side[RIG].come[0], 10);
	/* Only an earlier or later end, or more bytes, are lies. */
	assert_int_equal(inject(w, RIG, raw_data(1, 5, 6)), RW_ERR_PROTO);
}

static void an_id_above_the_stated_limit_is_a_protocol_error(void **state)
{
	uint32_t top = 2 * pair.limits.max_streams - 1;

	(void)state;
	assert_int_equal(inject(w, RIG, raw_open(top, FLOOR)), 0);
	assert_int_equal(inject(w, RIG, raw_end(top, 11)), 0);
	assert_int_equal(inject(w, RIG, raw_open(top + 4, FLOOR)),
			 RW_ERR_PROTO);
	wire_cut(w);
	w = wire_up();
	assert_int_equal(inject(w, RIG, raw_end(top + 1000, 11)), RW_ERR_PROTO);
	wire_cut(w);
	w = wire_up();
	assert_int_equal(inject(w, RIG, raw_open(UINT32_MAX, FLOOR)),
			 RW_ERR_PROTO);
}

static void an_id_of_the_other_sides_is_not_opened(void **state)
{
	(void)state;
	check_refused(RIG, raw_open(2, FLOOR));
	check_refused(CLIENT, raw_open(1, FLOOR));
	check_refused(RIG, raw_end(2, 11));
	check_refused(CLIENT, raw_end(1, 11));
}

static void frames_of_ids_that_never_were_are_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		for (uint32_t id = 1; id <= 2; id++) {
			check_refused(i, raw_data(id, 0, 1));
			check_refused(i, raw_u64(FRAME_FIN, id, 0));
			check_refused(i, raw_state(id, 0, 0, 0));
			check_refused(i, raw_empty(FRAME_ASK, id));
			check_refused(i, raw_empty(FRAME_GONE, id));
			check_refused(i, raw_reset(id, 11, ""));
			check_refused(i, raw_data(UINT32_MAX - id, 0, 1));
		}
}

/* Opened by the user, but the peer has not let it be opened yet. */
static void a_stream_that_was_never_sent_cannot_be_spoken_of(void **state)
{
	const struct raw raws[] = {
		raw_state(1, 0, 0, 0),	 raw_empty(FRAME_GONE, 1),
		raw_reset(1, 11, ""),	 raw_data(1, 0, 1),
		raw_empty(FRAME_ASK, 1),
	};

	for (size_t k = 0; k < ARRAY_LEN(raws); k++) {
		pair.side[CLIENT].s->peer_max_id = 0;
		struct seen *e = open_at(CLIENT, "c:3");

		write_at(CLIENT, e, 10);
		settle();
		assert_false(e->st->sent_open);
		assert_int_equal(inject(w, CLIENT, raws[k]), RW_ERR_PROTO);
		teardown(state);
		setup(state);
	}
}

static void only_the_right_side_resets_and_ends(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "d:4");

	settle();
	check_refused(RIG, raw_reset(1, 11, "")); /* the opener says END */
	check_refused(RIG, raw_empty(FRAME_GONE, 1));
	check_refused(CLIENT, raw_reset(1, 0, "")); /* no reason */
	check_refused(CLIENT, raw_end(1, 11));
	assert_int_equal(e->closed, 0);
	assert_int_equal(pair.side[RIG].come[0]->closed, 0);
}

static void an_unclean_reason_is_refused(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "e:5");
	struct raw r = raw_reset(1, 11, "ab");

	settle();
	r.b[11] = 0x1b; /* a terminal's escape */
	check_refused(CLIENT, r);
	assert_int_equal(e->closed, 0);
}

static void an_unclean_target_is_refused(void **state)
{
	struct raw r = raw_open(1, FLOOR);

	(void)state;
	r.b[14] = 0x07;
	check_refused(RIG, r);
	assert_int_equal(pair.side[RIG].come_count, 0);
}

static void a_clean_end_of_an_unfinished_stream_is_a_lie(void **state)
{
	(void)state;
	open_at(CLIENT, "a:3");
	settle();
	check_refused(RIG, raw_end(1, 0));
	assert_int_equal(pair.side[RIG].come[0]->closed, 0);
	inject(w, RIG, raw_u64(FRAME_FIN, 1, 0));
	assert_int_equal(pair.side[RIG].come[0]->eofs, 1);
	assert_int_equal(inject(w, RIG, raw_end(1, 0)), RW_ERR_PROTO);
	assert_int_equal(pair.side[RIG].come[0]->closed, 0);
}

static void an_end_for_an_unopened_id_uses_it_up(void **state)
{
	struct frame f;

	(void)state;
	assert_int_equal(inject(w, RIG, raw_end(9, 11)), 0);
	wire_pull(w, RIG);
	assert_true(on_its_way(w, CLIENT, FRAME_GONE, &f));
	assert_int_equal(f.stream, 9);
	buf_reset(&w->q[CLIENT]);
	assert_int_equal(inject(w, RIG, raw_open(9, FLOOR)), 0);
	assert_int_equal(inject(w, RIG, raw_open(7, FLOOR)), 0);
	assert_int_equal(pair.side[RIG].come_count, 0);
	assert_int_equal(inject(w, RIG, raw_open(11, FLOOR)), 0);
	assert_int_equal(pair.side[RIG].come_count, 1);
	buf_reset(&w->q[CLIENT]);
}

static void a_flood_of_ends_has_an_end(void **state)
{
	const size_t most = GONE_MAX + 2 * pair.limits.max_streams;
	struct raw r = raw_end(1, 11);
	int err = 0;

	(void)state;
	for (size_t k = 0; k < most; k++)
		assert_int_equal(inject(w, RIG, r), 0);
	err = inject(w, RIG, r);
	assert_int_equal(err, RW_ERR_LIMIT);
}

static void floods_of_asks_pings_and_opens_are_answered_once(void **state)
{
	(void)state;
	struct raw ask = raw_empty(FRAME_ASK, 1), open = raw_open(1, FLOOR),
		   ping = raw_u64(FRAME_PING, 0, 7);

	for (int k = 0; k < 10000; k++) {
		assert_int_equal(inject(w, RIG, open), 0);
		assert_int_equal(inject(w, RIG, ask), 0);
		assert_int_equal(inject(w, RIG, ping), 0);
	}
	assert_int_equal(pair.side[RIG].come_count, 1);
	assert_true(wire_pull(w, RIG) < 200);
	buf_reset(&w->q[CLIENT]);
}

/* Ids are skipped so that the highest rises fast: it ends at the top. */
static void ids_can_be_used_up_to_the_top(void **state)
{
	struct session *s = pair.side[RIG].s;
	struct seen *e;

	(void)state;
	s->highest = UINT32_MAX - 2;
	s->stated_max_id = UINT32_MAX;
	assert_int_equal(inject(w, RIG, raw_open(UINT32_MAX, FLOOR)), 0);
	e = pair.side[RIG].come[0];
	assert_int_equal(stream_id(e->st), UINT32_MAX);
	assert_int_equal(session_max_id(s), UINT32_MAX);
	assert_int_equal(inject(w, RIG, raw_end(UINT32_MAX, 11)), 0);
	tick();
	assert_int_equal(e->closed, 1);
	assert_int_equal(session_max_id(s), UINT32_MAX);
	buf_reset(&w->q[CLIENT]);
	wire_pull(w, RIG);
	buf_reset(&w->q[CLIENT]);
	/* Our own run out long before they could wrap. */
	struct stream *st;

	pair.side[CLIENT].s->next_id = UINT32_MAX - 2;
	assert_int_equal(stream_open(pair.side[CLIENT].s,
				     &(struct stream_to){ STREAM_TCP, "f:6" },
				     &pair_stream_ops, NULL, &st),
			 RW_ERR_LIMIT);
}

static void more_read_than_was_sent_is_a_lie(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "g:7");

	send_at(CLIENT, e, 1000);
	uint64_t sent = w->c[CLIENT]->pace.sent;

	assert_int_equal(inject(w, CLIENT, raw_u64(FRAME_READ, 0, sent)), 0);
	check_refused(CLIENT, raw_u64(FRAME_READ, 0, sent + 1));
	check_refused(CLIENT, raw_u64(FRAME_READ, 0, UINT64_MAX));
}

static void greetings_come_once(void **state)
{
	struct hello h = { .version_min = 1,
			   .version_max = 1,
			   .carrier = 9,
			   .incarnation = 1 };
	struct welcome *wel = calloc(1, sizeof(*wel));
	struct raw r;

	(void)state;
	wel->version = 1;
	wel->incarnation = 5;
	r.len = hello_write(&h, r.b);
	check_refused(RIG, r);
	check_refused(CLIENT, r);
	r.len = welcome_write(wel, r.b);
	check_refused(CLIENT, r);
	check_refused(RIG, r);
	free(wel);
}

static void another_version_is_not_spoken(void **state)
{
	struct welcome *wel = calloc(1, sizeof(*wel));
	struct raw r;

	(void)state;
	struct wire *w2 = wire_dial();

	wel->version = 2;
	wel->incarnation = 5;
	r.len = welcome_write(wel, r.b);
	assert_int_equal(inject(w2, CLIENT, r), RW_ERR_VERSION);
	free(wel);
}

/* A hello may name any floor; the sender keeps within its own caps. */
static void a_floor_of_any_size_is_survived(void **state)
{
	static const uint32_t floors[] = { 0, 1, UINT32_MAX };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(floors); k++) {
		static const struct rig_info info = { .name = "x" };
		struct hello h = { .version_min = 1,
				   .version_max = 1,
				   .carrier = 100 + (uint32_t)k,
				   .incarnation = 1,
				   .max_streams = UINT32_MAX,
				   .floor = floors[k] };

		wire_cut(w);
		w->greeted = true;
		w->c[RIG] = session_accept(pair.side[RIG].s, &h, false, &info,
					   pair.now);
		carrier_set_user(w->c[RIG], w);
		struct seen *e = open_at(RIG, "h:8");

		wire_pull(w, RIG);
		assert_true(write_at(RIG, e, 8 * 1024 * 1024) <=
			    pair.limits.send_max);
		wire_pull(w, RIG);
		buf_reset(&w->q[CLIENT]);
	}
	wire_cut(w);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_peer_cannot_state_more_than_was_sent),
		T(a_stated_limit_never_falls_back),
		T(data_beyond_the_limit_is_refused),
		T(offsets_near_the_top_do_not_wrap),
		T(nothing_follows_the_end),
		T(an_id_above_the_stated_limit_is_a_protocol_error),
		T(an_id_of_the_other_sides_is_not_opened),
		T(frames_of_ids_that_never_were_are_refused),
		T(a_stream_that_was_never_sent_cannot_be_spoken_of),
		T(only_the_right_side_resets_and_ends),
		T(an_unclean_reason_is_refused),
		T(an_unclean_target_is_refused),
		T(a_clean_end_of_an_unfinished_stream_is_a_lie),
		T(an_end_for_an_unopened_id_uses_it_up),
		T(a_flood_of_ends_has_an_end),
		T(floods_of_asks_pings_and_opens_are_answered_once),
		T(ids_can_be_used_up_to_the_top),
		T(more_read_than_was_sent_is_a_lie),
		T(greetings_come_once),
		T(another_version_is_not_spoken),
		T(a_floor_of_any_size_is_survived),
	};

	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}

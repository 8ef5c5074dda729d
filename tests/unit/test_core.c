/* SPDX-License-Identifier: MIT */
/* The rules of streams: order, ends, repetition, flow. Carriers and sessions
 * are in test_carriers.c, limits in test_limits.c, bad peers in
 * test_hostile.c. */
#include "core_wired.h"

static struct seen *come(int i, size_t k)
{
	assert_true(pair.side[i].come_count > k);
	return pair.side[i].come[k];
}

/* --- opening --- */

static void data_may_follow_open_at_once(void **state)
{
	struct seen *e = open_at(CLIENT, "a:1");
	struct frame f;

	(void)state;
	assert_int_equal(write_at(CLIENT, e, 100), 100);
	wire_pull(w, CLIENT);
	assert_true(on_its_way(w, RIG, FRAME_OPEN, &f));
	assert_true(on_its_way(w, RIG, FRAME_DATA, &f));
	settle();
	check_got(come(RIG, 0), 100);
	assert_string_equal(stream_target(come(RIG, 0)->st), "a:1");
	assert_int_equal(stream_kind(come(RIG, 0)->st), STREAM_TCP);
	assert_int_equal(e->connected, 1);
}

static void either_side_opens_streams(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct seen *e = open_at(i, "b:2");

		send_at(i, e, 40000);
		check_got(come(1 - i, 0), 40000);
		assert_int_equal(e->connected, 1);
		assert_int_equal(stream_id(e->st) % 2, i == CLIENT);
	}
}

static void a_stream_opened_without_a_carrier_waits_for_one(void **state)
{
	(void)state;
	wire_cut(w);
	struct seen *e = open_at(CLIENT, "c:3");
	struct stream_stats stats;

	write_at(CLIENT, e, 77);
	finish_at(CLIENT, e);
	stream_stats(e->st, &stats);
	assert_true(stats.waiting);
	wire_up();
	check_got(come(RIG, 0), 77);
	assert_int_equal(come(RIG, 0)->eofs, 1);
}

/* Its target may take long to connect: OPEN need not be repeated meanwhile. */
static void the_opener_hears_soon_that_its_stream_is_known(void **state)
{
	(void)state;
	assert_int_equal(inject(w, RIG, raw_open(1, FLOOR)), 0);
	stream_take(come(RIG, 0)->st, &pair_stream_ops, come(RIG, 0));
	come(RIG, 0)->st->connected = false;
	come(RIG, 0)->st->due = 0;
	list_del(&come(RIG, 0)->st->dues);
	struct frame f;

	assert_true(session_tick(pair.side[RIG].s, pair.now) <=
		    pair.now + LAG_US);
	pair.now += LAG_US;
	tick();
	wire_pull(w, RIG);
	assert_true(on_its_way(w, CLIENT, FRAME_STATE, &f));
	assert_int_equal(f.flags & FRAME_FLAG_CONNECTED, 0);
	buf_reset(&w->q[CLIENT]);
}

static void a_copy_is_written_as_far_as_the_limits_allow(void **state)
{
	static uint8_t data[3 * FLOOR];
	struct seen *e = open_at(CLIENT, "c:4");
	struct stream_span span[4];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	assert_int_equal(stream_space(e->st), FLOOR);
	assert_int_equal(stream_write(e->st, data, 10), 10);
	assert_int_equal(stream_write(e->st, data + 10, sizeof(data)),
			 FLOOR - 10);
	assert_int_equal(stream_space(e->st), 0);
	pair.side[RIG].take = 0;
	settle();
	/* What was not taken lies there in runs. */
	n = stream_spans(come(RIG, 0)->st, span, 4);
	assert_int_equal(n, 2);
	assert_int_equal(span[0].len + span[1].len, FLOOR);
	assert_memory_equal(span[1].data, data + span[0].len, span[1].len);
	assert_int_equal(stream_spans(come(RIG, 0)->st, span, 1), 1);
	consume_at(RIG, come(RIG, 0), FLOOR);
	check_got(come(RIG, 0), FLOOR);
	assert_int_equal(stream_spans(come(RIG, 0)->st, span, 4), 0);
	settle();
	assert_int_equal(e->rooms, 1); /* asked for by stream_space() */
}

static void a_stream_is_refused_with_the_reason(void **state)
{
	(void)state;
	pair.side[RIG].refuses = true;
	struct seen *e = open_at(CLIENT, "d:4");

	write_at(CLIENT, e, 10);
	settle();
	assert_int_equal(e->closed, 1);
	assert_int_equal(e->err, RW_ERR_NOT_ALLOWED);
	assert_string_equal(e->text, "nobody takes this stream");
	assert_int_equal(pair.side[RIG].s->theirs, 0);
}

static void only_clean_targets_of_some_length_are_opened(void **state)
{
	char longest[STREAM_TARGET_MAX + 2];
	struct stream *st;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[STREAM_TARGET_MAX + 1] = '\0';
	struct session *s = pair.side[CLIENT].s;

	assert_int_equal(stream_open(s, &(struct stream_to){ STREAM_TCP, "" },
				     &pair_stream_ops, NULL, &st),
			 RW_ERR_FORMAT);
	assert_int_equal(stream_open(s,
				     &(struct stream_to){ STREAM_TCP, longest },
				     &pair_stream_ops, NULL, &st),
			 RW_ERR_FORMAT);
	assert_int_equal(
		stream_open(s, &(struct stream_to){ STREAM_TCP, "a\nb:1" },
			    &pair_stream_ops, NULL, &st),
		RW_ERR_FORMAT);
	longest[STREAM_TARGET_MAX] = '\0';
	open_at(CLIENT, longest);
	settle();
	assert_string_equal(stream_target(come(RIG, 0)->st), longest);
}

static void ids_are_never_used_again(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (int k = 0; k < 300; k++) {
		struct seen *e = open_at(CLIENT, "e:5");

		assert_true(stream_id(e->st) > last);
		last = stream_id(e->st);
		finish_at(CLIENT, e);
		settle();
		finish_at(RIG, come(RIG, (size_t)k));
		settle();
		assert_int_equal(e->closed, 1);
		assert_int_equal(e->err, 0);
	}
	assert_int_equal(last, 599);
	assert_int_equal(pair.side[CLIENT].s->mine, 0);
	assert_int_equal(pair.side[RIG].s->theirs, 0);
	assert_int_equal(pair.side[RIG].drops, 0);
}

/* --- opening costs no round trip --- */

static void bytes_follow_the_open_before_anything_came_back(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "e:5");
	struct frame f;

	write_at(CLIENT, e, 5000);
	wire_pull(w, CLIENT);
	assert_true(on_its_way(w, RIG, FRAME_OPEN, &f));
	assert_true(on_its_way(w, RIG, FRAME_DATA, &f));
	/* All of it is there before the rig has said a word. */
	wire_deliver(w, RIG);
	session_tick(rig(), pair.now);
	assert_int_equal(pair.side[RIG].come_count, 1);
	check_got(come(RIG, 0), 5000);
}

/* --- state, not events --- */

static void open_is_repeated_until_the_state_shows_it(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "f:6");

	write_at(CLIENT, e, 5000);
	for (int k = 0; k < 5; k++) { /* lost each time */
		wire_pull(w, CLIENT);
		wire_cut(w);
		w = wire_up_to_hello();
	}
	settle();
	assert_int_equal(pair.side[RIG].come_count, 1);
	check_got(come(RIG, 0), 5000);
}

static void a_repeated_open_never_connects_twice(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "g:7");

	/* The rig takes it in, and everything it says is lost. */
	wire_pull(w, CLIENT);
	wire_deliver(w, RIG);
	wire_cut(w);
	assert_false(e->st->known);
	w = wire_up();
	assert_int_equal(pair.side[RIG].come_count, 1);
	assert_int_equal(e->connected, 1);
	assert_int_equal(inject(w, RIG, raw_open(1, FLOOR)), 0);
	assert_int_equal(pair.side[RIG].come_count, 1);
}

static void an_end_is_kept_until_it_is_confirmed(void **state)
{
	(void)state;
	pair.side[RIG].refuses = true;
	struct seen *e = open_at(CLIENT, "h:8");

	wire_pull(w, CLIENT);
	wire_deliver(w, RIG);
	tick(); /* over for the rig's user; RESET is lost */
	wire_cut(w);
	assert_int_equal(pair.side[RIG].s->theirs, 1);
	pair.side[RIG].refuses = false;
	w = wire_up();
	assert_int_equal(pair.side[RIG].come_count, 0);
	assert_int_equal(e->err, RW_ERR_NOT_ALLOWED);
	assert_int_equal(pair.side[RIG].s->theirs, 0);
	/* And after that the id is known to be over. */
	assert_int_equal(inject(w, RIG, raw_open(1, FLOOR)), 0);
	assert_int_equal(pair.side[RIG].come_count, 0);
}

static void fin_is_repeated_until_the_state_shows_it(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "i:9");

	settle();
	write_at(CLIENT, e, 300);
	finish_at(CLIENT, e);
	for (int k = 0; k < 5; k++) {
		wire_pull(w, CLIENT);
		wire_cut(w);
		w = wire_up_to_hello();
	}
	settle();
	check_got(come(RIG, 0), 300);
	assert_int_equal(come(RIG, 0)->eofs, 1);
}

static void a_reset_is_repeated_until_it_is_confirmed(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) { /* by the opener, by the acceptor */
		struct seen *e = open_at(CLIENT, "j:10");

		settle();
		struct seen *r = come(RIG, (size_t)i);

		reset_at(i, i == CLIENT ? e : r, RW_ERR_IO, "broken");
		for (int k = 0; k < 5; k++) {
			tick();
			wire_pull(w, i);
			wire_cut(w);
			w = wire_up_to_hello();
		}
		settle();
		assert_int_equal(e->err, RW_ERR_IO);
		assert_int_equal(r->err, RW_ERR_IO);
		assert_int_equal(pair.side[CLIENT].s->mine, 0);
		assert_int_equal(pair.side[RIG].s->theirs, 0);
	}
}

static void a_stream_given_up_before_it_was_sent_is_never_sent(void **state)
{
	(void)state;
	wire_cut(w);
	struct seen *e = open_at(CLIENT, "k:11");

	reset_at(CLIENT, e, RW_ERR_CANCELLED, NULL);
	w = wire_up();
	assert_int_equal(e->err, RW_ERR_CANCELLED);
	assert_int_equal(pair.side[RIG].come_count, 0);
	/* The next one is not taken for an old one. */
	e = open_at(CLIENT, "k:12");
	settle();
	assert_int_equal(e->connected, 1);
}

/* --- offsets --- */

static void bytes_that_arrive_twice_are_trimmed_by_offset(void **state)
{
	(void)state;
	assert_int_equal(inject(w, RIG, raw_open(1, FLOOR)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, 0, 100)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, 0, 100)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, 50, 100)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, 0, 151)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, 10, 20)), 0);
	check_got(come(RIG, 0), 151);
}

static void a_gap_closes_the_carrier_and_never_the_session(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "l:13");

	write_at(CLIENT, e, 100);
	settle();
	assert_int_equal(inject(w, RIG, raw_data(1, 101, 5)), RW_ERR_PROTO);
	wire_cut(w);
	assert_int_equal(come(RIG, 0)->closed, 0);
	write_at(CLIENT, e, 100);
	w = wire_up();
	check_got(come(RIG, 0), 200);
	/* A FIN beyond the bytes is a gap as well. */
	assert_int_equal(inject(w, RIG, raw_u64(FRAME_FIN, 1, 201)),
			 RW_ERR_PROTO);
	wire_cut(w);
	assert_int_equal(come(RIG, 0)->eofs, 0);
}

static void
a_stream_moves_only_after_the_peer_stated_received_there(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "m:14");
	struct frame f;

	settle();
	struct wire *w2 = wire_up();

	assert_int_equal(pair.side[CLIENT].s->carrier_count, 2);
	write_at(CLIENT, e, 1000);
	wire_pull(w, CLIENT);
	/* The first dies: 400 of the bytes made it. */
	assert_int_equal(inject(w, RIG, raw_data(1, 0, 400)), 0);
	wire_cut(w);
	write_at(CLIENT, e, 500);
	wire_pull(w2, CLIENT);
	assert_false(on_its_way(w2, RIG, FRAME_DATA, &f));
	assert_true(on_its_way(w2, RIG, FRAME_ASK, &f));
	wire_deliver(w2, RIG);
	wire_pull(w2, RIG);
	assert_true(on_its_way(w2, CLIENT, FRAME_STATE, &f));
	assert_int_equal(get_be64(f.payload), 400);
	wire_deliver(w2, CLIENT);
	wire_pull(w2, CLIENT);
	assert_true(on_its_way(w2, RIG, FRAME_DATA, &f));
	assert_int_equal(get_be64(f.payload), 400);
	settle();
	check_got(come(RIG, 0), 1500);
}

static void fin_takes_one_offset(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "n:15");
	struct frame f;

	write_at(CLIENT, e, 9);
	settle();
	finish_at(CLIENT, e);
	wire_pull(w, CLIENT);
	assert_true(on_its_way(w, RIG, FRAME_FIN, &f));
	assert_int_equal(get_be64(f.payload), 9);
	wire_deliver(w, RIG);
	wire_pull(w, RIG);
	assert_true(on_its_way(w, CLIENT, FRAME_STATE, &f));
	assert_int_equal(get_be64(f.payload), 10);     /* received */
	assert_int_equal(get_be64(f.payload + 8), 10); /* consumed */
	wire_deliver(w, CLIENT);
	assert_int_equal(e->st->peer_consumed, 10);
}

static void the_sender_forgets_only_what_was_consumed(void **state)
{
	(void)state;
	pair.side[RIG].take = 0;
	struct seen *e = open_at(CLIENT, "o:16");
	struct stream_stats stats;

	write_at(CLIENT, e, 1000);
	settle();
	advance(60000);
	stream_stats(e->st, &stats);
	assert_int_equal(stats.acked, 0);
	consume_at(RIG, come(RIG, 0), 300);
	advance(60000); /* stated within 50 ms */
	stream_stats(e->st, &stats);
	assert_int_equal(stats.acked, 300);
	check_got(come(RIG, 0), 300);
}

/* With a large window, too, the sender forgets soon. */
static void much_that_was_consumed_is_stated_at_once(void **state)
{
	const uint32_t window = 4 << 20;
	struct stream_stats stats;

	(void)state;
	pair.side[RIG].take = 0;
	struct seen *e = open_at(CLIENT, "o:16");

	settle();
	come(RIG, 0)->st->limit = come(RIG, 0)->st->window = window;
	inject(w, CLIENT, raw_state((uint32_t)stream_id(e->st), 0, 0, window));
	assert_int_equal(write_at(CLIENT, e, STATE_MOST + 1000),
			 STATE_MOST + 1000);
	settle();
	consume_at(RIG, come(RIG, 0), STATE_MOST - 1);
	settle();
	stream_stats(e->st, &stats);
	assert_int_equal(stats.acked, 0);
	consume_at(RIG, come(RIG, 0), 1);
	settle();
	stream_stats(e->st, &stats);
	assert_int_equal(stats.acked, STATE_MOST);
}

/* --- ends are honest --- */

static void each_direction_closes_by_itself(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) { /* who finishes first */
		struct seen *e = open_at(CLIENT, "p:17"), *a, *b;

		settle();
		a = i == CLIENT ? e : come(RIG, (size_t)i);
		b = i == CLIENT ? come(RIG, (size_t)i) : e;
		finish_at(i, a);
		settle();
		assert_int_equal(b->eofs, 1);
		assert_int_equal(a->eofs, 0);
		send_at(1 - i, b, 200000);
		check_got(a, 200000);
		assert_int_equal(a->closed + b->closed, 0);
		finish_at(1 - i, b);
		settle();
		assert_int_equal(a->eofs, 1);
		assert_int_equal(a->closed, 1);
		assert_int_equal(b->closed, 1);
		assert_int_equal(a->err, 0);
		assert_int_equal(b->err, 0);
	}
	assert_int_equal(pair.side[CLIENT].s->mine, 0);
	assert_int_equal(pair.side[RIG].s->theirs, 0);
}

static void the_end_comes_after_the_last_byte_was_taken(void **state)
{
	(void)state;
	pair.side[RIG].take = 0;
	struct seen *e = open_at(CLIENT, "q:18"), *r;

	write_at(CLIENT, e, 5000);
	finish_at(CLIENT, e);
	settle();
	r = come(RIG, 0);
	assert_int_equal(r->eofs, 0);
	consume_at(RIG, r, 4999);
	tick();
	assert_int_equal(r->eofs, 0);
	consume_at(RIG, r, 1); /* and not inside this call */
	assert_int_equal(r->eofs, 0);
	settle();
	assert_int_equal(r->eofs, 1);
	check_got(r, 5000);
}

static void a_reset_is_never_an_end_of_file(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct seen *e = open_at(CLIENT, "r:19"), *a, *b;

		settle();
		a = i == CLIENT ? e : come(RIG, (size_t)i);
		b = i == CLIENT ? come(RIG, (size_t)i) : e;
		write_at(i, a, 1000);
		settle();
		reset_at(i, a, RW_ERR_IO, "the disk is gone");
		settle();
		assert_int_equal(b->eofs, 0);
		assert_int_equal(b->closed, 1);
		assert_int_equal(b->err, RW_ERR_IO);
		assert_int_equal(a->err, RW_ERR_IO);
		if (i == RIG)
			assert_string_equal(b->text, "the disk is gone");
	}
}

/* All bytes and the end have left, but nobody has confirmed them: giving up
 * now is not a success. */
static void an_unconfirmed_end_is_not_a_success(void **state)
{
	(void)state;
	pair.side[RIG].take = 0;
	struct seen *e = open_at(CLIENT, "s:20");

	write_at(CLIENT, e, 10);
	finish_at(CLIENT, e);
	settle();
	finish_at(RIG, come(RIG, 0));
	settle();
	assert_int_equal(e->eofs, 1);
	assert_int_equal(e->closed, 0);
	reset_at(RIG, come(RIG, 0), RW_ERR_IO, "not written");
	settle();
	assert_int_equal(e->err, RW_ERR_IO);
}

static void text_is_cut_between_characters_and_cleaned(void **state)
{
	char text[401];

	(void)state;
	for (int i = 0; i < 400; i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[400] = '\0';
	text[0] = 'x'; /* the character is cut: \xa4 stands alone */
	text[3] = '\n';
	struct seen *e = open_at(CLIENT, "t:21");

	settle();
	reset_at(RIG, come(RIG, 0), RW_ERR_IO, text);
	settle();
	assert_int_equal(e->err, RW_ERR_IO);
	assert_memory_equal(e->text, "x???\xc3\xa4", 6);
	assert_true(strlen(e->text) <= STREAM_TEXT_MAX);
	assert_int_equal(pair.side[CLIENT].s->carrier_count, 1);
}

/* --- the control stream --- */

static struct seen *take_control(int i)
{
	struct seen *e = seen_new(SIZE_MAX);

	e->st = session_control(pair.side[i].s);
	stream_take(e->st, &pair_stream_ops, e);
	return e;
}

static void the_control_stream_goes_both_ways_over_cuts(void **state)
{
	(void)state;
	struct seen *e[2] = { take_control(0), take_control(1) };

	for (int k = 0; k < 6; k++) {
		for (int i = 0; i < 2; i++)
			assert_int_equal(write_at(i, e[i], 3000), 3000);
		if (k % 2 == 0)
			settle();
		wire_pull(w, k % 2);
		wire_cut(w);
		w = wire_up();
	}
	check_got(e[0], 18000);
	check_got(e[1], 18000);
}

static void the_control_stream_has_no_end(void **state)
{
	(void)state;
	struct seen *e[2] = { take_control(0), take_control(1) };

	finish_at(CLIENT, e[0]);
	settle();
	assert_int_equal(e[1]->eofs, 0);
	assert_int_equal(write_at(CLIENT, e[0], 10), 10);
	settle();
	check_got(e[1], 10);
	/* Given up, it is silent: the session and its carriers go on. */
	reset_at(RIG, e[1], RW_ERR_PROTO, "cannot be followed");
	settle();
	assert_int_equal(e[1]->err, RW_ERR_PROTO);
	assert_null(session_control(pair.side[RIG].s));
	write_at(CLIENT, e[0], 10);
	settle();
	wire_cut(w);
	wire_up();
	assert_int_equal(e[0]->closed, 0);
	assert_int_equal(pair.side[CLIENT].s->carrier_count, 1);
	struct seen *s = open_at(CLIENT, "u:22");

	settle();
	assert_int_equal(s->connected, 1);
}

/* --- carried datagrams --- */

static void a_datagram_without_a_flow_is_dropped(void **state)
{
	struct dgram_piece p = { .length = 3,
				 .data = (const uint8_t *)"abc",
				 .len = 3 };
	struct raw r;

	(void)state;
	r.len = frame_put_dgram(r.b, 77, &p);
	assert_int_equal(inject(w, RIG, r), 0);
	assert_int_equal(w->c[RIG]->in_bytes, r.len);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(data_may_follow_open_at_once),
		T(either_side_opens_streams),
		T(a_stream_opened_without_a_carrier_waits_for_one),
		T(the_opener_hears_soon_that_its_stream_is_known),
		T(a_copy_is_written_as_far_as_the_limits_allow),
		T(a_stream_is_refused_with_the_reason),
		T(only_clean_targets_of_some_length_are_opened),
		T(ids_are_never_used_again),
		T(bytes_follow_the_open_before_anything_came_back),
		T(open_is_repeated_until_the_state_shows_it),
		T(a_repeated_open_never_connects_twice),
		T(an_end_is_kept_until_it_is_confirmed),
		T(fin_is_repeated_until_the_state_shows_it),
		T(a_reset_is_repeated_until_it_is_confirmed),
		T(a_stream_given_up_before_it_was_sent_is_never_sent),
		T(bytes_that_arrive_twice_are_trimmed_by_offset),
		T(a_gap_closes_the_carrier_and_never_the_session),
		T(a_stream_moves_only_after_the_peer_stated_received_there),
		T(fin_takes_one_offset),
		T(the_sender_forgets_only_what_was_consumed),
		T(much_that_was_consumed_is_stated_at_once),
		T(each_direction_closes_by_itself),
		T(the_end_comes_after_the_last_byte_was_taken),
		T(a_reset_is_never_an_end_of_file),
		T(an_unconfirmed_end_is_not_a_success),
		T(text_is_cut_between_characters_and_cleaned),
		T(the_control_stream_goes_both_ways_over_cuts),
		T(the_control_stream_has_no_end),
		T(a_datagram_without_a_flow_is_dropped),
	};

	return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}

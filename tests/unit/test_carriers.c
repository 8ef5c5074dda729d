/* SPDX-License-Identifier: MIT */
/* Carriers come, go and replace each other; sessions outlive them. */
#include "core_wired.h"

/* The rig's process is another one now; nothing of the old is left. */
static void restart_rig(uint64_t incarnation)
{
	for (size_t i = 0; i < pair.wire_count; i++)
		pair.wires[i]->c[RIG] = NULL;
	session_free(rig());
	pair.side[RIG].come_count = 0;
	assert_int_equal(side_new(RIG, incarnation), 0);
}

/* --- greetings --- */

static void both_ends_hear_that_a_carrier_is_live(void **state)
{
	(void)state;
	assert_int_equal(pair.side[CLIENT].lives, 1);
	assert_int_equal(pair.side[RIG].lives, 1);
	assert_true(session_is_live(client()));
	assert_true(session_is_live(rig()));
	assert_ptr_equal(session_carrier_next(rig(), NULL), w->c[RIG]);
	assert_null(session_carrier_next(rig(), w->c[RIG]));
	assert_ptr_equal(w->c[RIG]->s, rig());
	for (int k = 0; k < 9; k++)
		advance(1000000);
	assert_int_equal(pair.side[CLIENT].lives, 1);
	assert_int_equal(pair.side[RIG].lives, 1);
}

static void a_lost_welcome_is_harmless(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "a:1");

	write_at(CLIENT, e, 1000);
	settle();
	for (int k = 0; k < 3; k++) {
		wire_cut(w);
		w = wire_dial();
		wire_pull(w, CLIENT);
		wire_deliver(w, RIG);
		assert_true(session_is_live(rig()));
		assert_false(session_is_live(client()));
	}
	wire_cut(w);
	w = wire_up();
	send_at(CLIENT, e, 1000);
	check_got(pair.side[RIG].come[0], 2000);
	assert_int_equal(e->closed, 0);
}

static void hello_numbers_the_carrier_and_lists_the_live_ones(void **state)
{
	struct hello h;
	size_t len;

	(void)state;
	wire_up();
	struct wire *w3 = wire_dial();

	wire_pull(w3, CLIENT);
	const uint8_t *data = buf_peek(&w3->q[RIG], &len);

	assert_true(hello_read(data, len, &h) > 0);
	assert_int_equal(h.carrier, 3);
	assert_int_equal(h.live_count, 2);
	assert_int_equal(h.live[0], 1);
	assert_int_equal(h.live[1], 2);
	assert_int_equal(h.welcomed_by, rig()->p.incarnation);
	assert_int_equal(h.incarnation, 11);
	assert_memory_equal(h.session, session_id(client()), SESSION_ID_LEN);
}

static void a_carrier_that_hello_does_not_list_is_dropped(void **state)
{
	(void)state;
	struct carrier *c = w->c[CLIENT];

	w->c[CLIENT] = NULL; /* only the client knows that it is dead */
	carrier_close(c, pair.now);
	struct wire *w2 = wire_up();

	assert_null(w->c[RIG]);
	assert_int_equal(pair.side[RIG].drop_err, RW_ERR_GONE);
	assert_non_null(w2->c[RIG]);
	assert_int_equal(rig()->carrier_count, 1);
}

/* Several are dialled at once over different paths: the one that comes last is
 * not the only one that counts. */
static void a_carrier_that_awaits_its_welcome_is_kept(void **state)
{
	struct hello h;
	size_t len;

	(void)state;
	wire_cut(w);
	struct wire *a = wire_dial(), *b = wire_dial();

	wire_pull(a, CLIENT);
	wire_pull(b, CLIENT);
	const uint8_t *data = buf_peek(&b->q[RIG], &len);

	assert_true(hello_read(data, len, &h) > 0);
	assert_int_equal(h.live_count, 0);
	assert_int_equal(h.waiting_count, 1);
	assert_int_equal(h.waiting[0], h.carrier - 1);
	wire_greet(a, false);
	wire_pull(a, RIG);
	wire_deliver(a, CLIENT);
	struct seen *e = open_at(CLIENT, "k:1");

	send_at(CLIENT, e, 1000);
	wire_greet(b, false);
	settle();
	assert_non_null(a->c[RIG]);
	assert_non_null(b->c[RIG]);
	wire_cut(b); /* the later one is not wanted */
	send_at(CLIENT, e, 1000);
	check_got(pair.side[RIG].come[0], 2000);
	assert_int_equal(e->closed, 0);
}

/* It overtook this one: an older HELLO knows nothing of it. */
static void a_late_hello_does_not_drop_a_younger_carrier(void **state)
{
	(void)state;
	struct wire *late = wire_dial();

	wire_pull(late, CLIENT);
	struct buf held = late->q[RIG];

	buf_init(&late->q[RIG]);
	struct wire *young = wire_up();

	assert_int_equal(rig()->carrier_count, 2);
	late->q[RIG] = held;
	settle();
	assert_int_equal(rig()->carrier_count, 3);
	assert_non_null(young->c[RIG]);
	assert_non_null(late->c[RIG]);
}

static void carriers_are_limited_at_both_ends(void **state)
{
	(void)state;
	/* And one that may be to take over. */
	for (unsigned k = 1; k < pair.limits.carriers_max + 1; k++)
		assert_non_null(wire_up());
	assert_null(wire_dial());
	client()->p.limits.carriers_max = CARRIERS_MAX;
	struct wire *more = wire_dial();

	assert_non_null(more);
	settle();
	assert_null(more->c[RIG]);
	assert_int_equal(rig()->carrier_count, 5);
}

static void an_unanswered_hello_is_given_up(void **state)
{
	(void)state;
	wire_cut(w);
	struct wire *w2 = wire_dial();

	wire_pull(w2, CLIENT);
	buf_reset(&w2->q[RIG]);
	assert_int_equal(session_tick(client(), pair.now), pair.now + HELLO_US);
	pair.now += HELLO_US - 1;
	tick();
	assert_non_null(w2->c[CLIENT]);
	pair.now += 1;
	tick();
	assert_null(w2->c[CLIENT]);
	assert_int_equal(pair.side[CLIENT].drop_err, RW_ERR_TIMEOUT);
}

static void nothing_but_the_greeting_is_taken_before_it(void **state)
{
	(void)state;
	struct wire *w2 = wire_dial();

	assert_int_equal(inject(w2, CLIENT, raw_u64(FRAME_PING, 0, 1)),
			 RW_ERR_PROTO);
	w2 = wire_dial();
	assert_int_equal(inject(w2, CLIENT, raw_open(2, FLOOR)), RW_ERR_PROTO);
	assert_int_equal(client()->carrier_count, 1);
}

/* --- streams and their carriers --- */

static void the_other_carriers_take_over_when_one_dies(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "b:2");

	settle();
	struct wire *w2 = wire_up();

	write_at(CLIENT, e, 10000);
	wire_pull(w, CLIENT);
	wire_cut(w);
	settle();
	send_at(CLIENT, e, 90000);
	check_got(pair.side[RIG].come[0], 100000);
	assert_ptr_equal(e->st->ride, w2->c[CLIENT]);
	assert_int_equal(pair.side[CLIENT].lives, 2);
}

/* A carrier dies that owed a statement for a stream which rides elsewhere. */
static void what_was_owed_on_a_dead_carrier_is_owed_elsewhere(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "c:3"), *r;

	settle();
	r = pair.side[RIG].come[0];
	struct wire *w2 = wire_up();

	/* The rig is asked on the second and so owes a statement there; its
	 * reset joins that; then the second dies. */
	assert_int_equal(inject(w2, RIG, raw_empty(FRAME_ASK, 1)), 0);
	assert_int_equal(inject(w, RIG, raw_data(1, 0, 1)), 0);
	e->st->sent = e->st->out.end = e->st->out.base = e->st->next = 1;
	reset_at(RIG, r, RW_ERR_IO, "broken");
	wire_cut(w2);
	settle();
	assert_int_equal(e->closed, 1);
	assert_int_equal(e->err, RW_ERR_IO);
}

static void late_frames_of_an_old_carrier_are_harmless(void **state)
{
	struct frame f;
	struct raw old, fin, late;

	(void)state;
	struct seen *e = open_at(CLIENT, "d:4");

	send_at(CLIENT, e, 5000);
	struct wire *w2 = wire_up();

	/* A statement from before all that follows. */
	late = raw_state(1, 100, 50, FLOOR);
	old = raw_data(1, 0, 5000);
	send_at(CLIENT, e, 60000);
	advance(100000);
	uint64_t limit = e->st->peer_limit, base = e->st->out.base;

	assert_int_equal(inject(w2, CLIENT, late), 0);
	assert_int_equal(e->st->peer_limit, limit);
	assert_int_equal(e->st->out.base, base);
	assert_int_equal(inject(w2, RIG, old), 0);
	assert_int_equal(inject(w2, RIG, raw_open(1, 1)), 0);
	assert_int_equal(inject(w2, CLIENT, raw_u64(FRAME_PONG, 0, 99)), 0);
	finish_at(CLIENT, e);
	settle();
	fin = raw_u64(FRAME_FIN, 1, 65000);
	assert_int_equal(inject(w2, RIG, fin), 0);
	check_got(pair.side[RIG].come[0], 65000);
	assert_int_equal(pair.side[RIG].come[0]->eofs, 1);
	/* Of streams that are over, too. */
	finish_at(RIG, pair.side[RIG].come[0]);
	settle();
	assert_int_equal(e->closed, 1);
	assert_int_equal(inject(w2, RIG, old), 0);
	assert_int_equal(inject(w2, RIG, fin), 0);
	assert_int_equal(inject(w2, RIG, raw_empty(FRAME_ASK, 1)), 0);
	assert_int_equal(inject(w2, CLIENT, late), 0);
	assert_int_equal(inject(w2, CLIENT, raw_empty(FRAME_GONE, 1)), 0);
	assert_int_equal(inject(w2, CLIENT, raw_reset(1, 22, "late")), 0);
	wire_pull(w2, RIG);
	assert_false(on_its_way(w2, CLIENT, FRAME_RESET, &f));
	assert_int_equal(pair.side[RIG].come_count, 1);
}

/* The client's statements come on another carrier than its answers went. */
static void a_ride_that_ends_goes_on_where_the_peer_is_asked(void **state)
{
	struct wire *w2;
	struct frame f;

	(void)state;
	struct seen *e = open_at(CLIENT, "d:5");

	send_at(CLIENT, e, 100);
	w2 = wire_up();
	/* Our bytes ride on the second, the peer's come on the first. */
	list_del(&e->st->run);
	e->st->ride = NULL;
	inject(w2, CLIENT, raw_state(1, 100, 100, FLOOR));
	assert_ptr_equal(e->st->ride, w2->c[CLIENT]);
	inject(w, CLIENT, raw_state(1, 100, 100, FLOOR));
	assert_ptr_equal(e->st->heard, w->c[CLIENT]);
	wire_cut(w2);
	tick();
	wire_pull(w, CLIENT);
	assert_true(on_its_way(w, RIG, FRAME_ASK, &f));
	send_at(CLIENT, e, 5000);
	check_got(pair.side[RIG].come[0], 5100);
}

/* Two greetings that list nobody: the rig has answered the younger one, and
 * the client hears only the answer to the older one. */
static void whoever_came_alone_is_told_of_every_stream(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "d:6");

	send_at(CLIENT, e, 100);
	wire_cut(w);
	struct wire *b = wire_dial(), *c = wire_dial();

	wire_pull(b, CLIENT);
	wire_pull(c, CLIENT);
	wire_greet(c, false);
	tick();
	wire_pull(c, RIG);
	buf_reset(&c->q[CLIENT]); /* held up for ever */
	wire_greet(b, false);
	struct carrier *lost = c->c[RIG];

	c->c[RIG] = NULL; /* it stays, and nobody hears it */
	carrier_set_user(lost, NULL);
	send_at(CLIENT, e, 5000);
	check_got(pair.side[RIG].come[0], 5100);
	carrier_close(lost, pair.now);
}

/* HELLO named a carrier that dies, at the client only, before the answer. */
static void who_did_not_come_alone_asks(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "d:7");

	send_at(CLIENT, e, 100);
	struct wire *w2 = wire_dial();

	wire_pull(w2, CLIENT);
	carrier_close(w->c[CLIENT], pair.now);
	w->c[CLIENT] = NULL;
	settle();
	assert_null(w->c[RIG]); /* the rig has heard of it */
	send_at(CLIENT, e, 5000);
	send_at(RIG, pair.side[RIG].come[0], 5000);
	check_got(pair.side[RIG].come[0], 5100);
	check_got(e, 5000);
}

/* A path died that only the client knows of: the rig goes on elsewhere. */
static void the_rig_hears_which_carriers_are_gone(void **state)
{
	struct frame f;

	(void)state;
	struct wire *w2 = wire_up(), *w3;
	struct seen *e = open_at(RIG, "d:8");

	send_at(RIG, e, 1000);
	assert_ptr_equal(e->st->ride, w->c[RIG]);
	w3 = wire_dial(); /* is younger, and on its way */
	wire_pull(w3, CLIENT);
	carrier_close(w->c[CLIENT], pair.now);
	w->c[CLIENT] = NULL;
	tick();
	wire_pull(w2, CLIENT);
	assert_true(on_its_way(w2, RIG, FRAME_LIVE, &f));
	assert_int_equal(f.len, 8);
	assert_int_equal(get_be32(f.payload), 3);
	assert_int_equal(get_be32(f.payload + 4), 3);
	send_at(RIG, e, 5000);
	assert_null(w->c[RIG]);
	assert_int_equal(rig()->carrier_count, 2);
	check_got(pair.side[CLIENT].come[0], 6000);
	/* Said late, it judges no younger one. */
	struct raw r = { .len = frame_put_live(r.b, 1, NULL, 0) };

	assert_int_equal(inject(w2, RIG, r), 0);
	assert_int_equal(rig()->carrier_count, 2);
	r.len = frame_put_live(r.b, 9, NULL, 0);
	assert_int_equal(inject(w2, RIG, r), 0);
	assert_int_equal(rig()->carrier_count, 1);
	assert_non_null(w2->c[RIG]); /* it came on that one */
	/* A client is told nothing of the kind. */
	assert_int_equal(inject(w2, CLIENT, r), RW_ERR_PROTO);
}

static void resuming_is_counted(void **state)
{
	struct session_stats stats;

	(void)state;
	session_stats(client(), &stats);
	assert_int_equal(stats.resumed, 0);
	assert_int_equal(stats.carriers, 1);
	wire_cut(w);
	w = wire_up();
	session_stats(client(), &stats);
	assert_int_equal(stats.resumed, 1);
	session_stats(rig(), &stats);
	assert_int_equal(stats.resumed, 1);
	assert_int_equal(stats.streams, 0);
}

/* --- another incarnation --- */

static void
a_restarted_rig_resets_what_was_sent_and_the_rest_goes_on(void **state)
{
	(void)state;
	struct seen *sent = open_at(CLIENT, "e:5"), *unsent, *rigs;

	write_at(CLIENT, sent, 10);
	rigs = open_at(RIG, "e:6");
	settle();
	wire_cut(w);
	unsent = open_at(CLIENT, "e:7");
	write_at(CLIENT, unsent, 20);
	restart_rig(33);
	w = wire_up();
	assert_int_equal(sent->err, RW_ERR_RESTARTED);
	assert_int_equal(rigs->closed, 1);
	assert_int_equal(pair.side[CLIENT].come[0]->err, RW_ERR_RESTARTED);
	assert_int_equal(unsent->closed, 0);
	assert_int_equal(unsent->connected, 1);
	assert_int_equal(pair.side[RIG].come_count, 1);
	check_got(pair.side[RIG].come[0], 20);
	/* And the rig may open streams again. */
	rigs = open_at(RIG, "e:8");
	settle();
	assert_int_equal(rigs->connected, 1);
}

/* The rig dropped the absent session and made it anew from the same id. */
static void a_rig_that_forgot_the_session_counts_as_restarted(void **state)
{
	(void)state;
	struct seen *e = open_at(CLIENT, "f:6");

	write_at(CLIENT, e, 10);
	settle();
	wire_cut(w);
	pair.now += 1;
	restart_rig(22); /* the same process */
	w = wire_up();
	assert_int_equal(e->err, RW_ERR_RESTARTED);
}

static void the_control_stream_starts_anew_with_the_rig(void **state)
{
	(void)state;
	struct seen *e = seen_new(SIZE_MAX), *e2 = seen_new(SIZE_MAX), *r;

	e->st = session_control(client());
	stream_take(e->st, &pair_stream_ops, e);
	write_at(CLIENT, e, 10);
	settle();
	wire_cut(w);
	restart_rig(33);
	r = seen_new(SIZE_MAX);
	r->st = session_control(rig());
	stream_take(r->st, &pair_stream_ops, r);
	w = wire_up();
	assert_int_equal(e->err, RW_ERR_RESTARTED);
	e2->st = session_control(client());
	assert_non_null(e2->st);
	stream_take(e2->st, &pair_stream_ops, e2);
	write_at(CLIENT, e2, 100);
	settle();
	check_got(r, 100);
}

static void carriers_to_the_old_rig_are_dropped(void **state)
{
	(void)state;
	struct wire *w2 = wire_up();

	restart_rig(33);
	struct wire *w4 = wire_dial(); /* on its way: it may lead to the new */

	wire_pull(w4, CLIENT);
	buf_reset(&w4->q[RIG]);
	struct wire *w3 = wire_up();

	assert_null(w->c[CLIENT]);
	assert_null(w2->c[CLIENT]);
	assert_non_null(w3->c[CLIENT]);
	assert_non_null(w4->c[CLIENT]);
	assert_int_equal(pair.side[CLIENT].drop_err, RW_ERR_RESTARTED);
}

/* Two dials were under way when the session was new: the second is answered
 * first, and the first one's WELCOME says fresh. */
static void a_fresh_answer_that_comes_late_restarts_nothing(void **state)
{
	(void)state;
	pair_done();
	pair_init();
	pair_start();
	struct wire *a = wire_dial(), *b = wire_dial();

	wire_pull(a, CLIENT);
	wire_pull(b, CLIENT);
	wire_greet(a, true);
	wire_pull(a, RIG);
	wire_greet(b, false);
	wire_pull(b, RIG);
	wire_deliver(b, CLIENT);
	struct seen *e = open_at(CLIENT, "g:7");

	wire_pull(b, CLIENT);
	wire_deliver(b, RIG);
	assert_true(wire_deliver(a, CLIENT) > 0);
	settle();
	assert_int_equal(e->closed, 0);
	assert_int_equal(e->connected, 1);
}

/* Two dials, and the rig restarted between their answers: the late one is from
 * a rig that is no more. */
static void an_answer_of_an_older_incarnation_is_not_believed(void **state)
{
	(void)state;
	wire_cut(w);
	struct wire *a = wire_dial(), *b = wire_dial();

	wire_pull(a, CLIENT);
	wire_pull(b, CLIENT);
	wire_greet(a, false);
	wire_pull(a, RIG); /* the old rig's WELCOME, held up */
	restart_rig(33);
	wire_greet(b, true);
	wire_pull(b, RIG);
	wire_deliver(b, CLIENT);
	struct seen *e = open_at(CLIENT, "h:8");

	settle();
	assert_int_equal(e->connected, 1);
	assert_int_equal(client()->peer_incarnation, rig()->p.incarnation);
	assert_null(a->c[CLIENT]); /* closed when its answer came */
	assert_int_equal(e->closed, 0);
	wire_cut(b);
	w = wire_up();
	send_at(CLIENT, e, 1000);
	check_got(pair.side[RIG].come[0], 1000);
}

/* --- the end of a session --- */

static void replaced_ends_the_session(void **state)
{
	(void)state;
	struct wire *w2 = wire_up();

	session_say_end(rig(), RW_ERR_REPLACED, "another process took over");
	wire_pull(w, RIG);
	assert_int_equal(wire_deliver(w, CLIENT), RW_ERR_REPLACED);
	wire_pull(w2, RIG);
	assert_int_equal(wire_deliver(w2, CLIENT), RW_ERR_REPLACED);
	assert_int_equal(pair.side[CLIENT].ends, 2);
	assert_int_equal(pair.side[CLIENT].end_err, RW_ERR_REPLACED);
	assert_string_equal(pair.side[CLIENT].end_text,
			    "another process took over");
	/* Nothing more begins at the side that said it. */
	struct stream *st;

	assert_int_equal(stream_open(rig(),
				     &(struct stream_to){ STREAM_TCP, "i:9" },
				     &pair_stream_ops, NULL, &st),
			 RW_ERR_CLOSING);
}

static void a_refused_hello_ends_the_session_with_the_reason(void **state)
{
	struct refused r = { .code = reason_to_wire(RW_ERR_NOT_ALLOWED),
			     .text = "not on the list" };
	struct raw raw;

	(void)state;
	wire_cut(w);
	w = wire_dial();
	raw.len = refused_write(&r, raw.b);
	assert_int_equal(inject(w, CLIENT, raw), RW_ERR_NOT_ALLOWED);
	assert_int_equal(pair.side[CLIENT].end_err, RW_ERR_NOT_ALLOWED);
	assert_string_equal(pair.side[CLIENT].end_text, "not on the list");
}

static void freeing_a_session_closes_its_streams(void **state)
{
	(void)state;
	struct seen *e[3];

	for (int k = 0; k < 3; k++) {
		e[k] = open_at(CLIENT, "j:10");
		write_at(CLIENT, e[k], 1000);
	}
	settle();
	w->c[CLIENT] = NULL;
	session_free(client());
	pair.side[CLIENT].s = NULL;
	for (int k = 0; k < 3; k++)
		assert_int_equal(e[k]->err, RW_ERR_CANCELLED);
	assert_int_equal(pair.side[CLIENT].budget.kept, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(both_ends_hear_that_a_carrier_is_live),
		T(a_lost_welcome_is_harmless),
		T(hello_numbers_the_carrier_and_lists_the_live_ones),
		T(a_carrier_that_hello_does_not_list_is_dropped),
		T(a_carrier_that_awaits_its_welcome_is_kept),
		T(a_late_hello_does_not_drop_a_younger_carrier),
		T(carriers_are_limited_at_both_ends),
		T(an_unanswered_hello_is_given_up),
		T(nothing_but_the_greeting_is_taken_before_it),
		T(the_other_carriers_take_over_when_one_dies),
		T(what_was_owed_on_a_dead_carrier_is_owed_elsewhere),
		T(late_frames_of_an_old_carrier_are_harmless),
		T(a_ride_that_ends_goes_on_where_the_peer_is_asked),
		T(whoever_came_alone_is_told_of_every_stream),
		T(who_did_not_come_alone_asks),
		T(the_rig_hears_which_carriers_are_gone),
		T(resuming_is_counted),
		T(a_restarted_rig_resets_what_was_sent_and_the_rest_goes_on),
		T(a_rig_that_forgot_the_session_counts_as_restarted),
		T(the_control_stream_starts_anew_with_the_rig),
		T(carriers_to_the_old_rig_are_dropped),
		T(a_fresh_answer_that_comes_late_restarts_nothing),
		T(an_answer_of_an_older_incarnation_is_not_believed),
		T(replaced_ends_the_session),
		T(a_refused_hello_ends_the_session_with_the_reason),
		T(freeing_a_session_closes_its_streams),
	};

	return cmocka_run_group_tests_name("carriers", tests, NULL, NULL);
}

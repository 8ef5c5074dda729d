/* SPDX-License-Identifier: MIT */
/* Streams over several carriers: who rides where, who moves, how many. */
#include "core_ways.h"

static void bulk_spreads_over_carriers(int i)
{
	struct seen *e[3];
	uint64_t bytes = 0;

	up(1);
	open_all(i, e, 3);
	flow(i, e, 3, 2000000);
	assert_int_equal(riders(i, e, 3, w[0]), 3);
	up(4);
	flow(i, e, 3, 3000000);
	for (unsigned k = 0; k < 4; k++)
		assert_true(riders(i, e, 3, w[k]) <= 1);
	/* The oldest keeps the carrier that it knows best. */
	assert_ptr_equal(e[0]->st->ride, w[0]->c[i]);
	check_all(e, pair.side[1 - i].come, 3);
	for (unsigned k = 0; k < 3; k++)
		bytes += e[k]->st->out.end;
	/* And hardly a byte went twice, headers included. */
	assert_true(carried(i) < bytes + bytes / 200 + 65536);
}

static void the_clients_bulk_spreads_over_carriers(void **state)
{
	(void)state;
	bulk_spreads_over_carriers(CLIENT);
}

static void the_rigs_bulk_spreads_over_carriers(void **state)
{
	(void)state;
	bulk_spreads_over_carriers(RIG);
}

static void more_bulk_than_carriers_is_spread_evenly(void **state)
{
	struct seen *e[6];
	unsigned free = 0;

	(void)state;
	up(1);
	open_all(CLIENT, e, 6);
	flow(CLIENT, e, 6, 1000000);
	up(4);
	flow(CLIENT, e, 6, 4000000);
	for (unsigned k = 0; k < 4; k++) {
		unsigned n = riders(CLIENT, e, 6, w[k]);

		assert_true(n == 0 || n == 2);
		free += n == 0;
	}
	assert_int_equal(free, 1); /* for the keystrokes */
	check_all(e, pair.side[RIG].come, 6);
}

/* Whether all caps have the gain that was found. */
static void check_joined(unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		assert_int_equal(w[k]->c[CLIENT]->pace.common,
				 client()->spread.gain);
}

static void carriers_give_way_to_one_queue_together(void **state)
{
	struct seen *e[3];

	(void)state;
	up(1);
	open_all(CLIENT, e, 3);
	up(4);
	flow(CLIENT, e, 3, 3000000);
	/* Each wire is a line of its own, and the one without bulk is free. */
	assert_true(client()->spread.gain >= PACE_GAIN_ONE);
	check_joined(4);
	line = 4;
	flow(CLIENT, e, 3, 3000000);
	assert_true(client()->spread.gain < PACE_GAIN_ONE);
	check_joined(4);
	line = 0;
	flow(CLIENT, e, 3, 5000000);
	assert_true(client()->spread.gain >= PACE_GAIN_ONE);
	check_all(e, pair.side[RIG].come, 3);
	rest(2000000);
	for (unsigned k = 0; k < 4; k++)
		assert_int_equal(w[k]->c[CLIENT]->pace.common, 0);
}

/* The least of each would be a queue where there are many. */
static void many_carriers_share_the_least(void **state)
{
	struct seen *e[7];
	uint32_t least;

	(void)state;
	up(1);
	open_all(CLIENT, e, 7);
	up(8);
	least = client()->p.limits.in_flight_min;
	flow(CLIENT, e, 7, 3000000);
	for (unsigned k = 0; k < 8; k++)
		assert_int_equal(w[k]->c[CLIENT]->pace.cap_min, least / 7 * 4);
	check_all(e, pair.side[RIG].come, 7);
	rest(2000000);
	for (unsigned k = 0; k < 8; k++)
		assert_int_equal(w[k]->c[CLIENT]->pace.cap_min, least);
}

static void keystrokes_leave_a_carrier_with_bulk(void **state)
{
	struct seen *keys, *bulk;

	(void)state;
	up(2);
	open_all(CLIENT, &keys, 1);
	open_all(CLIENT, &bulk, 1);
	write_at(CLIENT, keys, 10);
	flow(CLIENT, &bulk, 1, 2000000);
	struct carrier *full = bulk->st->ride;

	assert_ptr_equal(full, w[0]->c[CLIENT]);
	/* An idle stream costs nothing: it goes when it has something to
	 * say, and says the first of it at once. */
	assert_ptr_equal(keys->st->ride, full);
	write_at(CLIENT, keys, 10);
	flow(CLIENT, &bulk, 1, 8 * WAY_US);
	check_got(pair.side[RIG].come[0], 20);
	assert_ptr_equal(keys->st->ride, w[1]->c[CLIENT]);
	assert_ptr_equal(bulk->st->ride, full);
	for (int k = 0; k < 50; k++) {
		write_at(CLIENT, keys, 10);
		flow(CLIENT, &bulk, 1, 2 * WAY_US);
	}
	assert_ptr_equal(keys->st->ride, w[1]->c[CLIENT]);
	check_all(&keys, &pair.side[RIG].come[0], 1);
	check_all(&bulk, &pair.side[RIG].come[1], 1);
}

static void new_streams_open_where_there_is_no_bulk(void **state)
{
	struct seen *bulk, *e[20];

	(void)state;
	up(1);
	open_all(CLIENT, &bulk, 1);
	flow(CLIENT, &bulk, 1, 3000000);
	up(2);
	/* Some are on their way when the place changes. */
	for (unsigned k = 0; k < 20; k++) {
		e[k] = open_at(CLIENT, "new:1");
		write_at(CLIENT, e[k], 100);
		if (k == 3)
			reset_at(CLIENT, e[k], RW_ERR_CANCELLED, NULL);
		flow(CLIENT, &bulk, 1, WAY_US);
	}
	assert_ptr_equal(client()->primary, w[1]->c[CLIENT]);
	assert_ptr_equal(e[19]->st->ride, w[1]->c[CLIENT]);
	flow(CLIENT, &bulk, 1, 10 * WAY_US);
	assert_int_equal(pair.side[RIG].come_count, 20);
	for (unsigned k = 0; k < 20; k++) {
		assert_int_equal(e[k]->closed, k == 3);
		if (k > 0) /* the fourth never left */
			check_got(pair.side[RIG].come[k], 100);
	}
}

/* Bulk that began where the light streams are: the one stays, the others go
 * elsewhere, or, if there is no elsewhere, it moves to its like. */
static void there_is_always_a_carrier_without_bulk(void **state)
{
	struct seen *e[2];

	(void)state;
	up(2);
	open_all(CLIENT, &e[0], 1);
	flow(CLIENT, e, 1, 3000000);
	open_all(CLIENT, &e[1], 1);
	assert_ptr_equal(e[1]->st->ride, w[1]->c[CLIENT]);
	flow(CLIENT, e, 2, 1000000);
	assert_ptr_equal(e[1]->st->ride, w[1]->c[CLIENT]);
	flow(CLIENT, e, 2, 4000000);
	assert_ptr_equal(e[1]->st->ride, e[0]->st->ride);
	up(3);
	flow(CLIENT, e, 2, 3000000);
	assert_ptr_not_equal(e[1]->st->ride, e[0]->st->ride);
	assert_non_null(client()->spread.light);
	assert_int_equal(client()->spread.light->bulks, 0);
	check_all(e, pair.side[RIG].come, 2);
}

/* --- moving --- */

static void move_both(struct seen **e, unsigned n, struct wire *to)
{
	for (unsigned k = 0; k < n; k++) {
		stream_move(e[k]->st, to->c[CLIENT]);
		stream_move(pair.side[RIG].come[k]->st, to->c[RIG]);
	}
}

/* Cuts wire number dies after so many steps of a move of busy streams. */
static void move_with_a_cut(unsigned after, unsigned dies)
{
	struct seen *e[STREAMS], **r = pair.side[RIG].come;

	up(3);
	open_all(CLIENT, e, STREAMS);
	for (unsigned k = 0; k < 5; k++) {
		flow(CLIENT, e, STREAMS, WAY_US);
		flow(RIG, r, STREAMS / 2, WAY_US);
	}
	move_both(e, STREAMS, w[1]);
	for (unsigned k = 0; k < 12; k++) {
		if (k == after)
			wire_cut(w[dies]);
		if (k % 3 == 0)
			flow(CLIENT, e, STREAMS, WAY_US);
		else
			step();
	}
	check_all(e, r, STREAMS);
	check_all(r, e, STREAMS);
	for (unsigned k = 0; k < STREAMS; k++) {
		finish_at(CLIENT, e[k]);
		finish_at(RIG, r[k]);
	}
	for (int k = 0; k < 20; k++)
		step();
	for (unsigned k = 0; k < STREAMS; k++) {
		assert_int_equal(e[k]->closed + r[k]->closed, 2);
		assert_int_equal(e[k]->err + r[k]->err, 0);
	}
}

static void a_move_survives_the_death_of_either_carrier(void **state)
{
	for (unsigned after = 0; after < 12; after++)
		for (unsigned dies = 0; dies < 3; dies++) {
			move_with_a_cut(after, dies);
			teardown(state);
			setup(state);
		}
}

static void a_stream_moves_when_all_that_left_has_arrived(void **state)
{
	struct seen *e;

	(void)state;
	up(2);
	open_all(CLIENT, &e, 1);
	flow(CLIENT, &e, 1, 10 * WAY_US);
	stream_move(e->st, w[1]->c[CLIENT]);
	while (!e->st->stopped)
		flow(CLIENT, &e, 1, WAY_US);
	uint64_t before = e->st->next;

	while (e->st->ride == w[0]->c[CLIENT]) {
		assert_int_equal(e->st->next, before);
		step();
	}
	assert_ptr_equal(e->st->ride, w[1]->c[CLIENT]);
	assert_true(e->st->next >= before);
	check_all(&e, pair.side[RIG].come, 1);
	assert_true(carried(CLIENT) < e->st->out.end * 101 / 100);
}

/* It goes on until the new carrier answers. The answer behind the last byte is
 * enough then: it stands still for one round trip and not for two. */
static void a_busy_stream_that_moves_stops_for_one_round_trip(void **state)
{
	struct seen *e;
	unsigned steps = 0;

	(void)state;
	up(2);
	open_all(CLIENT, &e, 1);
	flow(CLIENT, &e, 1, 10 * WAY_US);
	uint64_t before = e->st->next;

	stream_move(e->st, w[1]->c[CLIENT]);
	while (!e->st->stopped)
		flow(CLIENT, &e, 1, WAY_US);
	assert_true(e->st->next > before);
	while (e->st->peer_received < e->st->next) {
		assert_ptr_equal(e->st->ride, w[0]->c[CLIENT]);
		step();
		assert_true(++steps < 10);
	}
	assert_ptr_equal(e->st->ride, w[1]->c[CLIENT]);
	assert_false(e->st->stopped);
	check_all(&e, pair.side[RIG].come, 1);
}

/* As after a cut: nobody stands still for each of them. */
static void carriers_that_come_one_by_one_move_a_stream_once(void **state)
{
	struct seen *e[STREAMS];
	struct carrier *ride[STREAMS];
	unsigned moves[STREAMS] = { 0 };

	(void)state;
	up(1);
	open_all(CLIENT, e, STREAMS);
	flow(CLIENT, e, STREAMS, 3000000);
	assert_int_equal(session_wants_carriers(client()), STREAMS + 1);
	for (unsigned i = 0; i < STREAMS; i++)
		ride[i] = e[i]->st->ride;
	for (unsigned k = 0; k < 200; k++) {
		if (k % 10 == 0)
			up(MIN(2 + k / 10, STREAMS + 1));
		flow(CLIENT, e, STREAMS, WAY_US);
		for (unsigned i = 0; i < STREAMS; i++) {
			moves[i] += ride[i] != e[i]->st->ride;
			ride[i] = e[i]->st->ride;
		}
	}
	for (unsigned i = 0; i < STREAMS; i++)
		assert_true(moves[i] <= 1);
	for (unsigned k = 0; k < wires; k++)
		assert_true(riders(CLIENT, e, STREAMS, w[k]) <= 1);
	check_all(e, pair.side[RIG].come, STREAMS);
}

static void a_light_stream_goes_on_while_it_moves(void **state)
{
	struct seen *e;

	(void)state;
	up(2);
	open_all(CLIENT, &e, 1);
	write_at(CLIENT, e, 1);
	step();
	stream_move(e->st, w[1]->c[CLIENT]);
	for (size_t k = 1; k < 20; k++) {
		write_at(CLIENT, e, 1);
		step();
		check_got(pair.side[RIG].come[0], k);
	}
	assert_ptr_equal(e->st->ride, w[1]->c[CLIENT]);
}

static void a_stream_does_not_move_to_a_dead_carrier(void **state)
{
	struct seen *e;

	(void)state;
	up(2);
	open_all(CLIENT, &e, 1);
	dead = 1u << 1;
	flow(CLIENT, &e, 1, 10 * WAY_US);
	stream_move(e->st, w[1]->c[CLIENT]);
	for (unsigned k = 0; k < 10; k++) {
		uint64_t before = e->st->peer_received;

		flow(CLIENT, &e, 1, 8 * WAY_US);
		assert_ptr_equal(e->st->ride, w[0]->c[CLIENT]);
		assert_true(e->st->peer_received > before);
	}
	check_all(&e, pair.side[RIG].come, 1);
}

/* After an outage: the old connections may stay silent until TCP sends again,
 * seconds later. Whatever was on them goes on on the first new one, at once. */
static void what_stood_still_goes_on_where_something_is_heard(int i)
{
	struct seen *e[3];
	size_t had[3];

	up(4);
	open_all(i, e, 3);
	flow(i, e, 3, 3000000);
	dead = 0xf;
	flow(i, e, 3, 4000000);
	assert_int_equal(wires, 4);
	up(5);
	for (unsigned k = 0; k < 3; k++)
		had[k] = pair.side[1 - i].come[k]->bytes.len;
	flow(i, e, 3, 6 * WAY_US);
	for (unsigned k = 0; k < 3; k++)
		assert_true(pair.side[1 - i].come[k]->bytes.len > had[k]);
	check_all(e, pair.side[1 - i].come, 3);
}

static void after_an_outage_the_client_goes_on_at_once(void **state)
{
	(void)state;
	what_stood_still_goes_on_where_something_is_heard(CLIENT);
}

static void after_an_outage_the_rig_goes_on_at_once(void **state)
{
	(void)state;
	what_stood_still_goes_on_where_something_is_heard(RIG);
}

static void a_stream_that_ends_while_it_moves_ends(void **state)
{
	struct seen *e[3], **r = pair.side[RIG].come;

	(void)state;
	up(2);
	open_all(CLIENT, e, 3);
	flow(CLIENT, e, 3, 5 * WAY_US);
	move_both(e, 3, w[1]);
	finish_at(CLIENT, e[0]);
	reset_at(CLIENT, e[1], RW_ERR_CANCELLED, NULL);
	reset_at(RIG, r[2], RW_ERR_IO, "broken");
	for (int k = 0; k < 20; k++)
		step();
	assert_int_equal(r[0]->eofs, 1);
	finish_at(RIG, r[0]);
	for (int k = 0; k < 20; k++)
		step();
	for (unsigned k = 0; k < 3; k++)
		assert_int_equal(e[k]->closed + r[k]->closed, 2);
	assert_int_equal(e[0]->err, 0);
	assert_int_equal(e[2]->err, RW_ERR_IO);
	assert_int_equal(w[0]->c[CLIENT]->riders, 1); /* control */
	assert_int_equal(w[1]->c[CLIENT]->riders, 0);
}

/* --- how many --- */

static void carriers_are_wanted_for_bulk_in(int i)
{
	struct seen *e[3];

	up(1);
	open_all(i, e, 3);
	assert_int_equal(session_wants_carriers(client()), 1);
	flow(i, e, 1, 700000); /* a short burst opens none */
	assert_int_equal(session_wants_carriers(client()), 1);
	rest(3000000);
	assert_int_equal(session_wants_carriers(client()), 1);
	flow(i, e, 1, 3000000);
	assert_int_equal(session_wants_carriers(client()), 2);
	assert_int_equal(pair.side[CLIENT].wants, 1); /* it was told */
	flow(i, e, 3, 3000000);
	assert_int_equal(session_wants_carriers(client()), 4);
	/* Less of it: not at once. */
	rest(20000000);
	assert_int_equal(session_wants_carriers(client()), 4);
	rest(20000000);
	assert_int_equal(session_wants_carriers(client()), 1);
	assert_int_equal(pair.side[CLIENT].wants, 3);
	/* And then nothing is looked at any more. */
	assert_int_equal(client()->spread.at, 0);
	assert_int_equal(rig()->spread.at, 0);
}

static void carriers_are_wanted_for_the_clients_bulk(void **state)
{
	(void)state;
	carriers_are_wanted_for_bulk_in(CLIENT);
}

static void carriers_are_wanted_for_the_rigs_bulk(void **state)
{
	(void)state;
	carriers_are_wanted_for_bulk_in(RIG);
}

static void no_more_are_wanted_than_allowed(void **state)
{
	struct seen *e[STREAMS];

	(void)state;
	client()->p.limits.carriers_max = 3;
	up(1);
	open_all(RIG, e, STREAMS);
	flow(RIG, e, STREAMS, 3000000);
	assert_int_equal(rig()->spread.wants, 7);
	assert_int_equal(session_wants_carriers(client()), 3);
}

/* As where packets are lost: some answers come much later than others. */
static void flow_lossy(struct seen **e, unsigned n, uint64_t us)
{
	for (uint64_t done = 0; done < us; done += 100000) {
		w[0]->c[CLIENT]->pace.jumps = UINT8_MAX;
		flow(CLIENT, e, n, 100000);
	}
}

/* One carrier each, as plain connections would have, and one beside them. */
static void
where_packets_are_lost_eight_have_a_carrier_each_and_one_is_free(void **state)
{
	struct seen *e[CARRIERS_MAX - 1];
	const unsigned bulks = ARRAY_LEN(e);

	(void)state;
	up(1);
	open_all(CLIENT, e, bulks);
	flow(CLIENT, e, bulks, 3000000);
	assert_int_equal(session_wants_carriers(client()), bulks);
	flow_lossy(e, bulks, 3000000);
	assert_int_equal(session_wants_carriers(client()), CARRIERS_MAX);
	up(CARRIERS_MAX);
	flow_lossy(e, bulks, 3000000);
	for (unsigned k = 0; k < wires; k++)
		assert_int_equal(riders(CLIENT, e, bulks, w[k]),
				 w[k]->c[CLIENT] != client()->spread.light);
	/* What one without bulk saw is no reason to keep the ninth. */
	w[0]->c[CLIENT]->pace.jumps = 0;
	client()->spread.light->pace.jumps = UINT8_MAX;
	flow(CLIENT, e, bulks, 32000000);
	assert_int_equal(session_wants_carriers(client()), CARRIERS_MAX - 1);
	check_all(e, pair.side[RIG].come, bulks);
}

/* settle() takes no time at all. */
static void a_short_way_wants_one(void **state)
{
	(void)state;
	w[0] = wire_up();
	struct seen *e = open_at(CLIENT, "bulk:1");

	for (int k = 0; k < 3000; k++) {
		write_at(CLIENT, e, 200000);
		advance(1000);
	}
	assert_false(list_is_empty(&client()->spread.bulks));
	assert_int_equal(session_wants_carriers(client()), 1);
}

/* ... but for who would wait behind bulk: then one more, at once. */
static void a_short_way_wants_one_more_for_keystrokes_in(int i)
{
	struct seen *e[2];

	way_us = 1000;
	up(1);
	open_all(i, e, 2);
	flow(i, e, 1, 3000000);
	assert_int_equal(session_wants_carriers(client()), 1);
	write_at(i, e[1], 10);
	flow(i, e, 1, 20 * way_us); /* it stands behind bulk */
	assert_int_equal(session_wants_carriers(client()), 2);
	up(2);
	for (int k = 0; k < 300; k++) {
		write_at(i, e[1], 10);
		flow(i, e, 1, 10 * way_us);
	}
	assert_ptr_equal(e[0]->st->ride, w[0]->c[i]);
	assert_ptr_equal(e[1]->st->ride, w[1]->c[i]);
	assert_int_equal(session_wants_carriers(client()), 2);
	check_all(e, pair.side[1 - i].come, 2);
	/* Without bulk it is not missed. */
	rest(20000000);
	assert_int_equal(session_wants_carriers(client()), 2);
	rest(20000000);
	assert_int_equal(session_wants_carriers(client()), 1);
}

static void a_short_way_wants_one_more_for_the_clients_keystrokes(void **state)
{
	(void)state;
	a_short_way_wants_one_more_for_keystrokes_in(CLIENT);
}

static void a_short_way_wants_one_more_for_the_rigs_keystrokes(void **state)
{
	(void)state;
	a_short_way_wants_one_more_for_keystrokes_in(RIG);
}

static void a_stream_that_is_held_up_by_its_reader_is_no_bulk(void **state)
{
	struct seen *e;

	(void)state;
	pair.side[RIG].take = 0;
	up(1);
	open_all(CLIENT, &e, 1);
	for (int k = 0; k < 200; k++) {
		flow(CLIENT, &e, 1, WAY_US);
		consume_at(RIG, pair.side[RIG].come[0], 1000);
	}
	assert_int_equal(session_wants_carriers(client()), 1);
}

static void the_rigs_wish_is_known_after_a_cut(void **state)
{
	struct seen *e[3];

	(void)state;
	up(1);
	open_all(RIG, e, 3);
	flow(RIG, e, 3, 900000);
	pair.wires[0]->c[CLIENT]->s->spread.peers = 0;
	flow(RIG, e, 3, 1000000);
	client()->spread.peers = 0; /* it was lost with the carrier */
	wire_cut(w[0]);
	wires = 0;
	up(1);
	assert_int_equal(session_wants_carriers(client()), 4);
	/* What comes late changes nothing. */
	assert_int_equal(inject(w[0], CLIENT,
				raw_u64(FRAME_WANTS, 0, UINT64_C(0) << 32 | 8)),
			 0);
	assert_int_equal(session_wants_carriers(client()), 4);
	assert_int_equal(inject(w[0], RIG, raw_u64(FRAME_WANTS, 0, 1)),
			 RW_ERR_PROTO);
}

/* --- letting go of one --- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_clients_bulk_spreads_over_carriers),
		T(the_rigs_bulk_spreads_over_carriers),
		T(more_bulk_than_carriers_is_spread_evenly),
		T(carriers_give_way_to_one_queue_together),
		T(many_carriers_share_the_least),
		T(keystrokes_leave_a_carrier_with_bulk),
		T(new_streams_open_where_there_is_no_bulk),
		T(there_is_always_a_carrier_without_bulk),
		T(a_move_survives_the_death_of_either_carrier),
		T(a_stream_moves_when_all_that_left_has_arrived),
		T(a_busy_stream_that_moves_stops_for_one_round_trip),
		T(carriers_that_come_one_by_one_move_a_stream_once),
		T(a_light_stream_goes_on_while_it_moves),
		T(a_stream_does_not_move_to_a_dead_carrier),
		T(after_an_outage_the_client_goes_on_at_once),
		T(after_an_outage_the_rig_goes_on_at_once),
		T(a_stream_that_ends_while_it_moves_ends),
		T(carriers_are_wanted_for_the_clients_bulk),
		T(carriers_are_wanted_for_the_rigs_bulk),
		T(no_more_are_wanted_than_allowed),
		T(where_packets_are_lost_eight_have_a_carrier_each_and_one_is_free),
		T(a_short_way_wants_one),
		T(a_short_way_wants_one_more_for_the_clients_keystrokes),
		T(a_short_way_wants_one_more_for_the_rigs_keystrokes),
		T(a_stream_that_is_held_up_by_its_reader_is_no_bulk),
		T(the_rigs_wish_is_known_after_a_cut),
	};

	return cmocka_run_group_tests_name("spread", tests, NULL, NULL);
}

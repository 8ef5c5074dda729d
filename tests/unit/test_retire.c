/* SPDX-License-Identifier: MIT */
/* A carrier that is let go of: when, and what rides on it. */
#include "core_ways.h"

static void a_retired_carrier_goes_when_nothing_rides_on_it(void **state)
{
	struct seen *e[2], *idle[40], **r = pair.side[RIG].come;
	uint64_t bytes = 0;

	(void)state;
	up(1);
	open_all(CLIENT, idle, 40);
	open_all(CLIENT, e, 2);
	up(2);
	for (unsigned k = 0; k < 20; k++) {
		flow(CLIENT, e, 2, WAY_US);
		flow(RIG, r + 40, 2, WAY_US);
	}
	assert_non_null(session_surplus(client()));
	carrier_retire(w[0]->c[CLIENT], pair.now);
	struct seen *late = open_at(CLIENT, "late:1");

	for (unsigned k = 0; w[0]->c[CLIENT] != NULL; k++) {
		assert_true(k < 60);
		flow(CLIENT, e, 2, WAY_US);
		bytes = w[0]->c[CLIENT] != NULL
				? w[0]->c[CLIENT]->pace.sent +
					  w[0]->c[RIG]->pace.sent
				: bytes;
	}
	assert_int_equal(pair.side[CLIENT].drop_err, RW_ERR_CLOSING);
	carrier_close(w[0]->c[RIG], pair.now);
	w[0]->c[RIG] = NULL;
	assert_ptr_equal(e[0]->st->ride, w[1]->c[CLIENT]);
	assert_ptr_equal(r[41]->st->ride, w[1]->c[RIG]);
	assert_ptr_equal(late->st->ride, w[1]->c[CLIENT]);
	assert_int_equal(w[1]->c[CLIENT]->riders, 44);
	check_all(e, r + 40, 2);
	check_all(r + 40, e, 2);
	/* Hardly anything went twice, though bytes were in flight. */
	bytes += carried(CLIENT) + carried(RIG);
	for (unsigned k = 0; k < 2; k++)
		bytes -= e[k]->st->out.end + r[40 + k]->st->out.end;
	assert_true(bytes < 150000);
	assert_null(session_surplus(client()));
}

static void a_retired_carrier_stays_until_there_is_another(void **state)
{
	struct seen *e;

	(void)state;
	up(1);
	open_all(CLIENT, &e, 1);
	carrier_retire(w[0]->c[CLIENT], pair.now);
	for (int k = 0; k < 20; k++)
		flow(CLIENT, &e, 1, 1000000);
	assert_non_null(w[0]->c[CLIENT]);
	up(2);
	for (int k = 0; k < 40; k++)
		flow(CLIENT, &e, 1, WAY_US);
	assert_null(w[0]->c[CLIENT]);
	assert_ptr_equal(client()->primary, w[1]->c[CLIENT]);
	check_all(&e, pair.side[RIG].come, 1);
}

static void a_retired_carrier_goes_in_the_end(void **state)
{
	struct seen *e;

	(void)state;
	up(2);
	open_all(RIG, &e, 1);
	flow(RIG, &e, 1, 5 * WAY_US);
	carrier_retire(w[0]->c[CLIENT], pair.now);
	step();
	/* The rig never answers there. */
	carrier_close(w[0]->c[RIG], pair.now);
	w[0]->c[RIG] = NULL;
	pair.now += 10000000;
	carrier_input(w[0]->c[CLIENT], (const uint8_t *)"", 0, pair.now);
	for (int k = 0; k < 3; k++)
		step();
	assert_null(w[0]->c[CLIENT]);
	assert_int_equal(pair.side[CLIENT].drop_err, RW_ERR_CLOSING);
	check_all(&e, pair.side[CLIENT].come, 1);
	/* Only the client lets go of carriers. */
	assert_int_equal(inject(w[1], CLIENT, raw_empty(FRAME_LEAVE, 0)),
			 RW_ERR_PROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_retired_carrier_goes_when_nothing_rides_on_it),
		T(a_retired_carrier_stays_until_there_is_another),
		T(a_retired_carrier_goes_in_the_end),
	};

	return cmocka_run_group_tests_name("retire", tests, NULL, NULL);
}

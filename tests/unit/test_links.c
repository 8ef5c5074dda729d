/* SPDX-License-Identifier: MIT */
/* The states of a link, and of a way: every event in every state. */
#include "client/links.h"
#include "client/way_phase.h"
#include "unit.h"

static enum link_state after(enum link_state at, enum link_event ev)
{
	struct link l = { .state = at };

	link_step(&l, ev);
	return l.state;
}

/* One row a state; a column an event, in their enums' order. */
static void a_link_goes_where_its_table_says(void **state)
{
	enum { G = LINK_GREETING, U, L, O, V, D, C };
	static const int to[LINK_STATES][LINK_EVENTS] = {
		/* welcome, use, replace, doubt, leave, stay, close */
		[LINK_GREETING] = { L, G, U, D, G, G, C },
		[LINK_UNWANTED] = { O, U, U, D, U, U, C },
		[LINK_LIVE] = { L, L, O, D, L, L, C },
		[LINK_OLD] = { O, L, O, D, V, O, C },
		[LINK_LEAVING] = { V, L, V, D, V, O, C },
		[LINK_DOUBTED] = { D, D, D, D, D, D, C },
		[LINK_CLOSING] = { C, C, C, C, C, C, C },
	};

	(void)state;
	for (enum link_state at = LINK_GREETING; at < LINK_STATES; at++)
		for (enum link_event ev = 0; ev < LINK_EVENTS; ev++)
			assert_int_equal(after(at, ev), to[at][ev]);
}

static void a_way_goes_where_its_table_says(void **state)
{
	enum { O = PHASE_OPEN, N, C, G, E };
	static const int to[PHASES][WAY_EVENTS] = {
		/* renew, renewed, over, refused, gone, revive */
		[PHASE_OPEN] = { N, O, C, G, O, O },
		[PHASE_RENEWING] = { N, O, C, G, N, N },
		[PHASE_CLOSING] = { C, C, C, G, O, C },
		[PHASE_ENDING] = { G, G, G, G, E, C },
		[PHASE_ENDED] = { E, E, E, G, E, O },
	};

	(void)state;
	for (enum way_phase at = PHASE_OPEN; at < PHASES; at++)
		for (enum way_event ev = 0; ev < WAY_EVENTS; ev++)
			assert_int_equal(way_phase_next(at, ev), to[at][ev]);
}

/* Whatever else happens to one that may be dead. */
static void what_is_doubted_is_never_used_again(void **state)
{
	(void)state;
	for (enum link_event ev = 0; ev < LINK_EVENTS; ev++)
		assert_int_not_equal(after(LINK_DOUBTED, ev), LINK_LIVE);
}

static void what_was_refused_opens_only_when_revived(void **state)
{
	(void)state;
	for (enum way_event ev = 0; ev < WAY_EVENTS; ev++)
		if (ev != WAY_EV_REVIVE)
			assert_int_not_equal(way_phase_next(PHASE_ENDED, ev),
					     PHASE_OPEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_goes_where_its_table_says),
		cmocka_unit_test(a_way_goes_where_its_table_says),
		cmocka_unit_test(what_is_doubted_is_never_used_again),
		cmocka_unit_test(what_was_refused_opens_only_when_revived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

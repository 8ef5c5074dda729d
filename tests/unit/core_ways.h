/* SPDX-License-Identifier: MIT */
/*
 * A pair of sessions and up to CARRIERS_MAX carriers between them, that all go
 * a way of some length: for the tests of what rides where.
 */
#pragma once
#include "core_pair.h"

#define WAY_US	   20000  /* from one end to the other */
#define STEP_BYTES 100000 /* that a wire delivers meanwhile */
#define STREAMS	   6

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct wire *w[CARRIERS_MAX];
static unsigned wires;
static uint64_t way_us; /* WAY_US where a test says nothing else */
static unsigned dead;	/* bit k: what w[k] carries is lost */
static unsigned line;	/* all stand still for so many steps of each five */

static int setup(void **state)
{
	(void)state;
	wires = dead = line = 0;
	way_us = WAY_US;
	pair_init();
	pair.limits.carriers_max = CARRIERS_MAX;
	pair_start();
	return 0;
}

/* At most so many bytes of what came before arrive at side i. */
static inline void arrive(struct wire *x, int i, size_t len)
{
	const uint8_t *data;
	size_t all;
	ssize_t n;

	if (!x->greeted || x->c[i] == NULL) {
		wire_deliver(x, i);
		return;
	}
	data = buf_peek(&x->q[i], &all);
	if (len == 0)
		return;
	n = carrier_input(x->c[i], data, MIN(len, STEP_BYTES), pair.now);
	assert_true(n >= 0);
	buf_drain(&x->q[i], (size_t)n);
}

/* Both ends run, and what they said before has travelled. */
static inline void step(void)
{
	size_t len[ARRAY_LEN(pair.wires)][2];

	for (size_t k = 0; k < pair.wire_count; k++)
		for (int i = 0; i < 2; i++)
			buf_peek(&pair.wires[k]->q[i], &len[k][i]);
	side_run(CLIENT);
	side_run(RIG);
	for (size_t k = 0; k < pair.wire_count; k++)
		for (int i = 0; i < 2; i++)
			wire_pull(pair.wires[k], i);
	pair.now += way_us;
	if (pair.now / WAY_US % 5 < line)
		return;
	for (size_t k = 0; k < pair.wire_count; k++)
		for (int i = 0; i < 2; i++) {
			if ((dead >> k & 1) != 0)
				buf_reset(&pair.wires[k]->q[i]);
			else
				arrive(pair.wires[k], i, len[k][i]);
		}
}

static inline void up(unsigned n)
{
	while (wires < n) {
		w[wires++] = wire_dial();
		for (int k = 0; k < 4; k++)
			step();
	}
}

/* Each of the streams at side i always has more to send than may go. */
static inline void flow(int i, struct seen **e, unsigned n, uint64_t us)
{
	for (uint64_t until = pair.now + us; pair.now < until;) {
		for (unsigned k = 0; k < n; k++)
			write_at(i, e[k], 200000);
		step();
	}
}

static inline void rest(uint64_t us)
{
	flow(CLIENT, NULL, 0, us);
}

static inline void open_all(int i, struct seen **e, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		e[k] = open_at(i, "bulk:1");
	for (int k = 0; k < 4; k++)
		step();
}

/* All that was written has arrived, in order, once. */
static inline void check_all(struct seen **from, struct seen **to, unsigned n)
{
	for (int k = 0; k < 200; k++)
		step();
	for (unsigned k = 0; k < n; k++)
		check_got(to[k], from[k]->st->out.end);
}

static inline uint64_t carried(int i)
{
	uint64_t n = 0;

	for (size_t k = 0; k < pair.wire_count; k++)
		if (pair.wires[k]->c[i] != NULL)
			n += pair.wires[k]->c[i]->pace.sent;
	return n;
}

static inline unsigned riders(int i, struct seen **e, unsigned n,
			      struct wire *on)
{
	unsigned found = 0;

	for (unsigned k = 0; k < n; k++)
		found += e[k]->st->ride == on->c[i];
	return found;
}

/* SPDX-License-Identifier: MIT */
/*
 * Two sessions under a seeded network: carriers that cut anywhere, deliver in
 * any pieces, stand still, exist twice, and are noticed dead at different times
 * by either end; streams that move between them; windows down to one byte;
 * clocks that jump; and rigs that restart. Every byte of every stream is
 * compared. An end is run only when it woke or its time has come. The last seed
 * printed is the one that failed; RIGWAY_SIM_SEED=N runs it again.
 * RIGWAY_SIM_CUTS=N sets how many cuts, RIGWAY_SIM_FIRST=N the first seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "core/parts.h"
#include "core/session.h"

#define LINKS	  24
#define STREAMS	  4096
#define STUCK	  300000 /* steps without a byte */
#define SHORT_MAX 150	 /* bytes of a stream when there are very many */
#define MANY	  1500

/* --- randomness --- */

static uint64_t rng;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ (x >> 33);
}

static uint64_t any(uint64_t below)
{
	rng += 0x9e3779b97f4a7c15ULL;
	return mix(rng) % below;
}

/* --- the two ends --- */

/* One end of one stream: what it writes and what it must read is a function of
 * its number, so that nothing has to be remembered. */
struct flow {
	struct stream *st;
	uint32_t number;
	bool opener, open, closed, sent_fin, got_eof, resets;
	uint64_t wrote, read, to_write, to_read;
	int err;
};

struct end {
	struct session *s;
	struct budget budget;
	bool is_client;
	bool woken;
	bool runs;    /* it was ticked: its output is pulled */
	bool is_full; /* not all of it went: a connection has room later */
	uint64_t next_tick;
	struct flow flows[STREAMS];
	bool ended;
};

struct link {
	bool used;
	struct carrier *c[2]; /* 0 client, 1 rig */
	bool hello_read;
	struct buf q[2]; /* bytes on their way to end i */
	bool dead;	 /* the network lost it; either end may not know */
	uint64_t still;	 /* nothing arrives until then */
};

static struct end ends[2];
static struct link links[LINKS];
static uint64_t now_us;
static uint32_t opened;
static uint32_t floor_bytes, window_bytes;
static uint64_t budget_bytes;
static uint32_t at_once, most_alive; /* streams */
static struct session_limits limits;
static unsigned cuts;
static uint64_t moved; /* bytes read so far, by anybody */
static bool may_reset, may_restart;
static unsigned restarts;

static uint8_t byte_at(uint32_t number, bool from_opener, uint64_t off)
{
	return (uint8_t)mix(number * 7919u + (from_opener ? 1u : 0u) +
			    (off >> 3) * 104729u) +
	       (uint8_t)off;
}

static uint64_t length_of(uint32_t number, bool from_opener)
{
	uint64_t r = mix(number * 31u + from_opener + 5);

	if (at_once == MANY)
		return r / 4 % SHORT_MAX;

	switch (r % 4) {
	case 0: return 0;
	case 1: return r / 4 % 100;
	case 2: return r / 4 % 20000;
	/* Byte by byte, long streams would only take long. */
	default: return r / 4 % (floor_bytes < 64 ? 3000 : 150000);
	}
}

static void check_bytes(struct flow *f, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] != byte_at(f->number, !f->opener, f->read + i))
			fail_msg("stream %u: wrong byte at %llu", f->number,
				 (unsigned long long)(f->read + i));
	f->read += len;
	moved += len;
	assert_true(f->read <= f->to_read);
}

static size_t on_data(struct stream *st, const uint8_t *data, size_t len)
{
	struct flow *f = stream_user(st);

	if (data == NULL)
		return 0;
	size_t n = (size_t)any(3) == 0 ? 0 : (size_t)any(len + 1);

	check_bytes(f, data, n);
	return n;
}

static void on_eof(struct stream *st)
{
	struct flow *f = stream_user(st);

	assert_false(f->got_eof);
	assert_int_equal(f->read, f->to_read);
	f->got_eof = true;
}

static void on_closed(struct stream *st, int err, const char *text)
{
	struct flow *f = stream_user(st);

	(void)text;
	assert_false(f->closed);
	f->closed = true;
	f->err = err;
	f->st = NULL;
	if (err == 0) {
		assert_true(f->got_eof && f->sent_fin);
		assert_int_equal(f->read, f->to_read);
		assert_int_equal(f->wrote, f->to_write);
	} else {
		assert_true(may_reset || (may_restart && err != RW_ERR_PROTO));
	}
}

static const struct stream_ops flow_ops = {
	.on_data = on_data,
	.on_eof = on_eof,
	.on_closed = on_closed,
};

static void flow_start(struct end *e, struct flow *f, uint32_t number,
		       bool opener)
{
	*f = (struct flow){ .number = number, .opener = opener, .open = true };
	f->to_write = length_of(number, opener);
	f->to_read = length_of(number, !opener);
	(void)e;
}

static void on_open(struct session *s, struct stream *st)
{
	struct end *e = session_user(s);
	uint32_t number = (uint32_t)strtoul(stream_target(st), NULL, 10);
	struct flow *f = &e->flows[number];

	assert_true(number < STREAMS);
	assert_false(f->open); /* connected once only */
	flow_start(e, f, number, false);
	f->st = st;
	stream_take(st, &flow_ops, f);
	stream_connected(st);
}

static void on_live(struct session *s, struct carrier *c,
		    const struct welcome *w)
{
	(void)s, (void)c, (void)w;
}

static void forget(struct session *s, struct carrier *c)
{
	struct end *e = session_user(s);
	struct link *l = carrier_user(c);

	l->c[e->is_client ? 0 : 1] = NULL;
	l->dead = true;
}

static void on_drop(struct session *s, struct carrier *c, int err,
		    const char *text)
{
	(void)err, (void)text;
	forget(s, c);
}

static void on_wake(struct session *s)
{
	struct end *e = session_user(s);

	e->woken = true;
}

static void on_ended(struct session *s, int err, const char *text)
{
	struct end *e = session_user(s);

	(void)err, (void)text;
	e->ended = true;
}

static const struct session_ops session_ops = {
	.on_open = on_open,
	.on_live = on_live,
	.on_drop = on_drop,
	.on_wake = on_wake,
	.on_ended = on_ended,
};

static void end_start(struct end *e, bool is_client, uint64_t incarnation)
{
	struct session_params p = {
		.is_client = is_client,
		.id = "simulated-bytes",
		.incarnation = incarnation,
		.limits = limits,
		.budget = &e->budget,
		.ops = &session_ops,
		.user = e,
		.now_us = now_us,
	};

	e->is_client = is_client;
	budget_init(&e->budget, budget_bytes, floor_bytes, window_bytes);
	assert_int_equal(session_new(&p, &e->s), 0);
}

/* --- the network --- */

static void link_end(struct link *l, int i)
{
	struct carrier *c = l->c[i];

	l->c[i] = NULL;
	if (c != NULL)
		carrier_close(c, now_us);
}

static void link_free(struct link *l)
{
	link_end(l, 0);
	link_end(l, 1);
	buf_done(&l->q[0]);
	buf_done(&l->q[1]);
	*l = (struct link){ 0 };
}

static void dial(void)
{
	struct link *l = NULL;

	for (size_t i = 0; i < LINKS && l == NULL; i++)
		if (!links[i].used)
			l = &links[i];
	if (l == NULL)
		return;
	struct carrier *c = session_dial(ends[0].s, NULL, now_us);

	if (c == NULL)
		return;
	*l = (struct link){ .used = true };
	l->c[0] = c;
	carrier_set_user(c, l);
	buf_init(&l->q[0]);
	buf_init(&l->q[1]);
}

static void pull(struct link *l, int i)
{
	const uint8_t *data;
	size_t n;

	if (!ends[i].runs)
		return;
	for (unsigned k = (unsigned)any(6); l->c[i] != NULL; k--) {
		if (k == 0) {
			ends[i].is_full = true;
			return;
		}
		n = carrier_output(l->c[i], &data, now_us);
		if (n == 0)
			return;
		assert_true(n <= 16384);
		if (!l->dead)
			assert_int_equal(buf_append(&l->q[1 - i], data, n), 0);
	}
}

static void accept_hello(struct link *l)
{
	struct hello h;
	struct rig_info info = { .name = "desk" };
	size_t len;
	const uint8_t *data = buf_peek(&l->q[1], &len);
	ssize_t n = hello_read(data, len, &h);

	assert_true(n >= 0);
	if (n == 0)
		return;
	l->hello_read = true;
	buf_drain(&l->q[1], (size_t)n);
	l->c[1] = session_accept(ends[1].s, &h, false, &info, now_us);
	if (l->c[1] != NULL)
		carrier_set_user(l->c[1], l);
	else
		l->dead = true;
}

static void deliver(struct link *l, int i)
{
	size_t len;

	if (i == 1 && !l->hello_read) {
		accept_hello(l);
		return;
	}
	if (l->c[i] == NULL || now_us < l->still)
		return;
	const uint8_t *data = buf_peek(&l->q[i], &len);

	if (len == 0)
		return;
	size_t n = any(4) == 0 ? len : (size_t)any(len) + 1;
	uint8_t *copy = malloc(n);

	memcpy(copy, data, n);
	ssize_t took = carrier_input(l->c[i], copy, n, now_us);

	free(copy);
	/* It was answered by a rig that is no more. */
	if (took == RW_ERR_GONE && may_restart) {
		l->c[i] = NULL;
		l->dead = true;
		return;
	}
	if (took < 0)
		fail_msg("end %d: carrier error %s", i, err_text((int)took));
	buf_drain(&l->q[i], (size_t)took);
}

/* The network breaks it; what was on its way is lost from any byte on, and
 * either end learns of it now or never. */
static void cut(struct link *l)
{
	cuts++;
	l->dead = true;
	for (int i = 0; i < 2; i++) {
		size_t len;

		buf_peek(&l->q[i], &len);
		if (len > 0 && any(2) == 0) {
			size_t keep = (size_t)any(len);
			struct buf b;
			const uint8_t *data = buf_peek(&l->q[i], &len);

			buf_init(&b);
			assert_int_equal(buf_append(&b, data, keep), 0);
			buf_done(&l->q[i]);
			l->q[i] = b;
		}
	}
	if (any(2) == 0)
		link_end(l, 0);
	if (any(2) == 0)
		link_end(l, 1);
}

/* Another process; what the old one said may still arrive. */
static void restart_rig(void)
{
	restarts++;
	for (size_t i = 0; i < LINKS; i++) {
		links[i].c[1] = NULL;
		links[i].dead = links[i].hello_read = true;
	}
	session_free(ends[1].s);
	assert_int_equal(ends[1].budget.lent, 0);
	memset(ends[1].flows, 0, sizeof(ends[1].flows));
	end_start(&ends[1], false, 22 + restarts);
}

/* --- the applications --- */

/* The oldest stream that may still be alive. */
static uint32_t oldest(void)
{
	static const uint32_t reach = 8;

	return opened > reach * at_once ? opened - reach * at_once : 0;
}

static uint32_t alive(void)
{
	uint32_t n = 0;

	for (uint32_t i = oldest(); i < opened; i++)
		n += (ends[0].flows[i].open && !ends[0].flows[i].closed) ||
		     (ends[1].flows[i].open && !ends[1].flows[i].closed);
	return n;
}

static void app_open(int i)
{
	char target[16];
	struct flow *f;

	if (opened == STREAMS)
		return;
	f = &ends[i].flows[opened];
	flow_start(&ends[i], f, opened, true);
	snprintf(target, sizeof(target), "%u", opened);
	if (stream_open(ends[i].s, &(struct stream_to){ STREAM_TCP, target },
			&flow_ops, f, &f->st)) {
		f->open = false;
		return;
	}
	opened++;
}

static void open_some(void)
{
	uint32_t now = alive();

	most_alive = MAX(most_alive, now);
	if (any(3) != 0)
		return;
	for (uint64_t n = any(at_once / 8) + 1; n > 0 && now < at_once; n--) {
		app_open((int)any(2));
		now++;
	}
}

static void app_step(struct flow *f)
{
	if (f->st == NULL)
		return;
	if (may_reset && any(400) == 0) {
		stream_reset(f->st, RW_ERR_REFUSED, "had enough");
		f->st = NULL;
		return;
	}
	while (f->wrote < f->to_write && any(3) != 0) {
		size_t room;
		uint8_t *at = stream_room(f->st, &room);

		if (at == NULL)
			break;
		room = MIN(room, f->to_write - f->wrote);
		room = (size_t)any(room) + 1;
		for (size_t k = 0; k < room; k++)
			at[k] = byte_at(f->number, f->opener, f->wrote + k);
		stream_wrote(f->st, room);
		f->wrote += room;
	}
	if (f->wrote == f->to_write && !f->sent_fin && any(2) == 0) {
		f->sent_fin = true;
		stream_finish(f->st);
	}
	size_t len;
	const uint8_t *data = stream_peek(f->st, &len);

	if (data != NULL && any(2) == 0) {
		len = (size_t)any(len) + 1;
		check_bytes(f, data, len);
		stream_consume(f->st, len);
	}
}

static void apps(void)
{
	for (uint32_t i = oldest(); i < opened; i++) {
		if (any(3) == 0)
			app_step(&ends[0].flows[i]);
		if (any(3) == 0)
			app_step(&ends[1].flows[i]);
	}
}

/* What the policy decides now and then happens all the time here: streams move
 * to any other carrier, also while they move, and carriers are let go of. */
static void moves(void)
{
	struct end *e = &ends[any(2)];
	struct link *l = &links[any(LINKS)];
	struct carrier *c = l->used ? l->c[e->is_client ? 0 : 1] : NULL;

	if (c == NULL || c->state != CARRIER_LIVE)
		return;
	list_for_each (it, &e->s->streams)
		if (any(4) == 0)
			stream_move(container_of(it, struct stream, all), c);
	if (e->is_client && any(30) == 0)
		carrier_retire(c, now_us);
}

/* What a stuck stream looks like from both ends. */
static void show_stuck(void)
{
	for (int i = 0; i < 2; i++) {
		list_for_each (it, &ends[i].s->streams) {
			struct stream *st =
				container_of(it, struct stream, all);

			print_message(
				"# end %d stream %u (%s) known %d open %d ride "
				"%d asked %d due %x fin %d/%d in %d eof %d "
				"closed %d err %d out %llu/%llu/%llu peer "
				"%llu/%llu/%llu in %llu/%llu limit %llu "
				"window %u\n",
				i, st->id, st->target, st->known, st->sent_open,
				st->ride != NULL, st->asked != NULL, st->due,
				st->fin, st->fin_sent, st->fin_in,
				st->eof_given, st->closed, st->err,
				(unsigned long long)st->out.base,
				(unsigned long long)st->next,
				(unsigned long long)st->out.end,
				(unsigned long long)st->peer_received,
				(unsigned long long)st->peer_consumed,
				(unsigned long long)st->peer_limit,
				(unsigned long long)st->in.base,
				(unsigned long long)st->in.end,
				(unsigned long long)st->limit, st->window);
		}
		list_for_each (it, &ends[i].s->carriers) {
			struct carrier *c =
				container_of(it, struct carrier, link);

			print_message("# end %d carrier %u state %d flight "
				      "%llu of %llu\n",
				      i, c->number, c->state,
				      (unsigned long long)(c->pace.sent -
							   c->pace.read),
				      (unsigned long long)c->pace.cap);
		}
	}
}

/* --- one run --- */

static void ticks(void)
{
	now_us += any(50) == 0 ? any(2000000) : any(3000);
	if (any(3000) == 0) /* asleep */
		now_us += any(600000000);
	for (int i = 0; i < 2; i++)
		if (ends[i].woken || now_us >= ends[i].next_tick) {
			ends[i].woken = false;
			ends[i].runs = true;
			ends[i].next_tick = session_tick(ends[i].s, now_us);
		}
}

static unsigned usable(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < LINKS; i++)
		n += links[i].used && !links[i].dead && links[i].c[0] != NULL;
	return n;
}

static void network_step(bool faults)
{
	ends[0].is_full = ends[1].is_full = false;
	for (size_t i = 0; i < LINKS; i++) {
		struct link *l = &links[i];

		if (!l->used)
			continue;
		for (int k = 0; k < 2; k++) {
			pull(l, k);
			if (any(4) != 0)
				deliver(l, k);
		}
		if (faults && !l->dead && any(60) == 0)
			cut(l);
		if (faults && any(100) == 0)
			l->still = now_us + any(3000000);
		if (l->dead && any(20) == 0) /* somebody notices */
			link_end(l, (int)any(2));
		if (l->dead && l->c[0] == NULL && l->c[1] == NULL)
			link_free(l);
	}
	for (int i = 0; i < 2; i++) {
		ends[i].runs = false;
		ends[i].woken |= ends[i].is_full;
	}
	if (usable() == 0 ||
	    (faults && usable() < CARRIERS_MAX && any(40) == 0))
		dial();
}

/* What is given to the sessions: most often the usual, else very little. */
static void choose_limits(void)
{
	limits = (struct session_limits){
		.max_streams = 64,
		.send_max = any(4) == 0 ? (uint32_t)any(300) + 1 : 256 * 1024,
		.carriers_max = (uint32_t)any(CARRIERS_MAX) + 1,
		.in_flight_min = any(2) == 0 ? 1 : 4096,
		.keep_s = 3600,
		.ping_interval_us = 5000000,
		.ping_timeout_us = 4000000,
	};
	at_once = 24;
	floor_bytes = any(4) == 0 ? (uint32_t)any(64) + 1 : 16384;
	if (any(12) == 0)
		floor_bytes = 1;
	if (any(40) == 0) {
		at_once = MANY;
		limits.max_streams = 2048;
		floor_bytes = 64;
	}
	window_bytes = any(3) == 0	    ? floor_bytes
		       : floor_bytes < 1000 ? floor_bytes * 4
					    : 262144;
	budget_bytes = (uint64_t)floor_bytes * limits.max_streams * 4;
}

static void run(uint64_t seed, unsigned want_cuts)
{
	unsigned calm = 0;
	uint64_t before = 0;

	rng = seed;
	now_us = 1000000 + any(1000000);
	opened = cuts = 0;
	moved = 0;
	memset(ends, 0, sizeof(ends));
	memset(links, 0, sizeof(links));
	may_reset = any(3) == 0;
	choose_limits();
	end_start(&ends[0], true, 11);
	end_start(&ends[1], false, 22);
	while (cuts < want_cuts) {
		open_some();
		if (may_restart && any(400) == 0)
			restart_rig();
		apps();
		if (any(10) == 0)
			moves();
		network_step(true);
		ticks();
		if (opened == STREAMS && alive() == 0)
			break;
	}
	while (alive() > 0) {
		apps();
		network_step(false);
		ticks();
		if (moved != before) {
			before = moved;
			calm = 0;
		}
		if (++calm == STUCK) {
			show_stuck();
			fail_msg("stuck with %u streams", alive());
		}
	}
	for (size_t i = 0; i < LINKS; i++)
		if (links[i].used)
			link_free(&links[i]);
	session_free(ends[0].s);
	session_free(ends[1].s);
	assert_int_equal(ends[0].budget.lent, 0);
	assert_int_equal(ends[1].budget.lent, 0);
	assert_int_equal(ends[0].budget.kept + ends[1].budget.kept, 0);
}

static void runs(void)
{
	const char *seed = getenv("RIGWAY_SIM_SEED");
	const char *want = getenv("RIGWAY_SIM_CUTS");
	const char *first = getenv("RIGWAY_SIM_FIRST");
	unsigned total =
		want != NULL ? (unsigned)strtoul(want, NULL, 10) : 3000;
	unsigned done = 0;

	for (uint64_t k = first != NULL ? strtoull(first, NULL, 10) : 1;
	     done < total; k++) {
		uint64_t sd = seed != NULL ? strtoull(seed, NULL, 10) : k;

		/* Seen only when a check fails below. */
		print_message("# seed %llu\n", (unsigned long long)sd);
		run(sd, MIN(100u, total - done));
		done += cuts;
		if (seed != NULL)
			break;
	}
	print_message("# %u cuts, up to %u streams at once\n", done,
		      most_alive);
}

static void every_byte_survives_any_number_of_cuts(void **state)
{
	(void)state;
	may_restart = false;
	runs();
}

/* Streams of which anything was sent are reset; none goes on elsewhere. */
static void a_restarted_rig_mixes_no_streams(void **state)
{
	(void)state;
	may_restart = true;
	restarts = 0;
	runs();
	print_message("# %u restarts\n", restarts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_survives_any_number_of_cuts),
		cmocka_unit_test(a_restarted_rig_mixes_no_streams),
	};

	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}

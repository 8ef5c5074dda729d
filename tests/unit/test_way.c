/* SPDX-License-Identifier: MIT */
/* What keeps a laptop connected, and when it stops trying. No rig is there:
 * what one would say is put into the session. */
#include "until.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "client/asks.h"
#include "client/rigs.h"
#include "client/way.h"
#include "wire/frame.h"
#include "wire/request.h"

struct world {
	uv_loop_t loop;
	struct way_env env;
	struct budget budget;
	struct rigs_row row;
	struct way *way;
	struct way_watch watch;
	bool is_released;
	unsigned ended;
	int err;
	char text[WAY_TEXT_CAP];
	struct guard guard;
};

#define until(w, cond)                                                         \
	until_by(&(w)->guard, 10000, cond, uv_run(&(w)->loop, UV_RUN_ONCE))

static void on_live(struct way_watch *watch)
{
	(void)watch;
	fail();
}

static void on_ended(struct way_watch *watch, int err, const char *text)
{
	struct world *w = container_of(watch, struct world, watch);

	w->ended++;
	w->err = err;
	str_copy(w->text, sizeof(w->text), text);
}

static void on_released(void *user)
{
	((struct world *)user)->is_released = true;
}

/* The relay of the rig's is at `at`. */
static void world_open_at(struct world *w, const char *at)
{
	struct key *key;

	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_init(&w->loop), 0);
	guard_init(&w->guard, &w->loop);
	assert_int_equal(key_generate(&key), 0);
	budget_init(&w->budget, 1 << 24, 16384, 1 << 20);
	w->env = (struct way_env){
		.loop = &w->loop,
		.key = key,
		.budget = &w->budget,
		.limits = { .max_streams = 10,
			    .send_max = 1 << 20,
			    .carriers_max = CARRIERS_MAX,
			    .in_flight_min = 32768,
			    .ping_interval_us = 5000000,
			    .ping_timeout_us = 4000000 },
		.incarnation = 7,
		.device = "laptop",
	};
	assert_int_equal(driver_new(&w->loop, &w->env.driver), 0);
	str_copy(w->row.name, sizeof(w->row.name), "desk");
	str_copy(w->row.relays[0], HOSTPORT_CAP, at);
	w->row.welcomed = 1; /* nobody is searched for */
	w->row.relay_count = 1;
	w->way = way_new(&w->env, &w->row);
	w->watch =
		(struct way_watch){ .on_live = on_live, .on_ended = on_ended };
	list_init(&w->watch.link);
	way_watch(w->way, &w->watch);
	way_want(w->way);
	until(w, way_session(w->way) != NULL);
}

/* Nobody listens there, so no dial comes to anything. */
static void world_open(struct world *w)
{
	world_open_at(w, "127.0.0.1:1");
}

static void world_close(struct world *w)
{
	list_del(&w->watch.link);
	way_release(w->way, on_released, w);
	way_unwant(w->way);
	until(w, w->is_released);
	driver_free(w->env.driver);
	timer_free(w->guard.timer);
	loop_run_close(&w->loop);
	key_free((struct key *)(uintptr_t)w->env.key);
}

/* A rig is reached, and refuses. */
static void refuse(struct world *w, int err, const char *text)
{
	struct refused r = { .code = reason_to_wire(err) };
	uint64_t now = loop_now_us(&w->loop);
	struct carrier *c = session_dial(way_session(w->way), NULL, now);
	uint8_t out[FRAME_MAX];
	size_t n;

	assert_non_null(c);
	str_copy(r.text, sizeof(r.text), text);
	n = refused_write(&r, out);
	assert_int_equal(carrier_input(c, out, n, now), err);
}

static void replaced_stops_dialling_and_says_so(void **state)
{
	static const char text[] = "another process with this key took over";
	struct world w;
	struct way_report r;

	(void)state;
	world_open(&w);
	refuse(&w, RW_ERR_REPLACED, text);
	until(&w, w.ended == 1);
	assert_int_equal(w.err, RW_ERR_REPLACED);
	assert_string_equal(w.text, text);
	assert_int_equal(way_state(w.way), WAY_ENDED);
	way_report(w.way, &r);
	assert_int_equal(r.dials, 0);
	assert_true(r.next_dial_ms == UINT64_MAX);
	assert_string_equal(r.text, text);
	/* Nor when somebody else wants it, or the machine wakes up. */
	way_want(w.way);
	way_kick(w.way);
	for (int k = 0; k < 20; k++)
		uv_run(&w.loop, UV_RUN_NOWAIT);
	way_report(w.way, &r);
	assert_int_equal(r.dials, 0);
	assert_true(r.next_dial_ms == UINT64_MAX);
	assert_null(way_session(w.way));
	way_unwant(w.way);
	/* Only when a person asks for it. */
	way_renew(w.way);
	until(&w, way_session(w.way) != NULL);
	assert_int_equal(way_state(w.way), WAY_DIALING);
	world_close(&w);
}

/* A rig that closes down, or is full, may be back at once. */
static void a_rig_that_closes_down_is_dialled_again(void **state)
{
	struct world w;
	struct way_report r;

	(void)state;
	world_open(&w);
	uint8_t old[SESSION_ID_LEN];

	memcpy(old, session_id(way_session(w.way)), sizeof(old));
	refuse(&w, RW_ERR_CLOSING, "the rig was stopped");
	until(&w, way_session(w.way) != NULL &&
			  memcmp(session_id(way_session(w.way)), old,
				 sizeof(old)) != 0);
	assert_int_equal(w.ended, 0);
	assert_int_equal(way_state(w.way), WAY_DIALING);
	way_report(w.way, &r);
	assert_true(r.dials > 0 || r.next_dial_ms != UINT64_MAX);
	world_close(&w);
}

static unsigned running(const struct world *w)
{
	struct way_report r;

	way_report(w->way, &r);
	return r.dials;
}

/* A relay whose system takes connections, and which gets to none of them. */
static void a_busy_relay_is_dialled_anew_after_a_kick(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	char text[HOSTPORT_CAP];
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct world w;
	uint64_t start;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(at.sin_port));
	world_open_at(&w, text);
	start = loop_now_us(&w.loop);
	until(&w, loop_now_us(&w.loop) >= start + 1300000);
	unsigned before = running(&w);

	assert_int_equal(before, 1);
	way_kick(w.way);
	until_by(&w.guard, 4000, running(&w) > before,
		 uv_run(&w.loop, UV_RUN_ONCE));
	world_close(&w);
	close(fd);
}

static void on_answered(void *user, int err, const char *text)
{
	(void)text;
	assert_int_equal(err, RW_ERR_CANCELLED);
	(*(unsigned *)user)++;
}

static void requests_to_one_rig_are_limited(void **state)
{
	static const struct ask_ops ops = { .on_done = on_answered };
	struct world w;
	struct asks *a;
	struct ask *k[6];
	unsigned over = 0;

	(void)state;
	world_open(&w);
	a = asks_new(&w.loop, w.way, 5);
	for (int i = 0; i < 6; i++) {
		struct request q = { .type = Q_DEVICES };

		assert_int_equal(asks_put(a, &q, &ops, &over, &k[i]),
				 i < 5 ? 0 : RW_ERR_LIMIT);
	}
	/* One that nobody waits for any more makes room. */
	struct request q = { .type = Q_DEVICES };

	ask_cancel(k[2]);
	assert_int_equal(asks_put(a, &q, &ops, &over, &k[2]), 0);
	asks_end(a);
	assert_int_equal(over, 5);
	world_close(&w); /* the way knows of them */
	asks_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replaced_stops_dialling_and_says_so),
		cmocka_unit_test(a_rig_that_closes_down_is_dialled_again),
		cmocka_unit_test(a_busy_relay_is_dialled_anew_after_a_kick),
		cmocka_unit_test(requests_to_one_rig_are_limited),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("way", tests, NULL, NULL);
}

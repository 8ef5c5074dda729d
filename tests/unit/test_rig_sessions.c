/* SPDX-License-Identifier: MIT */
/* The rig's sessions: who attaches, who replaces whom, who is let in at all.
 * Laptops are sessions of the core over real sockets; the rig's door (TLS, the
 * list of keys) has judged them already. */
#include "until.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "carrier/bearer.h"
#include "core/stream.h"
#include "net/chan.h"
#include "rig/gate.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"
#include "wire/hello.h"
#include "wire/request.h"

struct world {
	uv_loop_t loop;
	struct settings settings;
	struct rig rig;
	struct driver *driver; /* the laptops' */
	struct budget budget;
	char dir[64], path[96];
	struct guard guard;
};

/* One process on a laptop. */
struct laptop {
	struct world *w;
	struct pin pin;
	struct session *session;
	unsigned lives, fresh, cuts, ends;
	int end_err;
	char end_text[REFUSED_TEXT_MAX + 1];
	int admit_err;
	char admit_text[128];
	struct chan *rig_chan; /* until it is admitted */
};

#define until(w, cond)                                                         \
	until_by(&(w)->guard, 10000, cond, uv_run(&(w)->loop, UV_RUN_ONCE))

static void world_open(struct world *w)
{
	struct rig *rig = &w->rig;
	char *err;

	memset(w, 0, sizeof(*w));
	assert_int_equal(loop_init(&w->loop), 0);
	guard_init(&w->guard, &w->loop);
	settings_init(&w->settings);
	/* No sshd is looked for here. */
	assert_int_equal(settings_set(&w->settings, "rig.sshd_config",
				      "/nonexistent/sshd_config", &err),
			 0);
	strcpy(w->dir, "/tmp/rigway-test-sessions-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/devices", w->dir);
	rig->loop = &w->loop;
	rig->settings = &w->settings;
	rig->incarnation = 77;
	strcpy(rig->name, "desk");
	list_init(&rig->calls);
	list_init(&rig->doors);
	assert_int_equal(key_generate(&rig->key), 0);
	strangers_init(&rig->strangers, 16, 60);
	list_init(&rig->issues);
	assert_int_equal(devices_load(&rig->devices, w->path, 10, &err), 0);
	assert_int_equal(driver_new(&w->loop, &rig->driver), 0);
	assert_int_equal(driver_new(&w->loop, &w->driver), 0);
	budget_init(&rig->budget, 1 << 24, 16384, 1 << 20);
	budget_init(&w->budget, 1 << 24, 16384, 1 << 20);
	rig->limits = (struct session_limits){ .max_streams = 10,
					       .send_max = 1 << 20,
					       .carriers_max = 4,
					       .in_flight_min = 32768,
					       .keep_s = 60,
					       .ping_interval_us = 5000000,
					       .ping_timeout_us = 4000000 };
	rig->sshd = sshd_new(&w->loop, &w->settings);
	rig->sessions = sessions_new(rig);
	assert_int_equal(gate_new(rig, &rig->gate, &err), 0);
}

static void world_close(struct world *w)
{
	gate_free(w->rig.gate);
	sessions_free(w->rig.sessions);
	sshd_free(w->rig.sshd);
	driver_free(w->rig.driver);
	driver_free(w->driver);
	devices_done(&w->rig.devices);
	timer_free(w->guard.timer);
	loop_run_close(&w->loop);
	strangers_done(&w->rig.strangers);
	key_free(w->rig.key);
	settings_done(&w->settings);
	unlink(w->path);
	rmdir(w->dir);
}

static void on_live(struct session *s, struct carrier *c,
		    const struct welcome *wel)
{
	struct laptop *l = session_user(s);

	(void)c;
	l->lives++;
	l->fresh += wel->fresh;
}

static void on_drop(struct session *s, struct carrier *c, int err,
		    const char *text)
{
	(void)s;
	bearer_dropped(c, err, text);
}

static void on_wake(struct session *s)
{
	driver_wake(((struct laptop *)session_user(s))->w->driver, s);
}

static void on_ended(struct session *s, int err, const char *text)
{
	struct laptop *l = session_user(s);

	l->ends++;
	l->end_err = err;
	str_copy(l->end_text, sizeof(l->end_text), text);
}

static void on_end(void *user, int err, const char *text)
{
	(void)err, (void)text;
	((struct laptop *)user)->cuts++;
}

/* id names the session, key the device. */
static void laptop_open(struct laptop *l, struct world *w, const char *id,
			uint8_t key)
{
	static const struct session_ops ops = { .on_live = on_live,
						.on_drop = on_drop,
						.on_wake = on_wake,
						.on_ended = on_ended };
	struct session_params p = {
		.is_client = true,
		.incarnation = 1,
		.limits = w->rig.limits,
		.budget = &w->budget,
		.ops = &ops,
		.user = l,
		.now_us = loop_now_us(&w->loop),
	};
	struct device dev = { .role = DEVICE_OWNER, .name = "laptop" };

	memset(l, 0, sizeof(*l));
	l->w = w;
	l->pin.b[0] = key;
	dev.pin = l->pin;
	assert_int_equal(devices_put(&w->rig.devices, &dev), 0);
	str_copy((char *)p.id, sizeof(p.id), id);
	assert_int_equal(session_new(&p, &l->session), 0);
	assert_int_equal(driver_add(w->driver, l->session), 0);
}

static void laptop_close(struct laptop *l)
{
	struct world *w = l->w;
	struct carrier *c;

	while ((c = session_carrier_next(l->session, NULL)) != NULL)
		bearer_dropped(c, RW_ERR_CANCELLED, ""), carrier_close(c, 1);
	for (int k = 0; k < 10; k++)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	driver_remove(w->driver, l->session);
	session_free(l->session);
}

static size_t rig_on_data(struct chan *chan, const uint8_t *data, size_t len)
{
	struct laptop *l = chan_user(chan);
	const char *text = "";
	struct hello h;
	ssize_t n = hello_read(data, len, &h);

	assert_true(n >= 0);
	if (n == 0)
		return 0;

	const struct arrival a = {
		.chan = chan, .hello = &h, .pin = &l->pin, .addr = "here"
	};

	l->admit_err = sessions_admit(l->w->rig.sessions, &a, &text);
	str_copy(l->admit_text, sizeof(l->admit_text), text);
	l->rig_chan = NULL;
	if (l->admit_err != 0)
		chan_close(chan, l->admit_err);
	return (size_t)n;
}

/* One more connection of the laptop reaches the rig. */
static void laptop_dial(struct laptop *l)
{
	static const struct bearer_ops bearer_ops = { .on_end = on_end };
	static const struct chan_ops no_ops = { .on_up = NULL };
	static const struct chan_ops rig_ops = { .on_data = rig_on_data };
	struct world *w = l->w;
	struct bearer_params bp = { .driver = w->driver,
				    .session = l->session,
				    .ops = &bearer_ops,
				    .user = l };
	struct bearer *b;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	assert_int_equal(chan_open_fd(&w->loop, fd[0], &no_ops, NULL, &bp.chan),
			 0);
	assert_int_equal(
		chan_open_fd(&w->loop, fd[1], &rig_ops, l, &l->rig_chan), 0);
	assert_int_equal(bearer_dial(&bp, NULL, &b), 0);
	until(w, l->rig_chan == NULL);
}

static size_t count_sessions(const struct world *w)
{
	size_t n = 0;

	for (struct peer *p = NULL;
	     (p = sessions_next(w->rig.sessions, p)) != NULL;)
		n++;
	return n;
}

static void a_known_id_of_the_same_key_attaches(void **state)
{
	struct world w;
	struct laptop a;

	(void)state;
	world_open(&w);
	laptop_open(&a, &w, "one", 1);
	laptop_dial(&a);
	until(&w, a.lives == 1);
	struct peer *p = sessions_find(w.rig.sessions, &a.pin);

	laptop_dial(&a);
	until(&w, a.lives == 2);
	assert_int_equal(a.fresh, 1); /* the first one only */
	assert_ptr_equal(sessions_find(w.rig.sessions, &a.pin), p);
	assert_int_equal(count_sessions(&w), 1);
	assert_int_equal(a.ends, 0);
	laptop_close(&a);
	world_close(&w);
}

static void a_new_id_of_the_same_key_replaces_the_old_session(void **state)
{
	struct world w;
	struct laptop old, young;

	(void)state;
	world_open(&w);
	laptop_open(&old, &w, "one", 1);
	laptop_dial(&old);
	until(&w, old.lives == 1);
	laptop_open(&young, &w, "two", 1);
	laptop_dial(&young);
	/* At once, not when the old one's connections have gone. */
	assert_int_equal(count_sessions(&w), 1);
	until(&w, young.lives == 1 && old.ends == 1 && old.cuts == 1);
	assert_int_equal(old.end_err, RW_ERR_REPLACED);
	assert_non_null(strstr(old.end_text, "took over"));
	assert_int_equal(young.ends, 0);
	assert_memory_equal(
		session_id(sessions_find(w.rig.sessions, &young.pin)->session),
		session_id(young.session), SESSION_ID_LEN);
	laptop_close(&old);
	laptop_close(&young);
	world_close(&w);
}

static void another_key_with_the_same_id_replaces_nobody(void **state)
{
	struct world w;
	struct laptop mine, theirs;

	(void)state;
	world_open(&w);
	laptop_open(&mine, &w, "one", 1);
	laptop_dial(&mine);
	until(&w, mine.lives == 1);
	laptop_open(&theirs, &w, "one", 2);
	laptop_dial(&theirs);
	until(&w, theirs.lives == 1);
	assert_int_equal(theirs.fresh, 1); /* a session of its own */
	assert_int_equal(count_sessions(&w), 2);
	assert_ptr_not_equal(sessions_find(w.rig.sessions, &mine.pin),
			     sessions_find(w.rig.sessions, &theirs.pin));
	assert_int_equal(mine.ends + mine.cuts, 0);
	laptop_close(&mine);
	laptop_close(&theirs);
	world_close(&w);
}

static void sessions_have_a_limit(void **state)
{
	struct world w;
	struct laptop l[3];

	(void)state;
	world_open(&w);
	w.settings.rig.max_sessions = 2;
	for (uint8_t k = 0; k < 3; k++) {
		laptop_open(&l[k], &w, "one", (uint8_t)(k + 1));
		laptop_dial(&l[k]);
	}
	until(&w, l[0].lives == 1 && l[1].lives == 1 && l[2].cuts == 1);
	assert_int_equal(l[2].admit_err, RW_ERR_LIMIT);
	assert_non_null(strstr(l[2].admit_text, "rig.max_sessions"));
	/* Whoever is in may still come with another connection. */
	laptop_dial(&l[0]);
	until(&w, l[0].lives == 2);
	for (int k = 0; k < 3; k++)
		laptop_close(&l[k]);
	world_close(&w);
}

static void connections_of_a_session_have_a_limit(void **state)
{
	struct world w;
	struct laptop a;

	(void)state;
	world_open(&w);
	laptop_open(&a, &w, "one", 1);
	w.rig.limits.carriers_max = 2;
	/* And one that may be to take over. */
	for (unsigned k = 1; k <= 3; k++) {
		laptop_dial(&a);
		until(&w, a.lives == k);
	}
	laptop_dial(&a);
	until(&w, a.cuts == 1);
	assert_int_equal(a.admit_err, RW_ERR_LIMIT);
	assert_int_equal(a.lives, 3);
	assert_int_equal(count_sessions(&w), 1);
	laptop_close(&a);
	world_close(&w);
}

static void an_absent_session_is_kept_for_its_time_only(void **state)
{
	struct world w;
	struct laptop a;

	(void)state;
	world_open(&w);
	w.settings.rig.keep_absent_ms = 100;
	laptop_open(&a, &w, "one", 1);
	laptop_dial(&a);
	until(&w, a.lives == 1);
	laptop_close(&a);
	assert_int_equal(count_sessions(&w), 1);
	until(&w, count_sessions(&w) == 0);
	world_close(&w);
}

static size_t take_nothing(struct stream *st, const uint8_t *data, size_t len)
{
	(void)st, (void)data, (void)len;
	return 0;
}

static void on_stream_closed(struct stream *st, int err, const char *text)
{
	(void)st, (void)err, (void)text;
}

/* A laptop asks and asks, and reads no answer: the rig takes no more requests
 * than it can answer, and the rest waits at the laptop. */
static void requests_whose_answers_nobody_reads_are_not_taken(void **state)
{
	static const struct stream_ops ops = { .on_data = take_nothing,
					       .on_closed = on_stream_closed };
	struct request q = { .type = Q_DEVICES };
	struct world w;
	struct laptop a;
	struct stream *st;
	uint8_t msg[REQUEST_MAX];
	size_t done = 0, n;
	unsigned idle = 0;

	(void)state;
	world_open(&w);
	laptop_open(&a, &w, "one", 1);
	laptop_dial(&a);
	until(&w, a.lives == 1);
	st = session_control(a.session);
	stream_take(st, &ops, &a);
	while (idle < 20) {
		q.number++;
		n = (size_t)request_write(&q, msg, sizeof(msg));
		idle = stream_space(st) >= n ? 0 : idle + 1;
		if (idle == 0)
			done += stream_write(st, msg, n);
		guard_start(&w.guard, 20); /* so that the loop turns */
		uv_run(&w.loop, idle == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
	}
	timer_stop(w.guard.timer);
	assert_in_range(done, 16384, 512 * 1024);
	assert_int_equal(a.ends + a.cuts, 0);
	laptop_close(&a);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_known_id_of_the_same_key_attaches),
		cmocka_unit_test(
			a_new_id_of_the_same_key_replaces_the_old_session),
		cmocka_unit_test(another_key_with_the_same_id_replaces_nobody),
		cmocka_unit_test(sessions_have_a_limit),
		cmocka_unit_test(connections_of_a_session_have_a_limit),
		cmocka_unit_test(an_absent_session_is_kept_for_its_time_only),
		cmocka_unit_test(
			requests_whose_answers_nobody_reads_are_not_taken),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("rig_sessions", tests, NULL, NULL);
}

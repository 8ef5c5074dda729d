/* SPDX-License-Identifier: MIT */
#include "rig/agent.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fdlimit.h"
#include "base/log.h"
#include "base/str.h"
#include "carrier/bearer.h"
#include "crypto/hash.h"
#include "net/loop.h"
#include "net/moment.h"
#include "net/roam.h"
#include "net/wake.h"
#include "rig/admin.h"
#include "rig/call.h"
#include "rig/discovery.h"
#include "rig/door.h"
#include "rig/gate.h"
#include "rig/issue.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"
#include "rig/uplink.h"

/* The end, in two steps. While bytes flow, what is open may finish; QUIET ms
 * without any, or DRAIN in all, are enough. Then everybody hears it, and
 * connections close cleanly, but nobody waits for a dead peer. */
#define DRAIN_QUIET_MS 100
#define DRAIN_MAX_MS   1500
#define STOP_STEP_MS   10
#define STOP_MAX_MS    2000
/* After waking and the like each connection has this long to prove itself. */
#define SUSPECT_US 1800000

struct agent {
	struct rig rig;
	uv_loop_t loop;
	struct wake *wake;
	struct roam *roam;
	struct timer *stop; /* while it ends */
	unsigned drain_ms, quiet_ms;
	uint64_t drained; /* bytes of all sessions when last looked */
	bool is_drained;  /* all were told */
	unsigned stop_ms;
};

int64_t rig_now(void)
{
	return (int64_t)time(NULL);
}

/* -- the end -------------------------------------------------------------- */

static uint64_t bytes_moved(const struct rig *rig)
{
	struct session_stats st;
	uint64_t n = 0;

	for (const struct peer *p = NULL;
	     (p = sessions_next(rig->sessions, p)) != NULL;) {
		session_stats(p->session, &st);
		n += st.bytes_in + st.bytes_out;
	}
	return n;
}

/* Whether what is open may go on for another step. */
static bool still_drains(struct agent *a)
{
	const uint64_t moved = bytes_moved(&a->rig);

	a->quiet_ms = moved == a->drained ? a->quiet_ms + STOP_STEP_MS : 0;
	a->drained = moved;
	a->drain_ms += STOP_STEP_MS;
	return a->rig.opening_count > 0 && a->quiet_ms < DRAIN_QUIET_MS &&
	       a->drain_ms < DRAIN_MAX_MS;
}

static void on_stop_timer(void *user)
{
	struct agent *a = user;
	struct rig *rig = &a->rig;

	if (!a->is_drained) {
		if (still_drains(a)) {
			timer_start(a->stop, STOP_STEP_MS);
			return;
		}
		a->is_drained = true;
		calls_close(rig, NULL);
		doors_close(rig);
		sessions_close_all(rig->sessions);
	}
	if ((sessions_is_idle(rig->sessions) && rig->opening_count == 0 &&
	     list_is_empty(&rig->doors)) ||
	    a->stop_ms >= STOP_MAX_MS) {
		uv_stop(&a->loop);
		return;
	}
	a->stop_ms += STOP_STEP_MS;
	timer_start(a->stop, STOP_STEP_MS);
}

static void on_signal(void *user, int signum)
{
	struct agent *a = user;

	if (a->rig.is_stopping) { /* asked twice: no more time for others */
		a->drain_ms = DRAIN_MAX_MS;
		return;
	}
	log_info("stopping (%s)", signum == SIGTERM ? "SIGTERM" : "SIGINT");
	a->rig.is_stopping = true;
	discovery_free(a->rig.discovery);
	a->rig.discovery = NULL;
	gate_close(a->rig.gate);
	a->stop = timer_new(&a->loop, on_stop_timer, a);
	timer_start(a->stop, 0);
}

/* -- the machine sleeps and moves ----------------------------------------- */

/* What is dead is found soon, and named to the relay, so that the laptops hear
 * of it; what is down is dialled at once. */
static void kick_all(struct rig *rig)
{
	if (rig->is_stopping)
		return;
	for (size_t i = 0; i < rig->uplink_count; i++)
		uplink_kick(rig->uplinks[i]);
	sessions_suspect(rig->sessions, SUSPECT_US);
}

static void on_wake(void *user, uint64_t away_ms)
{
	struct rig *rig = user;
	char text[FORMAT_CAP];

	rig->woke = moment_now();
	rig->away_ms = away_ms;
	log_info("awake after %s", format_duration(away_ms, text));
	kick_all(rig);
}

static void on_roam(void *user)
{
	struct rig *rig = user;

	rig->moved = moment_now();
	log_info("this machine's addresses or routes changed");
	discovery_rejoin(rig->discovery);
	kick_all(rig);
}

static void on_hangup(void *user, int signum)
{
	(void)signum;
	log_info("asking every connection (SIGHUP)");
	kick_all(user);
}

static void start_watching(struct agent *a)
{
	const struct wake_params wp = { .loop = &a->loop,
					.on_wake = on_wake,
					.user = &a->rig };

	a->wake = wake_new(&wp);
	a->roam = roam_new(&a->loop, on_roam, &a->rig);
}

static void agent_done(struct agent *a)
{
	struct rig *rig = &a->rig;

	wake_free(a->wake);
	roam_free(a->roam);
	timer_free(a->stop);
	discovery_free(rig->discovery);
	gate_free(rig->gate);
	calls_close(rig, NULL);
	doors_close(rig);
	admin_free(rig->admin);
	for (size_t i = 0; i < rig->uplink_count; i++)
		uplink_free(rig->uplinks[i]);
	rig->uplink_count = 0;
	sessions_free(rig->sessions);
	sshd_free(rig->sshd);
	if (rig->driver != NULL)
		driver_free(rig->driver);
	loop_run_close(&a->loop);
	strangers_done(&rig->strangers);
}

/* -- the start ------------------------------------------------------------ */

static void set_limits(struct rig *rig)
{
	const struct settings_session *c = &rig->settings->session;

	rig->limits = (struct session_limits){
		.max_streams = (uint32_t)c->max_streams,
		.send_max = (uint32_t)c->send_max_bytes,
		.carriers_max = (uint32_t)c->carriers_max,
		.in_flight_min = (uint32_t)c->in_flight_min_bytes,
		.keep_s = (uint32_t)(rig->settings->rig.keep_absent_ms / 1000),
		.ping_interval_us = c->ping_interval_ms * 1000,
		.ping_timeout_us = c->ping_timeout_ms * 1000,
	};
	budget_init(&rig->budget, c->budget_bytes, (uint32_t)c->floor_bytes,
		    (uint32_t)c->window_max_bytes);
}

/* Asked once: the answer may come from a network. */
static void set_user(struct rig *rig)
{
	const struct passwd *pw = getpwuid(geteuid());

	str_copy(rig->user, sizeof(rig->user), pw != NULL ? pw->pw_name : "");
}

static void set_rates(struct rig *rig)
{
	const struct settings_rig *c = &rig->settings->rig;
	const uint64_t now_us = loop_now_us(rig->loop);

	rate_init(&rig->dials, (uint32_t)c->dials_per_minute, now_us);
	rate_init(&rig->newcomers, (uint32_t)c->strangers_per_minute, now_us);
	rate_init(&rig->guesses, (uint32_t)c->guesses_per_minute, now_us);
	strangers_init(&rig->strangers, (unsigned)c->max_unproven_per_address,
		       (unsigned)c->guesses_per_minute);
	rig->strangers.max_seen = (size_t)c->max_guessers;
}

static int serve_commands(struct rig *rig)
{
	char *path = paths_socket(rig->paths, "rig");
	int err;

	if (path == NULL) {
		log_error("%s", paths_error(rig->paths));
		return RW_ERR_IO;
	}
	err = admin_new(rig, path, &rig->admin);
	if (err != 0)
		log_error("%s: %s", path, err_text(err));
	free(path);
	return err;
}

static int open_gate(struct rig *rig)
{
	char *text = NULL;
	int err = gate_new(rig, &rig->gate, &text);

	if (err != 0)
		log_error("%s", text);
	free(text);
	return err;
}

static int start_uplinks(struct rig *rig)
{
	for (size_t i = 0; i < rig->relays.count; i++) {
		int err = uplink_new(rig, i, &rig->uplinks[i]);

		if (err != 0) {
			log_error("the relay %s: %s",
				  rig->relays.rows[i].addr[0], err_text(err));
			return err;
		}
		rig->uplink_count++;
	}
	return 0;
}

/* The state moves into the rig; st keeps the lock. */
static void take_state(struct rig *rig, struct agent_state *st)
{
	rig->key = st->key;
	rig->devices = st->devices;
	rig->invites = st->invites;
	rig->relays = st->relays;
	memcpy(rig->name, st->name, sizeof(rig->name));
}

static int agent_start(struct agent *a, const struct agent_params *p,
		       struct agent_state *st)
{
	struct rig *rig = &a->rig;
	int err;

	rig->loop = &a->loop;
	rig->settings = p->settings;
	rig->paths = p->paths;
	take_state(rig, st);
	set_user(rig);
	while (rig->incarnation == 0)
		rig->incarnation = random_u64();
	list_init(&rig->calls);
	list_init(&rig->doors);
	list_init(&rig->issues);
	set_limits(rig);
	set_rates(rig);
	err = driver_new(&a->loop, &rig->driver);
	if (err != 0) {
		log_error("%s", err_text(err));
		return err;
	}
	rig->sessions = sessions_new(rig);
	rig->sshd = sshd_new(&a->loop, p->settings);
	if ((err = signal_watch(&a->loop, SIGHUP, on_hangup, rig)) != 0 ||
	    (err = signal_watch(&a->loop, SIGTERM, on_signal, a)) != 0 ||
	    (err = signal_watch(&a->loop, SIGINT, on_signal, a)) != 0) {
		log_error("%s", err_text(err));
		return err;
	}
	if ((err = open_gate(rig)) != 0 || (err = serve_commands(rig)) != 0)
		return err;
	rig->discovery = discovery_new(rig);
	start_watching(a);
	return start_uplinks(rig);
}

static void say_hello(const struct rig *rig)
{
	char pin[PIN_SHORT_LEN + 1];

	log_info("this rig is %s (%s); %zu device%s may come in", rig->name,
		 pin_short(key_pin(rig->key), pin),
		 devices_admitted(&rig->devices),
		 devices_admitted(&rig->devices) == 1 ? "" : "s");
}

static void on_first_code(void *user, int err, const char *code,
			  const char *note)
{
	const struct agent_params *p = user;

	if (err != 0)
		log_warn("no code for a laptop: %s", note);
	else
		p->on_code(code);
}

/* The first start of a rig that listens: nobody could come in without this. */
static void make_first_code(struct rig *rig, const struct agent_params *p)
{
	const struct invite_params ip = { .now = rig_now() };
	struct issue *issue;

	if (p->on_code == NULL || p->settings->rig.listen.len == 0 ||
	    devices_admitted(&rig->devices) > 0 ||
	    invites_open(&rig->invites, rig_now()) > 0)
		return;
	issue_start(rig, &ip, on_first_code, (void *)(uintptr_t)p, &issue);
}

/* Codes carry the port: it is to be the same when the rig starts again. */
static void keep_listening(const struct agent_params *p)
{
	const struct listening *keep = p->keep;
	char *path;
	int err;

	if (keep == NULL || keep->listen == NULL)
		return;
	path = paths_state(p->paths, "rig", "listen");
	err = path != NULL ? listening_save(path, keep) : RW_ERR_IO;
	if (err != 0)
		log_warn("where this rig listens could not be kept for the "
			 "next start: %s",
			 err_text(err));
	else if (keep->listen[0] != '\0')
		log_info("this rig listens on %s at its next start, too, "
			 "unless rig.listen says otherwise; rigway rig "
			 "--no-listen ends that",
			 keep->listen);
	free(path);
}

static void say_ready(int fd)
{
	if (fd < 0)
		return;
	if (write(fd, "", 1) != 1)
		log_debug("whoever started this rig has left");
	close(fd);
}

int agent_run(const struct agent_params *p)
{
	struct agent *a;
	struct agent_state st;
	int err = agent_state_hold(p, &st);

	if (err != 0)
		return err;
	a = calloc(1, sizeof(*a));
	if (a == NULL || loop_init(&a->loop) != 0) {
		log_error("out of memory");
		free(a);
		agent_state_close(&st);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	fdlimit_raise();
	loop_on_shortage(&a->loop, fdlimit_warn, NULL);
	err = agent_start(a, p, &st);
	if (err == 0) {
		say_hello(&a->rig);
		keep_listening(p);
		say_ready(p->ready_fd);
		make_first_code(&a->rig, p);
		uv_run(&a->loop, UV_RUN_DEFAULT);
	}
	agent_done(a);
	/* What was changed meanwhile is the rig's copy. */
	st.devices = a->rig.devices;
	st.invites = a->rig.invites;
	st.relays = a->rig.relays;
	agent_state_close(&st);
	free(a);
	return err == 0 ? 0 : 1;
}

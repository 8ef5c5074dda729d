/* SPDX-License-Identifier: MIT */
#include "client/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fdlimit.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/asks.h"
#include "client/directory.h"
#include "client/join.h"
#include "client/orders.h"
#include "client/talk.h"
#include "client/ssh_config.h"
#include "client/verbs.h"
#include "crypto/hash.h"
#include "net/local.h"
#include "net/loop.h"
#include "net/moment.h"
#include "net/roam.h"
#include "net/wake.h"

#define STOP_MS	   2000
#define STANDBY_MS 200
#define LOG_MAX	   (4 * 1024 * 1024)
#define LOG_MS	   60000 /* its size is looked at so often */

/* -- rigs */

void daemon_adopt(struct daemon *d, struct rigs_row *row)
{
	row->way = way_new(&d->env, row);
}

struct leaver {
	struct daemon *d;
	struct rigs_row *row;
};

static void on_released(void *user)
{
	struct leaver *l = user;

	if (l->row->asks != NULL)
		asks_free(l->row->asks);
	l->d->leavers--;
	free(l->row);
	free(l);
}

void daemon_disown(struct daemon *d, struct rigs_row *row)
{
	struct leaver *l = xcalloc(1, sizeof(*l));

	rigs_forget(&d->rigs, row);
	if (row->asks != NULL)
		asks_end(row->asks);
	l->d = d;
	l->row = row;
	d->leavers++;
	way_release(row->way, on_released, l);
}

static void refresh_ssh(struct daemon *d)
{
	int err = ssh_config_refresh(&d->rigs, d->ssh_config, d->known_hosts);

	if (err < 0)
		log_warn("cannot write what ssh reads (%s): %s", d->known_hosts,
			 err_text(err));
}

int daemon_save_rigs(struct daemon *d)
{
	int err = rigs_save(&d->rigs);

	d->rigs_unsaved = err < 0;
	if (err == 0)
		refresh_ssh(d);
	return err;
}

static void on_welcome(void *user, struct rigs_row *row, bool changed)
{
	struct daemon *d = user;
	int err;

	if (row->pending || !(changed || d->rigs_unsaved))
		return;
	err = daemon_save_rigs(d);
	if (err < 0)
		log_warn("cannot write down what %s says about itself: %s",
			 row->name, err_text(err));
}

/* -- setting up; each step says what is wrong */

static bool read_settings(struct daemon *d)
{
	struct config_errors errs = { .len = 0 };
	int err = settings_load(paths_config_file(&d->paths), &d->settings,
				&errs);

	if (err == 0) {
		log_set_level((enum log_level)d->settings.log.level);
		log_set_limit((unsigned)d->settings.log.lines_per_minute);
		return true;
	}
	for (size_t i = 0; i < errs.len; i++)
		log_error("%s", errs.items[i]);
	if (errs.len == 0)
		log_error("cannot read %s: %s", paths_config_file(&d->paths),
			  err_text(err));
	config_errors_done(&errs);
	settings_init(&d->settings);
	return false;
}

static bool take_lock(struct daemon *d)
{
	const struct timespec pause = { .tv_nsec = STANDBY_MS * 1000000 };
	char *path = paths_lock(&d->paths, "client");
	int err;

	if (path == NULL) {
		log_error("%s", paths_error(&d->paths));
		return false;
	}
	while ((err = file_lock(path, &d->lock_fd)) == RW_ERR_BUSY &&
	       d->is_standby)
		nanosleep(&pause, NULL);
	if (err == RW_ERR_BUSY)
		log_error(TALK_OTHER " (%s)", path);
	else if (err < 0)
		log_error("cannot lock %s: %s", path, err_text(err));
	free(path);
	return err == 0;
}

static bool read_key(struct daemon *d)
{
	char *path = paths_state(&d->paths, "client", "key");
	char *rigs = paths_state(&d->paths, "client", "rigs");
	int err = path != NULL && rigs != NULL ? 0 : -EIO;

	if (err < 0)
		log_error("%s", paths_error(&d->paths));
	else
		err = key_load_or_make(path, paths_machine(&d->paths),
				       access(rigs, F_OK) == 0, &d->key);
	if (err < 0 && path != NULL && rigs != NULL)
		log_error("cannot use the key %s: %s%s", path, err_text(err),
			  err == RW_ERR_PERM ? " (chmod 600 makes it private)"
					     : "");
	free(path);
	free(rigs);
	return err == 0;
}

/* This machine's name as its label among devices. */
static void read_device_name(char out[HELLO_NAME_MAX + 1])
{
	char host[256] = "";
	size_t n = 0;

	gethostname(host, sizeof(host) - 1);
	for (const char *p = host; *p != '\0' && *p != '.'; p++) {
		char one[2] = { *p, '\0' };

		if ((str_is_name(one) || (n > 0 && strchr("_-", *p) != NULL)) &&
		    n < HELLO_NAME_MAX)
			out[n++] = *p;
	}
	out[n] = '\0';
	if (n == 0)
		str_copy(out, HELLO_NAME_MAX + 1, "laptop");
}

static void fill_limits(const struct settings *all, struct session_limits *ret)
{
	const struct settings_session *s = &all->session;

	*ret = (struct session_limits){
		.max_streams = (uint32_t)s->max_streams,
		.send_max = (uint32_t)s->send_max_bytes,
		.carriers_max = (uint32_t)s->carriers_max,
		.in_flight_min = (uint32_t)s->in_flight_min_bytes,
		.keep_s = (uint32_t)(all->client.keep_absent_ms / 1000),
		.ping_interval_us = s->ping_interval_ms * 1000,
		.ping_timeout_us = s->ping_timeout_ms * 1000,
	};
}

static bool make_env(struct daemon *d)
{
	const struct settings_session *s = &d->settings.session;
	int err;

	budget_init(&d->budget, s->budget_bytes, (uint32_t)s->floor_bytes,
		    (uint32_t)s->window_max_bytes);
	fill_limits(&d->settings, &d->env.limits);
	d->env.loop = &d->loop;
	d->env.key = d->key;
	d->env.budget = &d->budget;
	d->env.paths = (enum way_paths)d->settings.client.paths;
	d->env.on_welcome = on_welcome;
	d->env.user = d;
	do
		d->env.incarnation = random_u64();
	while (d->env.incarnation == 0);
	read_device_name(d->env.device);
	err = driver_new(&d->loop, &d->env.driver);
	if (err < 0)
		log_error("%s", err_text(err));
	return err == 0;
}

static bool read_rigs(struct daemon *d)
{
	char *path = paths_state(&d->paths, "client", "rigs"), *text;
	int err;

	d->ssh_config = paths_state(&d->paths, "client", "ssh_config");
	d->known_hosts = paths_state(&d->paths, "client", "known_hosts");
	CHECK(path != NULL && d->ssh_config != NULL && d->known_hosts != NULL);
	err = rigs_load(&d->rigs, path, (size_t)d->settings.client.max_rigs,
			&text);
	free(path);
	if (err < 0) {
		log_error("%s", text);
		free(text);
		return false;
	}
	list_for_each (it, &d->rigs.rows)
		daemon_adopt(d, container_of(it, struct rigs_row, link));
	d->directory = directory_new(&d->env, &d->rigs);
	refresh_ssh(d);
	return true;
}

static bool read_forwards(struct daemon *d)
{
	char *text;
	int err;

	d->forwards.loop = &d->loop;
	d->forwards.settings = &d->settings.client;
	d->forwards.rigs = &d->rigs;
	d->forwards.path = paths_state(&d->paths, "client", "forwards");
	CHECK(d->forwards.path != NULL);
	err = forwards_load(&d->forwards, &text);
	if (err < 0) {
		log_error("%s", text);
		free(text);
	}
	return err == 0;
}

static bool serve(struct daemon *d)
{
	char *path = paths_socket(&d->paths, "client");
	int err;

	if (path == NULL) {
		log_error("%s", paths_error(&d->paths));
		return false;
	}
	err = local_serve(&d->loop, path, verbs_on_request, d, &d->local);
	if (err < 0)
		log_error("cannot listen on %s: %s", path, err_text(err));
	free(path);
	return err == 0;
}

/* -- the running process */

/* A log that grew starts anew; one old part is kept beside it. */
static void turn_log(struct daemon *d)
{
	char *path = paths_state(&d->paths, "client", "log"), *old;
	struct stat here, there;
	int fd;

	if (path == NULL || fstat(STDERR_FILENO, &here) < 0 ||
	    stat(path, &there) < 0 || here.st_ino != there.st_ino ||
	    here.st_dev != there.st_dev || here.st_size < LOG_MAX) {
		free(path);
		return;
	}
	old = xasprintf("%s.1", path);
	if (rename(path, old) == 0) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			  0600);
		if (fd >= 0) {
			dup2(fd, STDERR_FILENO);
			close(fd);
		}
	}
	free(old);
	free(path);
}

/* Every path proves itself within 2 s, and what is down is dialled at once,
 * rather than waiting for silence and for the back-off's end. */
static void kick_all(struct daemon *d)
{
	list_for_each (it, &d->rigs.rows)
		way_kick(container_of(it, struct rigs_row, link)->way);
	directory_kick(d->directory);
}

static void on_wake(void *user, uint64_t away_ms)
{
	struct daemon *d = user;
	char text[FORMAT_CAP];

	d->woke = moment_now();
	d->away_ms = away_ms;
	log_info("awake after %s", format_duration(away_ms, text));
	kick_all(d);
}

static void on_roam(void *user)
{
	struct daemon *d = user;

	d->moved = moment_now();
	log_info("this machine's addresses or routes changed");
	kick_all(d);
}

static void on_log_timer(void *user)
{
	struct daemon *d = user;

	turn_log(d);
	timer_start(d->log_timer, LOG_MS);
}

static void on_stop_signal(void *user, int signum)
{
	(void)signum;
	daemon_stop(user);
}

static void on_hangup(void *user, int signum)
{
	(void)signum;
	log_info("asking every connection (SIGHUP)");
	kick_all(user);
}

void daemon_stop(struct daemon *d)
{
	d->is_stopping = true;
	uv_stop(&d->loop);
}

static bool watch_signals(struct daemon *d)
{
	return signal_watch(&d->loop, SIGTERM, on_stop_signal, d) == 0 &&
	       signal_watch(&d->loop, SIGINT, on_stop_signal, d) == 0 &&
	       signal_watch(&d->loop, SIGHUP, on_hangup, d) == 0;
}

static bool set_up(struct daemon *d)
{
	return read_settings(d) && take_lock(d) && read_key(d) && make_env(d) &&
	       read_rigs(d) && read_forwards(d) && watch_signals(d) && serve(d);
}

static void say_ready(int ready_fd)
{
	ssize_t n;

	if (ready_fd < 0)
		return;
	n = write(ready_fd, "1", 1);
	(void)n;
	close(ready_fd);
}

static void run(struct daemon *d)
{
	const struct wake_params wp = { .loop = &d->loop,
					.on_wake = on_wake,
					.user = d };

	d->started = moment_now();
	d->wake = wake_new(&wp);
	d->roam = roam_new(&d->loop, on_roam, d);
	d->log_timer = timer_new(&d->loop, on_log_timer, d);
	timer_start(d->log_timer, LOG_MS);
	log_info("started; %zu rig%s, %zu forward%s", d->rigs.count,
		 d->rigs.count == 1 ? "" : "s", d->forwards.count,
		 d->forwards.count == 1 ? "" : "s");
	while (!d->is_stopping)
		uv_run(&d->loop, UV_RUN_DEFAULT);
	wake_free(d->wake);
	roam_free(d->roam);
	timer_free(d->log_timer);
	log_info("stopping");
}

static void set_flag(void *user)
{
	*(bool *)user = true;
}

/* Ends all sessions, with a word to the rigs as far as there is time. */
static void release_rigs(struct daemon *d)
{
	bool is_late = false;
	struct timer *guard = timer_new(&d->loop, set_flag, &is_late);
	struct list *it;

	while ((it = list_first(&d->rigs.rows)) != NULL)
		daemon_disown(d, container_of(it, struct rigs_row, link));
	timer_start(guard, STOP_MS);
	while (d->leavers > 0 && !is_late)
		uv_run(&d->loop, UV_RUN_ONCE);
	timer_free(guard);
	rigs_done(&d->rigs);
}

/* In the order of who uses whom; what was never made is NULL or empty. */
static void tear_down(struct daemon *d)
{
	d->is_stopping = true;
	orders_end_all(d);
	join_end_all(d);
	if (d->forwards.path != NULL)
		forwards_close(&d->forwards);
	if (d->directory != NULL)
		directory_free(d->directory);
	verbs_end(d);
	if (d->rigs.path != NULL)
		release_rigs(d);
	local_free(d->local);
	if (d->env.driver != NULL && d->leavers == 0)
		driver_free(d->env.driver);
	loop_run_close(&d->loop);
	forwards_done(&d->forwards);
	key_free(d->key);
	settings_done(&d->settings);
	free(d->ssh_config);
	free(d->known_hosts);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	paths_done(&d->paths);
}

int daemon_run(int ready_fd, bool standby)
{
	struct daemon *d = xcalloc(1, sizeof(*d));
	bool ok = false;

	d->is_standby = standby;
	d->lock_fd = -1;
	list_init(&d->looks);
	list_init(&d->joins);
	list_init(&d->orders);
	list_init(&d->forwards.rows);
	fdlimit_raise();
	CHECK(loop_init(&d->loop) == 0);
	loop_on_shortage(&d->loop, fdlimit_warn, NULL);
	if (paths_init(&d->paths) < 0)
		log_error("%s", paths_error(&d->paths));
	else
		ok = set_up(d);
	if (ok) {
		say_ready(ready_fd);
		run(d);
	}
	tear_down(d);
	free(d);
	return ok ? 0 : 1;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"

/* How long a service is watched after its start. */
#define WATCH_STEP_MS 100
#define WATCH_STEPS   10

/* -- asking it ------------------------------------------------------------- */

/* A login by cron or su names no folder for systemd's socket. */
static void find_runtime_dir(void)
{
	char *dir = xasprintf("/run/user/%ju", (uintmax_t)geteuid());
	const char *given = getenv("XDG_RUNTIME_DIR");

	if ((given == NULL || given[0] == '\0') && access(dir, X_OK) == 0)
		setenv("XDG_RUNTIME_DIR", dir, 1);
	free(dir);
}

static int ask(enum boot_level level, const char *verb, const char *name,
	       struct buf *out)
{
	const char *argv[6] = { "systemctl" };
	size_t n = 1;

	if (level == BOOT_USER) {
		find_runtime_dir();
		argv[n++] = "--user";
	}
	argv[n++] = "--no-ask-password";
	argv[n++] = verb;
	argv[n] = name;
	return boot_run(argv, NULL, out);
}

/* "systemd 252 (252.38-1~deb12u1)"; 0 where it says anything else. */
static unsigned get_version(void)
{
	static const char *const argv[] = { "systemctl", "--version", NULL };
	struct buf out = { 0 };
	uint64_t version = 0;
	char *text;

	if (boot_run(argv, NULL, &out) == 0 &&
	    str_has_prefix(buf_text(&out), "systemd ")) {
		text = buf_text(&out) + strlen("systemd ");
		text[strspn(text, "0123456789")] = '\0';
		if (parse_u64(text, 1, 100000, &version) != 0)
			version = 0;
	}
	buf_done(&out);
	return (unsigned)version;
}

static char *why_not(const struct boot_job *job)
{
	struct buf out = { 0 };
	char *line, *text = NULL;

	if (job->level == BOOT_SYSTEM) {
		if (access("/run/systemd/system", F_OK) != 0)
			return xstrdup("systemd does not run here");
		if (geteuid() != 0)
			return xstrdup("only root may make a service of the "
				       "system");
		return NULL;
	}
	if (ask(BOOT_USER, "show-environment", NULL, &out) != 0) {
		line = boot_first_line(&out);
		text = xasprintf("there is no systemd for this user here%s%s",
				 line[0] != '\0' ? ": " : "", line);
		free(line);
	}
	buf_done(&out);
	return text;
}

/* -- files ----------------------------------------------------------------- */

static char *unit_file(const struct boot_job *job)
{
	const char *config = getenv("XDG_CONFIG_HOME");

	if (job->level == BOOT_SYSTEM)
		return xasprintf("/etc/systemd/system/%s.service", job->name);
	if (config != NULL && config[0] == '/')
		return xasprintf("%s/systemd/user/%s.service", config,
				 job->name);
	return xasprintf("%s/.config/systemd/user/%s.service", job->user_home,
			 job->name);
}

/* -- accounts -------------------------------------------------------------- */

static int make_account(const struct boot_job *job, json_t *report,
			char **ret_text)
{
	const char *const argv[] = { "useradd",	     "--system",
				     "--user-group", "--no-create-home",
				     "--home-dir",   job->user_home,
				     "--shell",	     "/usr/sbin/nologin",
				     job->user,	     NULL };
	struct buf out = { 0 };
	char *line, *note;
	int status;

	/* 9: it is there already. */
	status = boot_run(argv, NULL, &out);
	line = boot_first_line(&out);
	if (status == 0) {
		note = xasprintf("made the account %s, for this service alone",
				 job->user);
		boot_add(report, "notes", note);
		free(note);
	} else if (status != 9) {
		*ret_text =
			xasprintf("cannot make the account %s: %s", job->user,
				  line[0] != '\0' ? line : "no useradd here");
	}
	free(line);
	buf_done(&out);
	return status == 0 || status == 9 ? 0 : RW_ERR_IO;
}

static bool lingers(const char *user)
{
	char *path = xasprintf("/var/lib/systemd/linger/%s", user);
	const bool yes = access(path, F_OK) == 0;

	free(path);
	return yes;
}

/* A user's services start with the machine only where the user lingers. */
static void ask_linger(const struct boot_job *job, json_t *report)
{
	const char *const argv[] = { "loginctl", "enable-linger", job->user,
				     NULL };
	bool had = lingers(job->user);
	char *note;

	if (!had && boot_run(argv, NULL, NULL) == 0 && lingers(job->user))
		boot_add(report, "notes",
			 "turned lingering on, so that it starts before "
			 "anybody logs in");
	if (lingers(job->user))
		return;
	json_object_set_new(report, "at_boot", json_false());
	note = xasprintf("it starts when %s logs in, and ends when %s has "
			 "logged out; to start it with the machine, as root: "
			 "loginctl enable-linger %s",
			 job->user, job->user, job->user);
	boot_add(report, "notes", note);
	free(note);
}

/* -- install --------------------------------------------------------------- */

static int command(const struct boot_job *job, const char *verb,
		   const char *name, char **ret_text)
{
	struct buf out = { 0 };
	int status = ask(job->level, verb, name, &out);
	char *line;

	if (status != 0) {
		line = boot_first_line(&out);
		*ret_text = xasprintf("systemctl %s fails: %s", verb, line);
		free(line);
	}
	buf_done(&out);
	return status == 0 ? 0 : RW_ERR_IO;
}

/* Whether it runs, and goes on running for a moment. */
static bool watch(const struct boot_job *job, const char *unit)
{
	const struct timespec step = { .tv_nsec = WATCH_STEP_MS * 1000000 };
	bool is_up = false;

	for (unsigned i = 0; i < WATCH_STEPS; i++) {
		is_up = ask(job->level, "is-active", unit, NULL) == 0;
		if (!is_up && i > WATCH_STEPS / 2)
			break;
		nanosleep(&step, NULL);
	}
	return is_up;
}

static void say_log(const struct boot_job *job, json_t *report)
{
	char *log =
		xasprintf("journalctl %s-u %s",
			  job->level == BOOT_USER ? "--user " : "", job->name);

	json_object_set_new(report, "log", json_string(log));
	free(log);
}

/* A relay's new start cuts nothing; a rig's would. */
static int start(const struct boot_job *job, const char *unit, bool changed,
		 json_t *report, char **ret_text)
{
	const bool is_up = ask(job->level, "is-active", unit, NULL) == 0;
	char *note;

	if (!is_up || (changed && strcmp(job->role, "relay") == 0))
		return command(job, "restart", unit, ret_text);
	if (!changed)
		return 0;
	note = xasprintf("it runs, and goes on as it is; what is new counts "
			 "after: systemctl %srestart %s",
			 job->level == BOOT_USER ? "--user " : "", job->name);
	boot_add(report, "notes", note);
	free(note);
	return 0;
}

static int enable(const struct boot_job *job, bool changed, json_t *report,
		  char **ret_text)
{
	char *unit = xasprintf("%s.service", job->name);
	int err = 0;

	if (changed)
		err = command(job, "daemon-reload", NULL, ret_text);
	if (err == 0 &&
	    (changed || ask(job->level, "is-enabled", unit, NULL) != 0))
		err = command(job, "enable", unit, ret_text);
	if (err == 0 && strcmp(job->role, "client") != 0)
		err = start(job, unit, changed, report, ret_text);
	if (err == 0 && strcmp(job->role, "client") != 0)
		json_object_set_new(report, "running",
				    json_boolean(watch(job, unit)));
	free(unit);
	return err;
}

static int install(const struct boot_job *job, json_t *report, char **ret_text)
{
	char *path = unit_file(job), *text = boot_unit(job, get_version());
	bool changed = false;
	int err = job->is_own ? make_account(job, report, ret_text) : 0;

	if (err == 0)
		err = boot_write(path, BOOT_MARK, text, &changed, ret_text);
	json_object_set_new(report, "unit", json_string(path));
	if (err == 0 && changed)
		boot_add(report, "wrote", path);
	if (err == 0) {
		json_object_set_new(report, "at_boot", json_true());
		err = enable(job, changed, report, ret_text);
	}
	if (err == 0 && job->level == BOOT_USER &&
	    strcmp(job->role, "client") != 0)
		ask_linger(job, report);
	if (err == 0)
		say_log(job, report);
	free(path);
	free(text);
	return err;
}

/* -- uninstall ------------------------------------------------------------- */

static int uninstall(const struct boot_job *job, json_t *report,
		     char **ret_text)
{
	char *path = unit_file(job), *unit = xasprintf("%s.service", job->name);
	struct buf text = { 0 };
	int err = file_read(path, 64 * 1024, &text);

	if (err != 0 || !str_has_prefix(buf_text(&text), BOOT_MARK)) {
		err = 0; /* there is none, or it is not ours */
		goto out;
	}
	/* The laptop's process goes on until its next login. */
	if (strcmp(job->role, "client") != 0)
		ask(job->level, "stop", unit, NULL);
	ask(job->level, "disable", unit, NULL);
	if (unlink(path) != 0) {
		err = -errno;
		*ret_text =
			xasprintf("cannot remove %s: %s", path, err_text(err));
		goto out;
	}
	boot_add(report, "removed", path);
	ask(job->level, "daemon-reload", NULL, NULL);
	ask(job->level, "reset-failed", unit, NULL);
out:
	buf_done(&text);
	free(path);
	free(unit);
	return err;
}

const struct boot_way boot_systemd = { "systemd", why_not, install, uninstall };

/* SPDX-License-Identifier: MIT */
/* The laptop's process starts at login while it keeps forwards. Which way was
 * taken stands in state/client/login, so that one that is there costs a
 * command nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "client/talk.h"
#include "cmd/boot.h"
#include "cmd/setup.h"
#include "cmd/show.h"

#define NO_WAY "none"

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0';
}

static bool is_wanted(const struct setup *s, bool any_kept)
{
	const int when = s->settings.client.start_at_login;

	if (when == LOGIN_AUTO)
		return any_kept && !is_set("RIGWAY_HOME");
	return any_kept && when == LOGIN_YES;
}

static const char *at_login(const char *by)
{
	return strcmp(by, "cron") == 0 ? "when this machine starts"
				       : "when you log in";
}

/* The note first: what is installed without one would never be taken out. */
static void begin(const struct boot_job *job, const char *note)
{
	json_t *report = NULL;
	char *text = NULL;
	const char *by = NO_WAY;
	int err = file_write_atomic(note, by, strlen(by), 0600);

	if (err != 0) {
		fprintf(stderr,
			"rigway: note: after a reboot this comes back with "
			"your first rigway command, not before: cannot write "
			"%s: %s\n",
			note, err_text(err));
		return;
	}
	if (boot_install(job, NULL, &report, &text) == 0) {
		by = show_text(report, "by", NO_WAY);
		fprintf(stderr,
			"rigway: from now on this comes back by itself %s "
			"(%s; client.start_at_login: no turns that off)\n",
			at_login(by), by);
	} else {
		fprintf(stderr,
			"rigway: note: after a reboot this comes back with "
			"your first rigway command, not before: %s\n",
			text);
	}
	(void)file_write_atomic(note, by, strlen(by), 0600);
	json_decref(report);
	free(text);
}

static void end(const struct boot_job *job, const char *note)
{
	json_t *report = NULL;
	char *text = NULL;

	if (boot_uninstall(job, &report, &text) != 0) {
		fprintf(stderr, "rigway: note: %s\n", text);
		free(text);
		return;
	}
	if (json_array_size(json_object_get(report, "removed")) > 0)
		fprintf(stderr, "rigway: nothing starts by itself any more\n");
	json_decref(report);
	(void)unlink(note);
}

static void login_keep(struct setup *s, bool any_kept)
{
	const struct boot_params p = {
		.role = "client",
		.level = BOOT_USER,
		.paths = &s->paths,
	};
	const bool wanted = is_wanted(s, any_kept);
	char *note = paths_state(&s->paths, "client", "login");
	struct boot_job job = { .role = NULL };

	if (note != NULL && wanted != (access(note, F_OK) == 0) &&
	    boot_init(&job, &p) == 0) {
		if (wanted)
			begin(&job, note);
		else
			end(&job, note);
	}
	boot_done(&job);
	free(note);
}

static int look(void *user, json_t *line, int fd)
{
	const json_t *fw = json_object_get(line, "forward");

	if (fd >= 0)
		close(fd);
	if (json_is_true(json_object_get(fw, "kept")))
		*(bool *)user = true;
	return 0;
}

void login_after_unforward(void)
{
	struct setup s;
	bool any = false;

	if (setup_init(&s, "rigway") == 0 &&
	    talk(json_pack("{s:s}", "do", "status"), look, &any) == 0)
		login_keep(&s, any);
	setup_done(&s);
}

void login_after_forward(void)
{
	struct setup s;

	if (setup_init(&s, "rigway") == 0)
		login_keep(&s, true);
	setup_done(&s);
}

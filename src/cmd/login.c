/* SPDX-License-Identifier: MIT */
/* The laptop's process starts at login while it keeps forwards. Which way was
 * taken stands in state/client/login, so that one that is there costs a
 * command nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/talk.h"
#include "cmd/boot.h"
#include "cmd/setup.h"
#include "cmd/show.h"

#define NO_WAY "none"

/* -- a desktop's own list of what to start --------------------------------- */

#define ENTRY_MARK "[Desktop Entry]\n# Written by rigway"

static char *entry_file(const struct boot_job *job)
{
	const char *config = getenv("XDG_CONFIG_HOME");

	if (config != NULL && config[0] == '/')
		return xasprintf("%s/autostart/%s.desktop", config, job->name);
	return xasprintf("%s/.config/autostart/%s.desktop", job->user_home,
			 job->name);
}

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0';
}

static char *why_not(const struct boot_job *job)
{
	if (strcmp(job->role, "client") != 0)
		return xstrdup("a desktop starts only what belongs to a login");
	if (!is_set("XDG_CURRENT_DESKTOP") && !is_set("DISPLAY") &&
	    !is_set("WAYLAND_DISPLAY"))
		return xstrdup("there is no desktop here");
	return NULL;
}

/* Desktop Entry Specification, "The Exec key": in double quotes, with a
 * backslash before some, which the value's own escapes double; % is %%. */
static void put_exec(struct buf *b, const char *text)
{
	buf_printf(b, "\"");
	for (; *text != '\0'; text++) {
		if (strchr("\"`$\\", *text) != NULL)
			buf_printf(b, "\\\\%s%c", *text == '\\' ? "\\" : "",
				   *text);
		else if (*text == '%')
			buf_printf(b, "%%%%");
		else
			buf_append(b, text, 1);
	}
	buf_printf(b, "\"");
}

static int install(const struct boot_job *job, json_t *report, char **ret_text)
{
	char *path = entry_file(job);
	struct buf b = { 0 };
	bool changed = false;
	int err;

	buf_printf(&b, ENTRY_MARK "\nType=Application\n"
				  "Name=Rigway\n"
				  "Comment=Forwarded ports\n"
				  "NoDisplay=true\n"
				  "Exec=");
	if (job->env[0] != NULL)
		buf_printf(&b, "env ");
	for (size_t i = 0; job->env[i] != NULL; i++) {
		put_exec(&b, job->env[i]);
		buf_printf(&b, " ");
	}
	put_exec(&b, job->program);
	buf_printf(&b, " daemon --standby\n");
	err = boot_write(path, ENTRY_MARK, buf_text(&b), &changed, ret_text);
	if (err == 0 && changed)
		boot_add(report, "wrote", path);
	buf_done(&b);
	free(path);
	return err;
}

static int uninstall(const struct boot_job *job, json_t *report,
		     char **ret_text)
{
	char *path = entry_file(job);
	struct buf text = { 0 };
	int err = 0;

	if (file_read(path, 64 * 1024, &text) == 0 &&
	    str_has_prefix(buf_text(&text), ENTRY_MARK)) {
		err = unlink(path) == 0 ? 0 : -errno;
		if (err == 0)
			boot_add(report, "removed", path);
		else
			*ret_text = xasprintf("cannot remove %s: %s", path,
					      err_text(err));
	}
	buf_done(&text);
	free(path);
	return err;
}

const struct boot_way boot_autostart = { "autostart", why_not, install,
					 uninstall };

/* -- while forwards are kept ----------------------------------------------- */

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

static void begin(const struct boot_job *job, const char *note)
{
	json_t *report = NULL;
	char *text = NULL;
	const char *by = NO_WAY;

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

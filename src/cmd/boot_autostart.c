/* SPDX-License-Identifier: MIT */
/* A desktop's own list of what to start at a login: for laptops without a
 * systemd of the user's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"

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

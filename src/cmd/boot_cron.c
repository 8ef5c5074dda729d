/* SPDX-License-Identifier: MIT */
/* cron's @reboot starts a supervisor, which restarts what it runs. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"

static int ask(const struct boot_job *job, const char *what, const char *input,
	       struct buf *out)
{
	const char *argv[5] = { "crontab" };
	size_t n = 1;

	if (job->is_other) {
		argv[n++] = "-u";
		argv[n++] = job->user;
	}
	argv[n] = what;
	return boot_run(argv, input, out);
}

static bool is_cron(const char *pid)
{
	char *path = xasprintf("/proc/%s/comm", pid);
	struct buf name = { 0 };
	bool yes = isdigit((unsigned char)pid[0]) != 0 &&
		   file_read(path, 64, &name) == 0 &&
		   (strcmp(buf_text(&name), "cron\n") == 0 ||
		    strcmp(buf_text(&name), "crond\n") == 0 ||
		    strcmp(buf_text(&name), "fcron\n") == 0);

	buf_done(&name);
	free(path);
	return yes;
}

/* crontab may be there where no cron runs, in a container for example. */
static bool cron_runs(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	bool found = false;

	while (proc != NULL && !found && (e = readdir(proc)) != NULL)
		found = is_cron(e->d_name);
	if (proc != NULL)
		closedir(proc);
	return found;
}

/* The whole table, "" where there is none yet: crontab says that by failing,
 * but what fails otherwise must not be taken for an empty table. */
static int read_table(const struct boot_job *job, char **ret, char **ret_text)
{
	struct buf out = { 0 };
	const int status = ask(job, "-l", NULL, &out);
	const char *said = buf_text(&out);
	const bool is_none =
		status > 0 &&
		(said[0] == '\0' || strcasestr(said, "no crontab") != NULL ||
		 strcasestr(said, "no fcrontab") != NULL ||
		 strcasestr(said, "no such file") != NULL);
	char *line;

	if (status == 0 || is_none) {
		*ret = xstrdup(is_none ? "" : said);
	} else {
		line = boot_first_line(&out);
		*ret_text = xasprintf("crontab refuses to be read: %s", line);
		free(line);
	}
	buf_done(&out);
	return status == 0 || is_none ? 0 : RW_ERR_NOT_ALLOWED;
}

static bool has_crontab(void)
{
	static const char *const argv[] = { "sh", "-c", "command -v crontab",
					    NULL };

	return boot_run(argv, NULL, NULL) == 0;
}

static char *why_not(const struct boot_job *job)
{
	(void)job;
	if (!has_crontab())
		return xstrdup("there is no crontab here");
	if (!cron_runs())
		return xstrdup("no cron runs here");
	return NULL;
}

/* In single quotes for sh; cron makes a newline of each % without a \. */
static void put_quoted(struct buf *b, const char *text)
{
	buf_printf(b, "'");
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			buf_printf(b, "'\\''");
		else if (*text == '%')
			buf_printf(b, "\\%%");
		else
			buf_append(b, text, 1);
	}
	buf_printf(b, "'");
}

static char *make_line(const struct boot_job *job)
{
	struct buf b = { 0 };
	char *text;

	buf_printf(&b, "@reboot ");
	for (size_t i = 0; job->env[i] != NULL; i++) {
		const char *value = strchr(job->env[i], '=') + 1;

		buf_append(&b, job->env[i], (size_t)(value - job->env[i]));
		put_quoted(&b, value);
		buf_printf(&b, " ");
	}
	put_quoted(&b, job->program);
	buf_printf(&b, " supervise %s", job->role);
	for (size_t i = 0; job->args != NULL && job->args[i] != NULL; i++) {
		buf_printf(&b, " ");
		put_quoted(&b, job->args[i]);
	}
	buf_printf(&b, " # %s", job->name);
	text = xstrdup(buf_text(&b));
	buf_done(&b);
	return text;
}

static bool is_ours(const struct boot_job *job, const char *line)
{
	char *end = xasprintf(" # %s", job->name);
	size_t len = strlen(line), tail = strlen(end);
	bool yes = str_has_prefix(line, "@reboot ") && len > tail &&
		   strcmp(line + len - tail, end) == 0;

	free(end);
	return yes;
}

/* The table without our line, and with `line` at its end unless that is NULL;
 * *ret_had: our lines that were there. */
static char *edit(const struct boot_job *job, const char *table,
		  const char *line, unsigned *ret_had)
{
	char *copy = xstrdup(table), *rest = copy, *one, *text;
	struct buf b = { 0 };

	*ret_had = 0;
	while ((one = strsep(&rest, "\n")) != NULL) {
		if (is_ours(job, one))
			++*ret_had;
		else if (rest != NULL || one[0] != '\0')
			buf_printf(&b, "%s\n", one);
	}
	if (line != NULL)
		buf_printf(&b, "%s\n", line);
	text = xstrdup(buf_text(&b));
	buf_done(&b);
	free(copy);
	return text;
}

static int write_table(const struct boot_job *job, const char *table,
		       char **ret_text)
{
	struct buf out = { 0 };
	/* Nobody's table is left lying about empty. */
	int status = table[0] != '\0' ? ask(job, "-", table, &out)
				      : ask(job, "-r", NULL, &out);
	char *line;

	if (status != 0) {
		line = boot_first_line(&out);
		*ret_text = xasprintf("crontab refuses: %s", line);
		free(line);
	}
	buf_done(&out);
	return status == 0 ? 0 : RW_ERR_NOT_ALLOWED;
}

static int install(const struct boot_job *job, json_t *report, char **ret_text)
{
	char *line, *old, *new;
	unsigned had;
	int err = read_table(job, &old, ret_text);

	if (err != 0)
		return err;
	line = make_line(job);
	new = edit(job, old, line, &had);
	if (strcmp(old, new) != 0) {
		err = write_table(job, new, ret_text);
		if (err == 0)
			boot_add(report, "wrote", line);
	}
	if (err == 0) {
		json_object_set_new(report, "at_boot", json_true());
		json_object_set_new(report, "crontab", json_string(line));
	}
	free(line);
	free(old);
	free(new);
	if (err != 0 || strcmp(job->role, "client") == 0)
		return err;
	return boot_supervisor.install(job, report, ret_text);
}

static int uninstall(const struct boot_job *job, json_t *report,
		     char **ret_text)
{
	char *old, *new;
	unsigned had;
	int err;

	if (!has_crontab())
		return 0;
	err = read_table(job, &old, ret_text);
	if (err != 0)
		return err;
	new = edit(job, old, NULL, &had);
	if (had > 0) {
		err = write_table(job, new, ret_text);
		if (err == 0)
			boot_add(report, "removed", "a line of the crontab");
	}
	free(old);
	free(new);
	return err;
}

const struct boot_way boot_cron = { "cron", why_not, install, uninstall };

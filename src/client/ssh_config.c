/* SPDX-License-Identifier: MIT */
#include "client/ssh_config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/rigs.h"
#include "client/self.h"
#include "config/paths.h"

#define LINKS_MAX    40 /* as the kernel's */
#define FILE_LEN_MAX (4u * 1024 * 1024)

/* -- the state, for the commands */

static int open_files(struct ssh_config_files *f, struct paths *paths)
{
	char *rigs = NULL;
	int err;

	f->config = paths_state(paths, "client", "ssh_config");
	f->known_hosts = paths_state(paths, "client", "known_hosts");
	rigs = paths_state(paths, "client", "rigs");
	if (f->config == NULL || f->known_hosts == NULL || rigs == NULL) {
		f->error = xstrdup(paths_error(paths));
		err = RW_ERR_IO;
	} else {
		err = rigs_load(&f->rigs, rigs, SIZE_MAX, &f->error);
	}
	free(rigs);
	return err;
}

int ssh_config_open(struct ssh_config_files *f)
{
	struct paths paths;
	int err;

	memset(f, 0, sizeof(*f));
	list_init(&f->rigs.rows);
	err = paths_init(&paths);
	if (err < 0)
		f->error = xstrdup(paths_error(&paths));
	else
		err = open_files(f, &paths);
	paths_done(&paths);
	return err;
}

void ssh_config_close(struct ssh_config_files *f)
{
	rigs_done(&f->rigs);
	free(f->config);
	free(f->known_hosts);
	free(f->error);
}

/* -- what a rig says is not trusted to be harmless in a file of ssh */

const char *ssh_config_user(const struct rigs_row *row)
{
	const char *user = row->info.user;

	if (!isalnum((unsigned char)user[0]) && user[0] != '_')
		return NULL;
	for (const char *p = user; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("._-$", *p) == NULL)
			return NULL;
	return user;
}

/* "ssh-ed25519 AAAA...": a type, a blank, base64. */
static bool is_host_key(const char *line, size_t len)
{
	size_t i = 0;

	while (i < len && (isalnum((unsigned char)line[i]) ||
			   (i > 0 && strchr("-@.", line[i]) != NULL)))
		i++;
	if (i == 0 || i >= len - 1 || line[i] != ' ')
		return false;
	for (i++; i < len; i++)
		if (!isalnum((unsigned char)line[i]) &&
		    strchr("+/=", line[i]) == NULL)
			return false;
	return true;
}

/* ssh asks in lower case; only a Host line is compared with what was typed. */
static void host_name(const struct rigs_row *row, char out[RIGS_NAME_CAP])
{
	size_t i;

	for (i = 0; row->name[i] != '\0'; i++)
		out[i] = (char)tolower((unsigned char)row->name[i]);
	out[i] = '\0';
}

static int write_known_hosts(const struct rigs *rigs, struct buf *out)
{
	int err = buf_printf(out, "# Written by rigway; changes are lost.\n");

	list_for_each (it, &rigs->rows) {
		const struct rigs_row *row =
			container_of(it, struct rigs_row, link);
		char host[RIGS_NAME_CAP];

		if (row->pending)
			continue;
		host_name(row, host);
		for (const char *at = row->info.host_keys; *at != '\0';) {
			size_t len = strcspn(at, "\n");

			if (err == 0 && is_host_key(at, len))
				err = buf_printf(out, "%s.rig %.*s\n", host,
						 (int)len, at);
			at += len + (at[len] != '\0');
		}
	}
	return err;
}

/* -- the block */

char *ssh_config_percent(const char *text)
{
	char *out = xmalloc(2 * strlen(text) + 1), *to = out;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '%')
			*to++ = '%';
		*to++ = *p;
	}
	*to = '\0';
	return out;
}

/* In single quotes for the shell too. */
static char *shell_quote(const char *text)
{
	struct buf b = { .len = 0 };
	char *out;
	int err = buf_append(&b, "'", 1);

	for (const char *p = text; *p != '\0' && err == 0; p++)
		err = *p == '\''  ? buf_append(&b, "'\\''", 4)
		      : *p == '%' ? buf_append(&b, "%%", 2)
				  : buf_append(&b, p, 1);
	if (err == 0)
		err = buf_append(&b, "'", 1);
	CHECK(err == 0);
	out = xstrdup(buf_text(&b));
	buf_done(&b);
	return out;
}

char *ssh_config_proxy(const struct ssh_config_params *p)
{
	char *self = shell_quote(p->self);
	char *home = p->home != NULL ? shell_quote(p->home) : NULL;
	char *out;

	if (home != NULL)
		out = xasprintf("env RIGWAY_HOME=%s %s connect --fdpass "
				"%%h %%h:%%p",
				home, self);
	else
		out = xasprintf("%s connect --fdpass %%h %%h:%%p", self);
	free(home);
	free(self);
	return out;
}

static int write_rig(const struct rigs_row *row, struct buf *out)
{
	const char *user = ssh_config_user(row);
	char host[RIGS_NAME_CAP];
	int err;

	host_name(row, host);
	err = buf_printf(out, "Host %s.rig", host);
	if (err == 0 && strcmp(host, row->name) != 0)
		err = buf_printf(out, " %s.rig", row->name);
	if (err == 0)
		err = buf_printf(out, "\n\tHostKeyAlias %s.rig\n", host);
	if (err == 0 && user != NULL)
		err = buf_printf(out, "\tUser %s\n", user);
	return err == 0 ? buf_append(out, "\n", 1) : err;
}

/* ServerAliveInterval and TCPKeepAlive off: rigway carries the session over a
 * cut, which ssh itself would take for the end. */
int ssh_config_write(const struct rigs *rigs, const struct ssh_config_params *p,
		     struct buf *out)
{
	char *proxy = ssh_config_proxy(p),
	     *hosts = ssh_config_percent(p->known_hosts);
	int err = buf_printf(out, "# Written by `rigway ssh-config`; changes "
				  "are lost.\n");

	list_for_each (it, &rigs->rows) {
		const struct rigs_row *row =
			container_of(it, struct rigs_row, link);

		if (err == 0 && !row->pending)
			err = write_rig(row, out);
	}
	if (err == 0)
		err = buf_printf(out,
				 "Host *.rig\n"
				 "\tPort 22\n"
				 "\tProxyCommand %s\n"
				 "\tProxyUseFdpass yes\n"
				 "\tUserKnownHostsFile \"%s\"\n"
				 "\tGlobalKnownHostsFile /dev/null\n"
				 "\tStrictHostKeyChecking yes\n"
				 "\tUpdateHostKeys no\n"
				 "\tCheckHostIP no\n"
				 "\tServerAliveInterval 0\n"
				 "\tTCPKeepAlive no\n",
				 proxy, hosts);
	free(proxy);
	free(hosts);
	return err;
}

/* -- files */

static int write_if_changed(const char *path, struct buf *text)
{
	struct buf old = { .len = 0 };
	size_t len, old_len;
	uint8_t *data = buf_peek(text, &len), *old_data;
	int err = file_read(path, FILE_LEN_MAX, &old);
	bool same;

	old_data = buf_peek(&old, &old_len);
	same = err == 0 && old_len == len &&
	       (len == 0 || memcmp(data, old_data, len) == 0);
	buf_done(&old);
	return same ? 0 : file_write_atomic(path, data, len, 0600);
}

int ssh_config_refresh(const struct rigs *rigs, const char *config,
		       const char *known_hosts)
{
	struct buf out = { .len = 0 };
	int err = write_known_hosts(rigs, &out);

	if (err == 0)
		err = write_if_changed(known_hosts, &out);
	buf_reset(&out);
	if (err == 0 && access(config, F_OK) == 0) {
		char *self = self_path(), *home = self_home();
		struct ssh_config_params p = {
			.self = self != NULL ? self : "rigway",
			.home = home,
			.known_hosts = known_hosts,
		};

		err = ssh_config_write(rigs, &p, &out);
		if (err == 0)
			err = write_if_changed(config, &out);
		free(self);
		free(home);
	}
	buf_done(&out);
	return err;
}

/* -- the user's own file */

bool ssh_config_can_include(const char *path)
{
	/* It knows no way to write a quote, and takes the rest for patterns. */
	return strpbrk(path, "\"\\*?[\n\r") == NULL;
}

static char *include_line(const char *path)
{
	return strpbrk(path, " \t'") != NULL
		       ? xasprintf("Include \"%s\"\n", path)
		       : xasprintf("Include %s\n", path);
}

/* Where line (which ends in \n) stands in text as a whole line; SIZE_MAX. */
static size_t find_line(const char *text, size_t len, const char *line)
{
	size_t line_len = strlen(line), at = 0;

	while (at < len) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t next = end != NULL ? (size_t)(end - text) + 1 : len;
		size_t have = next - at;

		/* The last line may lack its end. */
		if ((have == line_len ||
		     (end == NULL && have + 1 == line_len)) &&
		    memcmp(text + at, line, MIN(have, line_len)) == 0)
			return at;
		at = next;
	}
	return SIZE_MAX;
}

/* text without every such line; whether there was one. */
static int drop_lines(const char *text, size_t len, const char *line,
		      struct buf *out)
{
	size_t at;
	int changed = 0;

	while ((at = find_line(text, len, line)) != SIZE_MAX) {
		size_t skip = MIN(strlen(line), len - at);

		if (buf_append(out, text, at) < 0)
			return RW_ERR_NOMEM;
		text += at + skip;
		len -= at + skip;
		changed = 1;
	}
	return buf_append(out, text, len) < 0 ? RW_ERR_NOMEM : changed;
}

int ssh_config_include(const char *text, size_t len, const char *path,
		       struct buf *out)
{
	char *line = include_line(path);
	int err = 0;

	if (find_line(text, len, line) == 0) {
		err = buf_append(out, text, len);
	} else {
		err = buf_append(out, line, strlen(line));
		if (err == 0)
			err = drop_lines(text, len, line, out);
		if (err >= 0)
			err = 1;
	}
	free(line);
	return err;
}

int ssh_config_exclude(const char *text, size_t len, const char *path,
		       struct buf *out)
{
	char *line = include_line(path);
	int err = drop_lines(text, len, line, out);

	free(line);
	return err;
}

/* The folder of file, made with mode 0700 where it is missing. */
static int make_folder(const char *file)
{
	char *dir = xstrdup(file), *slash = strrchr(dir, '/');
	int err = 0;

	if (slash != NULL && slash != dir) {
		*slash = '\0';
		err = file_mkdirs(dir, 0700);
	}
	free(dir);
	return err;
}

/* What the link at path says, relative to where it stands; to be freed. NULL
 * where there is no link. */
static char *read_link(const char *path)
{
	char to[PATH_MAX];
	const char *slash = strrchr(path, '/');
	ssize_t n = readlink(path, to, sizeof(to) - 1);

	if (n <= 0)
		return NULL;
	to[n] = '\0';
	if (to[0] == '/' || slash == NULL)
		return xstrdup(to);
	return xasprintf("%.*s/%s", (int)(slash - path), path, to);
}

/* Where writing to file is to write: the end of its links, though nothing may
 * be there. 0, -ELOOP, another -errno. */
static int follow(const char *file, char **ret)
{
	char *at = xstrdup(file), *next, *real;

	for (int i = 0; i < LINKS_MAX; i++) {
		real = realpath(at, NULL);
		if (real == NULL && errno != ENOENT) {
			int err = -errno;

			free(at);
			return err;
		}
		next = real != NULL ? NULL : read_link(at);
		if (real != NULL || next == NULL) {
			*ret = real != NULL ? real : at;
			if (real != NULL)
				free(at);
			return 0;
		}
		free(at);
		at = next;
	}
	free(at);
	return -ELOOP;
}

int ssh_config_install(const char *file, const char *path, bool install)
{
	struct buf old = { .len = 0 }, out = { .len = 0 };
	struct stat st = { .st_mode = 0600 };
	char *target = NULL;
	size_t len;
	const uint8_t *data;
	int err = follow(file, &target);

	if (err < 0)
		return err;
	if (stat(target, &st) == 0)
		err = file_read(target, FILE_LEN_MAX, &old);
	else if (errno != ENOENT)
		err = -errno;
	else if (install)
		err = make_folder(target);
	data = buf_peek(&old, &len);
	if (err == 0)
		err = (install ? ssh_config_include : ssh_config_exclude)(
			data != NULL ? (const char *)data : "", len, path,
			&out);
	if (err == 1) {
		data = buf_peek(&out, &len);
		err = file_write_atomic(target,
					data != NULL ? data : (const void *)"",
					len, st.st_mode & 07777);
		err = err == 0 ? 1 : err;
	}
	buf_done(&old);
	buf_done(&out);
	free(target);
	return err;
}

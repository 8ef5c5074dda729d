/* SPDX-License-Identifier: MIT */
#include "config/paths.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/fnv.h"
#include "base/mem.h"

#define MACHINE_ID_LEN 32
/* Room for a socket's own name behind its folder. */
#define SOCKET_NAME_MAX 20

static bool is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* XDG: "If an implementation encounters a relative path ... it should consider
 * the path invalid and ignore it." */
static bool is_absolute(const char *path)
{
	return path != NULL && path[0] == '/';
}

__attribute__((format(printf, 2, 3))) static void fail(struct paths *p,
						       const char *fmt, ...)
{
	va_list ap;

	free(p->error);
	va_start(ap, fmt);
	if (vasprintf(&p->error, fmt, ap) < 0)
		p->error = NULL;
	va_end(ap);
}

/* Names folders of our own. */
static uint64_t hash_of(const char *text)
{
	return fnv_add(FNV_BEGIN, text, strlen(text));
}

/* The id in that file, to be freed, or NULL. systemd's page machine-id(5): 32
 * lower-case hex digits and a newline, not all zero; "uninitialized" or
 * nothing at the first boot. */
static char *read_machine_id(const char *path)
{
	struct buf text = { 0 };
	char *id = NULL;
	const char *got;

	got = file_read(path, 4096, &text) == 0 ? buf_text(&text) : "";
	if (strspn(got, "0123456789abcdef") == MACHINE_ID_LEN &&
	    strspn(got, "0") < MACHINE_ID_LEN &&
	    (got[MACHINE_ID_LEN] == '\n' || got[MACHINE_ID_LEN] == '\0')) {
		id = xmalloc(MACHINE_ID_LEN + 1);
		memcpy(id, got, MACHINE_ID_LEN);
		id[MACHINE_ID_LEN] = '\0';
	}
	buf_done(&text);
	return id;
}

/* Where /etc cannot be written, systemd makes up an id at every boot, in /run,
 * and mounts it over the file: keys kept under it would be lost. */
static bool is_for_this_boot(const char *root, const char *path)
{
	char *run = xasprintf("%s/run/machine-id", root);
	struct stat a, b;
	bool same = stat(path, &a) == 0 && stat(run, &b) == 0 &&
		    a.st_dev == b.st_dev && a.st_ino == b.st_ino;

	free(run);
	return same;
}

static char *find_machine(const char *root, const char *host_name)
{
	static const char *const places[] = { "/etc/machine-id",
					      "/var/lib/dbus/machine-id" };
	char *id = NULL;

	for (size_t i = 0; i < ARRAY_LEN(places) && id == NULL; i++) {
		char *path = xasprintf("%s%s", root, places[i]);

		if (!is_for_this_boot(root, path))
			id = read_machine_id(path);
		free(path);
	}
	if (id != NULL)
		return id;
	return xasprintf("host-%016" PRIx64,
			 hash_of(is_set(host_name) ? host_name : "localhost"));
}

/* Whether path is a folder that belongs to this user. */
static bool is_our_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid();
}

static bool fits_socket(const char *run_dir)
{
	return strlen(run_dir) + SOCKET_NAME_MAX <= PATHS_SOCKET_MAX;
}

/* Sockets go to a folder in /tmp that only this user may enter; home tells
 * those of a RIGWAY_HOME apart. */
static void use_tmp(struct paths *p, const char *root, const char *home)
{
	p->tmp_dir = xasprintf("%s/tmp/rigway-%ju", root, (uintmax_t)geteuid());
	if (home != NULL)
		p->run_dir =
			xasprintf("%s/%016" PRIx64, p->tmp_dir, hash_of(home));
	else
		p->run_dir = xstrdup(p->tmp_dir);
}

static void init_run_dir(struct paths *p, const char *root,
			 const char *xdg_runtime_dir)
{
	char *login = xasprintf("%s/run/user/%ju", root, (uintmax_t)geteuid());
	const char *base = NULL;

	/* A cron job and an ssh login must find the same daemon: the folder
	 * that systemd made counts also where nothing names it. */
	if (is_absolute(xdg_runtime_dir) && is_our_folder(xdg_runtime_dir))
		base = xdg_runtime_dir;
	else if (is_our_folder(login))
		base = login;
	if (base != NULL)
		p->run_dir = xasprintf("%s/rigway", base);
	free(login);
	if (p->run_dir != NULL && fits_socket(p->run_dir)) {
		p->other_dir = xasprintf("%s/tmp/rigway-%ju", root,
					 (uintmax_t)geteuid());
		return;
	}
	free(p->run_dir);
	use_tmp(p, root, NULL);
}

/* All below one folder. Its sockets are apart for each machine, too: a socket
 * in a folder shared over the network answers on one machine only. */
static int init_in_home(struct paths *p, const char *root, const char *given)
{
	char *cwd = is_absolute(given) ? NULL : getcwd(NULL, 0);
	char *home;

	if (!is_absolute(given) && cwd == NULL) {
		int err = -errno;

		fail(p, "cannot tell where RIGWAY_HOME=%s is: %s", given,
		     err_text(err));
		return err;
	}
	/* A daemon leaves this folder, so no path may depend on it. */
	home = cwd != NULL ? xasprintf("%s/%s", cwd, given) : xstrdup(given);
	free(cwd);
	p->config_file = xasprintf("%s/rigway.yml", home);
	p->state_dir = xasprintf("%s/state/%s", home, p->machine);
	p->run_dir = xasprintf("%s/run/%08" PRIx32, home,
			       (uint32_t)hash_of(p->machine));
	if (!fits_socket(p->run_dir)) {
		char *key = xasprintf("%s %s", home, p->machine);

		free(p->run_dir);
		use_tmp(p, root, key);
		free(key);
	}
	free(home);
	return 0;
}

static char *xdg_dir(const char *given, const char *home, const char *standard)
{
	return is_absolute(given) ? xstrdup(given)
				  : xasprintf("%s/%s", home, standard);
}

int paths_init_env(struct paths *ret, const struct paths_env *env)
{
	const char *root = env->root != NULL ? env->root : "";
	char *config, *state;

	memset(ret, 0, sizeof(*ret));
	ret->machine = find_machine(root, env->host_name);
	if (is_set(env->rigway_home))
		return init_in_home(ret, root, env->rigway_home);
	if (!is_absolute(env->home)) {
		fail(ret, "no home folder is known; set HOME or RIGWAY_HOME");
		return -ENOENT;
	}
	config = xdg_dir(env->xdg_config_home, env->home, ".config");
	state = xdg_dir(env->xdg_state_home, env->home, ".local/state");
	ret->config_file = xasprintf("%s/rigway/rigway.yml", config);
	ret->state_dir = xasprintf("%s/rigway/%s", state, ret->machine);
	free(config);
	free(state);
	init_run_dir(ret, root, env->xdg_runtime_dir);
	return 0;
}

int paths_init(struct paths *ret)
{
	char host_name[256] = "";
	struct paths_env env = {
		.rigway_home = getenv("RIGWAY_HOME"),
		.home = getenv("HOME"),
		.xdg_config_home = getenv("XDG_CONFIG_HOME"),
		.xdg_state_home = getenv("XDG_STATE_HOME"),
		.xdg_runtime_dir = getenv("XDG_RUNTIME_DIR"),
		.host_name = host_name,
	};
	struct passwd *pw;

	gethostname(host_name, sizeof(host_name) - 1);
	if (!is_set(env.home) && !is_set(env.rigway_home)) {
		pw = getpwuid(geteuid());
		env.home = pw != NULL ? pw->pw_dir : NULL;
	}
	return paths_init_env(ret, &env);
}

void paths_done(struct paths *p)
{
	free(p->config_file);
	free(p->state_dir);
	free(p->run_dir);
	free(p->tmp_dir);
	free(p->other_dir);
	free(p->machine);
	free(p->error);
	memset(p, 0, sizeof(*p));
}

const char *paths_config_file(const struct paths *p)
{
	return p->config_file;
}

const char *paths_state_dir(const struct paths *p)
{
	return p->state_dir;
}

const char *paths_machine(const struct paths *p)
{
	return p->machine;
}

const char *paths_error(const struct paths *p)
{
	return p->error != NULL ? p->error : "";
}

/* Whether the folder at path, made by us now or before, is still fit to hold
 * what nobody else may touch. */
static bool is_private(struct paths *p, const char *path, bool in_tmp)
{
	struct stat st;

	if ((in_tmp ? lstat(path, &st) : stat(path, &st)) != 0) {
		fail(p, "cannot look at %s: %s", path, err_text(-errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		fail(p, "%s is not a folder%s", path,
		     in_tmp ? "; somebody may have put it there: remove it"
			    : "");
		return false;
	}
	if (st.st_uid != geteuid()) {
		fail(p, "%s belongs to another user (uid %ju), not to uid %ju",
		     path, (uintmax_t)st.st_uid, (uintmax_t)geteuid());
		return false;
	}
	if ((st.st_mode & (in_tmp ? 077 : 022)) != 0) {
		fail(p, "others may %s %s; run: chmod 700 %s",
		     in_tmp ? "enter" : "write to", path, path);
		return false;
	}
	return true;
}

/* In /tmp only one level: what lies above is not ours to make. */
static int make(const char *path, bool in_tmp)
{
	if (!in_tmp)
		return file_mkdirs(path, 0700);
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

static bool make_folder(struct paths *p, const char *path, bool in_tmp)
{
	int err = make(path, in_tmp);

	if (err != 0) {
		fail(p, "cannot make the folder %s: %s", path, err_text(err));
		return false;
	}
	return is_private(p, path, in_tmp);
}

char *paths_state(struct paths *p, const char *role, const char *name)
{
	char *folder = xasprintf("%s/%s", p->state_dir, role);
	char *path, *slash;

	if (!make_folder(p, folder, false)) {
		free(folder);
		return NULL;
	}
	if (name == NULL)
		return folder;
	path = xasprintf("%s/%s", folder, name);
	free(folder);
	slash = strrchr(path, '/');
	*slash = '\0';
	if (!make_folder(p, path, false)) {
		free(path);
		return NULL;
	}
	*slash = '/';
	return path;
}

char *paths_lock(struct paths *p, const char *role)
{
	return paths_state(p, role, "lock");
}

char *paths_socket(struct paths *p, const char *name)
{
	char *path;

	if (p->tmp_dir != NULL && !make_folder(p, p->tmp_dir, true))
		return NULL;
	if (!make_folder(p, p->run_dir, p->tmp_dir != NULL))
		return NULL;
	path = xasprintf("%s/%s.sock", p->run_dir, name);
	if (strlen(path) <= PATHS_SOCKET_MAX)
		return path;
	fail(p, "%s is too long for a socket", path);
	free(path);
	return NULL;
}

char *paths_socket_served(struct paths *p, const char *name)
{
	char *path = paths_socket(p, name), *other;
	struct stat st;

	if (path == NULL || p->other_dir == NULL || access(path, F_OK) == 0)
		return path;
	other = xasprintf("%s/%s.sock", p->other_dir, name);
	if (lstat(p->other_dir, &st) == 0 && S_ISDIR(st.st_mode) &&
	    st.st_uid == geteuid() && (st.st_mode & 077) == 0 &&
	    access(other, F_OK) == 0) {
		free(path);
		return other;
	}
	free(other);
	return path;
}

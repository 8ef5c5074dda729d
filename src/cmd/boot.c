/* SPDX-License-Identifier: MIT */
#include "cmd/boot.h"

#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/fnv.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/self.h"
#include "cmd/cmd.h"

/* The relay's own account, and the home that its unit gives it. */
#define OWN_USER "rigway"
#define OWN_HOME "/var/lib/rigway"

const struct boot_way *const boot_ways[] = { &boot_systemd, &boot_autostart,
					     &boot_cron, &boot_supervisor,
					     NULL };

/* -- whose it is ----------------------------------------------------------- */

static bool self_has_home(void)
{
	const char *home = getenv("RIGWAY_HOME");

	return home != NULL && home[0] != '\0';
}

static bool is_there(const char *folder, const char *name)
{
	char *path = xasprintf("%s/%s", folder, name);
	const bool yes = access(path, F_OK) == 0;

	free(path);
	return yes;
}

/* The folder of a role's state in that home folder, with the usual places. */
static char *state_in(const struct paths *paths, const char *home,
		      const char *role)
{
	return xasprintf("%s/.local/state/rigway/%s/%s", home,
			 paths_machine(paths), role);
}

/* `sudo rigway rig install` is about the rig of the one who typed it, unless
 * root has joined as well. */
static const struct passwd *find_owner(const struct boot_params *p)
{
	const char *uid_text = getenv("SUDO_UID");
	const struct passwd *pw = getpwuid(geteuid());
	char *root_state, *user_state;
	uint64_t uid = 0;

	if (geteuid() != 0 || pw == NULL || self_has_home() ||
	    uid_text == NULL || parse_u64(uid_text, 1, UINT32_MAX, &uid) != 0)
		return pw;
	root_state = state_in(p->paths, pw->pw_dir, p->role);
	pw = getpwuid((uid_t)uid);
	if (pw != NULL) {
		user_state = state_in(p->paths, pw->pw_dir, p->role);
		if (is_there(root_state, "key") || !is_there(user_state, "key"))
			pw = NULL;
		free(user_state);
	}
	free(root_state);
	return pw != NULL ? pw : getpwuid(geteuid());
}

/* -- the job --------------------------------------------------------------- */

/* Tells the names of several homes' services apart. */
static uint32_t hash_of(const char *text)
{
	return (uint32_t)fnv_add(FNV_BEGIN, text, strlen(text));
}

/* The path as systemd reads it, with the machine's id as %m where it is that.
 */
static char *with_machine(const struct paths *paths, const char *path)
{
	const char *id = paths_machine(paths);
	const char *at = strlen(id) == 32 ? strstr(path, id) : NULL;
	struct buf b = { 0 };
	char *text;

	for (; *path != '\0'; path++) {
		if (path == at) {
			buf_printf(&b, "%%m");
			path += strlen(id) - 1;
		} else {
			buf_printf(&b, *path == '%' ? "%%%%" : "%c", *path);
		}
	}
	text = xstrdup(buf_text(&b));
	buf_done(&b);
	return text;
}

static void keep_env(struct boot_job *job, const char *name, size_t *n)
{
	const char *value = getenv(name);

	if (value != NULL && value[0] == '/')
		job->env[(*n)++] = xasprintf("%s=%s", name, value);
}

static void set_env(struct boot_job *job)
{
	char *home = self_home();
	size_t n = 0;

	if (job->is_own)
		home = xstrdup(OWN_HOME);
	if (home != NULL) {
		job->env[n++] = xasprintf("RIGWAY_HOME=%s", home);
	} else if (!job->is_other) {
		keep_env(job, "XDG_CONFIG_HOME", &n);
		keep_env(job, "XDG_STATE_HOME", &n);
	}
	free(home);
}

static void set_own_files(struct boot_job *job, const struct paths *paths,
			  bool may_be_new)
{
	const char *file =
		strcmp(job->role, "client") == 0 ? "forwards" : "key";
	char *needs;

	job->state = xasprintf("%s/%s", paths_state_dir(paths), job->role);
	job->log = xasprintf("%s/log", job->state);
	job->supervisor = xasprintf("%s/supervisor", job->state);
	needs = may_be_new ? xstrdup(job->state)
			   : xasprintf("%s/%s", job->state, file);
	job->needs = with_machine(paths, needs);
	free(needs);
}

static void set_others_files(struct boot_job *job, const struct paths *paths)
{
	char *needs;

	job->state = job->is_own ? xstrdup(OWN_HOME)
				 : state_in(paths, job->user_home, job->role);
	job->log = xasprintf("%s/log", job->state);
	job->supervisor = xasprintf("%s/supervisor", job->state);
	if (job->is_own)
		return;
	needs = xasprintf("%s/key", job->state);
	job->needs = with_machine(paths, needs);
	free(needs);
}

/* A relay that root installs before it ever ran gets an account of its own. */
static bool wants_own_user(const struct boot_job *job,
			   const struct boot_params *p,
			   const struct passwd *owner)
{
	char *state;
	bool has;

	if (geteuid() != 0 || strcmp(job->role, "relay") != 0 ||
	    job->level != BOOT_SYSTEM || self_has_home() || owner->pw_uid != 0)
		return false;
	state = state_in(p->paths, owner->pw_dir, job->role);
	has = is_there(state, "key");
	free(state);
	return !has;
}

static int fail(const char *role, const char *text)
{
	fprintf(stderr, "rigway %s: %s\n", role, text);
	return EXIT_FAILED;
}

/* Whether another account may run the program: each folder of its path. */
static bool others_may_run(const char *program)
{
	char *path = xstrdup(program);
	struct stat st;
	bool may = stat(path, &st) == 0 && (st.st_mode & S_IXOTH) != 0;

	for (char *s = path + strlen(path); may && s > path; s--) {
		if (*s != '/')
			continue;
		*s = '\0';
		may = stat(path, &st) == 0 && (st.st_mode & S_IXOTH) != 0;
	}
	free(path);
	return may;
}

int boot_init(struct boot_job *job, const struct boot_params *p)
{
	const struct passwd *owner = find_owner(p);
	char *home = self_home();

	*job = (struct boot_job){
		.role = p->role,
		.level = p->level,
		.program = self_path(),
		.args = p->args,
	};
	job->name = home == NULL ? xasprintf("rigway-%s", p->role)
				 : xasprintf("rigway-%s-%08x", p->role,
					     hash_of(home));
	free(home);
	if (owner == NULL)
		return fail(p->role, "the password file does not know this "
				     "user");
	if (job->program == NULL)
		return fail(p->role, "this program's own file is not known");
	job->is_own = wants_own_user(job, p, owner);
	job->is_other = job->is_own || owner->pw_uid != geteuid();
	job->user = xstrdup(job->is_own ? OWN_USER : owner->pw_name);
	job->user_home = xstrdup(job->is_own ? OWN_HOME : owner->pw_dir);
	set_env(job);
	if (job->is_other)
		set_others_files(job, p->paths);
	else
		set_own_files(job, p->paths, p->may_be_new);
	return 0;
}

void boot_done(struct boot_job *job)
{
	free(job->name);
	free(job->program);
	free(job->user);
	free(job->user_home);
	free(job->state);
	free(job->needs);
	free(job->log);
	free(job->supervisor);
	for (size_t i = 0; job->env[i] != NULL; i++)
		free(job->env[i]);
	*job = (struct boot_job){ .role = NULL };
}

/* -- install, uninstall ---------------------------------------------------- */

static json_t *new_report(const struct boot_job *job)
{
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:[], s:[], s:[]}", "role", job->role,
		"level", job->level == BOOT_SYSTEM ? "system" : "user", "user",
		job->user, "name", job->name, "wrote", "removed", "notes");
}

static const struct boot_way *choose(const struct boot_job *job, const char *by,
				     char **ret_text)
{
	char *why;

	for (size_t i = 0; boot_ways[i] != NULL; i++) {
		if (by != NULL && strcmp(boot_ways[i]->name, by) != 0)
			continue;
		why = boot_ways[i]->why_not(job);
		if (why == NULL) {
			free(*ret_text);
			*ret_text = NULL;
			return boot_ways[i];
		}
		/* What is better than the rest is what should be mended. */
		if (*ret_text == NULL)
			*ret_text = why;
		else
			free(why);
	}
	return NULL;
}

int boot_install(const struct boot_job *job, const char *by,
		 json_t **ret_report, char **ret_text)
{
	const struct boot_way *way;
	int err;

	*ret_text = NULL;
	*ret_report = NULL;
	if (job->is_own && !others_may_run(job->program)) {
		*ret_text = xasprintf(
			"other accounts may not run %s, and the relay is to "
			"have one of its own: put it into /usr/local/bin, and "
			"repeat this",
			job->program);
		return RW_ERR_NOT_ALLOWED;
	}
	way = choose(job, by, ret_text);
	if (way == NULL)
		return RW_ERR_NOT_FOUND;
	if (!job->is_other && file_mkdirs(job->state, 0700) != 0) {
		*ret_text = xasprintf("cannot make the folder %s", job->state);
		return RW_ERR_IO;
	}
	*ret_report = new_report(job);
	json_object_set_new(*ret_report, "by", json_string(way->name));
	err = way->install(job, *ret_report, ret_text);
	if (err != 0) {
		json_decref(*ret_report);
		*ret_report = NULL;
	}
	return err;
}

int boot_uninstall(const struct boot_job *job, json_t **ret_report,
		   char **ret_text)
{
	int err = 0;

	*ret_text = NULL;
	*ret_report = new_report(job);
	for (size_t i = 0; err == 0 && boot_ways[i] != NULL; i++)
		err = boot_ways[i]->uninstall(job, *ret_report, ret_text);
	if (err != 0) {
		json_decref(*ret_report);
		*ret_report = NULL;
	}
	return err;
}

/* -- the relay's own account ----------------------------------------------- */

int boot_become_relay(void)
{
	const struct passwd *pw;
	struct paths paths;
	struct stat st;
	char *state;
	bool has;

	if (geteuid() != 0 || self_has_home() ||
	    stat(OWN_HOME "/state", &st) != 0 ||
	    (pw = getpwnam(OWN_USER)) == NULL || st.st_uid != pw->pw_uid ||
	    pw->pw_uid == 0 || paths_init(&paths) != 0)
		return 0;
	state = state_in(&paths, "/root", "relay");
	has = is_there(state, "key"); /* then root's own is meant */
	free(state);
	paths_done(&paths);
	if (has)
		return 0;
	if (initgroups(pw->pw_name, pw->pw_gid) != 0 ||
	    setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		return fail("relay", "cannot become the user " OWN_USER
				     ", whom the relay belongs to");
	setenv("RIGWAY_HOME", OWN_HOME, 1);
	setenv("HOME", OWN_HOME, 1);
	if (chdir("/") != 0)
		return fail("relay", "cannot enter /");
	return 0;
}

bool boot_relay_is_roots(void)
{
	return geteuid() != 0 && !self_has_home() &&
	       access("/etc/systemd/system/rigway-relay.service", F_OK) == 0;
}

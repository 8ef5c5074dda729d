/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/paths.h"

#define ID  "0123456789abcdef0123456789abcdef"
#define ID2 "fedcba9876543210fedcba9876543210"

/* A root of its own for each test, with a machine-id, and a home in it. */
struct place {
	char *root, *home;
	struct paths_env env;
	struct paths paths;
};

static void put(const struct place *at, const char *path, const char *text)
{
	char *full = xasprintf("%s%s", at->root, path);
	char *slash = strrchr(full, '/');

	*slash = '\0';
	assert_int_equal(file_mkdirs(full, 0755), 0);
	*slash = '/';
	assert_int_equal(file_write_atomic(full, text, strlen(text), 0644), 0);
	free(full);
}

static int set_up(void **state)
{
	struct place *at = xcalloc(1, sizeof(*at));
	char tmp[64];

	at->root = xstrdup("/tmp/rwXXXXXX");
	assert_non_null(mkdtemp(at->root));
	at->home = xasprintf("%s/home", at->root);
	at->env.root = at->root;
	at->env.home = at->home;
	at->env.host_name = "node1";
	put(at, "/etc/machine-id", ID "\n");
	snprintf(tmp, sizeof(tmp), "%s/tmp", at->root);
	assert_int_equal(mkdir(tmp, 01777), 0);
	*state = at;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int what,
		      struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	struct place *at = *state;

	nftw(at->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	paths_done(&at->paths);
	free(at->root);
	free(at->home);
	free(at);
	return 0;
}

static struct paths *init(struct place *at)
{
	paths_done(&at->paths);
	assert_int_equal(paths_init_env(&at->paths, &at->env), 0);
	return &at->paths;
}

/* got, which is freed, is a path that ends so below the test's root. */
static void assert_path(const struct place *at, char *got, const char *want)
{
	char *full = xasprintf("%s%s", at->root, want);

	if (got == NULL)
		fail_msg("%s", paths_error(&at->paths));
	else
		assert_string_equal(got, full);
	free(full);
	free(got);
}

static mode_t mode_of(const struct place *at, const char *path)
{
	char *full = xasprintf("%s%s", at->root, path);
	struct stat st;

	assert_int_equal(stat(full, &st), 0);
	free(full);
	return st.st_mode & 07777;
}

static void xdg_folders_are_the_standard(void **state)
{
	struct place *at = *state;
	struct paths *p = init(at);

	assert_path(at, xstrdup(paths_config_file(p)),
		    "/home/.config/rigway/rigway.yml");
	assert_path(at, paths_state(p, "rig", "devices"),
		    "/home/.local/state/rigway/" ID "/rig/devices");
	assert_path(at, paths_state(p, "relay", NULL),
		    "/home/.local/state/rigway/" ID "/relay");
	assert_path(at, paths_state(p, "client", "hosts/desk"),
		    "/home/.local/state/rigway/" ID "/client/hosts/desk");
	assert_path(at, paths_lock(p, "client"),
		    "/home/.local/state/rigway/" ID "/client/lock");
	assert_int_equal(mode_of(at, "/home/.local/state/rigway/" ID "/rig"),
			 0700);
	assert_string_equal(paths_machine(p), ID);
}

static void xdg_variables_are_followed_when_absolute(void **state)
{
	struct place *at = *state;
	char *config = xasprintf("%s/c", at->root);
	char *dir = xasprintf("%s/s", at->root);
	struct paths *p;

	at->env.xdg_config_home = config;
	at->env.xdg_state_home = dir;
	p = init(at);
	assert_path(at, xstrdup(paths_config_file(p)), "/c/rigway/rigway.yml");
	assert_path(at, paths_state(p, "rig", "key"),
		    "/s/rigway/" ID "/rig/key");

	at->env.xdg_config_home = "c";
	at->env.xdg_state_home = "";
	p = init(at);
	assert_path(at, xstrdup(paths_config_file(p)),
		    "/home/.config/rigway/rigway.yml");
	assert_path(at, paths_state(p, "rig", "key"),
		    "/home/.local/state/rigway/" ID "/rig/key");
	free(config);
	free(dir);
}

static void one_folder_can_hold_everything(void **state)
{
	struct place *at = *state;
	char *home = xasprintf("%s/lab", at->root), *socket;
	struct paths *p;

	at->env.rigway_home = home;
	at->env.home = NULL;
	p = init(at);
	assert_path(at, xstrdup(paths_config_file(p)), "/lab/rigway.yml");
	assert_path(at, paths_state(p, "rig", "key"),
		    "/lab/state/" ID "/rig/key");
	socket = paths_socket(p, "rig");
	assert_non_null(socket);
	assert_non_null(strstr(socket, "/lab/run/"));
	assert_int_equal(strcmp(socket + strlen(socket) - 9, "/rig.sock"), 0);
	free(socket);
	assert_int_equal(mode_of(at, "/lab/run"), 0700);
	assert_int_equal(mode_of(at, "/lab"), 0700);
	free(home);
}

static void a_relative_home_is_made_absolute(void **state)
{
	struct place *at = *state;
	char *cwd = getcwd(NULL, 0),
	     *want = xasprintf("%s/lab/rigway.yml", cwd);

	at->env.rigway_home = "lab";
	assert_string_equal(paths_config_file(init(at)), want);
	free(cwd);
	free(want);
}

static void machines_that_share_a_home_share_nothing_in_it(void **state)
{
	struct place *at = *state;
	char *home = xasprintf("%s/lab", at->root), *first, *second;

	at->env.rigway_home = home;
	first = paths_socket(init(at), "client");
	put(at, "/etc/machine-id", ID2 "\n");
	second = paths_socket(init(at), "client");
	assert_string_not_equal(first, second);
	assert_path(at, paths_lock(&at->paths, "client"),
		    "/lab/state/" ID2 "/client/lock");
	free(first);
	free(second);
	free(home);
}

static void without_a_machine_id_the_host_name_counts(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"uninitialized\n",
		ID "0\n",
		"0123\n",
		"00000000000000000000000000000000\n",
		"0123456789ABCDEF0123456789ABCDEF\n",
	};
	struct place *at = *state;
	char *first;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put(at, "/etc/machine-id", bad[i]);
		assert_int_equal(strncmp(paths_machine(init(at)), "host-", 5),
				 0);
		assert_int_equal(strlen(paths_machine(&at->paths)), 21);
	}
	first = xstrdup(paths_machine(&at->paths));
	at->env.host_name = "node2";
	assert_string_not_equal(paths_machine(init(at)), first);
	free(first);
	put(at, "/var/lib/dbus/machine-id", ID2);
	assert_string_equal(paths_machine(init(at)), ID2);
}

static void an_id_for_this_boot_only_does_not_count(void **state)
{
	struct place *at = *state;
	char *etc = xasprintf("%s/etc/machine-id", at->root);
	char *run = xasprintf("%s/run/machine-id", at->root);

	put(at, "/run/machine-id", ID "\n");
	assert_string_equal(paths_machine(init(at)), ID);
	unlink(run);
	assert_int_equal(link(etc, run), 0);
	assert_int_equal(strncmp(paths_machine(init(at)), "host-", 5), 0);
	free(etc);
	free(run);
}

static void sockets_lie_in_the_login_folder(void **state)
{
	struct place *at = *state;
	char *runtime = xasprintf("%s/runtime", at->root);
	char *login =
		xasprintf("%s/run/user/%ju", at->root, (uintmax_t)geteuid());
	char *want = xasprintf("/run/user/%ju/rigway/rig.sock",
			       (uintmax_t)geteuid());

	assert_int_equal(mkdir(runtime, 0700), 0);
	at->env.xdg_runtime_dir = runtime;
	assert_path(at, paths_socket(init(at), "rig"),
		    "/runtime/rigway/rig.sock");
	assert_int_equal(mode_of(at, "/runtime/rigway"), 0700);

	/* Not named, as in a cron job, or named and not there. */
	assert_int_equal(file_mkdirs(login, 0700), 0);
	at->env.xdg_runtime_dir = NULL;
	assert_path(at, paths_socket(init(at), "rig"), want);
	at->env.xdg_runtime_dir = "/nowhere/at/all";
	assert_path(at, paths_socket(init(at), "rig"), want);
	free(runtime);
	free(login);
	free(want);
}

/* The private folder in the test's /tmp, as a path without its root. */
static char *tmp_path(const char *rest)
{
	return xasprintf("/tmp/rigway-%ju%s", (uintmax_t)geteuid(), rest);
}

static void else_sockets_lie_in_a_private_folder(void **state)
{
	struct place *at = *state;
	char *want = tmp_path("/client.sock"), *dir = tmp_path("");

	assert_path(at, paths_socket(init(at), "client"), want);
	assert_int_equal(mode_of(at, dir), 0700);
	assert_path(at, paths_socket(init(at), "client"), want); /* again */
	free(want);
	free(dir);
}

/* A service is started before its user logs in, and is asked afterwards. */
static void a_process_from_before_the_login_is_found(void **state)
{
	struct place *at = *state;
	char *runtime = xasprintf("%s/runtime", at->root);
	char *early = tmp_path("/rig.sock");

	free(paths_socket(init(at), "rig"));
	put(at, early, "");
	assert_int_equal(mkdir(runtime, 0700), 0);
	at->env.xdg_runtime_dir = runtime;
	assert_path(at, paths_socket_served(init(at), "rig"), early);
	assert_path(at, paths_socket_served(init(at), "client"),
		    "/runtime/rigway/client.sock");
	/* One from this login comes first. */
	put(at, "/runtime/rigway/rig.sock", "");
	assert_path(at, paths_socket_served(init(at), "rig"),
		    "/runtime/rigway/rig.sock");
	free(runtime);
	free(early);
}

/* Somebody else may have made that folder. */
static void a_folder_that_others_may_enter_is_not_looked_into(void **state)
{
	struct place *at = *state;
	char *runtime = xasprintf("%s/runtime", at->root);
	char *early = tmp_path("/rig.sock"), *dir = tmp_path("");
	char *full = xasprintf("%s%s", at->root, dir);

	put(at, early, "");
	assert_int_equal(chmod(full, 0755), 0);
	assert_int_equal(mkdir(runtime, 0700), 0);
	at->env.xdg_runtime_dir = runtime;
	assert_path(at, paths_socket_served(init(at), "rig"),
		    "/runtime/rigway/rig.sock");
	free(runtime);
	free(early);
	free(dir);
	free(full);
}

static void a_home_too_deep_for_sockets_has_them_in_tmp(void **state)
{
	struct place *at = *state;
	char *home = xasprintf("%s/%0100d", at->root, 7), *first, *second;
	char *start = tmp_path("/");

	at->env.rigway_home = home;
	first = paths_socket(init(at), "client");
	assert_non_null(first);
	assert_true(strlen(first) <= PATHS_SOCKET_MAX);
	assert_non_null(strstr(first, start));
	home[strlen(home) - 1] = '8';
	second = paths_socket(init(at), "client");
	assert_string_not_equal(first, second);
	free(first);
	free(second);
	free(home);
	free(start);
}

static void a_name_too_long_for_a_socket_is_refused(void **state)
{
	struct place *at = *state;
	char name[120];
	char *got;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	got = paths_socket(init(at), name);
	assert_null(got);
	assert_non_null(
		strstr(paths_error(&at->paths), "is too long for a socket"));
}

static void assert_refused(struct place *at, const char *want)
{
	char *got = paths_socket(init(at), "rig");

	assert_null(got);
	if (strstr(paths_error(&at->paths), want) == NULL)
		fail_msg("%s", paths_error(&at->paths));
}

static void a_folder_that_is_not_safe_is_refused(void **state)
{
	struct place *at = *state;
	char *name = tmp_path("");
	char *dir = xasprintf("%s%s", at->root, name);

	assert_int_equal(symlink(at->root, dir), 0);
	assert_refused(at, "is not a folder; somebody may have put it there");
	unlink(dir);

	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0750), 0);
	assert_refused(at, "others may enter");
	assert_int_equal(chmod(dir, 0700), 0);

	/* Only root can give a folder away. */
	if (geteuid() == 0) {
		assert_int_equal(chown(dir, 12345, 12345), 0);
		assert_refused(at, "belongs to another user (uid 12345), not "
				   "to uid 0");
		assert_int_equal(chown(dir, 0, 0), 0);
	}
	rmdir(dir);
	put(at, name, "a file");
	assert_refused(at, "is not a folder");
	free(name);
	free(dir);
}

static void state_that_others_may_write_is_refused(void **state)
{
	struct place *at = *state;
	struct paths *p = init(at);
	char *dir = paths_state(p, "rig", NULL), *got;

	assert_int_equal(chmod(dir, 0770), 0);
	got = paths_state(p, "rig", "devices");
	assert_null(got);
	assert_non_null(strstr(paths_error(p), "others may write to"));
	assert_non_null(strstr(paths_error(p), "; run: chmod 700 "));
	assert_int_equal(chmod(dir, 0750), 0); /* reading is the files' care */
	got = paths_state(p, "rig", "devices");
	assert_non_null(got);
	free(got);
	free(dir);
}

static void a_folder_that_cannot_be_made_is_said(void **state)
{
	struct place *at = *state;
	struct paths *p;
	char *got;

	put(at, "/home/.local", "a file");
	p = init(at);
	got = paths_state(p, "rig", "devices");
	assert_null(got);
	assert_non_null(strstr(paths_error(p), "cannot make the folder "));
}

static void no_home_at_all_is_an_error(void **state)
{
	struct place *at = *state;

	at->env.home = "";
	assert_int_equal(paths_init_env(&at->paths, &at->env), -ENOENT);
	assert_string_equal(paths_error(&at->paths),
			    "no home folder is known; set HOME or "
			    "RIGWAY_HOME");
}

static void the_process_has_paths(void **state)
{
	struct paths p;

	(void)state;
	assert_int_equal(paths_init(&p), 0);
	assert_int_equal(paths_config_file(&p)[0], '/');
	paths_done(&p);
}

int main(void)
{
#define PATHS_TEST(name)                                                       \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		PATHS_TEST(xdg_folders_are_the_standard),
		PATHS_TEST(xdg_variables_are_followed_when_absolute),
		PATHS_TEST(one_folder_can_hold_everything),
		PATHS_TEST(a_relative_home_is_made_absolute),
		PATHS_TEST(machines_that_share_a_home_share_nothing_in_it),
		PATHS_TEST(without_a_machine_id_the_host_name_counts),
		PATHS_TEST(an_id_for_this_boot_only_does_not_count),
		PATHS_TEST(sockets_lie_in_the_login_folder),
		PATHS_TEST(else_sockets_lie_in_a_private_folder),
		PATHS_TEST(a_process_from_before_the_login_is_found),
		PATHS_TEST(a_folder_that_others_may_enter_is_not_looked_into),
		PATHS_TEST(a_home_too_deep_for_sockets_has_them_in_tmp),
		PATHS_TEST(a_name_too_long_for_a_socket_is_refused),
		PATHS_TEST(a_folder_that_is_not_safe_is_refused),
		PATHS_TEST(state_that_others_may_write_is_refused),
		PATHS_TEST(a_folder_that_cannot_be_made_is_said),
		PATHS_TEST(no_home_at_all_is_an_error),
		PATHS_TEST(the_process_has_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

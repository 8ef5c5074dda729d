/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "client/ssh_config.h"

#define PATH "/home/a/.local/state/rigway/m/client/ssh_config"
#define LINE "Include " PATH "\n"

static void check_include(const char *text, const char *wanted, int changed)
{
	struct buf out = { .len = 0 };

	assert_int_equal(ssh_config_include(text, strlen(text), PATH, &out),
			 changed);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static void check_exclude(const char *text, const char *wanted, int changed)
{
	struct buf out = { .len = 0 };

	assert_int_equal(ssh_config_exclude(text, strlen(text), PATH, &out),
			 changed);
	assert_string_equal(buf_text(&out), wanted);
	buf_done(&out);
}

static void the_line_stands_first_once(void **state)
{
	(void)state;
	check_include("", LINE, 1);
	check_include("Host a\n", LINE "Host a\n", 1);
	check_include(LINE "Host a\n", LINE "Host a\n", 0);
	check_include("Host a\n" LINE, LINE "Host a\n", 1);
	check_include("Host a\n" LINE "\tUser x", LINE "Host a\n\tUser x", 1);
}

static void the_rest_stays_byte_for_byte(void **state)
{
	static const char *const rest[] = {
		"",	   "\n",     "Host a\r\n\tUser b\r\n", "no end of line",
		"# " LINE, " " LINE, "Include " PATH ".old\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
		char *with = xasprintf("%s%s", LINE, rest[i]);

		check_include(rest[i], with, 1);
		check_include(with, with, 0);
		check_exclude(with, rest[i], 1);
		check_exclude(rest[i], rest[i], 0);
		free(with);
	}
}

static void a_last_line_without_its_end_is_taken_out_too(void **state)
{
	(void)state;
	check_exclude("Host a\nInclude " PATH, "Host a\n", 1);
}

static void a_path_that_ssh_cannot_read_is_told_apart(void **state)
{
	static const char *const bad[] = { "/a\"b", "/a\\b", "/a*",
					   "/a?",   "/[a]",  "/a\nb" };
	struct buf out = { .len = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ssh_config_can_include(bad[i]));
	assert_true(ssh_config_can_include("/a b/%h/$c/#d/\xc3\xa9/it's"));
	assert_int_equal(ssh_config_include("", 0, "/it's", &out), 1);
	assert_string_equal(buf_text(&out), "Include \"/it's\"\n");
	buf_done(&out);
}

struct place {
	char dir[64];
	char *file, *link;
};

static int set_up(void **state)
{
	struct place *at = xcalloc(1, sizeof(*at));

	strcpy(at->dir, "/tmp/rigway-test-XXXXXX");
	assert_non_null(mkdtemp(at->dir));
	at->file = xasprintf("%s/ssh/config", at->dir);
	at->link = xasprintf("%s/link", at->dir);
	*state = at;
	return 0;
}

static int tear_down(void **state)
{
	struct place *at = *state;
	char *dir = xasprintf("%s/ssh", at->dir);

	unlink(at->file);
	unlink(at->link);
	rmdir(dir);
	rmdir(at->dir);
	free(dir);
	free(at->file);
	free(at->link);
	free(at);
	return 0;
}

static void check_file(const char *path, const char *wanted, mode_t mode)
{
	struct buf text = { .len = 0 };
	struct stat st;

	assert_int_equal(file_read(path, 10000, &text), 0);
	assert_string_equal(buf_text(&text), wanted);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	buf_done(&text);
}

static void a_missing_file_is_made_private(void **state)
{
	struct place *at = *state;

	assert_int_equal(ssh_config_install(at->file, PATH, false), 0);
	assert_int_equal(access(at->file, F_OK), -1);
	assert_int_equal(ssh_config_install(at->file, PATH, true), 1);
	check_file(at->file, LINE, 0600);
	assert_int_equal(ssh_config_install(at->file, PATH, true), 0);
	assert_int_equal(ssh_config_install(at->file, PATH, false), 1);
	check_file(at->file, "", 0600);
}

static void mode_and_link_of_the_file_stay(void **state)
{
	struct place *at = *state;
	struct stat st;

	assert_int_equal(ssh_config_install(at->file, PATH, true), 1);
	assert_int_equal(file_write_atomic(at->file, "Host b\n", 7, 0640), 0);
	assert_int_equal(symlink(at->file, at->link), 0);
	assert_int_equal(ssh_config_install(at->link, PATH, true), 1);
	assert_int_equal(lstat(at->link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	check_file(at->file, LINE "Host b\n", 0640);
}

/* Dotfiles that are kept elsewhere, and not there yet on this machine. */
static void a_link_that_leads_nowhere_stays_and_is_filled(void **state)
{
	struct place *at = *state;
	struct stat st;

	assert_int_equal(symlink("ssh/config", at->link), 0);
	assert_int_equal(ssh_config_install(at->link, PATH, false), 0);
	assert_int_equal(ssh_config_install(at->link, PATH, true), 1);
	assert_int_equal(lstat(at->link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	check_file(at->file, LINE, 0600);
}

static void
a_link_in_a_ring_and_a_folder_that_is_a_file_are_refused(void **state)
{
	struct place *at = *state;
	char *below = xasprintf("%s/config", at->file);

	assert_int_equal(symlink("link", at->link), 0);
	assert_int_equal(ssh_config_install(at->link, PATH, true), -ELOOP);
	assert_int_equal(ssh_config_install(at->file, PATH, true), 1);
	assert_int_equal(ssh_config_install(below, PATH, true), -ENOTDIR);
	free(below);
}

static void write_block(struct rigs *rigs, const char *self, const char *home,
			struct buf *out)
{
	struct ssh_config_params p = {
		.self = self,
		.home = home,
		.known_hosts = "/s/known 100%",
	};

	assert_int_equal(ssh_config_write(rigs, &p, out), 0);
}

static void the_block_says_what_ssh_must_know(void **state)
{
	struct pin pin = { .b = { 1 } };
	struct buf out = { .len = 0 };
	struct rigs rigs = { .max = 2 };
	struct rigs_row *row;

	(void)state;
	list_init(&rigs.rows);
	row = rigs_add(&rigs, &pin, "Desk");
	row->pending = false;
	strcpy(row->info.user, "alice");
	write_block(&rigs, "/opt/it's 5%/rigway", "/tmp/h", &out);
	assert_non_null(strstr(buf_text(&out), "Host desk.rig Desk.rig\n"
					       "\tHostKeyAlias desk.rig\n"
					       "\tUser alice\n"));
	assert_non_null(strstr(buf_text(&out),
			       "ProxyCommand env RIGWAY_HOME='/tmp/h' "
			       "'/opt/it'\\''s 5%%/rigway' connect --fdpass "
			       "%h %h:%p\n"));
	assert_non_null(strstr(buf_text(&out),
			       "UserKnownHostsFile \"/s/known 100%%\"\n"));
	assert_non_null(strstr(buf_text(&out), "ServerAliveInterval 0\n"));
	assert_non_null(strstr(buf_text(&out), "TCPKeepAlive no\n"));
	buf_done(&out);
	rigs_done(&rigs);
}

static void a_rig_cannot_write_into_the_users_configuration(void **state)
{
	static const char *const users[] = {
		"a\n\tProxyCommand evil",
		"a b",
		"-oProxyCommand=x",
		"",
		"a\"b",
		"%r",
	};
	struct pin pin = { .b = { 1 } };
	struct rigs rigs = { .max = 2 };
	struct rigs_row *row;

	(void)state;
	list_init(&rigs.rows);
	row = rigs_add(&rigs, &pin, "desk");
	row->pending = false;
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct buf out = { .len = 0 };

		strcpy(row->info.user, users[i]);
		write_block(&rigs, "rigway", NULL, &out);
		assert_null(strstr(buf_text(&out), "User "));
		buf_done(&out);
	}
	rigs_done(&rigs);
}

static void only_sound_host_keys_reach_known_hosts(void **state)
{
	struct place *at = *state;
	struct pin pin = { .b = { 1 } };
	struct rigs rigs = { .max = 2 };
	struct rigs_row *row;

	list_init(&rigs.rows);
	row = rigs_add(&rigs, &pin, "Desk");
	row->pending = false;
	strcpy(row->info.host_keys, "ssh-ed25519 AAAAC3Nz+/=\n"
				    "@cert-authority * ssh-rsa AAAA\n"
				    "evil\n"
				    "ssh-rsa AAAA comment\n"
				    "ecdsa-sha2-nistp256 AAAB");
	assert_int_equal(ssh_config_refresh(&rigs, "/nonexistent/x", at->link),
			 0);
	check_file(at->link,
		   "# Written by rigway; changes are lost.\n"
		   "desk.rig ssh-ed25519 AAAAC3Nz+/=\n"
		   "desk.rig ecdsa-sha2-nistp256 AAAB\n",
		   0600);
	rigs_done(&rigs);
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_line_stands_first_once),
		cmocka_unit_test(the_rest_stays_byte_for_byte),
		cmocka_unit_test(a_last_line_without_its_end_is_taken_out_too),
		cmocka_unit_test(a_path_that_ssh_cannot_read_is_told_apart),
		ROW(a_missing_file_is_made_private),
		ROW(mode_and_link_of_the_file_stay),
		ROW(a_link_that_leads_nowhere_stays_and_is_filled),
		ROW(a_link_in_a_ring_and_a_folder_that_is_a_file_are_refused),
		cmocka_unit_test(the_block_says_what_ssh_must_know),
		cmocka_unit_test(
			a_rig_cannot_write_into_the_users_configuration),
		ROW(only_sound_host_keys_reach_known_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What the rig reads of sshd_config, and how it writes authorized_keys. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "rig/authorize.h"
#include "rig/sshd_config.h"

#define BLOB                                                                   \
	"AAAAC3NzaC1lZDI1NTE5AAAAIJw8E2nkPpZ0vFFyAmHkMOmg0cT0y2cJx6uWn0Zr1q2e"
#define KEY "ssh-ed25519 " BLOB

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rigway-test-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	char *cmd = xasprintf("rm -rf '%s'", dir);
	int err = system(cmd);

	(void)state;
	free(cmd);
	return err;
}

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	char *path = in_dir(name);

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), 0);
	free(path);
}

static char *get(const char *path)
{
	struct buf b = { 0 };
	char *text;

	assert_int_equal(file_read(path, 65536, &b), 0);
	text = xstrdup(buf_text(&b));
	buf_done(&b);
	return text;
}

/* -- sshd_config */

static struct sshd_config parse(const char *text)
{
	struct sshd_config c = { 0 };

	sshd_config_parse(text, dir, &c);
	return c;
}

static void ports_and_addresses_are_read(void **state)
{
	struct sshd_config c = parse("# Port 1\n"
				     "port 2222\n"
				     "Port=2223 # two\n"
				     "ListenAddress 0.0.0.0\n"
				     "ListenAddress [::]:24\n"
				     "ListenAddress \"10.0.0.7:25\"\n");
	struct hostport at[SSHD_LISTEN_MAX];

	(void)state;
	assert_int_equal(c.port_count, 2);
	assert_int_equal(sshd_config_addrs(&c, at), 4);
	assert_string_equal(at[0].host, "127.0.0.1");
	assert_int_equal(at[0].port, 2222);
	assert_int_equal(at[1].port, 2223);
	assert_string_equal(at[2].host, "::1");
	assert_int_equal(at[2].port, 24);
	assert_string_equal(at[3].host, "10.0.0.7");
	assert_int_equal(at[3].port, 25);
}

static void a_match_block_ends_what_holds_for_all(void **state)
{
	struct sshd_config c = parse("Port 22\n"
				     "Match User git\n"
				     "  AuthorizedKeysFile /srv/%u\n"
				     "Port 23\n");

	(void)state;
	assert_int_equal(c.port_count, 1);
	assert_string_equal(c.authorized, "");
}

static void the_first_value_holds(void **state)
{
	struct sshd_config c = parse("AuthorizedKeysFile %h/k .ssh/two\n"
				     "AuthorizedKeysFile other\n");
	char path[SSHD_PATH_CAP];

	(void)state;
	assert_true(sshd_config_authorized(&c, "/home/u", "u", path));
	assert_string_equal(path, "/home/u/k");
	c = parse("AuthorizedKeysFile /etc/keys/%u/100%%\n");
	assert_true(sshd_config_authorized(&c, "/home/u", "u", path));
	assert_string_equal(path, "/etc/keys/u/100%");
	c = parse("AuthorizedKeysFile .ssh/keys\n");
	assert_true(sshd_config_authorized(&c, "/home/u", "u", path));
	assert_string_equal(path, "/home/u/.ssh/keys");
	c = parse("AuthorizedKeysFile %f\n");
	assert_false(sshd_config_authorized(&c, "/home/u", "u", path));
}

static void included_files_count_and_cycles_end(void **state)
{
	char *path = in_dir("main"), *text;
	struct sshd_config c;

	(void)state;
	text = xasprintf("Include %s/*.conf\nPort 1\nInclude %s\n", dir, path);
	put("main", text);
	put("a.conf", "Port 2\nMatch all\nPort 9\n");
	put("b.conf", "Port 3\n");
	sshd_config_read(path, &c);
	assert_int_equal(c.ports[0], 2);
	assert_int_equal(c.ports[1], 3);
	assert_int_equal(c.ports[2], 1);
	assert_int_equal(c.files, SSHD_INCLUDES_MAX);
	free(text);
	free(path);
}

static void a_missing_file_means_the_defaults(void **state)
{
	struct sshd_config c;
	struct hostport at[SSHD_LISTEN_MAX];

	(void)state;
	sshd_config_read("/nonexistent/sshd_config", &c);
	assert_int_equal(sshd_config_addrs(&c, at), 2);
	assert_int_equal(at[0].port, 22);
	assert_string_equal(c.authorized, ".ssh/authorized_keys");
	assert_int_equal(c.key_count, 3);
}

static void host_keys_lose_their_comments(void **state)
{
	char *path = in_dir("k"),
	     *text = xasprintf("HostKey %s\nHostKey %s/none\n", path, dir);
	struct sshd_config c = parse(text);
	char keys[256];

	(void)state;
	put("k.pub", KEY " root@desk\n");
	assert_int_equal(sshd_config_host_keys(&c, keys, sizeof(keys)),
			 strlen(KEY) + 1);
	assert_string_equal(keys, KEY "\n");
	/* Whole lines or nothing. */
	assert_int_equal(sshd_config_host_keys(&c, keys, 20), 0);
	assert_string_equal(keys, "");
	free(text);
	free(path);
}

/* -- authorized_keys */

static int add(const char *path, const char *line, bool *ret_added)
{
	return authorize_add(path, line, strlen(line), ret_added);
}

static void a_key_is_added_once(void **state)
{
	char *path = in_dir(".ssh/authorized_keys"), *ssh = in_dir(".ssh");
	bool added = false;
	struct stat st;

	(void)state;
	assert_int_equal(add(path, KEY " me@laptop\n", &added), 0);
	assert_true(added);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(ssh, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(add(path, KEY " another comment", &added), 0);
	assert_false(added);

	char *text = get(path);

	assert_string_equal(text, KEY " me@laptop\n");
	free(text);
	free(path);
	free(ssh);
}

static void what_is_there_stays(void **state)
{
	char *path = in_dir("keys"), *text;
	bool added = false;

	(void)state;
	put("keys", "# mine\nrestrict,command=\"x\" ssh-rsa AAAA old");
	assert_int_equal(add(path, KEY, &added), 0);
	text = get(path);
	assert_string_equal(
		text,
		"# mine\nrestrict,command=\"x\" ssh-rsa AAAA old\n" KEY "\n");
	free(text);
	/* Behind options it is there too; in a comment it is not. */
	put("keys", "restrict " KEY " x\n");
	assert_int_equal(add(path, KEY, &added), 0);
	assert_false(added);
	put("keys", "# " KEY " x\n");
	assert_int_equal(add(path, KEY, &added), 0);
	assert_true(added);
	free(path);
}

static void a_file_that_others_may_write_to_is_taken_back(void **state)
{
	char *path = in_dir("keys");
	bool added;
	struct stat st;

	(void)state;
	put("keys", "");
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(add(path, KEY, &added), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 022, 0);
	free(path);
}

static void anything_but_one_public_key_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"ssh-ed25519",
		"ssh-ed25519 ",
		"ssh-ed25519 AAAA",
		"ssh-ed25519 " BLOB "!",
		"ssh-rsa " BLOB,
		"ssh-dss " BLOB,
		"command=\"x\" " KEY,
		KEY "\n" KEY,
		KEY " a\rssh-rsa AAAA",
		KEY " \x1b[31m",
		"-----BEGIN OPENSSH PRIVATE KEY-----",
	};
	char *path = in_dir("keys");
	bool added;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(add(path, bad[i], &added), RW_ERR_FORMAT);
	assert_int_equal(access(path, F_OK), -1);
	free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ports_and_addresses_are_read),
		TEST(a_match_block_ends_what_holds_for_all),
		TEST(the_first_value_holds),
		TEST(included_files_count_and_cycles_end),
		TEST(a_missing_file_means_the_defaults),
		TEST(host_keys_lose_their_comments),
		TEST(a_key_is_added_once),
		TEST(what_is_there_stays),
		TEST(a_file_that_others_may_write_to_is_taken_back),
		TEST(anything_but_one_public_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

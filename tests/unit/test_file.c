/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"

static int count_files(const char *folder)
{
	DIR *d = opendir(folder);
	int n = -2; /* . and .. */

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void assert_content(const char *path, const char *want)
{
	struct buf b = { 0 };

	assert_int_equal(file_read(path, 1000, &b), 0);
	assert_string_equal(buf_text(&b), want);
	buf_done(&b);
}

static void what_is_written_is_read(void **state)
{
	struct stat st;

	(void)state;
	umask(0077);
	assert_int_equal(file_write_atomic("a", "one", 3, 0644), 0);
	assert_content("a", "one");
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(file_write_atomic("./a", "", 0, 0600), 0);
	assert_content("a", "");
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(count_files("."), 1);
}

static void reading_has_a_limit_and_appends(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_int_equal(file_write_atomic("a", "12345", 5, 0600), 0);
	assert_int_equal(buf_append(&b, ">", 1), 0);
	assert_int_equal(file_read("a", 4, &b), RW_ERR_LIMIT);
	assert_int_equal(file_read("none", 4, &b), -ENOENT);
	assert_int_equal(file_read(".", 4, &b), -EISDIR);
	assert_string_equal(buf_text(&b), ">");
	assert_int_equal(file_read("a", 5, &b), 0);
	assert_string_equal(buf_text(&b), ">12345");
	assert_int_equal(file_read("/dev/zero", 100000, &b), RW_ERR_LIMIT);
	assert_int_equal(b.len, 6);
	buf_done(&b);
}

/* A file size limit fails the write in the middle, as a full disk does. */
static void a_full_disk_leaves_the_old_file(void **state)
{
	static char big[100000];
	struct rlimit old, small;

	(void)state;
	assert_int_equal(file_write_atomic("a", "old", 3, 0600), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 5000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int err = file_write_atomic("a", big, sizeof(big), 0600);

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(err, -EFBIG);
	assert_content("a", "old");
	assert_int_equal(count_files("."), 1);
}

static void a_failed_rename_leaves_nothing_behind(void **state)
{
	(void)state;
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(file_write_atomic("d", "x", 1, 0600), -EISDIR);
	assert_int_equal(count_files("."), 1);
	assert_int_equal(file_write_atomic("none/a", "x", 1, 0600), -ENOENT);
}

static void a_new_file_never_replaces_one(void **state)
{
	(void)state;
	assert_int_equal(file_write_new("a", "first", 5, 0600), 0);
	assert_int_equal(file_write_new("a", "second", 6, 0600), RW_ERR_EXISTS);
	assert_content("a", "first");
	assert_int_equal(count_files("."), 1);
}

static void folders_are_made_with_their_parents(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(file_mkdirs("x/y//z/", 0700), 0);
	assert_int_equal(file_mkdirs("x/y/z", 0755), 0);
	assert_int_equal(stat("x/y/z", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(file_write_atomic("f", "", 0, 0600), 0);
	assert_int_equal(file_mkdirs("f", 0700), -ENOTDIR);
	assert_int_equal(file_mkdirs("f/g", 0700), -ENOTDIR);
	assert_int_equal(file_mkdirs("", 0700), -ENOENT);
	assert_int_equal(file_mkdirs("/", 0700), 0);
}

static void a_lock_has_one_holder(void **state)
{
	int a = -1, b = -1;

	(void)state;
	assert_int_equal(file_lock("lock", &a), 0);
	assert_int_equal(file_lock("lock", &b), RW_ERR_BUSY);
	assert_int_equal(b, -1);
	close(a);
	assert_int_equal(file_lock("lock", &b), 0);
	close(b);
	assert_int_equal(file_lock("none/lock", &b), -ENOENT);
}

#define in_folder(f)                                                           \
	cmocka_unit_test_setup_teardown(f, in_new_folder, remove_folder)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		in_folder(what_is_written_is_read),
		in_folder(reading_has_a_limit_and_appends),
		in_folder(a_full_disk_leaves_the_old_file),
		in_folder(a_failed_rename_leaves_nothing_behind),
		in_folder(a_new_file_never_replaces_one),
		in_folder(folders_are_made_with_their_parents),
		in_folder(a_lock_has_one_holder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/state.h"

static const char *const keys[] = { "key", "name", "added", "guest", NULL };
static const struct state_format devices = {
	.kind = "devices",
	.version = 1,
	.max_rows = 3,
	.keys = keys,
};
#define HEAD "# rigway devices 1\n"

/* What a reading saw. */
struct seen {
	size_t rows;
	char name[200];
	int64_t added;
	bool guest;
	int answer; /* what on_row returns when all is there */
};

static int on_row(void *user, struct state_row *row)
{
	struct seen *seen = user;
	const char *name;
	int err = state_str(row, "name", &name);

	if (err == 0 && state_get(row, "added") != NULL)
		err = state_int(row, "added", -5, 100, &seen->added);
	if (err == 0)
		err = state_bool(row, "guest", &seen->guest);
	if (err == 0 && strcmp(name, "nobody") == 0)
		err = state_refuse(row, "name", "must be somebody");
	if (err != 0)
		return err;
	snprintf(seen->name, sizeof(seen->name), "%s", name);
	seen->rows++;
	return seen->answer;
}

static void assert_read(const char *text, size_t len, struct seen *seen)
{
	char *err = NULL;
	int got = state_parse(&(struct state_text){ "f", text, len }, &devices,
			      on_row, seen, &err);

	if (got != 0)
		fail_msg("%s", err);
	assert_null(err);
}

/* The text is refused with exactly this sentence. */
static void assert_refused(const char *text, const char *want)
{
	struct seen seen = { 0 };
	char *err = NULL;

	assert_int_equal(
		state_parse(&(struct state_text){ "f", text, strlen(text) },
			    &devices, on_row, &seen, &err),
		RW_ERR_FORMAT);
	assert_string_equal(err, want);
	free(err);
}

static void rows_are_read(void **state)
{
	static const char text[] =
		HEAD "\n# a comment\n"
		     "name=desk added=-5\n"
		     "key=aZ09._:/@+- name=\"my \\\"lap\\\\top\\\"\\n\\t\\r"
		     "\\x1b\\xff\" added=100 guest=yes\n";
	struct seen seen = { 0 };

	(void)state;
	assert_read(text, sizeof(text) - 1, &seen);
	assert_int_equal(seen.rows, 2);
	assert_string_equal(seen.name, "my \"lap\\top\"\n\t\r\x1b\xff");
	assert_int_equal(seen.added, 100);
	assert_true(seen.guest);
	assert_read(HEAD, strlen(HEAD), &seen);
	assert_read(HEAD "name=\"\" guest=no\n", strlen(HEAD) + 17, &seen);
	assert_false(seen.guest);
}

static void the_first_line_says_what_it_is(void **state)
{
	(void)state;
	assert_refused("", "f:1: error: the file is empty");
	assert_refused("# rigway invites 1\n",
		       "f:1: error: the first line must be '# rigway devices "
		       "1'");
	assert_refused("name=desk\n",
		       "f:1: error: the first line must be '# rigway devices "
		       "1'");
	assert_refused("# rigway devices 2\n",
		       "f:1: error: version 2 of this file; this rigway reads "
		       "version 1");
	assert_refused("# rigway devices x\n",
		       "f:1: error: no version behind '# rigway devices '");
}

static void wrong_rows_are_named(void **state)
{
	static const struct {
		const char *row, *want;
	} cases[] = {
		{ "name=a nmae=b", "unknown key 'nmae'; did you mean 'name'?" },
		{ "zzzzzzz=b", "unknown key 'zzzzzzz'" },
		{ "name=a name=b", "'name' stands twice in one line" },
		{ "name", "expected key=value at column 1" },
		{ "=a", "expected key=value at column 1" },
		{ "name=a  added=1", "expected key=value at column 8" },
		{ " name=a", "expected key=value at column 1" },
		{ "Name=a", "expected key=value at column 1" },
		{ "name=", "'name' has no value" },
		{ "name= added=1", "'name' has no value" },
		{ "name=a ", "after the value of 'name', one space and a field "
			     "are expected, or the line's end" },
		{ "name=a(b", "after the value of 'name', one space and a "
			      "field are expected, or the line's end" },
		{ "name=\"a\"b", "after the value of 'name', one space and a "
				 "field are expected, or the line's end" },
		{ "name=\"a", "the value of 'name' has a wrong escape or no "
			      "second quote" },
		{ "name=\"a\\\"", "the value of 'name' has a wrong escape or "
				  "no second quote" },
		{ "name=\"\\q\"", "the value of 'name' has a wrong escape or "
				  "no second quote" },
		{ "name=\"\\x00\"", "the value of 'name' has a wrong escape "
				    "or no second quote" },
		{ "name=\"\\x1\"", "the value of 'name' has a wrong escape or "
				   "no second quote" },
		{ "name=\"\\", "the value of 'name' has a wrong escape or no "
			       "second quote" },
		{ "key=x", "'name' is missing" },
		{ "name=a added=-6", "'added' must be between -5 and 100, not "
				     "-6" },
		{ "name=a added=101", "'added' must be between -5 and 100, "
				      "not 101" },
		{ "name=a added=99999999999999999999",
		  "'added' must be between -5 and 100, not "
		  "99999999999999999999" },
		{ "name=a added=-0", "'added' must be between -5 and 100, not "
				     "-0" },
		{ "name=a added=1x", "'added' must be a decimal number, not "
				     "'1x'" },
		{ "name=a guest=maybe", "'guest' must be yes or no, not "
					"'maybe'" },
		{ "name=nobody", "'name' must be somebody" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *text = xasprintf(HEAD "name=good\n%s\n", cases[i].row);
		char *want = xasprintf("f:3: error: %s", cases[i].want);

		assert_refused(text, want);
		free(text);
		free(want);
	}
}

static void a_cut_file_is_noticed(void **state)
{
	(void)state;
	assert_refused(HEAD "name=a\nname=b",
		       "f:3: error: the end of the line, and perhaps more, is "
		       "missing");
	assert_refused("# rigway devices 1",
		       "f:1: error: the end of the line, and perhaps more, is "
		       "missing");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	static const char text[] = HEAD "name=a\0b\n";
	struct seen seen = { 0 };
	char *err = NULL;

	(void)state;
	assert_int_equal(
		state_parse(&(struct state_text){ "f", text, sizeof(text) - 1 },
			    &devices, on_row, &seen, &err),
		RW_ERR_FORMAT);
	assert_string_equal(err, "f:2: error: a NUL character");
	free(err);
}

static void limits_hold_when_reading(void **state)
{
	char *line = xmalloc(STATE_LINE_MAX), *text;
	struct seen seen = { 0 };

	(void)state;
	assert_read(HEAD "name=a\nname=b\nname=c\n", strlen(HEAD) + 21, &seen);
	assert_refused(HEAD "name=a\nname=b\nname=c\nname=d\n",
		       "f:5: error: more than 3 rows");

	/* "name=" and the value are exactly as long as allowed, then over. */
	memset(line, 'x', STATE_LINE_MAX);
	text = xasprintf(HEAD "name=%.*s\n", STATE_LINE_MAX - 5, line);
	assert_read(text, strlen(text), &seen);
	free(text);
	text = xasprintf(HEAD "name=%.*s\n", STATE_LINE_MAX - 4, line);
	assert_refused(text, "f:2: error: longer than 16384 bytes");
	free(text);
	free(line);
}

static void a_row_has_so_many_fields_at_most(void **state)
{
	char names[STATE_FIELDS_MAX + 1][16];
	const char *many[STATE_FIELDS_MAX + 2] = { NULL };
	const struct state_format format = { "many", 1, 1, many };
	struct state_writer w;
	char text[1000] = "# rigway many 1\n", *err = NULL;
	struct seen seen = { 0 };

	(void)state;
	state_begin(&w, &format);
	for (int i = 0; i <= STATE_FIELDS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "k%d", i);
		many[i] = names[i];
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%sk%d=1", i > 0 ? " " : "", i);
	}
	strcat(text, "\n");
	assert_int_equal(
		state_parse(&(struct state_text){ "f", text, strlen(text) },
			    &format, on_row, &seen, &err),
		RW_ERR_FORMAT);
	assert_string_equal(err, "f:2: error: more than 32 fields");
	free(err);
	state_add_row(&w);
	for (int i = 0; i <= STATE_FIELDS_MAX; i++)
		state_add_int(&w, names[i], 1);
	assert_int_equal(state_commit(&w, "/nowhere"), RW_ERR_LIMIT);
}

static void what_on_row_returns_ends_the_reading(void **state)
{
	struct seen seen = { .answer = -EBUSY };
	char *err = NULL, *want;

	(void)state;
	assert_int_equal(
		state_parse(&(struct state_text){ "f", HEAD "name=a\nname=b\n",
						  strlen(HEAD) + 14 },
			    &devices, on_row, &seen, &err),
		-EBUSY);
	assert_int_equal(seen.rows, 1);
	want = xasprintf("f:2: error: %s", err_text(-EBUSY));
	assert_string_equal(err, want);
	free(want);
	free(err);
}

static void write_names(struct state_writer *w, const char *const *names,
			size_t count)
{
	state_begin(w, &devices);
	for (size_t i = 0; i < count; i++) {
		state_add_row(w);
		state_add_str(w, "name", names[i]);
		state_add_int(w, "added", -3);
		state_add_bool(w, "guest", i % 2 != 0);
		state_add_str(w, "key", NULL);
	}
}

static int on_name(void *user, struct state_row *row)
{
	const char ***want = user;

	assert_string_equal(state_get(row, "name"), **want);
	(*want)++;
	return 0;
}

static void what_is_written_is_read_back(void **state)
{
	static const char *const names[] = {
		"plain-._:/@+Name",
		"",
		"quote\" back\\ \n\t\r \x01\x7f \xc3\xa4",
	};
	const char *const *want = names;
	char dir[] = "/tmp/rigway-test-XXXXXX", *path, *err = NULL;
	struct state_writer w;
	struct buf text = { 0 };
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/devices", dir);
	assert_int_equal(state_load(path, &devices, on_name, &want, &err),
			 -ENOENT);
	assert_null(err);
	write_names(&w, names, 3);
	assert_int_equal(state_commit(&w, path), 0);
	assert_int_equal(state_load(path, &devices, on_name, &want, &err), 0);
	assert_ptr_equal(want, names + 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(file_read(path, 1000, &text), 0);
	assert_string_equal(buf_text(&text),
			    HEAD "name=plain-._:/@+Name added=-3\n"
				 "name=\"\" added=-3 guest=yes\n"
				 "name=\"quote\\\" back\\\\ \\n\\t\\r "
				 "\\x01\\x7f \xc3\xa4\" added=-3\n");
	buf_done(&text);
	assert_int_equal(state_load(dir, &devices, on_name, &want, &err),
			 -EISDIR);
	assert_non_null(strstr(err, ": error: cannot be read: "));
	free(err);
	unlink(path);
	rmdir(dir);
	free(path);
}

static void limits_hold_when_writing(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	char *big = xmalloc(STATE_LINE_MAX + 1);
	struct state_writer w;

	(void)state;
	write_names(&w, names, 4);
	assert_int_equal(state_commit(&w, "/nowhere"), RW_ERR_LIMIT);
	memset(big, 'x', STATE_LINE_MAX);
	big[STATE_LINE_MAX] = '\0';
	write_names(&w, (const char *const[]){ big }, 1);
	assert_int_equal(state_commit(&w, "/nowhere"), RW_ERR_LIMIT);
	write_names(&w, names, 1);
	state_drop(&w);
	free(big);
}

static void a_failed_write_is_told(void **state)
{
	static const char *const names[] = { "a" };
	struct state_writer w;

	(void)state;
	write_names(&w, names, 1);
	assert_int_equal(state_commit(&w, "/nowhere/at/all/devices"), -ENOENT);
}

static bool put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	bool ok = f != NULL && fputs(text, f) >= 0;

	return f != NULL && fclose(f) == 0 && ok;
}

/* Gives this process mounts of its own, as an ordinary user too. */
static bool leave_mounts(void)
{
	uid_t uid = geteuid();
	char *uids = xasprintf("0 %ju 1\n", (uintmax_t)uid);
	char *gids = xasprintf("0 %ju 1\n", (uintmax_t)getegid());
	bool ok = unshare(CLONE_NEWNS | (uid != 0 ? CLONE_NEWUSER : 0)) == 0;

	if (uid != 0)
		ok = ok && put("/proc/self/setgroups", "deny") &&
		     put("/proc/self/uid_map", uids) &&
		     put("/proc/self/gid_map", gids);
	free(uids);
	free(gids);
	return ok && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* In a child with a disk of its own of 16 KiB: 0 when the old file survives a
 * write that does not fit, 77 where no such disk can be made. */
static int fill_a_disk(const char *dir)
{
	static const char *const names[] = { "old" };
	const struct state_format wide = { "devices", 1, 10000, keys };
	const char *const *want = names;
	char path[200], *err = NULL;
	struct state_writer w;

	snprintf(path, sizeof(path), "%s/devices", dir);
	if (!leave_mounts() || mount("none", dir, "tmpfs", 0, "size=16k") != 0)
		return 77;
	write_names(&w, names, 1);
	if (state_commit(&w, path) != 0)
		return 1;
	state_begin(&w, &wide);
	for (int i = 0; i < 10000; i++) {
		state_add_row(&w);
		state_add_str(&w, "name", "new");
	}
	if (state_commit(&w, path) != -ENOSPC)
		return 2;
	if (state_load(path, &devices, on_name, &want, &err) != 0 ||
	    want != names + 1)
		return 3;
	/* And nothing half-written lies in the way of the next one. */
	write_names(&w, names, 1);
	return state_commit(&w, path) != 0 ? 4 : 0;
}

static void a_full_disk_leaves_the_old_file(void **state)
{
	char dir[] = "/tmp/rigway-test-XXXXXX";
	int status;
	pid_t child;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fflush(NULL);
	child = fork();
	if (child == 0)
		_exit(fill_a_disk(dir));
	assert_int_equal(waitpid(child, &status, 0), child);
	rmdir(dir);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_read),
		cmocka_unit_test(the_first_line_says_what_it_is),
		cmocka_unit_test(wrong_rows_are_named),
		cmocka_unit_test(a_cut_file_is_noticed),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(limits_hold_when_reading),
		cmocka_unit_test(a_row_has_so_many_fields_at_most),
		cmocka_unit_test(what_on_row_returns_ends_the_reading),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(limits_hold_when_writing),
		cmocka_unit_test(a_failed_write_is_told),
		cmocka_unit_test(a_full_disk_leaves_the_old_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/dial.h"
#include "net/local.h"
#include "net/loop.h"

/* The server runs in the test's own process and loop; the asker, which blocks,
 * in a thread of libuv's. */
static uv_loop_t loop;
static struct local *srv;
static char dir[64], path[80];
static struct local_req *held;
static int gone, requests;
static int passed[2];

static void on_gone(struct local_req *r, void *user)
{
	assert_ptr_equal(r, held);
	assert_ptr_equal(user, &gone);
	held = NULL;
	gone++;
}

static void answer_many(struct local_req *r, json_int_t count)
{
	for (json_int_t i = 0; i < count; i++)
		assert_int_equal(
			local_reply_json(r, json_pack("{s:I}", "row", i)), 0);
	local_end_json(r, true, 0, NULL, json_pack("{s:I}", "rows", count));
}

static void pass_fds(struct local_req *r)
{
	assert_int_equal(local_reply_json(r, json_pack("{s:i}", "before", 1)),
			 0);
	assert_int_equal(
		local_send_fd(r, passed[0], json_pack("{s:s}", "fd", "first")),
		0);
	assert_int_equal(local_send_fd(r, passed[1], NULL), 0);
	local_end(r, true, 0, NULL);
}

static void flood(struct local_req *r)
{
	static char text[LOCAL_LINE_MAX + 1];
	const size_t len = 60000;
	int n = 0, x;

	memset(text, '0', len);
	while ((x = local_reply_json(r, json_pack("{s:s}", "x", text))) == 0)
		n++;
	assert_int_equal(x, RW_ERR_GONE);
	assert_true((size_t)n * len <= LOCAL_QUEUE_MAX);
	memset(text, '0', LOCAL_LINE_MAX);
	assert_int_equal(local_reply_json(r, json_pack("{s:s}", "x", text)),
			 RW_ERR_LIMIT);
	held = r;
	local_set_gone(r, on_gone, &gone);
}

/* Lines that are made as they are read; how many were, and how many of these
 * answers are over. */
#define LINES 100000
static unsigned made, done;

static json_t *lines_next(void *user)
{
	assert_ptr_equal(user, &made);
	return made < LINES ? json_pack("{s:i, s:s}", "row", (int)made++, "x",
					"sixty bytes or so, as in a row of a "
					"list that somebody reads")
			    : NULL;
}

static json_t *lines_last(void *user)
{
	assert_ptr_equal(user, &made);
	return json_pack("{s:i}", "rows", (int)made);
}

static void lines_done(void *user)
{
	assert_ptr_equal(user, &made);
	done++;
}

static const struct local_source source = { lines_next, lines_last,
					    lines_done };

static void on_request(struct local_req *r, json_t *msg, void *user)
{
	const char *verb = json_string_value(json_object_get(msg, "do"));

	assert_ptr_equal(user, &loop);
	requests++;
	assert_non_null(verb);
	if (strcmp(verb, "rows") == 0) {
		answer_many(r,
			    json_integer_value(json_object_get(msg, "count")));
	} else if (strcmp(verb, "fail") == 0) {
		local_end(r, false, 2, "no such rig");
	} else if (strcmp(verb, "fds") == 0) {
		pass_fds(r);
	} else if (strcmp(verb, "lines") == 0) {
		made = 0;
		local_end_lines(r, &source, &made);
	} else if (strcmp(verb, "flood") == 0) {
		flood(r);
	} else {
		held = r;
		local_set_gone(r, on_gone, &gone);
	}
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/rigway-local-XXXXXX");
	if (mkdtemp(dir) == NULL || loop_init(&loop) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	held = NULL;
	gone = requests = 0;
	made = done = 0;
	return local_serve(&loop, path, on_request, &loop, &srv);
}

static int teardown(void **state)
{
	(void)state;
	local_free(srv);
	loop_run_close(&loop);
	return rmdir(dir); /* the socket's file is gone */
}

/* Runs one asker in a thread and the loop until it is done. */
struct asker {
	uv_work_t work;
	void (*ask)(struct asker *a);
	bool is_done;
	int fd, result;
	char problem[200];
};

#define WANT(a, cond)                                                          \
	do {                                                                   \
		if (!(cond))                                                   \
			snprintf((a)->problem, sizeof((a)->problem),           \
				 "line %d: %s", __LINE__, #cond);              \
	} while (0)

static void asker_run(uv_work_t *w)
{
	struct asker *a = w->data;

	a->ask(a);
}

static void asker_done(uv_work_t *w, int status)
{
	(void)status;
	((struct asker *)w->data)->is_done = true;
}

static void run(void (*ask)(struct asker *a))
{
	struct asker a = { .ask = ask };

	a.work.data = &a;
	uv_queue_work(&loop, &a.work, asker_run, asker_done);
	while (!a.is_done)
		uv_run(&loop, UV_RUN_ONCE);
	assert_string_equal(a.problem, "");
}

static int ask(struct asker *a, const char *text)
{
	json_t *msg = json_loads(text, 0, NULL);
	int fd = local_connect(path), r;

	WANT(a, fd >= 0);
	r = local_ask(fd, msg);
	WANT(a, r == 0);
	json_decref(msg);
	return fd;
}

static void ask_rows(struct asker *a)
{
	int fd = ask(a, "{\"do\":\"rows\",\"count\":1000}");
	json_t *line;

	for (int i = 0; i < 1000; i++) {
		WANT(a, local_next(fd, 5000, &line, NULL) == 0);
		WANT(a, json_integer_value(json_object_get(line, "row")) == i);
		json_decref(line);
	}
	WANT(a, local_next(fd, 5000, &line, NULL) == 1);
	WANT(a, json_is_true(json_object_get(line, "ok")));
	WANT(a, json_integer_value(json_object_get(line, "rows")) == 1000);
	json_decref(line);
	/* The same connection serves the next request. */
	json_t *msg = json_pack("{s:s}", "do", "fail");

	WANT(a, local_ask(fd, msg) == 0);
	json_decref(msg);
	WANT(a, local_next(fd, 5000, &line, NULL) == 1);
	WANT(a, json_is_false(json_object_get(line, "ok")));
	WANT(a, strcmp(json_string_value(json_object_get(line, "error")),
		       "no such rig") == 0);
	WANT(a, json_integer_value(json_object_get(line, "exit")) == 2);
	json_decref(line);
	close(fd);
}

static void any_number_of_lines_and_a_last_one(void **state)
{
	(void)state;
	run(ask_rows);
	assert_int_equal(requests, 2);
}

static void ask_fds(struct asker *a)
{
	int fd = ask(a, "{\"do\":\"fds\"}"), got;
	json_t *line;
	char c = 0;

	WANT(a, local_next(fd, 5000, &line, &got) == 0);
	WANT(a, got == -1);
	json_decref(line);
	WANT(a, local_next(fd, 5000, &line, &got) == 0);
	WANT(a, strcmp(json_string_value(json_object_get(line, "fd")),
		       "first") == 0);
	json_decref(line);
	WANT(a, got >= 0 && write(got, "1", 1) == 1);
	close(got);
	WANT(a, local_next(fd, 5000, &line, &got) == 0);
	json_decref(line);
	WANT(a, got >= 0 && read(got, &c, 1) == 1 && c == '1');
	close(got);
	WANT(a, local_next(fd, 5000, &line, &got) == 1);
	WANT(a, got == -1);
	json_decref(line);
	close(fd);
}

static void fds_travel_with_their_lines(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, passed), 0);
	run(ask_fds);
	close(passed[0]);
	close(passed[1]);
}

static void ask_and_leave(struct asker *a)
{
	int fd = ask(a, "{\"do\":\"hold\"}");
	json_t *line;

	WANT(a, local_next(fd, 50, &line, NULL) == RW_ERR_TIMEOUT);
	close(fd);
}

static void an_asker_that_leaves_is_noticed(void **state)
{
	(void)state;
	run(ask_and_leave);
	while (gone == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_null(held);
}

static void ask_flood(struct asker *a)
{
	int fd = ask(a, "{\"do\":\"flood\"}");
	json_t *line;
	int r;

	while ((r = local_next(fd, 5000, &line, NULL)) == 0)
		json_decref(line);
	WANT(a, r == RW_ERR_GONE);
	close(fd);
}

static void answers_that_nobody_reads_are_bounded(void **state)
{
	(void)state;
	run(ask_flood);
	while (gone == 0)
		uv_run(&loop, UV_RUN_ONCE);
}

static void ask_lines(struct asker *a)
{
	int fd = ask(a, "{\"do\":\"lines\"}");
	json_t *line;

	for (int i = 0; i < LINES; i++) {
		WANT(a, local_next(fd, 5000, &line, NULL) == 0);
		WANT(a, json_integer_value(json_object_get(line, "row")) == i);
		json_decref(line);
	}
	WANT(a, local_next(fd, 5000, &line, NULL) == 1);
	WANT(a, json_is_true(json_object_get(line, "ok")));
	WANT(a, json_integer_value(json_object_get(line, "rows")) == LINES);
	json_decref(line);
	close(fd);
}

static void an_answer_may_be_longer_than_what_may_wait(void **state)
{
	(void)state;
	run(ask_lines);
	assert_int_equal(done, 1);
}

static void ask_lines_and_wait(struct asker *a)
{
	int fd = ask(a, "{\"do\":\"lines\"}");
	json_t *line;

	/* Another one is served meanwhile. */
	ask_rows(a);
	WANT(a, local_next(fd, 5000, &line, NULL) == 0);
	json_decref(line);
	close(fd);
}

/* What waits is what the socket holds, and a little more. */
static void lines_are_made_as_they_are_read(void **state)
{
	(void)state;
	run(ask_lines_and_wait);
	while (done == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(made > 0 && made < LINES / 2);
	assert_int_equal(done, 1);
}

/* The process ends in the midst of an answer. */
static void lines_that_are_left_are_given_back(void **state)
{
	json_t *msg = json_pack("{s:s}", "do", "lines");
	int fd = local_connect(path);

	(void)state;
	assert_int_equal(local_ask(fd, msg), 0);
	json_decref(msg);
	while (made == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(done, 0);
	local_free(srv);
	srv = NULL;
	assert_int_equal(done, 1);
	close(fd);
}

static void send_all(struct asker *a, const char *text, size_t len)
{
	json_t *line;

	a->fd = local_connect(path);
	WANT(a, a->fd >= 0);
	(void)send(a->fd, text, len, MSG_NOSIGNAL);
	a->result = local_next(a->fd, 5000, &line, NULL);
	if (a->result >= 0) {
		WANT(a, json_is_false(json_object_get(line, "ok")));
		json_decref(line);
	}
	close(a->fd);
}

static void ask_nonsense(struct asker *a)
{
	static const char *const lines[] = {
		"\n",	      "nonsense\n",
		"[1]\n",      "{\"do\":\"a\",\"do\":\"b\"}\n",
		"{\"do\":\n", "\"\xff\"\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		send_all(a, lines[i], strlen(lines[i]));
		WANT(a, a->result == 1);
	}
}

static void nonsense_is_answered_with_an_error(void **state)
{
	(void)state;
	run(ask_nonsense);
	assert_int_equal(requests, 0);
}

static void ask_oversize(struct asker *a)
{
	size_t len = LOCAL_LINE_MAX + 20000;
	char *text = malloc(len);

	memset(text, 'x', len);
	send_all(a, text, len);
	WANT(a, a->result == RW_ERR_GONE);
	free(text);
	json_t *big = json_pack("{s:s%}", "x", "", (size_t)0);
	char *value = calloc(1, LOCAL_LINE_MAX + 1);

	memset(value, 'x', LOCAL_LINE_MAX);
	json_object_set_new(big, "x", json_string(value));
	WANT(a, local_ask(-1, big) == RW_ERR_LIMIT);
	json_decref(big);
	free(value);
}

static void an_oversize_line_drops_its_sender(void **state)
{
	(void)state;
	run(ask_oversize);
	assert_int_equal(requests, 0);
}

static void ask_too_often(struct asker *a)
{
	int fds[LOCAL_CONNS_MAX + 1];
	json_t *line;

	for (int i = 0; i <= LOCAL_CONNS_MAX; i++) {
		fds[i] = local_connect(path);
		WANT(a, fds[i] >= 0);
	}
	WANT(a, local_next(fds[LOCAL_CONNS_MAX], 5000, &line, NULL) == 1);
	WANT(a, strstr(json_string_value(json_object_get(line, "error")),
		       "too many") != NULL);
	json_decref(line);
	WANT(a, local_next(fds[LOCAL_CONNS_MAX], 5000, &line, NULL) ==
			RW_ERR_GONE);
	for (int i = 0; i <= LOCAL_CONNS_MAX; i++)
		close(fds[i]);
}

static void there_is_a_limit_to_askers(void **state)
{
	(void)state;
	run(ask_too_often);
	run(ask_rows); /* and it ends with them */
}

/* Askers wait, and the process may open nothing more. Each is answered, one in
 * words that say so. */
static void askers_are_answered_without_a_fd_to_spare(void **state)
{
	int fds[LOCAL_RESERVE], answered = 0, told = 0, lowest;
	json_t *ask = json_pack("{s:s}", "do", "fail"), *line;
	struct rlimit old, low;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = local_connect(path);
		assert_int_equal(local_ask(fds[i], ask), 0);
	}
	json_decref(ask);
	lowest = dup(0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){ (rlim_t)lowest, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		const char *text;
		int err;

		do
			uv_run(&loop, UV_RUN_NOWAIT);
		while ((err = local_next(fds[i], 0, &line, NULL)) ==
		       RW_ERR_TIMEOUT);
		assert_int_equal(err, 1);
		text = json_string_value(json_object_get(line, "error"));
		answered += strcmp(text, "no such rig") == 0;
		told += strstr(text, "the limit") != NULL;
		json_decref(line);
	}
	setrlimit(RLIMIT_NOFILE, &old);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	assert_int_equal(answered, LOCAL_RESERVE - 1);
	assert_int_equal(told, 1);
	assert_int_equal(requests, LOCAL_RESERVE - 1);
	run(ask_rows); /* and so is everybody afterwards */
}

/* Only root can become somebody else to try; the mode of the file is opened
 * for the test, so that the server's own check is what refuses. */
static void another_user_is_not_heard(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0) {
		skip();
		return;
	}
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(path, 0666), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct pollfd wait = { .events = POLLIN };
		int fd;
		char c;

		if (setuid(65534) < 0 || dial_unix(path, &fd) < 0)
			_exit(10);
		/* The client's side refuses another user's server, too. */
		if (local_connect(path) != RW_ERR_PERM)
			_exit(11);
		wait.fd = fd;
		_exit(poll(&wait, 1, 10000) == 1 && recv(fd, &c, 1, 0) <= 0
			      ? 0
			      : 12);
	}
	while (waitpid(child, &status, WNOHANG) == 0)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(requests, 0);
}

static void without_a_server_the_errors_say_so(void **state)
{
	char other[100];

	(void)state;
	snprintf(other, sizeof(other), "%s/none", dir);
	assert_int_equal(local_connect(other), RW_ERR_NOT_FOUND);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(any_number_of_lines_and_a_last_one),
		T(fds_travel_with_their_lines),
		T(an_asker_that_leaves_is_noticed),
		T(answers_that_nobody_reads_are_bounded),
		T(an_answer_may_be_longer_than_what_may_wait),
		T(lines_are_made_as_they_are_read),
		T(lines_that_are_left_are_given_back),
		T(nonsense_is_answered_with_an_error),
		T(an_oversize_line_drops_its_sender),
		T(there_is_a_limit_to_askers),
		T(askers_are_answered_without_a_fd_to_spare),
		T(another_user_is_not_heard),
		T(without_a_server_the_errors_say_so),
	};

	return cmocka_run_group_tests_name("local", tests, NULL, NULL);
}

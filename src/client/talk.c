/* SPDX-License-Identifier: MIT */
#include "client/talk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/detach.h"
#include "base/check.h"
#include "base/err.h"
#include "base/format.h"
#include "client/self.h"
#include "config/paths.h"
#include "net/local.h"

#define RETRY_MS       20
#define OTHER_START_MS 3000 /* for a daemon that somebody else started */

/* -- starting the daemon */

/* Another command may have started it at the same time, and won. */
static int connect_to_other(const char *path)
{
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000 };
	int fd = RW_ERR_REFUSED;

	for (int ms = 0; ms < OTHER_START_MS; ms += RETRY_MS) {
		fd = local_connect(path);
		if (fd != RW_ERR_REFUSED && fd != RW_ERR_NOT_FOUND)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* Starts the daemon and waits for it. 0, or why not, with its last words. */
static int start_daemon(const char *log, char **ret_words)
{
	static const char *const argv[] = { "rigway", "daemon", "--ready-fd",
					    DETACH_READY_WORD, NULL };
	char *self = self_path(), *home = self_home();
	const struct detach_params p = {
		.program = self,
		.argv = argv,
		.home = home,
		.log = log,
	};
	int err = self != NULL ? detach_start(&p, ret_words) : -ENOENT;

	free(self);
	free(home);
	return err;
}

static int start_and_connect(struct paths *paths, const char *path)
{
	char *log = paths_state(paths, "client", "log"), *words = NULL;
	int fd;

	if (log == NULL) {
		fprintf(stderr, "rigway: %s\n", paths_error(paths));
		return RW_ERR_IO;
	}
	fd = start_daemon(log, &words);
	if (fd == 0)
		fd = local_connect(path);
	else if (words != NULL && strstr(words, TALK_OTHER) != NULL)
		fd = connect_to_other(path);
	if (fd < 0)
		fprintf(stderr,
			"rigway: the background process does not start: %s\n",
			words != NULL && words[0] != '\0' ? words
							  : err_text(fd));
	free(words);
	free(log);
	return fd;
}

int talk_connect(bool start)
{
	struct paths paths;
	char *path = NULL;
	int fd = paths_init(&paths);

	if (fd == 0)
		path = paths_socket_served(&paths, "client");
	if (path == NULL) {
		fprintf(stderr, "rigway: %s\n", paths_error(&paths));
		fd = RW_ERR_IO;
	} else {
		fd = local_connect(path);
		if (fd != RW_ERR_REFUSED && fd != RW_ERR_NOT_FOUND) {
			if (fd < 0)
				fprintf(stderr, "rigway: %s: %s\n", path,
					err_text(fd));
		} else {
			fd = start ? start_and_connect(&paths, path)
				   : RW_ERR_NOT_FOUND;
		}
	}
	free(path);
	paths_done(&paths);
	return fd;
}

/* -- asking */

static int last_status(const json_t *line)
{
	const char *text = json_string_value(json_object_get(line, "error"));
	const json_t *status = json_object_get(line, "exit");

	if (json_is_true(json_object_get(line, "ok")))
		return 0;
	fprintf(stderr, "rigway: %s\n", text != NULL ? text : "it failed");
	return json_is_integer(status) ? (int)json_integer_value(status) : 1;
}

/* What came of one request. */
struct exchange {
	int status;	  /* the command's exit status */
	bool is_answered; /* at least one line came */
};

struct question {
	const json_t *msg; /* borrowed */
	int timeout_ms;	   /* for each line; -1: never */
	talk_on_line *on_line;
	void *user;
};

/* 0, or why there is no last line. */
static int exchange(int fd, const struct question *q, struct exchange *ret)
{
	int err = local_ask(fd, q->msg), passed;
	json_t *line;

	*ret = (struct exchange){ 0 };
	while (err == 0) {
		err = local_next(fd, q->timeout_ms, &line, &passed);
		if (err < 0)
			break;
		ret->is_answered = true;
		if (err == 1)
			ret->status = last_status(line);
		else if (q->on_line != NULL)
			ret->status = q->on_line(q->user, line, passed);
		if (passed >= 0 && (err == 1 || q->on_line == NULL))
			close(passed);
		json_decref(line);
		if (err == 0 && ret->status != 0)
			return 0;
	}
	return MIN(err, 0);
}

/* Whether fd's process still listens: one that dies may be there for a while.
 */
static bool is_there(int fd)
{
	int other = talk_connect(false);
	bool is_same = other >= 0 && local_peer(other) == local_peer(fd);

	if (other >= 0)
		close(other);
	return is_same;
}

int talk_lost(int fd, int err)
{
	long pid = (long)local_peer(fd);

	if (is_there(fd))
		fprintf(stderr,
			"rigway: the background process (%ld) runs, but closed "
			"this connection without an answer (%s); try again, or "
			"end it with 'kill %ld': the next command starts it "
			"anew\n",
			pid, err_text(err), pid);
	else
		fprintf(stderr, "rigway: the background process ended; the "
				"next command starts it anew\n");
	return 1;
}

/* It is there, and says nothing. */
static int hangs(int fd, int timeout_ms)
{
	char waited[FORMAT_CAP];
	pid_t pid = local_peer(fd);

	fprintf(stderr,
		"rigway: the background process (%ld) has not answered for %s: "
		"it was stopped, or hangs. What it last knew is not shown. "
		"'kill -CONT %ld' lets a stopped one go on; 'kill -KILL %ld' "
		"ends it, and the next command starts it anew\n",
		(long)pid, format_duration((uint64_t)timeout_ms, waited),
		(long)pid, (long)pid);
	return 1;
}

int talk_on(int fd, json_t *msg, talk_on_line *on_line, void *user)
{
	const struct question q = { msg, -1, on_line, user };
	struct exchange ex;
	int err = exchange(fd, &q, &ex);

	json_decref(msg);
	return err < 0 ? talk_lost(fd, err) : ex.status;
}

/* A process that is just ending may still take the call: the next one is asked
 * then, once. */
static int ask_twice(const struct question *q)
{
	struct exchange ex = { .status = 1 };
	bool is_last = false;

	for (int tries = 1; !is_last; tries++) {
		int fd = talk_connect(true), err;

		if (fd < 0)
			return 1;
		err = exchange(fd, q, &ex);
		is_last = err == 0 || err == RW_ERR_TIMEOUT || ex.is_answered ||
			  tries == 2;
		if (err == RW_ERR_TIMEOUT)
			ex.status = hangs(fd, q->timeout_ms);
		else if (err < 0 && is_last)
			ex.status = talk_lost(fd, err);
		close(fd);
	}
	return ex.status;
}

int talk_within(int timeout_ms, json_t *msg, talk_on_line *on_line, void *user)
{
	const struct question q = { msg, timeout_ms, on_line, user };
	int status = ask_twice(&q);

	json_decref(msg);
	return status;
}

int talk(json_t *msg, talk_on_line *on_line, void *user)
{
	return talk_within(-1, msg, on_line, user);
}

int talk_gather(void *user, json_t *line, int fd)
{
	if (fd >= 0)
		close(fd);
	json_array_append(user, line);
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "client/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/self.h"
#include "config/paths.h"
#include "net/local.h"

#define LOG_TAIL       4096
#define RETRY_MS       20
#define OTHER_START_MS 3000 /* for a daemon that somebody else started */

/* -- starting the daemon */

/* What the new process does between fork and exec; only the end returns. */
static _Noreturn void become_daemon(const char *self, const char *home,
				    int log_fd, int ready_fd)
{
	int null_fd = open("/dev/null", O_RDWR);
	sigset_t none;

	setsid();
	umask(077);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (home != NULL)
		setenv("RIGWAY_HOME", home, 1);
	if (chdir("/") < 0 || null_fd < 0)
		_exit(1);
	/* The order matters: 0 to 3 may be among these fds. */
	log_fd = fcntl(log_fd, F_DUPFD, 10);
	ready_fd = fcntl(ready_fd, F_DUPFD, 10);
	dup2(null_fd, 0);
	dup2(null_fd, 1);
	dup2(log_fd, 2);
	dup2(ready_fd, 3);
	self_close_fds(4);
	execl(self, "rigway", "daemon", "--ready-fd", "3", (char *)NULL);
	_exit(1);
}

/* The errors that the log has from offset on, one a line, without the time; if
 * there is none, its last line. */
static char *last_words(const char *log, off_t from)
{
	struct buf out = { .len = 0 };
	char text[LOG_TAIL + 1], *line = NULL, *rest = text, *words;
	int fd = open(log, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = 0;

	if (fd >= 0 && fstat(fd, &st) == 0)
		n = pread(fd, text, LOG_TAIL, MAX(from, st.st_size - LOG_TAIL));
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (char *at; (at = strsep(&rest, "\n")) != NULL;) {
		words = strstr(at, " error: ");
		if (words != NULL)
			buf_printf(&out, "%s%s", out.len > 0 ? "\n" : "",
				   words + strlen(" error: "));
		if (at[0] != '\0')
			line = at;
	}
	words = xstrdup(out.len > 0    ? buf_text(&out)
			: line != NULL ? line
				       : "");
	buf_done(&out);
	return words;
}

/* Waits until the daemon wrote its byte (1), died (0), or took too long. */
static int wait_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;
	int n;

	do
		n = poll(&p, 1, TALK_START_MS);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return RW_ERR_TIMEOUT;
	return read(fd, &byte, 1) == 1 ? 1 : 0;
}

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

/* Starts the daemon and waits for it; 1, or 0 with its last words. */
static int start_daemon(const char *log, char **ret_words)
{
	char *self = self_path(), *home = self_home();
	int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	off_t from = log_fd >= 0 ? lseek(log_fd, 0, SEEK_END) : 0;
	int pipe_fds[2], ready = 0, status;
	pid_t pid = -1;

	*ret_words = NULL;
	if (self == NULL || log_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
		*ret_words = xasprintf("%s: %s", log, strerror(errno));
		goto free_paths;
	}
	pid = fork();
	if (pid == 0)
		become_daemon(self, home, log_fd, pipe_fds[1]);
	close(pipe_fds[1]);
	if (pid > 0)
		ready = wait_ready(pipe_fds[0]);
	close(pipe_fds[0]);
	if (ready == 0 && pid > 0)
		waitpid(pid, &status, 0);
	if (ready < 0)
		*ret_words = xasprintf("it takes too long; see %s", log);
	else if (ready == 0)
		*ret_words = last_words(log, from);
free_paths:
	if (log_fd >= 0)
		close(log_fd);
	free(self);
	free(home);
	return ready == 1;
}

static int start_and_connect(struct paths *paths, const char *path)
{
	char *log = paths_state(paths, "client", "log"), *words = NULL;
	int fd;

	if (log == NULL) {
		fprintf(stderr, "rigway: %s\n", paths_error(paths));
		return RW_ERR_IO;
	}
	if (start_daemon(log, &words))
		fd = local_connect(path);
	else if (strstr(words, "another rigway serves") != NULL)
		fd = connect_to_other(path);
	else
		fd = RW_ERR_GONE;
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
		path = paths_socket(&paths, "client");
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

int talk_on(int fd, json_t *msg, talk_on_line *on_line, void *user)
{
	int err = local_ask(fd, msg), status = 0, passed;
	json_t *line;

	json_decref(msg);
	while (err == 0) {
		err = local_next(fd, -1, &line, &passed);
		if (err < 0)
			break;
		if (err == 1)
			status = last_status(line);
		else if (on_line != NULL)
			status = on_line(user, line, passed);
		if (passed >= 0 && (err == 1 || on_line == NULL))
			close(passed);
		json_decref(line);
		if (err == 0 && status != 0)
			return status;
	}
	if (err < 0)
		fprintf(stderr, "rigway: the background process ended: %s\n",
			err_text(err));
	return err < 0 ? 1 : status;
}

int talk(json_t *msg, talk_on_line *on_line, void *user)
{
	int fd = talk_connect(true), status;

	if (fd < 0) {
		json_decref(msg);
		return 1;
	}
	status = talk_on(fd, msg, on_line, user);
	close(fd);
	return status;
}

int talk_gather(void *user, json_t *line, int fd)
{
	if (fd >= 0)
		close(fd);
	json_array_append(user, line);
	return 0;
}

void talk_print(const json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
}

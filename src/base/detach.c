/* SPDX-License-Identifier: MIT */
#include "base/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

/* How much of the end of the log is looked at for last words. */
#define LOG_TAIL 4096
/* Above every fd that the new process is given a meaning for. */
#define FD_ASIDE 10

/* Between fork and exec: only calls that are safe there, as the resolver's
 * threads may have held any lock when they were left behind. */
static _Noreturn void become(const struct detach_params *p, int log_fd,
			     int ready_fd)
{
	int null_fd = open("/dev/null", O_RDWR);
	sigset_t none;

	setsid();
	umask(077);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") < 0 || null_fd < 0)
		_exit(1);
	/* The order matters: 0 to 3 may be among these fds. */
	log_fd = fcntl(log_fd, F_DUPFD, FD_ASIDE);
	ready_fd = fcntl(ready_fd, F_DUPFD, FD_ASIDE);
	dup2(null_fd, STDIN_FILENO);
	dup2(log_fd, STDOUT_FILENO);
	dup2(log_fd, STDERR_FILENO);
	dup2(ready_fd, DETACH_READY_FD);
	/* Whoever reads this command's output waits for the ends of pipes. */
	closefrom(DETACH_READY_FD + 1);
	execv(p->program, (char *const *)(uintptr_t)p->argv);
	_exit(1);
}

/* What the log got from offset `from` on, at most its last LOG_TAIL bytes. */
static void read_tail(const char *log, off_t from, char text[LOG_TAIL + 1])
{
	int fd = open(log, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = 0;

	if (fd >= 0 && fstat(fd, &st) == 0)
		n = pread(fd, text, LOG_TAIL, MAX(from, st.st_size - LOG_TAIL));
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
}

/* The errors that the log has from there on, one a line, without the time; if
 * there is none, its last line. */
static char *last_words(const char *log, off_t from)
{
	struct buf out = { .len = 0 };
	char text[LOG_TAIL + 1], *last = text, *rest = text, *words;

	read_tail(log, from, text);
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		words = strstr(line, " error: ");
		if (words != NULL)
			buf_printf(&out, "%s%s", out.len > 0 ? "\n" : "",
				   words + strlen(" error: "));
		if (line[0] != '\0')
			last = line;
	}
	words = xstrdup(out.len > 0 ? buf_text(&out) : last);
	buf_done(&out);
	return words;
}

/* A byte means that it serves, an end that it has ended. */
static int wait_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;
	int n;

	do
		n = poll(&p, 1, DETACH_READY_MS);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return RW_ERR_TIMEOUT;
	return read(fd, &byte, 1) == 1 ? 0 : RW_ERR_GONE;
}

/* Starts it with its log open, and sees it through its beginnings. */
static int run(const struct detach_params *p, int log_fd)
{
	int pipe_fds[2], err;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	if (p->home != NULL) /* here, as setenv() is not safe after fork() */
		setenv("RIGWAY_HOME", p->home, 1);
	pid = fork();
	if (pid == 0)
		become(p, log_fd, pipe_fds[1]);
	err = pid < 0 ? -errno : 0;
	close(pipe_fds[1]);
	if (err == 0)
		err = wait_ready(pipe_fds[0]);
	close(pipe_fds[0]);
	if (err == RW_ERR_GONE)
		waitpid(pid, NULL, 0);
	return err;
}

/* Nothing was said: because nothing could be. */
static char *why_silent(const char *log, int log_fd)
{
	return write(log_fd, "\n", 1) < 0
		       ? xasprintf("%s: %s", log, err_text(-errno))
		       : xstrdup("");
}

int detach_start(const struct detach_params *p, char **ret_text)
{
	int log_fd =
		open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	off_t from = log_fd >= 0 ? lseek(log_fd, 0, SEEK_END) : 0;
	int err = log_fd >= 0 ? run(p, log_fd) : -errno;

	if (err == RW_ERR_TIMEOUT)
		*ret_text = xasprintf("it takes too long; see %s", p->log);
	else if (err == RW_ERR_GONE)
		*ret_text = last_words(p->log, from);
	else if (err < 0)
		*ret_text = xasprintf("%s: %s", p->log, err_text(err));
	if (err == RW_ERR_GONE && (*ret_text)[0] == '\0') {
		free(*ret_text);
		*ret_text = why_silent(p->log, log_fd);
	}
	if (log_fd >= 0)
		close(log_fd);
	return err;
}

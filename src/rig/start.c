/* SPDX-License-Identifier: MIT */
#include "rig/start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define LOG_TAIL 4096

/* Between fork and exec: only calls that are safe there. */
static _Noreturn void become_agent(const char *self, int log_fd, int ready_fd)
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
	log_fd = fcntl(log_fd, F_DUPFD, 10);
	ready_fd = fcntl(ready_fd, F_DUPFD, 10);
	dup2(null_fd, 0);
	dup2(log_fd, 1);
	dup2(log_fd, 2);
	dup2(ready_fd, 3);
	/* Whoever reads this command's output waits for the ends of pipes. */
	closefrom(4);
	execl(self, "rigway", "rig", "--ready-fd", "3", (char *)NULL);
	_exit(1);
}

/* The last line of the log from offset on, without time and level. */
static char *last_words(const char *log, off_t from)
{
	char text[LOG_TAIL + 1], *line, *words;
	int fd = open(log, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = 0;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (st.st_size - from > LOG_TAIL)
			from = st.st_size - LOG_TAIL;
		n = pread(fd, text, LOG_TAIL, from);
	}
	if (fd >= 0)
		close(fd);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[n > 0 ? n : 0] = '\0';
	line = strrchr(text, '\n');
	line = line != NULL ? line + 1 : text;
	words = strstr(line, "error: ");
	return xstrdup(words != NULL ? words + strlen("error: ") : line);
}

/* A byte means that it serves, an end that it has ended. */
static int wait_ready(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;
	int n;

	do
		n = poll(&p, 1, START_MS);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return RW_ERR_TIMEOUT;
	return read(fd, &byte, 1) == 1 ? 0 : RW_ERR_GONE;
}

int start_agent(const struct start_params *p, char **ret_text)
{
	int log_fd =
		open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	off_t from = log_fd >= 0 ? lseek(log_fd, 0, SEEK_END) : 0;
	int pipe_fds[2], status, err = -EIO;
	pid_t pid;

	*ret_text = NULL;
	if (log_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
		err = -errno;
		*ret_text = xasprintf("%s: %s", p->log, strerror(errno));
		goto out;
	}
	if (p->home != NULL)
		setenv("RIGWAY_HOME", p->home, 1);
	pid = fork();
	if (pid == 0)
		become_agent(p->self, log_fd, pipe_fds[1]);
	close(pipe_fds[1]);
	if (pid > 0)
		err = wait_ready(pipe_fds[0]);
	close(pipe_fds[0]);
	if (err == RW_ERR_GONE && pid > 0)
		waitpid(pid, &status, 0);
	if (err == RW_ERR_TIMEOUT)
		*ret_text = xasprintf("it takes too long; see %s", p->log);
	else if (err != 0)
		*ret_text = last_words(p->log, from);
out:
	if (log_fd >= 0)
		close(log_fd);
	return err;
}

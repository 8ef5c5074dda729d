/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/demo_parts.h"

int64_t demo_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

pid_t demo_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		setpgid(0, 0);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
	}
	return pid;
}

/* In the child: never returns. */
static void become(const struct demo_spawn *p, const int out[2], pid_t parent)
{
	int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || log < 0 || null < 0)
		_exit(127);
	setpgid(0, 0); /* Ctrl-C is for the demo, which then ends the rest */
	dup2(null, 0);
	dup2(p->out != NULL ? out[1] : log, 1);
	dup2(log, 2);
	setenv("RIGWAY_HOME", p->home, 1);
	if (p->argv[0] != NULL) {
		execv(p->argv[0], (char *const *)(uintptr_t)p->argv);
	} else {
		const char *argv[16] = { "rigway" };

		for (size_t i = 1; i < 15 && p->argv[i] != NULL; i++)
			argv[i] = p->argv[i];
		execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	}
	_exit(127);
}

pid_t demo_spawn(const struct demo_spawn *p)
{
	int out[2] = { -1, -1 };
	pid_t parent = getpid(), pid;

	if (p->out != NULL && pipe2(out, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become(p, out, parent);
	if (p->out != NULL) {
		close(out[1]);
		*p->out = out[0];
	}
	return pid;
}

void demo_end(pid_t *pid)
{
	pid_t p = *pid;

	*pid = 0;
	if (p <= 0)
		return;
	kill(p, SIGCONT);
	kill(p, SIGTERM);
	for (int64_t end = demo_now_ms() + 3000; demo_now_ms() < end;) {
		if (waitpid(p, NULL, WNOHANG) == p)
			return;
		poll(NULL, 0, 20);
	}
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
}

bool demo_byte(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char byte;

	return poll(&pfd, 1, ms) == 1 && read(fd, &byte, 1) == 1;
}

bool demo_line(int fd, char *out, size_t cap, int ms)
{
	int64_t end = demo_now_ms() + ms;
	size_t n = 0;

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = end - demo_now_ms();
		char c;

		if (left <= 0 || poll(&pfd, 1, (int)left) <= 0)
			return false;
		if (read(fd, &c, 1) != 1)
			return false;
		if (c == '\n')
			break;
		if (n + 1 < cap)
			out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

bool demo_run(const char *home, const char *log, const char *const *argv,
	      char *out, size_t cap)
{
	char line[4096];
	size_t n = 0;
	int fd, status;
	pid_t pid = demo_spawn(&(struct demo_spawn){
		.home = home, .log = log, .out = &fd, .argv = argv });

	if (pid < 0)
		return false;
	while (demo_line(fd, line, sizeof(line), 60000))
		if (out != NULL && n < cap)
			n += (size_t)snprintf(out + n, cap - n, "%s\n", line);
	close(fd);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

char *demo_last_line(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	char *nl = strrchr(text, '\n');

	if (nl != NULL)
		memmove(text, nl + 1, strlen(nl));
	return text;
}

/* SPDX-License-Identifier: MIT */
/*
 * Hidden: `rigway supervise ROLE [ARGUMENT...]` runs `rigway ROLE --standby`
 * and starts it again whenever it ends, where neither systemd nor anything
 * else does. One per role and home, by a lock, which also holds its pid.
 * SIGTERM and SIGINT end both; what the role runs for its user is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/detach.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/self.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "net/moment.h"

#define DELAY_MIN_S  1
#define DELAY_MAX_S  30
#define LIVED_WELL_S 60 /* then the next failure is a new one */
#define LOG_MAX	     (4 * 1024 * 1024)
#define ARGS_MAX     64
/* The role has its own time to stop; this is longer. */
#define STOP_MS	     15000
#define STOP_STEP_MS 50

struct supervisor {
	const char *argv[ARGS_MAX + 4];
	char *log;
	int lock;
	pid_t child;
	bool is_stopping;
	sigset_t signals;
};

/* -- the running one ------------------------------------------------------- */

static void open_log(const struct supervisor *s)
{
	char *old = xasprintf("%s.1", s->log);
	struct stat st;
	int fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (stat(s->log, &st) == 0 && st.st_size > LOG_MAX)
		(void)rename(s->log, old);
	free(old);
	fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		close(fd);
	}
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		close(null);
	}
}

static pid_t start_child(const struct supervisor *s)
{
	char *self = self_path(); /* anew: it may have been updated */
	sigset_t none;
	pid_t pid = self != NULL ? fork() : -1;

	if (pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execv(self, (char *const *)(uintptr_t)s->argv);
		_exit(127);
	}
	free(self);
	return pid;
}

static void say_end(const struct supervisor *s, int status, unsigned delay_s)
{
	if (WIFSIGNALED(status))
		log_warn("%s was killed by signal %d; starting it again in "
			 "%u s",
			 s->argv[1], WTERMSIG(status), delay_s);
	else
		log_warn("%s ended with status %d; starting it again in %u s",
			 s->argv[1], WEXITSTATUS(status), delay_s);
}

/* Passes signals on until the child has ended. */
static int watch_child(struct supervisor *s)
{
	int status = 0, sig;

	while (s->child > 0) {
		if (sigwait(&s->signals, &sig) != 0)
			continue;
		if (sig == SIGCHLD) {
			if (waitpid(s->child, &status, WNOHANG) == s->child)
				s->child = -1;
			continue;
		}
		s->is_stopping |= sig != SIGHUP;
		kill(s->child, sig == SIGHUP ? SIGHUP : SIGTERM);
	}
	return status;
}

static void pause_s(struct supervisor *s, unsigned delay_s)
{
	const struct timespec t = { .tv_sec = delay_s };
	int sig = sigtimedwait(&s->signals, NULL, &t);

	s->is_stopping |= sig == SIGTERM || sig == SIGINT;
}

static void supervise(struct supervisor *s)
{
	unsigned delay_s = DELAY_MIN_S;

	while (!s->is_stopping) {
		const uint64_t began = moment_now();
		int status;

		open_log(s);
		s->child = start_child(s);
		if (s->child < 0)
			log_error("cannot start %s: %s", s->argv[1],
				  err_text(-errno));
		status = watch_child(s);
		if (s->is_stopping)
			break;
		if (moment_span_s(began, moment_now()) >= LIVED_WELL_S)
			delay_s = DELAY_MIN_S;
		say_end(s, status, delay_s);
		pause_s(s, delay_s);
		delay_s = MIN(delay_s * 2, (unsigned)DELAY_MAX_S);
	}
}

/* -- its beginning --------------------------------------------------------- */

static void write_pid(int fd)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_warn("cannot write the lock: %s", err_text(-errno));
}

static void watch_signals(struct supervisor *s)
{
	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGTERM);
	sigaddset(&s->signals, SIGINT);
	sigaddset(&s->signals, SIGHUP);
	sigaddset(&s->signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &s->signals, NULL);
}

static int find_files(struct supervisor *s, const char *role)
{
	struct paths paths;
	char *lock = NULL;
	int err = paths_init(&paths);

	if (err == 0) {
		lock = paths_state(&paths, role, "supervisor");
		s->log = paths_state(&paths, role, "log");
	}
	if (lock == NULL || s->log == NULL)
		log_error("%s", paths_error(&paths));
	else
		err = file_lock(lock, &s->lock);
	free(lock);
	paths_done(&paths);
	return s->log != NULL ? err : RW_ERR_IO;
}

int cmd_supervise(int argc, char **argv)
{
	static const char *const roles[] = { "rig", "relay", "client" };
	struct supervisor s = { .argv = { "rigway" }, .lock = -1 };
	const char *role = NULL;
	int at = 1, ready_fd = -1, err;
	size_t n = 1;

	if (argc > 2 && strcmp(argv[1], "--ready-fd") == 0) {
		ready_fd = DETACH_READY_FD;
		at = 3;
	}
	for (size_t i = 0; at < argc && i < ARRAY_LEN(roles); i++)
		if (strcmp(argv[at], roles[i]) == 0)
			role = roles[i];
	if (role == NULL || argc - at > ARGS_MAX)
		return command_misuse("supervise");
	log_set_prefix("supervisor");
	s.argv[n++] = strcmp(role, "client") == 0 ? "daemon" : role;
	s.argv[n++] = "--standby";
	while (++at < argc)
		s.argv[n++] = argv[at];
	err = find_files(&s, role);
	if (err == RW_ERR_BUSY) {
		err = 0; /* one is there already */
	} else if (err == 0) {
		write_pid(s.lock);
		watch_signals(&s);
		if (ready_fd >= 0) {
			if (write(ready_fd, "", 1) != 1)
				log_debug("nobody waits for this");
			close(ready_fd);
		}
		supervise(&s);
	}
	if (s.lock >= 0)
		close(s.lock);
	free(s.log);
	return err == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* -- for the other commands ------------------------------------------------ */

/* The RIGWAY_HOME that it was installed for; NULL: the usual places. */
static const char *home_of(const struct boot_job *job)
{
	static const char name[] = "RIGWAY_HOME=";

	if (job->env[0] == NULL || !str_has_prefix(job->env[0], name))
		return NULL;
	return job->env[0] + strlen(name);
}

int supervise_start(const struct boot_job *job, bool *ret_started,
		    char **ret_text)
{
	const char *argv[ARGS_MAX + 6] = { "rigway", "supervise", "--ready-fd",
					   DETACH_READY_WORD, job->role };
	const struct detach_params p = {
		.program = job->program,
		.argv = argv,
		.home = home_of(job),
		.log = job->log,
	};
	int fd = -1, err = file_lock(job->supervisor, &fd);

	*ret_started = false;
	if (err == RW_ERR_BUSY)
		return 0;
	if (err != 0) {
		*ret_text = xasprintf("%s: %s", job->supervisor, err_text(err));
		return err;
	}
	close(fd);
	for (size_t i = 0; job->args != NULL && job->args[i] != NULL; i++)
		if (i < ARGS_MAX)
			argv[5 + i] = job->args[i];
	err = detach_start(&p, ret_text);
	*ret_started = err == 0;
	return err;
}

static pid_t read_pid(const char *lock)
{
	struct buf text = { 0 };
	uint64_t pid = 0;

	if (file_read(lock, 64, &text) == 0) {
		char *t = buf_text(&text);

		t[strcspn(t, "\n")] = '\0';
		if (parse_u64(t, 2, INT32_MAX, &pid) != 0)
			pid = 0;
	}
	buf_done(&text);
	return (pid_t)pid;
}

int supervise_stop(const char *lock, bool *ret_stopped, char **ret_text)
{
	const struct timespec step = { .tv_nsec = STOP_STEP_MS * 1000000 };
	pid_t pid;
	int fd = -1, err;

	*ret_stopped = false;
	if (access(lock, F_OK) != 0)
		return 0;
	err = file_lock(lock, &fd);
	pid = err == RW_ERR_BUSY ? read_pid(lock) : 0;
	if (pid > 0 && kill(pid, SIGTERM) != 0)
		err = -errno;
	for (unsigned ms = 0; err == RW_ERR_BUSY && pid > 0 && ms < STOP_MS;
	     ms += STOP_STEP_MS) {
		nanosleep(&step, NULL);
		err = file_lock(lock, &fd);
		*ret_stopped = err == 0;
	}
	if (fd >= 0)
		close(fd);
	if (err != 0)
		*ret_text = xasprintf("the supervisor (process %ld) does not "
				      "end: %s",
				      (long)pid, err_text(err));
	return err;
}

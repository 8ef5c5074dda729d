/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"

#define OUTPUT_MAX (1024 * 1024)
#define FILE_MAX   (256 * 1024)

extern char **environ;

/* The input as a file that has no name any more, at its beginning. */
static int input_fd(const char *input)
{
	FILE *f;
	int fd = -1;

	if (input == NULL)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	f = tmpfile();
	if (f == NULL)
		return -1;
	if (fputs(input, f) >= 0 && fflush(f) == 0 &&
	    fseek(f, 0, SEEK_SET) == 0)
		fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 3);
	fclose(f);
	return fd;
}

static pid_t start(const char *const *argv, int in, int out)
{
	posix_spawn_file_actions_t fa;
	pid_t pid = -1;

	if (posix_spawn_file_actions_init(&fa) != 0)
		return -1;
	posix_spawn_file_actions_adddup2(&fa, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&fa, out, STDERR_FILENO);
	if (posix_spawnp(&pid, argv[0], &fa, NULL,
			 (char *const *)(uintptr_t)argv, environ) != 0)
		pid = -1;
	posix_spawn_file_actions_destroy(&fa);
	return pid;
}

int boot_run(const char *const *argv, const char *input, struct buf *out)
{
	struct buf none = { 0 };
	int in = input_fd(input), fds[2], status = -1;
	pid_t pid;

	if (in < 0)
		return -1;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		close(in);
		return -1;
	}
	pid = start(argv, in, fds[1]);
	close(in);
	close(fds[1]);
	if (pid > 0) {
		file_read_fd(fds[0], OUTPUT_MAX, out != NULL ? out : &none);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}
	close(fds[0]);
	buf_done(&none);
	return status;
}

char *boot_first_line(struct buf *out)
{
	char *text = xstrdup(buf_text(out));

	text[strcspn(text, "\r\n")] = '\0';
	return text;
}

void boot_add(json_t *report, const char *list, const char *text)
{
	json_t *all = json_object_get(report, list);

	if (all == NULL) {
		all = json_array();
		json_object_set_new(report, list, all);
	}
	json_array_append_new(all, json_string(text));
}

int boot_write(const char *path, const char *mark, const char *text,
	       bool *ret_changed, char **ret_text)
{
	char *folder = xstrdup(path);
	struct buf old = { 0 };
	int err = file_read(path, FILE_MAX, &old);

	*strrchr(folder, '/') = '\0';
	*ret_changed = err != 0 || strcmp(buf_text(&old), text) != 0;
	if (err == 0 && !str_has_prefix(buf_text(&old), mark)) {
		*ret_text = xasprintf("%s was not written by rigway: move it "
				      "away, then repeat this",
				      path);
		err = RW_ERR_EXISTS;
		goto out;
	}
	err = 0;
	if (!*ret_changed)
		goto out;
	err = file_mkdirs(folder, 0755);
	if (err == 0)
		err = file_write_atomic(path, text, strlen(text), 0644);
	if (err != 0)
		*ret_text =
			xasprintf("cannot write %s: %s", path, err_text(err));
out:
	buf_done(&old);
	free(folder);
	return err;
}

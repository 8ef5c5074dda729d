/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"

#define FILE_CHUNK 16384

static int file_read_rest(int fd, size_t max, struct buf *ret)
{
	for (size_t total = 0;;) {
		/* One byte over max is asked for, to see that it is there. */
		size_t want = MIN(FILE_CHUNK, max - total + 1);
		uint8_t *room = buf_reserve(ret, want);

		if (room == NULL)
			return RW_ERR_NOMEM;
		ssize_t n = read(fd, room, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if ((size_t)n > max - total)
			return RW_ERR_LIMIT;
		buf_commit(ret, (size_t)n);
		total += (size_t)n;
	}
}

int file_read_fd(int fd, size_t max, struct buf *ret)
{
	size_t before = ret->len;

	CHECK(max < SIZE_MAX);
	int err = file_read_rest(fd, max, ret);

	if (err != 0)
		ret->len = before;
	return err;
}

int file_read(const char *path, size_t max, struct buf *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	int err = file_read_fd(fd, max, ret);

	close(fd);
	return err;
}

static int file_write_fd(int fd, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The folder of path, "." when it names none. */
static int file_folder(const char *path, char out[static PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);

	if (len >= PATH_MAX)
		return -ENAMETOOLONG;
	if (slash == path)
		len = 1;
	if (slash == NULL) {
		out[len++] = '.';
	} else {
		memcpy(out, path, len);
	}
	out[len] = '\0';
	return 0;
}

static int file_sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	/* Some file systems cannot sync a folder and say so with EINVAL; then
	 * the rename is as durable as it gets there. */
	if (fsync(fd) != 0 && errno != EINVAL)
		err = -errno;
	close(fd);
	return err;
}

/* Writes the new contents to temp, a mkostemp() template. After a failure no
 * file is left. */
static int file_write_temp(char *temp, const void *data, size_t len,
			   mode_t mode)
{
	int fd = mkostemp(temp, O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = file_write_fd(fd, data, len);
	if (err == 0 && fchmod(fd, mode) != 0)
		err = -errno;
	if (err == 0 && fsync(fd) != 0)
		err = -errno;
	/* NFS reports a full disk only here. */
	if (close(fd) != 0 && err == 0)
		err = -errno;
	if (err != 0)
		unlink(temp);
	return err;
}

/* Gives temp its name: over whatever is there, or only where nothing is. */
static int file_publish(const char *temp, const char *path, bool replace)
{
	int err = 0;

	if (replace) {
		if (rename(temp, path) == 0)
			return 0;
		err = -errno;
	} else if (link(temp, path) != 0) {
		err = errno == EEXIST ? RW_ERR_EXISTS : -errno;
	}
	unlink(temp);
	return err;
}

static int file_write(const char *path, const void *data, size_t len,
		      mode_t mode, bool replace)
{
	char folder[PATH_MAX], temp[PATH_MAX];
	int err = file_folder(path, folder);

	if (err != 0)
		return err;
	int n = snprintf(temp, sizeof(temp), "%s.XXXXXX", path);

	if (n < 0 || (size_t)n >= sizeof(temp))
		return -ENAMETOOLONG;
	err = file_write_temp(temp, data, len, mode);
	if (err == 0)
		err = file_publish(temp, path, replace);
	return err != 0 ? err : file_sync_folder(folder);
}

int file_write_atomic(const char *path, const void *data, size_t len,
		      mode_t mode)
{
	return file_write(path, data, len, mode, true);
}

int file_write_new(const char *path, const void *data, size_t len, mode_t mode)
{
	return file_write(path, data, len, mode, false);
}

/* Makes one folder; 0 also when it is there already. */
static int file_mkdir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) != 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int file_mkdirs(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	int first = 0, err;

	if (len == 0)
		return -ENOENT;
	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, len + 1);
	for (size_t i = 1; i < len; i++) {
		if (part[i] != '/')
			continue;
		part[i] = '\0';
		err = file_mkdir(part, mode);
		/* A parent that we may not make or look into may well exist
		 * (autofs, NFS): the last part decides. */
		first = first != 0 ? first : err;
		if (err != 0 && err != -EACCES && err != -EROFS)
			return first;
		part[i] = '/';
	}
	err = file_mkdir(part, mode);
	/* What is missing is missing for that reason. */
	return err == -ENOENT && first != 0 ? first : err;
}

int file_lock(const char *path, int *ret_fd)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int err = errno == EWOULDBLOCK ? RW_ERR_BUSY : -errno;

		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

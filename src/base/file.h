/* SPDX-License-Identifier: MIT */
/*
 * Small files, whole: read with a limit, replaced atomically, locked. Blocking;
 * for start-up, state files and commands, not for the data path. Errors are
 * -errno where nothing else is said.
 */
#pragma once
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

/* Appends the file's bytes to ret. RW_ERR_LIMIT when it has more than max
 * bytes, RW_ERR_NOMEM; -EISDIR and the like. ret is as before on failure. */
int file_read(const char *path, size_t max, struct buf *ret);
/* The same from where fd stands to its end. fd stays open. */
int file_read_fd(int fd, size_t max, struct buf *ret);
/* The file at path has either its old or its new contents, whatever happens:
 * a temporary file in the same folder is written, synced, renamed over it, and
 * the folder synced. mode is not subject to the umask. On failure (disk full)
 * the temporary file is removed and the old file stays. */
int file_write_atomic(const char *path, const void *data, size_t len,
		      mode_t mode);
/* The same where no file is yet; else RW_ERR_EXISTS and nothing is changed. */
int file_write_new(const char *path, const void *data, size_t len, mode_t mode);
/* Makes path and its missing parents. Folders made here have mode; present
 * ones stay as they are. */
int file_mkdirs(const char *path, mode_t mode);
/* Opens path (made with mode 0600) and locks it for this process, until *ret_fd
 * is closed or the process ends. RW_ERR_BUSY when another holds it. The file
 * is never removed: that would let two processes lock two files. */
int file_lock(const char *path, int *ret_fd);

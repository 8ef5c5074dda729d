/* SPDX-License-Identifier: MIT */
/*
 * Adds a laptop's ssh public key to an authorized_keys file: one line, judged
 * before it is written, with no options, and never twice. The file is appended
 * to in place (it may be a link, and others may add to it too); a write that
 * does not fit is taken back. Blocking.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define AUTHORIZE_FILE_MAX (4 * 1024 * 1024)

/* Judges the line of a public key ("type base64 comment", no options) and
 * appends its one form to ret, without a newline. RW_ERR_FORMAT. */
int authorize_parse(const char *line, size_t len, struct buf *ret);
/* Adds the key to the file at path; the file (0600) and its folder (0700) are
 * made where they are missing, and are taken from the reach of others where
 * sshd would not trust them. *ret_added is false when the key was there. 0;
 * RW_ERR_FORMAT (the key), RW_ERR_PERM (another user's file), RW_ERR_LIMIT (the
 * file is huge), -errno. */
int authorize_add(const char *path, const char *line, size_t len,
		  bool *ret_added);

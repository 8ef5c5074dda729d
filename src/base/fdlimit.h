/* SPDX-License-Identifier: MIT */
/*
 * How many files and sockets this process may have open, and what to tell a
 * person when that is not enough.
 */
#pragma once
#include <stddef.h>

/* Up to what the system allows this process: each connection takes one or two,
 * and the usual soft limit is for programs that use select(2). */
void fdlimit_raise(void);
/* How many there may be now; SIZE_MAX where that is not known. */
size_t fdlimit_now(void);
#define FDLIMIT_TEXT_CAP 240
/* Which limit err (of open(2), socket(2), accept(2)) is, and what to do about
 * it, for people. Returns out. */
const char *fdlimit_text(int err, char out[FDLIMIT_TEXT_CAP]);
/* Logs a warning for err (-EMFILE, -ENFILE, -ENOBUFS or -ENOMEM of accept(2)):
 * which limit it is and what to do. For loop_on_shortage(); user is not used.
 */
void fdlimit_warn(void *user, int err);

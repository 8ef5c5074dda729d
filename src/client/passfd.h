/* SPDX-License-Identifier: MIT */
/*
 * The door that is a command's stdin and stdout (`rigway connect`, ssh's
 * ProxyCommand): the daemon makes a socketpair and hands one end over the
 * control socket. Answer lines: the fd, {"event":"connected"} when the target
 * accepted, and the last line when the stream has ended, which tells a clean
 * end from a cut one. Loop thread only.
 */
#pragma once
#include <stdint.h>

#include "client/target.h"
struct local_req;
struct way;

/* Answers r, and outlives it where the asker leaves: the socketpair is what
 * counts then. */
void passfd_start(struct way *way, const struct target *target,
		  uint64_t wait_ms, struct local_req *r);

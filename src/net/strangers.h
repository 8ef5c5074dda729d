/* SPDX-License-Identifier: MIT */
/*
 * What one IPv4 address or IPv6 /64 (of link-local ones: each) may do at a
 * relay or a rig that listens before it has shown an admitted key: so many
 * connections at once, so many wrong codes a minute. No sockets, no clock. Loop
 * thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/map.h"

/* Addresses remembered at once for their wrong codes. */
#define STRANGERS_MAX 65536

struct strangers {
	struct map seen;
	unsigned max_unproven, guesses_per_minute;
	size_t max_seen; /* STRANGERS_MAX, or set after strangers_init() */
};

void strangers_init(struct strangers *s, unsigned max_unproven,
		    unsigned guesses_per_minute);
void strangers_done(struct strangers *s);
/* The number under which an address is counted. */
uint64_t strangers_key(const struct sockaddr_storage *peer);
/* One more unproven connection; false when there are enough, or no memory. */
bool strangers_enter(struct strangers *s, uint64_t key);
/* It has proven itself, or is gone. After each strangers_enter() that was true.
 */
void strangers_leave(struct strangers *s, uint64_t key);
/* Whether another code may be tried; false also when too many addresses are
 * guessing to remember them all. */
bool strangers_may_guess(struct strangers *s, uint64_t key, uint64_t now_us);
/* A code was wrong. */
void strangers_guessed(struct strangers *s, uint64_t key, uint64_t now_us);

/* SPDX-License-Identifier: MIT */
/*
 * What one IPv4 address or IPv6 /64 may do at the relay before it has shown an
 * admitted key: so many connections at once, so many wrong codes a minute. No
 * sockets, no clock. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/map.h"

/* Addresses remembered at once for their wrong codes. */
#define DOOR_GUESSERS_MAX 65536

struct door {
	struct map guests;
	unsigned max_unproven, guesses_per_minute;
};

void door_init(struct door *d, unsigned max_unproven,
	       unsigned guesses_per_minute);
void door_done(struct door *d);
/* The number under which an address is counted. */
uint64_t door_key(const struct sockaddr_storage *peer);
/* One more unproven connection; false when there are enough, or no memory. */
bool door_enter(struct door *d, uint64_t key);
/* It has proven itself, or is gone. After each door_enter() that was true. */
void door_leave(struct door *d, uint64_t key);
/* Whether another code may be tried; false also when too many addresses are
 * guessing to remember them all. */
bool door_may_guess(struct door *d, uint64_t key, uint64_t now_us);
/* A code was wrong. */
void door_guessed(struct door *d, uint64_t key, uint64_t now_us);

/* SPDX-License-Identifier: MIT */
/*
 * For which addresses a port of the rig is open because they asked
 * (PROTOCOL.md, section 14). An address can be false: one question opens for
 * few of them, and the oldest gives way. No sockets; the time comes in.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "wire/probe.h"

#define VISITORS_MAX	 16
#define VISITORS_OPEN_US 30000000
/* A laptop has so many addresses in one network, at most. */
#define VISITORS_OF_ONE_QUESTION 4

struct visitor {
	struct sockaddr_storage addr;
	uint8_t nonce[PROBE_NONCE_LEN]; /* of the last question */
	uint64_t until_us;
};

/* Starts from zeros. */
struct visitors {
	struct visitor rows[VISITORS_MAX];
};

/* Opens for addr for VISITORS_OPEN_US from now. False: the question of this
 * nonce has opened for enough others. */
bool visitors_let(struct visitors *v, const struct sockaddr_storage *addr,
		  const uint8_t nonce[PROBE_NONCE_LEN], uint64_t now_us);
/* Whether it is open for addr, whatever its port. */
bool visitors_has(struct visitors *v, const struct sockaddr_storage *addr,
		  uint64_t now_us);

/* SPDX-License-Identifier: MIT */
/*
 * Where others find this relay: the addresses that go into codes. The names it
 * was given; else the one address it listens on; else the machine's own public
 * addresses. A private address is never guessed: a code that works only at
 * home is worse than a question. Kept in a state file, so that `relay invite`
 * says the same while the relay rests. Blocking; no loop.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/parse.h"
#include "wire/code.h"
struct settings_relay;

struct place {
	char at[CODE_RELAYS_MAX][HOSTPORT_CAP]; /* "host:port" */
	uint8_t count;
};

/* Works it out for a relay whose first listener has this port. 0, or
 * RW_ERR_UNREACHABLE with a sentence in *ret_err, to be freed, that names the
 * flag to add. */
int place_find(const struct settings_relay *s, uint16_t port, struct place *ret,
	       char **ret_err);
/* The state file. place_load(): 0, -ENOENT, or an error with a sentence. */
int place_save(const struct place *p, const char *path);
int place_load(const char *path, struct place *ret, char **ret_err);
/* Whether the whole internet can mean this address. */
bool place_is_public(const struct sockaddr *addr);

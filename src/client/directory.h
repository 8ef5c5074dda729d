/* SPDX-License-Identifier: MIT */
/*
 * Who is online, as the relays of the known rigs say: one connection to each
 * relay, made when somebody asks and kept for a minute. What a relay says is
 * for people to read; nothing is trusted because of it. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "crypto/pin.h"
#include "wire/relay_msg.h"
struct directory;
struct rigs;
struct rigs_row;
struct way_env;

#define DIRECTORY_WAIT_MS 3000 /* for the slowest relay */
#define DIRECTORY_DOWN_MS 700  /* for one that was down already */
#define DIRECTORY_LINGER_MS                                                    \
	60000 /* connections stay after the last question                      \
	       */

struct directory *directory_new(const struct way_env *env,
				const struct rigs *rigs);
/* Questions that run end now. */
void directory_free(struct directory *d);
/* After waking or a change of addresses: as control_kick(), of every relay. */
void directory_kick(struct directory *d);
/* Asks every relay; on_done once, from the loop, when all have answered or
 * failed, or after DIRECTORY_WAIT_MS. */
void directory_ask(struct directory *d, void (*on_done)(void *user),
		   void *user);
/* The best of the last answers about a rig, or NULL. */
const struct relay_row *directory_find(const struct directory *d,
				       const struct rigs_row *rig);
/* Whether any relay of the rig answered the last question, else why not in
 * *ret. */
bool directory_knows(const struct directory *d, const struct rigs_row *rig,
		     const char **ret);
/* When one of them last answered, in unix seconds; 0: not lately. */
int64_t directory_asked(const struct directory *d, const struct rigs_row *rig);

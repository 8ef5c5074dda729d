/* SPDX-License-Identifier: MIT */
/*
 * Thousands of rigs and laptops for one relay, in a few processes: what the
 * parts of crowd.c share. Each rig and laptop has a key of its own and comes
 * from an address of its own in 127/8; what they say, and when they dial, is
 * said by the libraries that a rig and a laptop are made of.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "carrier/bearer.h"
#include "core/budget.h"
#include "crypto/key.h"
#include "net/loop.h"

#define AT_CAP 32 /* "127.255.255.255:65535" */

struct rig;
struct laptop;

/* What all rigs and laptops of one process share. */
struct world {
	uv_loop_t loop;
	struct driver *driver;
	struct budget budget;
	struct session_limits limits;
	struct pin relay;
	int port; /* of the relay, on 127.0.0.1 */
};

/* Where the n-th of a kind finds the relay: source.c makes that address the
 * one that it comes from. */
void source_text(int kind, unsigned n, int port, char out[AT_CAP]);
/* Connections begun by this process. */
uint64_t source_dials(void);

/* A rig that dials its relay from here on, and answers the calls of one
 * laptop. key is borrowed. */
struct rig *rig_start(struct world *w, const struct key *key, unsigned n);
bool rig_is_up(const struct rig *r);
/* So often it was welcomed by the relay. */
uint64_t rig_welcomes(const struct rig *r);

/* A laptop that wants a session with that rig for ever. */
struct laptop *laptop_start(struct world *w, const struct key *key, unsigned n,
			    const struct pin *rig);
/* The rig's WELCOME was read on a connection that is there now. */
bool laptop_is_up(const struct laptop *l);

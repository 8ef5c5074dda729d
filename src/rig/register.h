/* SPDX-License-Identifier: MIT */
/*
 * Tells a relay one thing while no rig runs: a short connection as this rig,
 * from a command that holds the rig's state. Has a loop of its own; blocks.
 */
#pragma once
#include <stddef.h>

#include "carrier/control.h"
#include "crypto/key.h"
#include "rig/relays.h"

/* Is the relay slow, the rig tells it when it starts. */
#define REGISTER_MS 4000

struct register_params {
	const struct key *key;
	const struct rig_relay *relay;
	const char *name;		     /* of the rig */
	const struct control_invite *invite; /* NULL: that the rig leaves */
};

/* 0, or why the relay does not know of it, with a sentence part in text. */
int register_tell(const struct register_params *p, char *text, size_t cap);

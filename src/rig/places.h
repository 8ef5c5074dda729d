/* SPDX-License-Identifier: MIT */
/*
 * Where this rig can be reached without a relay: the names it was told, then
 * the machine's own addresses, those that reach furthest first. Link-local and
 * loopback addresses only when there is nothing else. For codes, and for the
 * laptops that are let in. Asks the system for its addresses; no loop.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"
#include "config/settings.h"
#include "wire/code.h"

struct places {
	char at[CODE_ADDRS_MAX][HOSTPORT_CAP]; /* the likeliest first */
	uint8_t count;
};

/* What rig.listen and rig.public lead to. ports[i] is the port that item i of
 * rig.listen has got, 0 if it is not open. */
void places_find(const struct settings_rig *s, const uint16_t *ports,
		 struct places *ret);
/* The same while no rig runs: what rig.listen says is what it will get. */
void places_find_unbound(const struct settings_rig *s, struct places *ret);
/* Joined by ','; cut at a whole one. Returns text. */
char *places_text(const struct places *p, char *text, size_t cap);

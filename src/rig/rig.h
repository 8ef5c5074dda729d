/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a running rig share: one struct, made by the agent, which
 * outlives all of them. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "net/loop.h"

#include "base/list.h"
#include "config/settings.h"
#include "core/budget.h"
#include "core/session.h"
#include "crypto/key.h"
#include "net/strangers.h"
#include "rig/devices.h"
#include "rig/invites.h"
#include "rig/rate.h"
#include "rig/relays.h"
struct admin;
struct discovery;
struct driver;
struct gate;
struct paths;
struct sshd;
struct sessions;
struct uplink;

struct rig {
	uv_loop_t *loop;
	const struct settings *settings;
	struct paths *paths;
	struct key *key;
	char name[RIG_NAME_CAP];
	char user[64];	      /* the account it runs as */
	uint64_t incarnation; /* of this process; never 0 */
	struct devices devices;
	struct invites invites;
	struct rig_relays relays;
	struct driver *driver;
	struct budget budget;
	struct session_limits limits;
	struct sessions *sessions;
	struct sshd *sshd;
	struct uplink *uplinks[RIG_RELAYS_MAX]; /* as relays.rows */
	size_t uplink_count;
	struct admin *admin;
	struct gate *gate;	     /* ports for those who come straight */
	struct discovery *discovery; /* NULL: off */
	struct list calls;	     /* of relays, being answered; rig/call.c */
	struct list doors;	     /* until HELLO was judged; rig/door.c */
	struct list issues;	     /* codes being made; rig/issue.c */
	uint64_t woke, moved;	     /* moments, the last time; 0: never */
	uint64_t away_ms;	     /* how long it had slept */
	bool is_stopping;	     /* answers no more calls */
	size_t opening_count;	     /* streams not over yet; rig/open.c */
	struct rate dials;	     /* for devices on the list */
	struct rate newcomers;	     /* for keys that show an invite */
	struct rate guesses;	     /* wrong codes that came through relays */
	struct strangers strangers;  /* those who come straight, by address */
};

/* Seconds since 1970. */
int64_t rig_now(void);

/* SPDX-License-Identifier: MIT */
/*
 * Who may come in: takes a connection whose end-to-end TLS is up, however it
 * came, reads the HELLO, redeems the code in it, and hands the connection to
 * its session, or says no in words. An unknown key may do nothing but redeem.
 * Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/pin.h"
struct chan;
struct rig;
struct uplink;

/* Whoever stands there. */
struct door_params {
	struct chan *chan; /* up; taken */
	struct pin pin;	   /* what its key proved */
	const char *addr;  /* for people */
	/* Through a relay: which, and under which number. Else NULL. */
	struct uplink *uplink;
	uint64_t rendezvous;
	/* Not through a relay: how its address is counted among
	 * rig->strangers; the door gives it back if it is. */
	uint64_t stranger;
	bool is_counted;
	uint64_t wait_ms; /* for the HELLO */
};

void door_enter(struct rig *rig, const struct door_params *p);
/* How many stand there, of those that a relay sent or of the others. */
size_t doors_count(const struct rig *rig, bool relayed);
/* Closes the one of the others that stands there longest and is of no known
 * key; false when there is none. */
bool doors_drop_oldest(struct rig *rig);
/* The uplink goes: none of its doors may speak of it any more. */
void doors_forget(struct rig *rig, const struct uplink *u);
/* Drops all that wait; at the end. */
void doors_close(struct rig *rig);

/* SPDX-License-Identifier: MIT */
/*
 * The rig's connection to one of its relays: kept for ever, told of the rig's
 * invites and of removed devices, and listened to for calls. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "carrier/control.h"
struct invite;
struct rig;
struct rig_relay;
struct uplink;

/* index: of the relay in rig->relays. Errors of control_start(). */
int uplink_new(struct rig *rig, size_t index, struct uplink **ret);
void uplink_free(struct uplink *u);
/* The one to the relay of that key, or NULL. */
struct uplink *uplink_find(const struct rig *rig, const struct pin *relay);

bool uplink_is_up(const struct uplink *u);
/* Why it is not up, a sentence part; "" while it is, and at the start. */
const char *uplink_text(const struct uplink *u);
struct uplink_report {
	struct control_report control;
	uint64_t since;	 /* a moment: up, or not */
	const char *cut; /* why it was last lost; "" */
	uint64_t cut_at; /* a moment; 0: never */
};
void uplink_report(const struct uplink *u, struct uplink_report *ret);
const struct rig_relay *uplink_relay(const struct uplink *u);
struct rig *uplink_rig(const struct uplink *u);
/* NULL after uplink_restart() failed. */
struct control *uplink_control(const struct uplink *u);
/* The row of the relay has changed: connects anew. Errors of control_start();
 * then there is no connection until the next call. */
int uplink_restart(struct uplink *u);
/* As control_kick(). */
void uplink_kick(struct uplink *u);
/* As control_doubt(). */
void uplink_doubt(struct uplink *u);
/* A carrier through this relay is dead. */
void uplink_lost(struct uplink *u, uint64_t rendezvous);
/* Tells the relay, if it is up, of the devices that were removed, and of the
 * invites that were withdrawn with them. */
void uplink_tell_removed(struct uplink *u);
/* A device was admitted: the relays that are up hear of it. */
void uplinks_vouch(struct rig *rig);
/* Takes the relay out of the rig, also on disk, and frees u. 0 or an error of
 * state_commit(), with nothing changed. */
int uplink_leave(struct uplink *u);
/* What a relay needs to know of an invite; of one that was withdrawn, that it
 * is over. */
struct control_invite uplink_invite(const struct invite *inv, int64_t now);

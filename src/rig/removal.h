/* SPDX-License-Identifier: MIT */
/*
 * Taking a device off the rig's list: at once, without any relay, and for good
 * (no code that it used lets it in again). The relays are told when they can
 * be.
 */
#pragma once
#include <stdint.h>

#include "rig/devices.h"
#include "rig/invites.h"
struct rig;

#define REMOVAL_TEXT_CAP 300

struct removal {
	struct devices *devices;
	struct invites *invites;
	int64_t now; /* unix seconds */
};
/* In the state alone: who is a name or the beginning of a fingerprint. Returns
 * 0 with *ret the device as it was, else RW_ERR_NOT_FOUND, RW_ERR_EXISTS (more
 * than one is meant), or why it cannot be written (it is removed in memory all
 * the same, and *ret is set). text says what happened in each case. */
int removal_write(const struct removal *from, const char *who,
		  struct device *ret, char text[REMOVAL_TEXT_CAP]);
/* The same in a running rig: cuts its streams too, and tells the relays. */
int removal_do(struct rig *rig, const char *who, struct device *ret,
	       char text[REMOVAL_TEXT_CAP]);
/* Tells the relays that are reached of the devices that were removed and whose
 * sessions are over: a relay cuts at once, and would cut off the farewell. */
void removal_tell(struct rig *rig);

/* SPDX-License-Identifier: MIT */
/*
 * The keys that may come in at this rig: its own list, which nothing that a
 * relay says adds to. Kept in memory and in the file `devices`; a change is on
 * disk before the call that makes it returns 0, and undone when it cannot be.
 * A removed device stays in the file, as removed, until the relays know of it.
 * No loop, no clock.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/pin.h"

#define DEVICE_NAME_CAP	    64
#define DEVICE_SERVICES_CAP 256

enum device_role {
	DEVICE_OWNER = 1, /* reaches what the rig's user can reach */
	DEVICE_GUEST,	  /* reaches its services */
	DEVICE_REMOVED,	  /* was here; may do nothing */
};

struct device {
	struct pin pin;
	char name[DEVICE_NAME_CAP]; /* a label, as the device gave it */
	enum device_role role;
	char services[DEVICE_SERVICES_CAP]; /* of a guest, with commas */
	int64_t admitted; /* seconds since 1970; or removed at */
	int64_t last;	  /* last heard of; 0 unknown; not on disk */
	unsigned told;	  /* bit n: relay n knows that it is removed */
	unsigned vouched; /* bit n: relay n was told to let it ask for us */
	bool unsaved;	  /* removed, but the file still admits it */
};

struct devices {
	char *path;
	struct device *rows;
	size_t count, cap;
	size_t max;   /* admitted ones */
	bool is_late; /* devices_forget() could not be written */
};

/* Reads the file; none is an empty list. 0, or state_load()'s errors with its
 * sentence in *ret_err, to be freed. */
int devices_load(struct devices *d, const char *path, size_t max,
		 char **ret_err);
void devices_done(struct devices *d);

/* The admitted device of that key, or NULL. Rows move at each change. */
struct device *devices_find(const struct devices *d, const struct pin *pin);
/* The device that a person means, admitted or removed without being saved: a
 * name, or the beginning of a fingerprint. RW_ERR_NOT_FOUND; RW_ERR_EXISTS when
 * several are meant. */
int devices_resolve(const struct devices *d, const char *who,
		    struct device **ret);
/* Admits dev, or changes its row. RW_ERR_LIMIT when the list is full, or an
 * error of state_commit(); then nothing has changed. */
int devices_put(struct devices *d, const struct device *dev);
/* Marks the device as removed at that time. RW_ERR_NOT_FOUND, or an error of
 * state_commit(): it is then removed in memory all the same, so that it is out
 * at once, but comes back at the next start unless this is called again or
 * another change is saved. */
int devices_remove(struct devices *d, const struct pin *pin, int64_t now);
/* Forgets removed devices of which all relays (bits of all) were told, once
 * the file has them as removed. That this cannot be written is logged once: the
 * relays are told once more then after a restart, unless a later change is. */
void devices_forget(struct devices *d, unsigned all);
/* Relay n goes: those behind it move up by one. */
void devices_forget_relay(struct devices *d, unsigned n);
/* How many are admitted. */
size_t devices_admitted(const struct devices *d);
const char *device_role_name(enum device_role role);

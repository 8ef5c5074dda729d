/* SPDX-License-Identifier: MIT */
/*
 * What the commands on this machine ask of the running rig, over rig.sock:
 * {"do":"invite"|"devices"|"remove"|"status"|"join"|"wait"|"leave", ...}. Loop
 * thread only.
 */
#pragma once
#include <jansson.h>

#include "rig/devices.h"
#include "rig/relays.h"
struct admin;
struct rig;
struct uplink;

/* Serves at path. Errors of local_serve(). */
int admin_new(struct rig *rig, const char *path, struct admin **ret);
void admin_free(struct admin *a);
/* A relay was reached or lost: for those who wait. a may be NULL. */
void admin_on_uplink(struct admin *a, const struct uplink *u);

/* A relay as rows of `relays` show it; also without a running rig, where text
 * says so. */
json_t *admin_relay_json(const struct rig_relay *relay, bool is_up,
			 const char *text);
/* One device as rows of `devices` show it; also without a running rig. */
json_t *admin_device_json(const struct device *dev, bool online);
/* What `remove` answers. */
json_t *admin_removed_json(const struct device *dev, const char *text);
/* What `leave` answers. */
json_t *admin_left_json(bool was_told, const char *text);

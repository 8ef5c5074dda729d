/* SPDX-License-Identifier: MIT */
#include "rig/uplink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "rig/admin.h"
#include "rig/call.h"
#include "rig/rig.h"
#include "rig/sessions.h"

struct uplink {
	struct rig *rig;
	size_t index; /* in rig->relays.rows */
	struct control *control;
	char text[RELAY_TEXT_MAX + 1]; /* why it is not up; "" not known yet */
};

static const struct rig_relay *row_of(const struct uplink *u)
{
	return &u->rig->relays.rows[u->index];
}

struct control_invite uplink_invite(const struct invite *inv, int64_t now)
{
	struct control_invite ci = {
		.role = RELAY_CLIENT,
		.ttl_s = (uint64_t)(inv->expires - now),
		.uses = inv->uses,
	};

	memcpy(ci.hash, inv->relay_hash, sizeof(ci.hash));
	memcpy(ci.invite_id, inv->id, sizeof(ci.invite_id));
	return ci;
}

static void repeat_invites(struct uplink *u)
{
	const struct invites *v = &u->rig->invites;
	const int64_t now = rig_now();

	for (size_t i = 0; i < v->count; i++) {
		if (!invite_is_live(&v->rows[i], now))
			continue;

		const struct control_invite ci =
			uplink_invite(&v->rows[i], now);

		control_put_invite(u->control, &ci, NULL, NULL);
	}
}

/* Which removed device a relay was told of. */
struct telling {
	struct uplink *uplink;
	struct pin pin;
};

static void on_told(void *user, int err, const char *text)
{
	struct telling *t = user;
	struct rig *rig = t->uplink->rig;

	if (err == 0) {
		for (size_t i = 0; i < rig->devices.count; i++)
			if (pin_eq(&rig->devices.rows[i].pin, &t->pin))
				rig->devices.rows[i].told |=
					1u << t->uplink->index;
		devices_forget(&rig->devices, (1u << rig->uplink_count) - 1);
	} else if (err != RW_ERR_OFFLINE && err != RW_ERR_CANCELLED) {
		log_warn("the relay did not drop a removed device: %s", text);
	}
	free(t);
}

void uplink_tell_removed(struct uplink *u)
{
	const struct devices *d = &u->rig->devices;

	for (size_t i = 0; i < d->count; i++) {
		if (d->rows[i].role != DEVICE_REMOVED ||
		    (d->rows[i].told & 1u << u->index) != 0 ||
		    sessions_is_ending(u->rig->sessions, &d->rows[i].pin))
			continue;

		struct telling *t = xmalloc(sizeof(*t));

		*t = (struct telling){ u, d->rows[i].pin };
		if (control_drop_device(u->control, &t->pin, on_told, t) != 0)
			free(t);
	}
}

static void on_up(void *user, const char *fleet, const char *relay_name,
		  const char *your_addr)
{
	struct uplink *u = user;

	u->text[0] = '\0';
	log_info("connected to the relay %s (fleet %s) from %s",
		 relay_name[0] != '\0' ? relay_name : row_of(u)->addr[0], fleet,
		 your_addr);
	repeat_invites(u);
	uplink_tell_removed(u);
	admin_on_uplink(u->rig->admin, u);
}

static void on_call(void *user, const struct control_call *call)
{
	call_answer(user, call);
}

static void on_down(void *user, int err, const char *text, uint64_t next_try_ms)
{
	struct uplink *u = user;
	const char *addr = row_of(u)->addr[0];
	char wait[FORMAT_CAP], when[FORMAT_CAP + 3] = "at once";

	if (next_try_ms >= 1000 && next_try_ms != CONTROL_NEVER)
		snprintf(when, sizeof(when), "in %s",
			 format_duration(next_try_ms, wait));
	str_copy(u->text, sizeof(u->text), text);
	if (next_try_ms == CONTROL_NEVER)
		log_error("the relay %s: %s; another rigway with this rig's "
			  "key is running: stop it, then start this one anew",
			  addr, text);
	else if (err == RW_ERR_NOT_ALLOWED)
		log_warn("the relay %s: %s; if this rig was removed there: "
			 "rigway relay invite, and rigway join here; trying "
			 "again %s",
			 addr, text, when);
	else
		log_warn("not connected to the relay %s: %s; trying again %s, "
			 "and so on for ever",
			 addr, text, when);
	admin_on_uplink(u->rig->admin, u);
}

static const struct control_ops ops = {
	.on_up = on_up,
	.on_call = on_call,
	.on_down = on_down,
};

static int uplink_start(struct uplink *u)
{
	const struct rig_relay *row = row_of(u);
	const char *addrs[CODE_RELAYS_MAX];
	const struct control_params p = {
		.loop = u->rig->loop,
		.key = u->rig->key,
		.relays = addrs,
		.relay_count = row->addr_count,
		.relay_pin = row->pin,
		.role = RELAY_RIG,
		.name = u->rig->name,
		.incarnation = u->rig->incarnation,
	};

	for (size_t i = 0; i < row->addr_count; i++)
		addrs[i] = row->addr[i];
	u->text[0] = '\0';
	return control_start(&p, &ops, u, &u->control);
}

int uplink_new(struct rig *rig, size_t index, struct uplink **ret)
{
	struct uplink *u = xcalloc(1, sizeof(*u));

	u->rig = rig;
	u->index = index;

	int err = uplink_start(u);

	if (err != 0)
		free(u);
	else
		*ret = u;
	return err;
}

int uplink_restart(struct uplink *u)
{
	control_stop(u->control);
	u->control = NULL;
	return uplink_start(u);
}

void uplink_free(struct uplink *u)
{
	if (u == NULL)
		return;
	if (u->control != NULL)
		control_stop(u->control);
	free(u);
}

bool uplink_is_up(const struct uplink *u)
{
	return u->control != NULL && control_is_up(u->control);
}

const char *uplink_text(const struct uplink *u)
{
	return uplink_is_up(u) ? "" : u->text;
}

const struct rig_relay *uplink_relay(const struct uplink *u)
{
	return row_of(u);
}

struct rig *uplink_rig(const struct uplink *u)
{
	return u->rig;
}

struct control *uplink_control(const struct uplink *u)
{
	return u->control;
}

void uplink_kick(struct uplink *u)
{
	if (u->control != NULL)
		control_kick(u->control);
}

void uplink_doubt(struct uplink *u)
{
	if (u->control != NULL)
		control_doubt(u->control);
}

void uplink_lost(struct uplink *u, uint64_t rendezvous)
{
	if (u->control != NULL)
		control_lost(u->control, rendezvous);
}

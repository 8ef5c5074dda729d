/* SPDX-License-Identifier: MIT */
#include "rig/uplink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/moment.h"
#include "rig/admin.h"
#include "rig/call.h"
#include "rig/door.h"
#include "rig/rig.h"
#include "rig/sessions.h"

/* A relay that does not take another change now is asked again so much later,
 * and less and less often. */
#define VOUCH_MS     ((uint64_t)5000)
#define VOUCH_MAX_MS ((uint64_t)300000)

struct uplink {
	struct rig *rig;
	size_t index; /* in rig->relays.rows */
	struct control *control;
	char text[RELAY_TEXT_MAX + 1]; /* why it is not up; "" not known yet */
	bool was_up;
	uint64_t since, cut_at;	      /* moments: up or not; 0: never */
	char cut[RELAY_TEXT_MAX + 1]; /* why it was last lost */
	struct timer *vouch;	      /* until it may be asked again */
	uint64_t vouch_ms;
	bool is_vouching; /* the answer for one device is awaited */
};

static const struct rig_relay *row_of(const struct uplink *u)
{
	return &u->rig->relays.rows[u->index];
}

struct control_invite uplink_invite(const struct invite *inv, int64_t now)
{
	struct control_invite ci = {
		.role = RELAY_CLIENT,
		.ttl_s = inv->is_withdrawn ? 0 : (uint64_t)(inv->expires - now),
		.uses = inv->uses,
	};

	memcpy(ci.hash, inv->relay_hash, sizeof(ci.hash));
	memcpy(ci.invite_id, inv->id, sizeof(ci.invite_id));
	return ci;
}

static void tell_invite(struct uplink *u, const struct invite *inv, int64_t now)
{
	const struct control_invite ci = uplink_invite(inv, now);

	control_put_invite(u->control, &ci, NULL, NULL);
}

static void repeat_invites(struct uplink *u)
{
	const struct invites *v = &u->rig->invites;
	const int64_t now = rig_now();

	for (size_t i = 0; i < v->count; i++)
		if (invite_is_live(&v->rows[i], now))
			tell_invite(u, &v->rows[i], now);
}

/* Again and again until they are over anyway: it costs the relay nothing. */
static void withdraw_invites(struct uplink *u)
{
	const struct invites *v = &u->rig->invites;
	const int64_t now = rig_now();

	for (size_t i = 0; i < v->count; i++)
		if (v->rows[i].is_withdrawn && now < v->rows[i].expires)
			tell_invite(u, &v->rows[i], now);
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

	withdraw_invites(u);
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

/* -- whom it may let ask for this rig ------------------------------------- */

static void vouch_next(struct uplink *u);

/* The bit of this relay in the device's row. */
static void set_vouched(struct uplink *u, const struct pin *pin)
{
	struct device *dev = devices_find(&u->rig->devices, pin);

	if (dev != NULL)
		dev->vouched |= 1u << u->index;
}

static void on_vouched(void *user, int err, const char *text)
{
	struct telling *t = user;
	struct uplink *u = t->uplink;
	char who[PIN_SHORT_LEN + 1];

	u->is_vouching = false;
	if (err == RW_ERR_LIMIT) { /* its rate, or its fleet is full */
		log_debug("the relay %s: %s", row_of(u)->addr[0], text);
		timer_start(u->vouch, u->vouch_ms);
		u->vouch_ms = MIN(2 * u->vouch_ms, VOUCH_MAX_MS);
	} else if (err != RW_ERR_OFFLINE && err != RW_ERR_CANCELLED) {
		if (err != 0)
			log_info("%s cannot come through the relay %s: %s",
				 pin_short(&t->pin, who), row_of(u)->addr[0],
				 text);
		u->vouch_ms = VOUCH_MS;
		set_vouched(u, &t->pin);
		vouch_next(u);
	}
	free(t);
}

/* One at a time: a relay takes so many changes in a minute. */
static void vouch_next(struct uplink *u)
{
	const struct devices *d = &u->rig->devices;

	if (u->is_vouching || timer_is_running(u->vouch))
		return;
	for (size_t i = 0; i < d->count; i++) {
		struct telling *t;

		if (d->rows[i].role == DEVICE_REMOVED ||
		    (d->rows[i].vouched & 1u << u->index) != 0)
			continue;
		t = xmalloc(sizeof(*t));
		*t = (struct telling){ u, d->rows[i].pin };
		u->is_vouching =
			control_admit(u->control, &t->pin, d->rows[i].name,
				      on_vouched, t) == 0;
		if (!u->is_vouching)
			free(t);
		return;
	}
}

static void on_vouch_timer(void *user)
{
	struct uplink *u = user;

	if (uplink_is_up(u))
		vouch_next(u);
}

/* The relay may have forgotten, or be another one at the same address. */
static void vouch_anew(struct uplink *u)
{
	struct devices *d = &u->rig->devices;

	for (size_t i = 0; i < d->count; i++)
		d->rows[i].vouched &= ~(1u << u->index);
	timer_stop(u->vouch);
	u->vouch_ms = VOUCH_MS;
	vouch_next(u);
}

void uplinks_vouch(struct rig *rig)
{
	for (size_t i = 0; i < rig->uplink_count; i++)
		if (uplink_is_up(rig->uplinks[i]))
			vouch_next(rig->uplinks[i]);
}

/* -- the connection ------------------------------------------------------- */

static void on_up(void *user, const char *fleet, const char *relay_name,
		  const char *your_addr)
{
	struct uplink *u = user;

	u->text[0] = '\0';
	u->was_up = true;
	u->since = moment_now();
	log_info("connected to the relay %s (group %s) from %s",
		 relay_name[0] != '\0' ? relay_name : row_of(u)->addr[0], fleet,
		 your_addr);
	repeat_invites(u);
	uplink_tell_removed(u);
	vouch_anew(u);
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
	if (u->was_up) {
		u->was_up = false;
		u->since = u->cut_at = moment_now();
		str_copy(u->cut, sizeof(u->cut), text);
	}
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
	u->vouch = timer_new(rig->loop, on_vouch_timer, u);
	u->vouch_ms = VOUCH_MS;
	u->since = moment_now();

	int err = uplink_start(u);

	if (err != 0) {
		timer_free(u->vouch);
		free(u);
	} else {
		*ret = u;
	}
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
	timer_free(u->vouch);
	free(u);
}

struct uplink *uplink_find(const struct rig *rig, const struct pin *relay)
{
	for (size_t i = 0; i < rig->uplink_count; i++)
		if (pin_eq(&row_of(rig->uplinks[i])->pin, relay))
			return rig->uplinks[i];
	return NULL;
}

int uplink_leave(struct uplink *u)
{
	struct rig *rig = u->rig;
	const size_t n = u->index;
	int err = relays_remove(&rig->relays, n);

	if (err != 0)
		return err;
	calls_close(rig, u);
	doors_forget(rig, u);
	sessions_forget(rig->sessions, u);
	devices_forget_relay(&rig->devices, (unsigned)n);
	rig->uplink_count--;
	for (size_t i = n; i < rig->uplink_count; i++) {
		rig->uplinks[i] = rig->uplinks[i + 1];
		rig->uplinks[i]->index = i;
	}
	/* What it was asked ends within this call. */
	u->index = RIG_RELAYS_MAX;
	uplink_free(u);
	return 0;
}

bool uplink_is_up(const struct uplink *u)
{
	return u->control != NULL && control_is_up(u->control);
}

const char *uplink_text(const struct uplink *u)
{
	return uplink_is_up(u) ? "" : u->text;
}

void uplink_report(const struct uplink *u, struct uplink_report *ret)
{
	*ret = (struct uplink_report){
		.since = u->since,
		.cut_at = u->cut_at,
		.cut = u->cut,
	};
	if (u->control != NULL)
		control_report(u->control, &ret->control);
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

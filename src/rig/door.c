/* SPDX-License-Identifier: MIT */
#include "rig/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "net/chan.h"
#include "net/loop.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"
#include "rig/uplink.h"
#include "wire/frame.h"
#include "wire/hello.h"

#define HELLO_VERSION 1
/* Connections of one known device that have not said HELLO yet, of those that
 * came straight; the oldest goes. */
#define PER_DEVICE_MAX 32

/* From the TLS to the WELCOME, or the REFUSED. */
struct door {
	struct list link; /* in rig->doors, oldest first */
	struct rig *rig;
	struct uplink *uplink; /* NULL: it came straight */
	uint64_t rendezvous;
	struct pin pin;
	char who[PIN_SHORT_LEN + 1];
	char addr[CHAN_ADDR_CAP];
	struct chan *chan;
	struct timer *timer;
	uint64_t stranger; /* in rig->strangers */
	bool is_counted;   /* there */
	bool redeems;	   /* it came with a code */
	bool is_refused;
};

static void door_uncount(struct door *d)
{
	if (d->is_counted)
		strangers_leave(&d->rig->strangers, d->stranger);
	d->is_counted = false;
}

static void door_free(struct door *d)
{
	door_uncount(d);
	list_del(&d->link);
	timer_free(d->timer);
	free(d);
}

static void door_refuse(struct door *d, int err, const char *text)
{
	uint8_t out[FRAME_MAX];
	/* Whoever comes with a code hears the rig's trouble (a full disk, a
	 * limit) at once, and need not ask again and again. */
	const bool is_trouble =
		err > RW_ERR_PROTO || err == RW_ERR_IO || err == RW_ERR_LIMIT;
	struct refused r = {
		.code = reason_to_wire(d->redeems && is_trouble ? RW_ERR_REFUSED
								: err),
	};

	log_info("%s from %s is refused: %s", d->who, d->addr, text);
	str_copy(r.text, sizeof(r.text), text);
	d->is_refused = true;
	chan_write(d->chan, out, refused_write(&r, out));
	chan_finish(d->chan, err);
}

/* Admits the key that showed a good code: on disk before it is let in. */
static int door_admit(struct door *d, const struct hello *h,
		      const struct invite *inv, char text[INVITE_TEXT_CAP])
{
	struct rig *rig = d->rig;
	const struct device *old = devices_find(&rig->devices, &d->pin);
	struct device dev = {
		.pin = d->pin,
		.role = inv->role,
		.admitted = old != NULL ? old->admitted : rig_now(),
	};

	/* A guest's code takes nothing away from an owner. */
	if (old != NULL && old->role == DEVICE_OWNER)
		dev.role = DEVICE_OWNER;
	if (dev.role == DEVICE_GUEST)
		str_copy(dev.services, sizeof(dev.services), inv->services);
	str_copy(dev.name, sizeof(dev.name), h->extra.name);
	if (old != NULL && old->role == dev.role &&
	    strcmp(old->services, dev.services) == 0 &&
	    strcmp(old->name, dev.name) == 0)
		return 0;

	int err = devices_put(&rig->devices, &dev);

	if (err == RW_ERR_LIMIT)
		str_copy(text, INVITE_TEXT_CAP,
			 "this rig has as many devices as it may "
			 "(rig.max_devices)");
	else if (err != 0)
		snprintf(text, INVITE_TEXT_CAP,
			 "the rig cannot store this: %s; the code is still "
			 "good",
			 err_text(err));
	if (err != 0)
		return err;
	log_info("admitted %s (%s) as %s", dev.name, d->who,
		 device_role_name(dev.role));
	uplinks_vouch(rig);
	return 0;
}

/* Wrong codes are counted by address where it is seen; a relay's word for it
 * counts nothing, so those who come through relays are counted together. */
static bool door_may_guess(const struct door *d, uint64_t now_us)
{
	struct rig *rig = d->rig;

	return d->uplink != NULL ? rate_has(&rig->guesses, now_us)
				 : strangers_may_guess(&rig->strangers,
						       d->stranger, now_us);
}

static void door_guessed(struct door *d, uint64_t now_us)
{
	struct rig *rig = d->rig;

	if (d->uplink != NULL)
		rate_take(&rig->guesses, now_us);
	else
		strangers_guessed(&rig->strangers, d->stranger, now_us);
}

/* A relay's calls were judged before they were answered (rig/call.c). */
static bool door_may_redeem(struct door *d, const struct invite *inv,
			    uint64_t now_us)
{
	struct rig *rig = d->rig;

	return d->uplink != NULL || inv == NULL ||
	       devices_find(&rig->devices, &d->pin) != NULL ||
	       rate_take(&rig->newcomers, now_us);
}

static int door_redeem(struct door *d, const struct hello *h,
		       char text[INVITE_TEXT_CAP])
{
	struct rig *rig = d->rig;
	const uint64_t now_us = loop_now_us(rig->loop);
	const struct invite_claim claim = {
		.id = h->extra.invite_id,
		.secret = h->extra.secret,
		.pin = &d->pin,
		.now = rig_now(),
	};
	const struct invite *inv =
		invites_find(&rig->invites, h->extra.invite_id);

	if (!door_may_guess(d, now_us)) {
		str_copy(text, INVITE_TEXT_CAP,
			 "too many wrong codes were tried at this rig; try "
			 "again in a minute");
		return RW_ERR_LIMIT;
	}
	if (!door_may_redeem(d, inv, now_us)) {
		str_copy(text, INVITE_TEXT_CAP,
			 "too many come to this rig with a code at the "
			 "moment; try again in a minute");
		return RW_ERR_LIMIT;
	}

	int err = invites_redeem(&rig->invites, &claim, &inv, text);

	if (err == RW_ERR_NOT_FOUND)
		door_guessed(d, now_us);
	return err != 0 ? err : door_admit(d, h, inv, text);
}

/* The label is the device's own choice; a new one is written down when it
 * comes, but nobody is kept out because it cannot be. */
static void door_relabel(struct rig *rig, const struct pin *pin,
			 const char *name)
{
	const struct device *old = devices_find(&rig->devices, pin);
	struct device dev;
	int err;

	if (name[0] == '\0' || strcmp(old->name, name) == 0)
		return;
	dev = *old;
	str_copy(dev.name, sizeof(dev.name), name);
	err = devices_put(&rig->devices, &dev);
	if (err != 0)
		log_warn("%s calls itself %s now, which cannot be written "
			 "down: %s; it is tried again when it comes back",
			 old->name, name, err_text(err));
}

/* 0, or the refusal's error and text. */
static int door_judge(struct door *d, const struct hello *h,
		      char text[INVITE_TEXT_CAP])
{
	struct rig *rig = d->rig;
	int err = 0;

	if (h->version_min > HELLO_VERSION || h->version_max < HELLO_VERSION) {
		snprintf(text, INVITE_TEXT_CAP,
			 "the rig runs rigway %s and the laptop another "
			 "version that it does not understand: update the "
			 "older one",
			 RIGWAY_VERSION);
		return RW_ERR_VERSION;
	}
	if (h->extra.redeems)
		err = door_redeem(d, h, text);
	if (devices_find(&rig->devices, &d->pin) != NULL) {
		door_relabel(rig, &d->pin, h->extra.name);
		return 0;
	}
	if (err != 0)
		return err;
	str_copy(text, INVITE_TEXT_CAP,
		 "this rig does not know this machine; it needs a code, made "
		 "on the rig with: rigway rig invite");
	return RW_ERR_NOT_ALLOWED;
}

static void door_open(struct door *d, const struct hello *h)
{
	char text[INVITE_TEXT_CAP] = "";
	const char *why = text;
	const struct arrival a = {
		.chan = d->chan,
		.hello = h,
		.pin = &d->pin,
		.uplink = d->uplink,
		.rendezvous = d->rendezvous,
		.addr = d->addr,
	};
	int err;

	d->redeems = h->extra.redeems;
	err = door_judge(d, h, text);
	if (err == 0)
		err = sessions_admit(d->rig->sessions, &a, &why);
	if (err != 0)
		door_refuse(d, err, why);
	else
		door_free(d);
}

static size_t on_data(struct chan *c, const uint8_t *data, size_t len)
{
	struct door *d = chan_user(c);
	struct hello h;

	if (d->is_refused)
		return len;

	ssize_t n = hello_read(data, len, &h);

	if (n == 0)
		return 0;
	timer_stop(d->timer);
	if (n < 0) {
		door_refuse(d, RW_ERR_PROTO,
			    "this is not how a laptop says hello");
		return len;
	}
	door_open(d, &h);
	mem_wipe(h.extra.secret, sizeof(h.extra.secret));
	return (size_t)n;
}

static void on_closed(struct chan *c, int err)
{
	struct door *d = chan_user(c);

	if (!d->is_refused)
		log_debug("%s from %s left before it said hello: %s", d->who,
			  d->addr, err_text(err));
	door_free(d);
}

static const struct chan_ops chan_ops = {
	.on_data = on_data,
	.on_closed = on_closed,
};

static void on_timer(void *user)
{
	struct door *d = user;

	chan_close(d->chan, RW_ERR_TIMEOUT);
}

static void device_make_room(struct rig *rig, const struct pin *pin)
{
	struct door *oldest = NULL;
	size_t n = 0;

	list_for_each (it, &rig->doors) {
		struct door *d = container_of(it, struct door, link);

		if (d->uplink != NULL || !pin_eq(&d->pin, pin))
			continue;
		if (n++ == 0)
			oldest = d;
	}
	if (n >= PER_DEVICE_MAX)
		chan_close(oldest->chan, RW_ERR_LIMIT);
}

static void door_turn_away(struct rig *rig, const struct door_params *p)
{
	static const struct chan_ops none = { 0 };

	if (p->is_counted)
		strangers_leave(&rig->strangers, p->stranger);
	chan_set_ops(p->chan, &none, NULL);
	chan_close(p->chan, RW_ERR_NOMEM);
}

void door_enter(struct rig *rig, const struct door_params *p)
{
	struct door *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		door_turn_away(rig, p);
		return;
	}
	if (p->uplink == NULL)
		device_make_room(rig, &p->pin);
	d->rig = rig;
	d->uplink = p->uplink;
	d->rendezvous = p->rendezvous;
	d->pin = p->pin;
	d->stranger = p->stranger;
	d->is_counted = p->is_counted;
	pin_short(&d->pin, d->who);
	str_copy(d->addr, sizeof(d->addr), p->addr);
	list_init(&d->link);
	list_push(&rig->doors, &d->link);
	if (devices_find(&rig->devices, &d->pin) != NULL)
		door_uncount(d);
	d->timer = timer_new(rig->loop, on_timer, d);
	timer_start(d->timer, p->wait_ms);
	sshd_look(rig->sshd);
	d->chan = p->chan;
	chan_set_ops(d->chan, &chan_ops, d);
}

size_t doors_count(const struct rig *rig, bool relayed)
{
	size_t n = 0;

	list_for_each (it, &rig->doors)
		n += (container_of(it, struct door, link)->uplink != NULL) ==
		     relayed;
	return n;
}

bool doors_drop_oldest(struct rig *rig)
{
	list_for_each (it, &rig->doors) {
		struct door *d = container_of(it, struct door, link);

		if (d->is_counted) {
			door_uncount(d);
			chan_close(d->chan, RW_ERR_LIMIT);
			return true;
		}
	}
	return false;
}

void doors_forget(struct rig *rig, const struct uplink *u)
{
	list_for_each (it, &rig->doors) {
		struct door *d = container_of(it, struct door, link);

		if (d->uplink == u)
			chan_close(d->chan, RW_ERR_CANCELLED);
	}
}

void doors_close(struct rig *rig)
{
	list_for_each_safe (it, &rig->doors)
		chan_close(container_of(it, struct door, link)->chan,
			   RW_ERR_CANCELLED);
}

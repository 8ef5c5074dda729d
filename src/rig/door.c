/* SPDX-License-Identifier: MIT */
#include "rig/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "carrier/relayed.h"
#include "net/chan.h"
#include "net/loop.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"
#include "rig/uplink.h"
#include "wire/frame.h"
#include "wire/hello.h"

#define HELLO_VERSION 1

/* From the call to the WELCOME, or the REFUSED. */
struct door {
	struct list link; /* in rig->doors */
	struct rig *rig;
	struct uplink *uplink;
	struct pin pin;
	char who[PIN_SHORT_LEN + 1];
	char addr[CHAN_ADDR_CAP];
	uint64_t rendezvous;
	struct relayed *relayed; /* until the TLS is up */
	struct chan *chan;	 /* from then on */
	struct timer *timer;
	bool redeems; /* it came with a code */
	bool is_refused;
};

static void door_free(struct door *d)
{
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
	else
		log_info("admitted %s (%s) as %s", dev.name, d->who,
			 device_role_name(dev.role));
	return err;
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
	const struct invite *inv;

	if (!rate_has(&rig->guesses, now_us)) {
		str_copy(text, INVITE_TEXT_CAP,
			 "too many wrong codes were tried at this rig; try "
			 "again in a minute");
		return RW_ERR_LIMIT;
	}

	int err = invites_redeem(&rig->invites, &claim, &inv, text);

	if (err == RW_ERR_NOT_FOUND)
		rate_take(&rig->guesses, now_us);
	return err != 0 ? err : door_admit(d, h, inv, text);
}

/* The label is the device's own choice; a new one is written down when it
 * comes, but nobody is kept out because it cannot be. */
static void door_relabel(struct rig *rig, const struct pin *pin,
			 const char *name)
{
	const struct device *old = devices_find(&rig->devices, pin);
	struct device dev;

	if (name[0] == '\0' || strcmp(old->name, name) == 0)
		return;
	dev = *old;
	str_copy(dev.name, sizeof(dev.name), name);
	(void)devices_put(&rig->devices, &dev);
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

	if (d->chan != NULL)
		chan_close(d->chan, RW_ERR_TIMEOUT);
}

static void on_up(void *user, struct chan *c, const char *peer_addr)
{
	struct door *d = user;

	d->relayed = NULL;
	d->chan = c;
	str_copy(d->addr, sizeof(d->addr), peer_addr);
	chan_set_ops(c, &chan_ops, d);
	timer_start(d->timer, d->rig->settings->rig.handshake_timeout_ms);
}

static void on_failed(void *user, int err, const char *text)
{
	struct door *d = user;

	log_debug("%s from %s was not reached: %s (%s)", d->who, d->addr, text,
		  err_name(err));
	d->relayed = NULL;
	door_free(d);
}

static const struct relayed_ops relayed_ops = {
	.on_up = on_up,
	.on_failed = on_failed,
};

static int door_dial(struct door *d)
{
	const struct rig_relay *relay = uplink_relay(d->uplink);
	const char *addrs[CODE_RELAYS_MAX];
	const struct relayed_params p = {
		.loop = d->rig->loop,
		.key = d->rig->key,
		.relays = addrs,
		.relay_count = relay->addr_count,
		.relay_pin = relay->pin,
		.what = RELAYED_ANSWER,
		.peer = d->pin,
		.rendezvous = d->rendezvous,
	};

	for (size_t i = 0; i < relay->addr_count; i++)
		addrs[i] = relay->addr[i];
	return relayed_start(&p, &relayed_ops, d, &d->relayed);
}

/* Whether to dial back at all: the relay's word admits nobody. */
static int call_judge(struct rig *rig, const struct control_call *call,
		      const char **ret_text)
{
	const uint64_t now_us = loop_now_us(rig->loop);
	const bool known = devices_find(&rig->devices, &call->client) != NULL;
	const struct invite *inv =
		call->has_invite_id
			? invites_find(&rig->invites, call->invite_id)
			: NULL;

	if (!known && inv == NULL) {
		*ret_text = "this rig does not know this machine (any more); "
			    "it needs a code, made on the rig with: rigway "
			    "rig invite";
		return RW_ERR_NOT_ALLOWED;
	}
	if (!known && !invite_is_live(inv, rig_now())) {
		*ret_text = "this code has expired, by the rig's clock: make "
			    "a new one there with rigway rig invite";
		return RW_ERR_EXPIRED;
	}
	if (!rate_take(known ? &rig->dials : &rig->strangers, now_us)) {
		*ret_text =
			known ? "the rig answers no more calls for a moment "
				"(rig.dials_per_minute)"
			      : "the rig answers no more calls of unknown "
				"machines for a moment "
				"(rig.strangers_per_minute)";
		return RW_ERR_LIMIT;
	}
	return 0;
}

void door_answer(struct uplink *u, const struct control_call *call)
{
	struct rig *rig = uplink_rig(u);
	struct door *d;
	const char *text = "the rig is letting in as many as it may at once "
			   "(rig.max_calls)";
	int err = call_judge(rig, call, &text);
	size_t n = 0;

	list_for_each (it, &rig->doors)
		n++;
	if (err == 0 && n >= (size_t)rig->settings->rig.max_calls)
		err = RW_ERR_LIMIT;
	if (err == 0 && rig->is_stopping) {
		err = RW_ERR_CLOSING;
		text = "the rig was just stopped";
	}
	d = err == 0 ? calloc(1, sizeof(*d)) : NULL;
	if (d == NULL) {
		char who[PIN_SHORT_LEN + 1];

		log_info("a call of %s from %s is not answered: %s",
			 pin_short(&call->client, who), call->addr, text);
		control_decline(uplink_control(u), call->rendezvous,
				err != 0 ? err : RW_ERR_NOMEM, text);
		return;
	}
	d->rig = rig;
	d->uplink = u;
	d->pin = call->client;
	d->rendezvous = call->rendezvous;
	pin_short(&d->pin, d->who);
	str_copy(d->addr, sizeof(d->addr), call->addr);
	list_init(&d->link);
	list_push(&rig->doors, &d->link);
	d->timer = timer_new(rig->loop, on_timer, d);
	sshd_look(rig->sshd);
	if (door_dial(d) != 0)
		door_free(d);
}

void doors_close(struct rig *rig)
{
	list_for_each_safe (it, &rig->doors) {
		struct door *d = container_of(it, struct door, link);

		if (d->chan != NULL) {
			chan_close(d->chan, RW_ERR_CANCELLED);
			continue;
		}
		if (d->relayed != NULL)
			relayed_cancel(d->relayed);
		door_free(d);
	}
}

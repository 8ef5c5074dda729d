/* SPDX-License-Identifier: MIT */
#include "rig/call.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "carrier/relayed.h"
#include "net/loop.h"
#include "rig/door.h"
#include "rig/rig.h"
#include "rig/uplink.h"

/* From the call to the TLS with whoever called. */
struct call {
	struct list link; /* in rig->calls */
	struct rig *rig;
	struct uplink *uplink;
	struct pin pin;
	char who[PIN_SHORT_LEN + 1];
	char addr[RELAY_ADDR_MAX + 1];
	uint64_t rendezvous;
	struct relayed *relayed;
};

static void call_free(struct call *k)
{
	list_del(&k->link);
	free(k);
}

static void on_up(void *user, struct chan *c, const char *peer_addr)
{
	struct call *k = user;
	const struct door_params p = {
		.chan = c,
		.pin = k->pin,
		.addr = peer_addr,
		.uplink = k->uplink,
		.rendezvous = k->rendezvous,
		.wait_ms = k->rig->settings->rig.handshake_timeout_ms,
	};

	door_enter(k->rig, &p);
	call_free(k);
}

static void on_failed(void *user, int err, const char *text)
{
	struct call *k = user;

	log_debug("%s from %s was not reached: %s (%s)", k->who, k->addr, text,
		  err_name(err));
	call_free(k);
}

static const struct relayed_ops relayed_ops = {
	.on_up = on_up,
	.on_failed = on_failed,
};

static int call_dial(struct call *k)
{
	const struct rig_relay *relay = uplink_relay(k->uplink);
	const char *addrs[CODE_RELAYS_MAX];
	const struct relayed_params p = {
		.loop = k->rig->loop,
		.key = k->rig->key,
		.relays = addrs,
		.relay_count = relay->addr_count,
		.relay_pin = relay->pin,
		.what = RELAYED_ANSWER,
		.peer = k->pin,
		.rendezvous = k->rendezvous,
	};

	for (size_t i = 0; i < relay->addr_count; i++)
		addrs[i] = relay->addr[i];
	return relayed_start(&p, &relayed_ops, k, &k->relayed);
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
	if (!rate_take(known ? &rig->dials : &rig->newcomers, now_us)) {
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

static size_t count(const struct rig *rig)
{
	size_t n = doors_count(rig, true);

	list_for_each (it, &rig->calls)
		n++;
	return n;
}

static void call_decline(struct uplink *u, const struct control_call *call,
			 int err, const char *text)
{
	char who[PIN_SHORT_LEN + 1];

	log_info("a call of %s from %s is not answered: %s",
		 pin_short(&call->client, who), call->addr, text);
	control_decline(uplink_control(u), call->rendezvous, err, text);
}

void call_answer(struct uplink *u, const struct control_call *call)
{
	struct rig *rig = uplink_rig(u);
	struct call *k;
	const char *text = "the rig is letting in as many as it may at once "
			   "(rig.max_calls)";
	int err = call_judge(rig, call, &text);

	if (err == 0 && count(rig) >= (size_t)rig->settings->rig.max_calls)
		err = RW_ERR_LIMIT;
	if (err == 0 && rig->is_stopping) {
		err = RW_ERR_CLOSING;
		text = "the rig was just stopped";
	}
	k = err == 0 ? calloc(1, sizeof(*k)) : NULL;
	if (k == NULL) {
		call_decline(u, call, err != 0 ? err : RW_ERR_NOMEM, text);
		return;
	}
	k->rig = rig;
	k->uplink = u;
	k->pin = call->client;
	k->rendezvous = call->rendezvous;
	pin_short(&k->pin, k->who);
	str_copy(k->addr, sizeof(k->addr), call->addr);
	list_init(&k->link);
	list_push(&rig->calls, &k->link);
	err = call_dial(k);
	if (err != 0) {
		call_decline(u, call, err, err_text(err));
		call_free(k);
	}
}

void calls_close(struct rig *rig, const struct uplink *u)
{
	list_for_each_safe (it, &rig->calls) {
		struct call *k = container_of(it, struct call, link);

		if (u != NULL && k->uplink != u)
			continue;
		relayed_cancel(k->relayed);
		call_free(k);
	}
}

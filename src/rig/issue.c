/* SPDX-License-Identifier: MIT */
#include "rig/issue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/loop.h"
#include "rig/gate.h"
#include "rig/places.h"
#include "rig/rig.h"
#include "rig/uplink.h"

/* For the relay's answer; the code is shown anyway afterwards. */
#define RELAY_MS 5000

struct issue {
	struct list link; /* in rig->issues */
	struct rig *rig;
	struct issued issued;
	struct timer *timer;
	issue_on_done *on_done; /* NULL once it ran or was cancelled */
	void *user;
	bool is_asking; /* the relay's answer will come to us */
};

static const char not_yet[] =
	"the relay is not reached at the moment: the code works as soon as "
	"this rig has reached it";

/* The same where the rig listens as well. */
static const char not_yet_relay[] =
	"the relay is not reached at the moment: until it is, the code works "
	"where this rig's own port can be reached";

static const char nowhere[] =
	"nobody could reach this rig: join a relay with rigway join CODE, or, "
	"where laptops can reach a port of this machine, start it with rigway "
	"rig --listen PORT";

/* Where the code leads: the relay, and the rig itself. */
static void code_set_way(struct code *code, const struct issuer *by)
{
	if (by->relay != NULL) {
		code->relay_pin = by->relay->pin;
		code->relay_count = (uint8_t)by->relay->addr_count;
		for (size_t i = 0; i < by->relay->addr_count; i++)
			str_copy(code->relay[i], HOSTPORT_CAP,
				 by->relay->addr[i]);
	}
	code->addr_count = by->places->count;
	for (size_t i = 0; i < by->places->count; i++)
		str_copy(code->addr[i], HOSTPORT_CAP, by->places->at[i]);
}

/* Why invites_make() made none, as a sentence. */
static void explain(const struct invites *v, int err,
		    char text[INVITE_TEXT_CAP])
{
	char longest[FORMAT_CAP];

	if (err == RW_ERR_LIMIT)
		str_copy(text, INVITE_TEXT_CAP,
			 "this rig has as many open codes as it may "
			 "(rig.max_invites): wait until some have expired");
	else if (err == RW_ERR_FORMAT)
		snprintf(text, INVITE_TEXT_CAP,
			 "a code may be used 1 to %d times, and for up to %s "
			 "(rig.max_invite_life)",
			 INVITE_USES_MAX,
			 format_duration(v->max_ttl_s * 1000, longest));
	else
		snprintf(text, INVITE_TEXT_CAP, "%s: %s", v->path,
			 err_text(err));
}

/* Names can be long: the likeliest ones that fit are enough. */
static int code_format_fitting(struct code *code, char *out, size_t cap)
{
	int len = code_format(code, out, cap);

	while (len == RW_ERR_LIMIT && code->addr_count > 0) {
		code->addr_count--;
		len = code_format(code, out, cap);
	}
	return len;
}

int issue_make(struct invites *v, const struct issuer *by,
	       const struct invite_params *p, struct issued *ret,
	       char text[INVITE_TEXT_CAP])
{
	struct code code = {
		.kind = CODE_CLIENT,
		.rig_pin = *by->pin,
	};
	const struct invite *inv;
	int err;

	if (by->relay == NULL && by->places->count == 0) {
		str_copy(text, INVITE_TEXT_CAP, nowhere);
		return RW_ERR_UNREACHABLE;
	}
	err = invites_make(v, p, code.bits, &inv);
	if (err != 0) {
		explain(v, err, text);
		return err;
	}
	code_set_way(&code, by);
	str_copy(code.rig_name, sizeof(code.rig_name), by->name);
	ret->invite = uplink_invite(inv, p->now);
	err = code_format_fitting(&code, ret->code, sizeof(ret->code));
	code_wipe(&code);
	if (err >= 0)
		return 0;
	str_copy(text, INVITE_TEXT_CAP, err_text(err));
	return err;
}

static void issue_free(struct issue *is)
{
	if (is->is_asking || is->on_done != NULL)
		return;
	list_del(&is->link);
	timer_free(is->timer);
	mem_wipe(&is->issued, sizeof(is->issued));
	free(is);
}

static void issue_done(struct issue *is, int err, const char *note)
{
	issue_on_done *on_done = is->on_done;

	is->on_done = NULL;
	if (on_done != NULL)
		on_done(is->user, err, is->issued.code, note);
	issue_free(is);
}

static void on_timer(void *user)
{
	issue_done(user, 0, not_yet);
}

static void on_answer(void *user, int err, const char *text)
{
	struct issue *is = user;
	char note[INVITE_TEXT_CAP];

	is->is_asking = false;
	if (err == 0)
		issue_done(is, 0, "");
	else if (err == RW_ERR_OFFLINE || err == RW_ERR_CANCELLED)
		issue_done(is, 0, not_yet);
	else {
		snprintf(note, sizeof(note), "the relay refused the code: %s",
			 text);
		issue_done(is, err, note);
	}
}

/* The first relay that is connected, else the first. */
static struct uplink *issue_uplink(const struct rig *rig)
{
	for (size_t i = 0; i < rig->uplink_count; i++)
		if (uplink_is_up(rig->uplinks[i]))
			return rig->uplinks[i];
	return rig->uplink_count > 0 ? rig->uplinks[0] : NULL;
}

static void issue_tell(struct issue *is, struct uplink *chosen)
{
	for (size_t i = 0; i < is->rig->uplink_count; i++) {
		struct uplink *u = is->rig->uplinks[i];

		if (!uplink_is_up(u))
			continue;
		if (u != chosen)
			control_put_invite(uplink_control(u),
					   &is->issued.invite, NULL, NULL);
		else
			is->is_asking = control_put_invite(uplink_control(u),
							   &is->issued.invite,
							   on_answer, is) == 0;
	}
}

void issue_start(struct rig *rig, const struct invite_params *p,
		 issue_on_done *on_done, void *user, struct issue **ret)
{
	struct uplink *u = issue_uplink(rig);
	struct places places;
	char text[INVITE_TEXT_CAP];

	*ret = NULL;
	gate_places(rig->gate, &places);

	const struct issuer by = {
		.relay = u != NULL ? uplink_relay(u) : NULL,
		.places = &places,
		.pin = key_pin(rig->key),
		.name = rig->name,
	};
	struct issue *is = xcalloc(1, sizeof(*is));
	int err = issue_make(&rig->invites, &by, p, &is->issued, text);

	is->rig = rig;
	is->on_done = on_done;
	is->user = user;
	is->timer = timer_new(rig->loop, on_timer, is);
	list_init(&is->link);
	list_push(&rig->issues, &is->link);
	if (err != 0) {
		issue_done(is, err, text);
		return;
	}
	issue_tell(is, u);
	if (!is->is_asking) {
		issue_done(is, 0,
			   u == NULL	       ? ""
			   : places.count == 0 ? not_yet
					       : not_yet_relay);
		return;
	}
	timer_start(is->timer, RELAY_MS);
	*ret = is;
}

void issue_cancel(struct issue *is)
{
	is->on_done = NULL;
	timer_stop(is->timer);
	issue_free(is);
}

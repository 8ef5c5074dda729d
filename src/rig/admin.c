/* SPDX-License-Identifier: MIT */
#include "rig/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/local.h"
#include "rig/issue.h"
#include "rig/leaving.h"
#include "rig/removal.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/status.h"
#include "rig/uplink.h"

struct admin {
	struct rig *rig;
	struct local *local;
	struct list asks; /* requests that are not answered yet */
};

/* A request that waits for a relay: for an answer, or to be reached. */
struct ask {
	struct list link;
	struct admin *admin;
	struct local_req *req;
	struct issue *issue; /* invite */
	struct leaving *leaving;
	bool waits; /* wait: for this relay */
	struct pin relay;
};

static void ask_free(struct ask *k)
{
	if (k->issue != NULL)
		issue_cancel(k->issue);
	if (k->leaving != NULL)
		leaving_forget(k->leaving);
	list_del(&k->link);
	free(k);
}

static void ask_on_gone(struct local_req *r, void *user)
{
	(void)r;
	ask_free(user);
}

static struct ask *ask_new(struct admin *a, struct local_req *r)
{
	struct ask *k = xcalloc(1, sizeof(*k));

	k->admin = a;
	k->req = r;
	list_init(&k->link);
	list_push(&a->asks, &k->link);
	local_set_gone(r, ask_on_gone, k);
	return k;
}

static void ask_end(struct ask *k, bool ok, const char *text, json_t *extra)
{
	local_end_json(k->req, ok, ok ? 0 : 1, text, extra);
	k->issue = NULL;
	k->leaving = NULL;
	ask_free(k);
}

/* -- invite --------------------------------------------------------------- */

static void invite_on_done(void *user, int err, const char *code,
			   const char *note)
{
	struct ask *k = user;

	if (err != 0)
		ask_end(k, false, note, NULL);
	else
		ask_end(k, true, NULL,
			json_pack("{s:s, s:s}", "code", code, "note", note));
}

static void do_invite(struct admin *a, struct local_req *r, json_t *msg)
{
	const char *services = "";
	json_int_t uses = 0, ttl_s = 0;
	struct issue *issue = NULL;
	struct invite_params p = { .now = rig_now() };

	json_unpack(msg, "{s?s, s?I, s?I}", "guest", &services, "uses", &uses,
		    "expires_s", &ttl_s);
	if (uses < 0 || uses > INVITE_USES_MAX || ttl_s < 0 ||
	    ttl_s > INVITE_TTL_MAX) {
		local_end(r, false, 2, "uses or expires is out of range");
		return;
	}
	p.services = services;
	p.uses = (uint16_t)uses;
	p.ttl_s = (uint64_t)ttl_s;

	struct ask *k = ask_new(a, r);

	/* k may be gone on return, and issue is NULL then. */
	issue_start(a->rig, &p, invite_on_done, k, &issue);
	if (issue != NULL)
		k->issue = issue;
}

/* -- devices, remove, status ---------------------------------------------- */

json_t *admin_device_json(const struct device *dev, bool online)
{
	char pin[PIN_TEXT_LEN + 1], shown[PIN_SHORT_LEN + 1];
	char admitted[FORMAT_CAP];
	json_t *services = json_array();
	char copy[DEVICE_SERVICES_CAP], *save = NULL;

	str_copy(copy, sizeof(copy), dev->services);
	for (char *t = strtok_r(copy, ",", &save); t != NULL;
	     t = strtok_r(NULL, ",", &save))
		json_array_append_new(services, json_string(t));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:b}", "name",
			 dev->name, "fingerprint", pin_short(&dev->pin, shown),
			 "key", pin_text(&dev->pin, pin), "role",
			 device_role_name(dev->role), "services", services,
			 "admitted", format_time_utc(dev->admitted, admitted),
			 "online", online);
}

static void do_devices(struct admin *a, struct local_req *r, json_t *msg)
{
	const struct rig *rig = a->rig;
	json_t *lines = json_array();

	(void)msg;
	for (size_t i = 0; i < rig->devices.count; i++) {
		const struct device *dev = &rig->devices.rows[i];
		const struct peer *p = sessions_find(rig->sessions, &dev->pin);

		if (dev->role == DEVICE_REMOVED)
			continue;
		json_array_append_new(
			lines,
			admin_device_json(
				dev, p != NULL && status_is_proven(rig, p)));
	}
	local_end_array(r, lines);
}

json_t *admin_removed_json(const struct device *dev, const char *text)
{
	char shown[PIN_SHORT_LEN + 1];

	return json_pack("{s:s, s:s, s:s}", "name", dev->name, "fingerprint",
			 pin_short(&dev->pin, shown), "text", text);
}

static void do_remove(struct admin *a, struct local_req *r, json_t *msg)
{
	const char *who = "";
	char text[REMOVAL_TEXT_CAP];
	struct device dev;

	json_unpack(msg, "{s:s}", "who", &who);

	int err = removal_do(a->rig, who, &dev, text);

	if (err != 0)
		local_end(r, false, 1, text);
	else
		local_end_json(r, true, 0, NULL,
			       admin_removed_json(&dev, text));
}

json_t *admin_relay_json(const struct rig_relay *relay, bool is_up,
			 const char *text)
{
	char pin[PIN_TEXT_LEN + 1], shown[PIN_SHORT_LEN + 1];
	char invite[STR_HEX_LEN(CODE_ID_LEN) + 1];
	json_t *addrs = json_array();

	for (size_t i = 0; i < relay->addr_count; i++)
		json_array_append_new(addrs, json_string(relay->addr[i]));
	str_hex_encode(relay->invite, sizeof(relay->invite), invite);
	return json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:b, s:s}", "addr",
			 relay->addr[0], "addrs", addrs, "fingerprint",
			 pin_short(&relay->pin, shown), "key",
			 pin_text(&relay->pin, pin), "fleet", relay->fleet,
			 "invite", invite, "up", is_up, "text", text);
}

static void do_status(struct admin *a, struct local_req *r, json_t *msg)
{
	(void)msg;
	local_end_json(r, true, 0, NULL, status_json(a->rig));
}

/* -- join, wait ----------------------------------------------------------- */

static int relay_from_json(json_t *msg, struct rig_relay *ret)
{
	struct rig_relay relay = { 0 };
	const char *key = "", *fleet = "", *invite = "";
	json_t *addrs = NULL, *addr;
	size_t i;

	if (json_unpack(msg, "{s:s, s:s, s:s, s:o}", "key", &key, "fleet",
			&fleet, "invite", &invite, "addrs", &addrs) != 0 ||
	    pin_parse(key, &relay.pin) != 0 ||
	    str_hex_decode(invite, strlen(invite), relay.invite,
			   sizeof(relay.invite)) != CODE_ID_LEN ||
	    json_array_size(addrs) == 0 ||
	    json_array_size(addrs) > CODE_RELAYS_MAX)
		return RW_ERR_FORMAT;
	json_array_foreach(addrs, i, addr)
	{
		struct hostport hp;
		const char *text = json_string_value(addr);

		if (text == NULL || parse_hostport(text, 0, &hp) != 0)
			return RW_ERR_FORMAT;
		str_copy(relay.addr[relay.addr_count++], HOSTPORT_CAP, text);
	}
	str_copy(relay.fleet, sizeof(relay.fleet), fleet);
	*ret = relay;
	return 0;
}

static int rig_join(struct rig *rig, const struct rig_relay *relay)
{
	struct uplink *u = uplink_find(rig, &relay->pin);
	int err = relays_put(&rig->relays, relay);

	if (err != 0)
		return err;
	if (u != NULL)
		return uplink_restart(u);
	err = uplink_new(rig, rig->uplink_count,
			 &rig->uplinks[rig->uplink_count]);
	if (err == 0)
		rig->uplink_count++;
	return err;
}

/* The relay has admitted this rig: `rigway join` did the rest. */
static void do_join(struct admin *a, struct local_req *r, json_t *msg)
{
	struct rig_relay relay;
	int err = relay_from_json(msg, &relay);

	if (err == 0)
		err = rig_join(a->rig, &relay);
	if (err != 0)
		local_end(r, false, 1, err_text(err));
	else
		local_end(r, true, 0, NULL);
}

json_t *admin_left_json(bool was_told, const char *text)
{
	return json_pack("{s:s, s:b}", "text", text, "told", (int)was_told);
}

static void leave_on_done(void *user, int err, bool was_told, const char *text)
{
	if (err != 0)
		ask_end(user, false, text, NULL);
	else
		ask_end(user, true, NULL, admin_left_json(was_told, text));
}

static void do_leave(struct admin *a, struct local_req *r, json_t *msg)
{
	struct leaving *leaving = NULL;
	char text[RELAYS_TEXT_CAP];
	const char *who = "";
	size_t n = 0;
	int err;

	json_unpack(msg, "{s:s}", "who", &who);
	err = relays_resolve(&a->rig->relays, who, &n);
	if (err != 0) {
		relays_say_unknown(who, err, text);
		local_end(r, false, 1, text);
		return;
	}

	struct ask *k = ask_new(a, r);

	/* k may be gone on return, and leaving is NULL then. */
	leaving_start(a->rig, n, leave_on_done, k, &leaving);
	if (leaving != NULL)
		k->leaving = leaving;
}

static void ask_look(struct ask *k, const struct uplink *u)
{
	if (!pin_eq(&uplink_relay(u)->pin, &k->relay))
		return;
	if (uplink_is_up(u))
		ask_end(k, true, NULL, NULL);
	else if (uplink_text(u)[0] != '\0')
		local_reply_json(
			k->req, json_pack("{s:s}", "progress", uplink_text(u)));
}

/* Ends when the relay of that key is reached; meanwhile says why it is not. */
static void do_wait(struct admin *a, struct local_req *r, json_t *msg)
{
	const char *key = "";
	struct pin pin;

	json_unpack(msg, "{s:s}", "key", &key);
	if (pin_parse(key, &pin) != 0) {
		local_end(r, false, 2, "key is no fingerprint");
		return;
	}

	struct ask *k = ask_new(a, r);

	k->waits = true;
	k->relay = pin;

	const struct uplink *u = uplink_find(a->rig, &pin);

	if (u != NULL)
		ask_look(k, u);
	else
		ask_end(k, false, "this rig has not joined that relay", NULL);
}

void admin_on_uplink(struct admin *a, const struct uplink *u)
{
	if (a == NULL)
		return;
	list_for_each_safe (it, &a->asks) {
		struct ask *k = container_of(it, struct ask, link);

		if (k->waits)
			ask_look(k, u);
	}
}

/* -- the table ------------------------------------------------------------- */

static const struct verb {
	const char *name;
	void (*run)(struct admin *a, struct local_req *r, json_t *msg);
} verbs[] = {
	{ "invite", do_invite }, { "devices", do_devices },
	{ "remove", do_remove }, { "status", do_status },
	{ "join", do_join },	 { "wait", do_wait },
	{ "leave", do_leave },
};

static void on_request(struct local_req *r, json_t *msg, void *user)
{
	const char *name = json_string_value(json_object_get(msg, "do"));

	for (size_t i = 0; name != NULL && i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		verbs[i].run(user, r, msg);
		return;
	}
	local_end(r, false, 2,
		  "the running rig does not know that request: it is of "
		  "another version, start it anew");
}

int admin_new(struct rig *rig, const char *path, struct admin **ret)
{
	struct admin *a = xcalloc(1, sizeof(*a));

	a->rig = rig;
	list_init(&a->asks);

	int err = local_serve(rig->loop, path, on_request, a, &a->local);

	if (err != 0)
		free(a);
	else
		*ret = a;
	return err;
}

void admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	local_free(a->local);
	list_for_each_safe (it, &a->asks)
		ask_free(container_of(it, struct ask, link));
	free(a);
}

/* SPDX-License-Identifier: MIT */
#include "relay/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "crypto/hash.h"
#include "net/answer.h"
#include "net/local.h"
#include "relay/relay.h"
#include "relay/relay_local.h"
#include "wire/code.h"

#define FAILED	   1
#define MISUSED	   2
#define DAY_S	   86400
#define FIRSTS_MAX 8

void desk_done(struct desk *d)
{
	free(d->no_place);
	d->no_place = NULL;
}

/* Room for the sentences of book.h, turned into an exit status. */
static int fail(char **ret_err, const char *text)
{
	*ret_err = xstrdup(text);
	return FAILED;
}

/* -- invite --------------------------------------------------------------- */

struct new_code {
	struct fleet *fleet; /* NULL: a new one */
	uint64_t ttl_s;
	unsigned uses;
	bool is_first;
};

/* What the book keeps of a code. */
struct drawn {
	uint8_t id[CODE_ID_LEN], hash[HASH_LEN];
};

/* Draws a code's secrets and writes it to out. 0 or code_format()'s error. */
static int draw_code(const struct desk *d, struct drawn *ret,
		     char out[CODE_TEXT_CAP])
{
	struct code code = { .kind = CODE_RIG };
	struct secret to_relay, to_rig;
	int err;

	code.relay_count = d->place.count;
	for (size_t i = 0; i < d->place.count; i++)
		str_copy(code.relay[i], sizeof(code.relay[i]), d->place.at[i]);
	code.relay_pin = *key_pin(d->key);
	random_bytes(code.bits, sizeof(code.bits));
	code_secrets(code.bits, &to_relay, &to_rig, ret->id);
	sha256(to_relay.b, sizeof(to_relay.b), ret->hash);
	secret_wipe(&to_relay);
	secret_wipe(&to_rig);
	err = code_format(&code, out, CODE_TEXT_CAP);
	code_wipe(&code);
	return err;
}

static int make_code(struct desk *d, struct new_code *n, char **ret,
		     char **ret_err)
{
	struct drawn drawn;
	char text[BOOK_TEXT_CAP], out[CODE_TEXT_CAP];
	int err = 0;

	if (d->place.count == 0)
		return fail(ret_err,
			    d->no_place != NULL ? d->no_place : "no address");
	if (n->fleet == NULL)
		err = book_add_fleet(d->book, relay_now_s(), &n->fleet, text);
	if (err < 0)
		return fail(ret_err, text);
	err = draw_code(d, &drawn, out);
	if (err < 0)
		return fail(ret_err, err_text(err));

	const struct invite_params p = {
		.fleet = n->fleet,
		.id = drawn.id,
		.hash = drawn.hash,
		.role = RELAY_RIG,
		.now = relay_now_s(),
		.ttl_s = n->ttl_s,
		.uses = n->uses,
		.is_first = n->is_first,
	};

	err = book_invite(d->book, &p, text);
	if (err == 0)
		*ret = xstrdup(out);
	mem_wipe(out, sizeof(out));
	return err < 0 ? fail(ret_err, text) : 0;
}

static int no_fleet(struct desk *d, const char *name, char **ret_err)
{
	const char **names = xcalloc(d->book->fleet_count + 1, sizeof(*names));
	const char *near;
	size_t n = 0;

	list_for_each (l, &d->book->fleets)
		names[n++] = container_of(l, struct fleet, link)->name;
	near = str_near(name, names, n);
	*ret_err = near == NULL
			   ? xasprintf("no group is called '%s'; `rigway relay "
				       "devices` lists them",
				       name)
			   : xasprintf("no group is called '%s'; did you mean "
				       "'%s'?",
				       name, near);
	free(names);
	return FAILED;
}

static int do_invite(struct desk *d, json_t *request, json_t **ret,
		     char **ret_err)
{
	struct new_code n = { .ttl_s = DAY_S, .uses = 1 };
	const char *fleet = NULL;
	json_int_t uses = 1, expires_s = DAY_S;
	char *code;
	int status;

	if (json_unpack(request, "{s?s, s?I, s?I}", "fleet", &fleet, "uses",
			&uses, "expires_s", &expires_s) < 0 ||
	    uses < 1 || uses > BOOK_USES_MAX || expires_s < 1 ||
	    expires_s > BOOK_TTL_MAX) {
		*ret_err = xasprintf("an invite has 1 to %d uses, and expires "
				     "within ten years",
				     BOOK_USES_MAX);
		return MISUSED;
	}
	n.uses = (unsigned)uses;
	n.ttl_s = (uint64_t)expires_s;
	if (fleet != NULL) {
		n.fleet = book_find_fleet(d->book, fleet);
		if (n.fleet == NULL)
			return no_fleet(d, fleet, ret_err);
	}
	status = make_code(d, &n, &code, ret_err);
	if (status != 0)
		return status;
	*ret = json_pack("{s:s, s:s, s:I}", "code", code, "fleet",
			 n.fleet->name, "expires",
			 (json_int_t)relay_now_s() + expires_s);
	mem_wipe(code, strlen(code));
	free(code);
	return 0;
}

/* A code is shown once and not kept, so each start of an empty relay makes
 * another; the earlier ones stay good, but not without end. */
static void tidy_firsts(struct desk *d, struct fleet *f)
{
	size_t count = 0;

	list_for_each (l, &f->invites)
		count += container_of(l, struct invite, link)->is_first;
	list_for_each_safe (l, &f->invites) {
		struct invite *i = container_of(l, struct invite, link);

		if (i->is_first && count >= FIRSTS_MAX) {
			invite_free(d->book, i);
			count--;
		}
	}
}

int desk_first_code(struct desk *d, char **ret, char **ret_err)
{
	struct list *first = list_first(&d->book->fleets);
	struct new_code n = { .ttl_s = DAY_S, .uses = 1, .is_first = true };

	*ret = NULL;
	if (book_device_count(d->book) > 0)
		return 0;
	if (first != NULL) {
		n.fleet = container_of(first, struct fleet, link);
		tidy_firsts(d, n.fleet);
	}
	return make_code(d, &n, ret, ret_err);
}

/* -- remove --------------------------------------------------------------- */

static bool device_is(const struct device *dev, const char *who)
{
	return strcmp(dev->name, who) == 0 || pin_matches(&dev->pin, who);
}

/* The one key that who means. */
static int find_who(struct desk *d, const char *who, const char *fleet,
		    struct device **ret, char **ret_err)
{
	struct device *found = NULL;
	char brief[2][PIN_SHORT_LEN + 1];

	list_for_each (lf, &d->book->fleets) {
		struct fleet *f = container_of(lf, struct fleet, link);

		if (fleet != NULL && strcmp(f->name, fleet) != 0)
			continue;
		list_for_each (l, &f->devices) {
			struct device *dev =
				container_of(l, struct device, link);

			if (!device_is(dev, who) ||
			    (found != NULL && pin_eq(&found->pin, &dev->pin)))
				continue;
			if (found != NULL) {
				*ret_err = xasprintf(
					"'%s' could be %s (%s) or %s (%s); "
					"give the fingerprint",
					who, found->name,
					pin_short(&found->pin, brief[0]),
					dev->name,
					pin_short(&dev->pin, brief[1]));
				return FAILED;
			}
			found = dev;
		}
	}
	if (found == NULL) {
		*ret_err = xasprintf("no device is called '%s', and no "
				     "fingerprint begins so; `rigway relay "
				     "devices` lists them",
				     who);
		return FAILED;
	}
	*ret = found;
	return 0;
}

static int do_remove(struct desk *d, json_t *request, json_t **ret,
		     char **ret_err)
{
	const char *who, *fleet = NULL;
	struct fleet *f = NULL;
	struct device *dev;
	struct pin pin;
	json_t *name;
	int err;

	if (json_unpack(request, "{s:s, s?s}", "who", &who, "fleet", &fleet) <
	    0) {
		*ret_err = xstrdup("who is to be removed?");
		return MISUSED;
	}
	if (fleet != NULL) {
		f = book_find_fleet(d->book, fleet);
		if (f == NULL)
			return no_fleet(d, fleet, ret_err);
	}
	err = find_who(d, who, fleet, &dev, ret_err);
	if (err != 0)
		return err;
	pin = dev->pin;
	name = json_string(dev->name);
	err = d->relay != NULL ? relay_remove(d->relay, &pin, f)
			       : book_remove(d->book, &pin, f);
	if (err < 0) {
		json_decref(name);
		*ret_err = xasprintf("the relay cannot write its state: %s; "
				     "nothing was removed",
				     err_text(err));
		return FAILED;
	}
	*ret = json_pack("{s:o}", "name", name);
	return 0;
}

/* -- status, and the lot -------------------------------------------------- */

static int do_status(struct desk *d, json_t **ret)
{
	struct relay_counts n = { 0 };
	size_t online = 0;
	char pin[PIN_TEXT_LEN + 1];
	json_t *listens = json_array(), *at = json_array();
	const char *text;

	if (d->relay != NULL) {
		n = relay_counts(d->relay);
		relay_tally(d->relay);
		online = relay_online(d->relay);
		for (size_t i = 0; (text = relay_listens(d->relay, i)); i++)
			json_array_append_new(listens, json_string(text));
	}
	for (size_t i = 0; i < d->place.count; i++)
		json_array_append_new(at, json_string(d->place.at[i]));
	*ret = json_pack(
		"{s:b, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I}",
		"running", d->relay != NULL, "pin",
		pin_text(key_pin(d->key), pin), "listen", listens, "reached_at",
		at, "fleets", (json_int_t)d->book->fleet_count, "devices",
		(json_int_t)book_device_count(d->book), "connections",
		(json_int_t)n.connections, "online", (json_int_t)online,
		"waiting", (json_int_t)n.waiting, "pairs", (json_int_t)n.pairs,
		"turned_away", (json_int_t)n.refused_at_door);
	return 0;
}

int desk_do(struct desk *d, json_t *request, json_t **ret, char **ret_err)
{
	const char *verb = "";

	json_unpack(request, "{s:s}", "do", &verb);
	if (strcmp(verb, "invite") == 0)
		return do_invite(d, request, ret, ret_err);
	if (strcmp(verb, "devices") == 0)
		return desk_list(d, ret);
	if (strcmp(verb, "remove") == 0)
		return do_remove(d, request, ret, ret_err);
	if (strcmp(verb, "status") == 0)
		return do_status(d, ret);
	*ret_err = xasprintf("the relay has no request '%s'", verb);
	return MISUSED;
}

static void answer(struct desk *d, struct local_req *req, json_t *msg)
{
	json_t *reply = NULL;
	char *err = NULL;
	int status = desk_do(d, msg, &reply, &err);

	if (status != 0)
		local_end(req, false, status, err);
	else
		local_end_json(req, true, 0, NULL, reply);
	free(err);
}

/* A list that waits until the devices were asked. */
struct look {
	struct desk *desk;
	struct local_req *req;
	struct proving *proving;
};

static void look_on_gone(struct local_req *req, void *user)
{
	struct look *k = user;

	(void)req;
	relay_prove_cancel(k->proving);
	free(k);
}

static void look_on_proven(void *user)
{
	struct look *k = user;

	desk_list_send(k->desk, k->req);
	free(k);
}

static void on_request(struct local_req *req, json_t *msg, void *user)
{
	struct desk *d = user;
	const char *verb = json_string_value(json_object_get(msg, "do"));
	struct proving *proving;
	struct look *k;

	if (d->relay == NULL || verb == NULL || strcmp(verb, "devices") != 0) {
		answer(d, req, msg);
		return;
	}
	k = xcalloc(1, sizeof(*k));
	k->desk = d;
	k->req = req;
	local_set_gone(req, look_on_gone, k);
	/* k may be gone on return, and then it is NULL. */
	proving = relay_prove(d->relay, look_on_proven, k);
	if (proving != NULL)
		k->proving = proving;
}

int desk_serve(struct desk *d, uv_loop_t *loop, const char *path,
	       struct local **ret)
{
	return local_serve(loop, path, on_request, d, ret);
}

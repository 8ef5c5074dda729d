/* SPDX-License-Identifier: MIT */
#include "rig/relays.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"

static const char *const keys[] = { "key", "addr", "fleet", "invite", NULL };
static const struct state_format format = {
	.kind = "relays", .version = 1, .max_rows = RIG_RELAYS_MAX, .keys = keys
};

static const char *const name_keys[] = { "name", NULL };
static const struct state_format name_format = {
	.kind = "name", .version = 1, .max_rows = 1, .keys = name_keys
};

static bool relay_read_addrs(struct rig_relay *r, const char *text)
{
	char *copy = xstrdup(text), *save = NULL;
	bool ok = true;

	for (char *t = strtok_r(copy, ",", &save); ok && t != NULL;
	     t = strtok_r(NULL, ",", &save)) {
		struct hostport hp;

		ok = r->addr_count < CODE_RELAYS_MAX &&
		     parse_hostport(t, 0, &hp) == 0;
		if (ok)
			str_copy(r->addr[r->addr_count++], HOSTPORT_CAP, t);
	}
	free(copy);
	return ok && r->addr_count > 0;
}

static int relays_on_row(void *user, struct state_row *row)
{
	struct rig_relays *r = user;
	struct rig_relay relay = { 0 };
	const char *key, *addr, *fleet, *invite;
	int err;

	if ((err = state_str(row, "key", &key)) != 0 ||
	    (err = state_str(row, "addr", &addr)) != 0 ||
	    (err = state_str(row, "fleet", &fleet)) != 0 ||
	    (err = state_str(row, "invite", &invite)) != 0)
		return err;
	if (pin_parse(key, &relay.pin) != 0)
		return state_refuse(row, "key", "is no fingerprint");
	if (relays_find(r, &relay.pin) != NULL)
		return state_refuse(row, "key", "is there twice");
	if (!relay_read_addrs(&relay, addr))
		return state_refuse(row, "addr", "is not HOST:PORT,...");
	if (!str_copy(relay.fleet, sizeof(relay.fleet), fleet))
		return state_refuse(row, "fleet", "is too long");
	if (str_hex_decode(invite, strlen(invite), relay.invite,
			   sizeof(relay.invite)) != CODE_ID_LEN)
		return state_refuse(row, "invite", "has the wrong length");
	r->rows[r->count++] = relay;
	return 0;
}

int relays_load(struct rig_relays *r, const char *path, char **ret_err)
{
	*r = (struct rig_relays){ .path = xstrdup(path) };

	int err = state_load(path, &format, relays_on_row, r, ret_err);

	if (err == -ENOENT)
		return 0;
	if (err != 0)
		relays_done(r);
	return err;
}

void relays_done(struct rig_relays *r)
{
	free(r->path);
	*r = (struct rig_relays){ 0 };
}

struct rig_relay *relays_find(struct rig_relays *r, const struct pin *pin)
{
	for (size_t i = 0; i < r->count; i++)
		if (pin_eq(&r->rows[i].pin, pin))
			return &r->rows[i];
	return NULL;
}

static int relays_save(const struct rig_relays *r)
{
	struct state_writer w;
	char pin[PIN_TEXT_LEN + 1], invite[STR_HEX_LEN(CODE_ID_LEN) + 1];
	char addrs[CODE_RELAYS_MAX * (HOSTPORT_CAP + 1)];

	state_begin(&w, &format);
	for (size_t i = 0; i < r->count; i++) {
		const struct rig_relay *row = &r->rows[i];
		size_t len = 0;

		for (size_t j = 0; j < row->addr_count; j++)
			len += (size_t)snprintf(addrs + len,
						sizeof(addrs) - len, "%s%s",
						j > 0 ? "," : "", row->addr[j]);
		str_hex_encode(row->invite, sizeof(row->invite), invite);
		state_add_row(&w);
		state_add_str(&w, "key", pin_text(&row->pin, pin));
		state_add_str(&w, "addr", addrs);
		state_add_str(&w, "fleet", row->fleet);
		state_add_str(&w, "invite", invite);
	}
	return state_commit(&w, r->path);
}

int relays_put(struct rig_relays *r, const struct rig_relay *relay)
{
	struct rig_relay *row = relays_find(r, &relay->pin);
	const bool is_new = row == NULL;

	if (is_new && r->count == RIG_RELAYS_MAX)
		return RW_ERR_LIMIT;
	if (is_new)
		row = &r->rows[r->count++];

	const struct rig_relay old = *row;

	*row = *relay;

	int err = relays_save(r);

	if (err != 0)
		*row = old;
	if (err != 0 && is_new)
		r->count--;
	return err;
}

int relays_remove(struct rig_relays *r, size_t n)
{
	const struct rig_relay old = r->rows[n];
	const size_t behind = (r->count - n - 1) * sizeof(r->rows[0]);
	int err;

	memmove(&r->rows[n], &r->rows[n + 1], behind);
	r->count--;
	err = relays_save(r);
	if (err == 0)
		return 0;
	memmove(&r->rows[n + 1], &r->rows[n], behind);
	r->rows[n] = old;
	r->count++;
	return err;
}

/* Whether who is one of the relay's addresses, with its port or without. */
static bool relay_is_at(const struct rig_relay *relay, const char *who)
{
	struct hostport hp;

	for (size_t i = 0; i < relay->addr_count; i++)
		if (strcmp(relay->addr[i], who) == 0 ||
		    (parse_hostport(relay->addr[i], 0, &hp) == 0 &&
		     strcmp(hp.host, who) == 0))
			return true;
	return false;
}

int relays_resolve(const struct rig_relays *r, const char *who, size_t *ret)
{
	size_t found = 0, n = 0;

	for (size_t i = 0; i < r->count; i++)
		if (relay_is_at(&r->rows[i], who) ||
		    pin_matches(&r->rows[i].pin, who)) {
			found = i;
			n++;
		}
	if (n != 1)
		return n == 0 ? RW_ERR_NOT_FOUND : RW_ERR_EXISTS;
	*ret = found;
	return 0;
}

void relays_say_unknown(const char *who, int err, char text[RELAYS_TEXT_CAP])
{
	if (err == RW_ERR_NOT_FOUND)
		snprintf(text, RELAYS_TEXT_CAP,
			 "this rig has not joined a relay '%.60s'; rigway rig "
			 "relays lists them",
			 who);
	else
		snprintf(text, RELAYS_TEXT_CAP,
			 "'%.60s' means more than one relay: use its "
			 "fingerprint; rigway rig relays lists them",
			 who);
}

void relays_say_left(const struct rig_relays *r, size_t n, const char *untold,
		     char text[RELAYS_TEXT_CAP])
{
	const char *addr = r->rows[n].addr[0];
	const char *only = r->count > 1 ? ""
					: ", the only one: laptops reach this "
					  "rig only where it listens itself or "
					  "in its own network";

	if (untold == NULL)
		snprintf(text, RELAYS_TEXT_CAP,
			 "left the relay %s%s; it has forgotten this machine, "
			 "and codes that lead through it do not work any more",
			 addr, only);
	else
		snprintf(text, RELAYS_TEXT_CAP,
			 "left the relay %s%s; it could not be told (%.200s) "
			 "and still lists this machine: there, rigway relay "
			 "remove takes it off",
			 addr, only, untold);
}

void relays_from_code(const struct code *code, const char *fleet,
		      struct rig_relay *ret)
{
	struct secret relay, rig;

	*ret = (struct rig_relay){ .pin = code->relay_pin,
				   .addr_count = code->relay_count };
	for (size_t i = 0; i < code->relay_count; i++)
		str_copy(ret->addr[i], HOSTPORT_CAP, code->relay[i]);
	str_copy(ret->fleet, sizeof(ret->fleet), fleet);
	code_secrets(code->bits, &relay, &rig, ret->invite);
	secret_wipe(&relay);
	secret_wipe(&rig);
}

static int name_on_row(void *user, struct state_row *row)
{
	const char *name;
	int err = state_str(row, "name", &name);

	if (err != 0)
		return err;
	if (!str_is_name(name))
		return state_refuse(row, "name", "is not a name");
	str_copy(user, RIG_NAME_CAP, name);
	return 0;
}

int rig_name_load(const char *path, char ret[RIG_NAME_CAP], char **ret_err)
{
	char name[RIG_NAME_CAP] = "";
	int err = state_load(path, &name_format, name_on_row, name, ret_err);

	if (err == 0 && name[0] == '\0')
		err = -ENOENT;
	if (err == 0)
		str_copy(ret, RIG_NAME_CAP, name);
	return err;
}

int rig_name_save(const char *path, const char *name)
{
	struct state_writer w;

	state_begin(&w, &name_format);
	state_add_row(&w);
	state_add_str(&w, "name", name);
	return state_commit(&w, path);
}

void rig_name_default(char ret[RIG_NAME_CAP])
{
	char host[RIG_NAME_CAP] = "";
	size_t len = 0;

	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	/* The first label, without what a name may not have. */
	for (const char *p = host; *p != '\0' && *p != '.'; p++) {
		char word[2] = { *p, '\0' };

		if (len > 0 ? *p == '-' || *p == '_' || str_is_name(word)
			    : str_is_name(word))
			ret[len++] = *p;
	}
	ret[len] = '\0';
	if (len == 0)
		str_copy(ret, RIG_NAME_CAP, "rig");
}

/* SPDX-License-Identifier: MIT */
#include "rig/invites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"

static const char *const keys[] = { "id",	"rig",	  "relay",     "role",
				    "services", "issued", "expires",   "uses",
				    "used",	"by",	  "withdrawn", NULL };
static const struct state_format format = {
	.kind = "invites", .version = 1, .max_rows = 8192, .keys = keys
};

/* One use as text: "PIN@SECONDS", with "@removed" behind it where it is. */
#define USE_CAP (PIN_TEXT_LEN + 40)

static struct invite *invites_add(struct invites *v)
{
	if (v->count == v->cap) {
		v->cap = v->cap > 0 ? 2 * v->cap : 4;
		v->rows = xrealloc(v->rows, v->cap * sizeof(*v->rows));
	}
	v->rows[v->count] = (struct invite){ 0 };
	return &v->rows[v->count++];
}

static bool invite_read_use(struct invite *inv, char *text)
{
	struct invite_use *use = &inv->used[inv->used_count];
	char *save = NULL;
	const char *pin = strtok_r(text, "@", &save);
	const char *at = strtok_r(NULL, "@", &save);
	const char *removed = strtok_r(NULL, "@", &save);
	uint64_t seconds;

	if (inv->used_count == INVITE_USES_MAX || at == NULL ||
	    pin_parse(pin, &use->pin) != 0 ||
	    parse_u64(at, 0, STATE_TIME_MAX, &seconds) != 0 ||
	    (removed != NULL && strcmp(removed, "removed") != 0))
		return false;
	use->at = (int64_t)seconds;
	use->removed = removed != NULL;
	inv->used_count++;
	return true;
}

static bool invite_read_uses(struct invite *inv, const char *text)
{
	char *copy = xstrdup(text), *save = NULL;
	bool ok = true;

	for (char *t = strtok_r(copy, ",", &save); ok && t != NULL;
	     t = strtok_r(NULL, ",", &save))
		ok = invite_read_use(inv, t);
	free(copy);
	return ok;
}

static int row_hex(struct state_row *row, const char *key, void *out,
		   size_t len)
{
	const char *text;
	int err = state_str(row, key, &text);

	if (err != 0)
		return err;
	if (str_hex_decode(text, strlen(text), out, len) != (int)len)
		return state_refuse(row, key, "has the wrong length");
	return 0;
}

/* Who asked for it, and whether that one was removed since. */
static int invite_read_maker(struct state_row *row, struct invite *inv)
{
	const char *by = state_get(row, "by");

	if (by != NULL && pin_parse(by, &inv->by) != 0)
		return state_refuse(row, "by", "is not a fingerprint");
	return state_bool(row, "withdrawn", &inv->is_withdrawn);
}

static int invite_read(struct state_row *row, struct invite *inv)
{
	const char *services = state_get(row, "services");
	const char *used = state_get(row, "used"), *role;
	int64_t uses;
	int err;

	if ((err = row_hex(row, "id", inv->id, sizeof(inv->id))) != 0 ||
	    (err = row_hex(row, "rig", inv->rig_hash, HASH_LEN)) != 0 ||
	    (err = row_hex(row, "relay", inv->relay_hash, HASH_LEN)) != 0 ||
	    (err = state_str(row, "role", &role)) != 0 ||
	    (err = state_time(row, "issued", &inv->issued)) != 0 ||
	    (err = state_time(row, "expires", &inv->expires)) != 0 ||
	    (err = state_int(row, "uses", 1, INVITE_USES_MAX, &uses)) != 0)
		return err;
	inv->uses = (uint16_t)uses;
	if (strcmp(role, "owner") == 0)
		inv->role = DEVICE_OWNER;
	else if (strcmp(role, "guest") == 0)
		inv->role = DEVICE_GUEST;
	else
		return state_refuse(row, "role", "is not known");
	if (!str_copy(inv->services, sizeof(inv->services),
		      services != NULL ? services : ""))
		return state_refuse(row, "services", "is too long");
	if (used != NULL && !invite_read_uses(inv, used))
		return state_refuse(row, "used", "is not in its form");
	return invite_read_maker(row, inv);
}

static int invites_on_row(void *user, struct state_row *row)
{
	struct invites *v = user;

	return invite_read(row, invites_add(v));
}

int invites_load(struct invites *v, const char *path, size_t max,
		 char **ret_err)
{
	*v = (struct invites){ .path = xstrdup(path),
			       .max = max,
			       .max_ttl_s = INVITE_TTL_MAX };

	int err = state_load(path, &format, invites_on_row, v, ret_err);

	if (err == -ENOENT)
		return 0;
	if (err != 0)
		invites_done(v);
	return err;
}

void invites_done(struct invites *v)
{
	free(v->path);
	free(v->rows);
	*v = (struct invites){ 0 };
}

static void write_hex(struct state_writer *w, const char *key,
		      const uint8_t *data, size_t len)
{
	char text[STR_HEX_LEN(HASH_LEN) + 1];

	str_hex_encode(data, len, text);
	state_add_str(w, key, text);
}

static void write_uses(struct state_writer *w, const struct invite *inv)
{
	char text[INVITE_USES_MAX * USE_CAP + 1], pin[PIN_TEXT_LEN + 1];
	size_t len = 0;

	for (size_t i = 0; i < inv->used_count; i++) {
		const struct invite_use *use = &inv->used[i];

		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s@%lld%s",
			i > 0 ? "," : "", pin_text(&use->pin, pin),
			(long long)use->at, use->removed ? "@removed" : "");
	}
	if (len > 0)
		state_add_str(w, "used", text);
}

static void write_maker(struct state_writer *w, const struct invite *inv)
{
	char pin[PIN_TEXT_LEN + 1];

	if (!pin_is_zero(&inv->by))
		state_add_str(w, "by", pin_text(&inv->by, pin));
	if (inv->is_withdrawn)
		state_add_bool(w, "withdrawn", true);
}

static int invites_save(struct invites *v)
{
	struct state_writer w;

	state_begin(&w, &format);
	for (size_t i = 0; i < v->count; i++) {
		const struct invite *inv = &v->rows[i];

		state_add_row(&w);
		write_hex(&w, "id", inv->id, sizeof(inv->id));
		write_hex(&w, "rig", inv->rig_hash, HASH_LEN);
		write_hex(&w, "relay", inv->relay_hash, HASH_LEN);
		state_add_str(&w, "role", device_role_name(inv->role));
		if (inv->services[0] != '\0')
			state_add_str(&w, "services", inv->services);
		state_add_int(&w, "issued", inv->issued);
		state_add_int(&w, "expires", inv->expires);
		state_add_int(&w, "uses", inv->uses);
		write_uses(&w, inv);
		write_maker(&w, inv);
	}

	int err = state_commit(&w, v->path);

	if (err == 0)
		v->unsaved = false;
	return err;
}

bool invite_is_live(const struct invite *inv, int64_t now)
{
	return !inv->is_withdrawn && now >= inv->issued && now < inv->expires;
}

size_t invites_open(const struct invites *v, int64_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < v->count; i++)
		n += invite_is_live(&v->rows[i], now) &&
		     v->rows[i].used_count < v->rows[i].uses;
	return n;
}

/* Long expired ones have nothing left to say. */
static void invites_prune(struct invites *v, int64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->count; i++)
		if (v->rows[i].expires + INVITE_KEEP_S > now)
			v->rows[kept++] = v->rows[i];
	v->count = kept;
}

/* Those that are used up or over are remembered to say by whom, and no more of
 * them than may be open: the oldest go. */
static void invites_trim(struct invites *v, int64_t now)
{
	size_t extra = v->count - invites_open(v, now), kept = 0;

	extra = extra > v->max ? extra - v->max : 0;
	for (size_t i = 0; i < v->count; i++) {
		const struct invite *inv = &v->rows[i];
		bool is_open =
			invite_is_live(inv, now) && inv->used_count < inv->uses;

		/* One that the clock has not reached is kept: the clock may
		 * be what is wrong. */
		if (extra > 0 && !is_open && now >= inv->issued)
			extra--;
		else
			v->rows[kept++] = v->rows[i];
	}
	v->count = kept;
}

/* Makes room for one more; false while as many are open as may be. */
static bool invites_has_room(struct invites *v, int64_t now)
{
	invites_prune(v, now);
	invites_trim(v, now);
	return invites_open(v, now) < v->max;
}

/* Only hashes of the code's two secrets stay in the row. */
static void invite_set_secrets(struct invite *inv,
			       const uint8_t bits[CODE_BITS_LEN])
{
	struct secret relay, rig;

	code_secrets(bits, &relay, &rig, inv->id);
	sha256(relay.b, sizeof(relay.b), inv->relay_hash);
	sha256(rig.b, sizeof(rig.b), inv->rig_hash);
	secret_wipe(&relay);
	secret_wipe(&rig);
}

int invites_make(struct invites *v, const struct invite_params *p,
		 uint8_t ret_bits[CODE_BITS_LEN], const struct invite **ret)
{
	const uint64_t ttl_s =
		p->ttl_s > 0 ? p->ttl_s : MIN(INVITE_TTL_S, v->max_ttl_s);
	const char *services = p->services != NULL ? p->services : "";
	uint8_t bits[CODE_BITS_LEN];

	if (p->uses > INVITE_USES_MAX || ttl_s > v->max_ttl_s ||
	    strlen(services) >= DEVICE_SERVICES_CAP)
		return RW_ERR_FORMAT;
	if (!invites_has_room(v, p->now))
		return RW_ERR_LIMIT;

	struct invite *inv = invites_add(v);

	random_bytes(bits, sizeof(bits));
	invite_set_secrets(inv, bits);
	inv->role = services[0] != '\0' ? DEVICE_GUEST : DEVICE_OWNER;
	str_copy(inv->services, sizeof(inv->services), services);
	inv->issued = p->now;
	inv->expires = p->now + (int64_t)ttl_s;
	inv->uses = p->uses > 0 ? p->uses : 1;
	if (p->by != NULL)
		inv->by = *p->by;

	int err = invites_save(v);

	if (err != 0) {
		v->count--;
	} else {
		memcpy(ret_bits, bits, sizeof(bits));
		*ret = inv;
	}
	mem_wipe(bits, sizeof(bits));
	return err;
}

const struct invite *invites_find(const struct invites *v,
				  const uint8_t id[CODE_ID_LEN])
{
	for (size_t i = 0; i < v->count; i++)
		if (memcmp(v->rows[i].id, id, CODE_ID_LEN) == 0)
			return &v->rows[i];
	return NULL;
}

/* Every row is looked at, so that the time says nothing about which is near. */
static struct invite *invites_match(struct invites *v,
				    const struct invite_claim *c)
{
	uint8_t hash[HASH_LEN];
	struct invite *found = NULL;

	sha256(c->secret, HASH_LEN, hash);
	for (size_t i = 0; i < v->count; i++) {
		bool id = mem_eq_ct(v->rows[i].id, c->id, CODE_ID_LEN);
		bool secret = mem_eq_ct(v->rows[i].rig_hash, hash, HASH_LEN);

		if (id && secret)
			found = &v->rows[i];
	}
	return found;
}

static struct invite_use *invite_use_of(struct invite *inv,
					const struct pin *pin)
{
	for (size_t i = 0; i < inv->used_count; i++)
		if (pin_eq(&inv->used[i].pin, pin))
			return &inv->used[i];
	return NULL;
}

static int refuse_used(const struct invite *inv, char text[INVITE_TEXT_CAP])
{
	const struct invite_use *use = &inv->used[inv->used_count - 1];
	char when[FORMAT_CAP], who[PIN_SHORT_LEN + 1];

	pin_short(&use->pin, who);
	snprintf(text, INVITE_TEXT_CAP,
		 "this code was used at %s by %s; if that was not you: "
		 "rigway rig remove %s",
		 format_time(use->at, when), who, who);
	return RW_ERR_USED;
}

static int refuse(int err, const char *why, char text[INVITE_TEXT_CAP])
{
	str_copy(text, INVITE_TEXT_CAP, why);
	return err;
}

static int invite_note_use(struct invites *v, struct invite *inv,
			   const struct invite_claim *c,
			   char text[INVITE_TEXT_CAP])
{
	inv->used[inv->used_count++] = (struct invite_use){
		.pin = *c->pin,
		.at = c->now,
	};

	int err = invites_save(v);

	if (err == 0)
		return 0;
	inv->used_count--;
	snprintf(text, INVITE_TEXT_CAP,
		 "the rig cannot store this: %s; the code is still good",
		 err_text(err));
	return err;
}

int invites_redeem(struct invites *v, const struct invite_claim *c,
		   const struct invite **ret, char text[INVITE_TEXT_CAP])
{
	struct invite *inv = invites_match(v, c);

	if (inv == NULL)
		return refuse(RW_ERR_NOT_FOUND,
			      "this rig has made no such code, or has "
			      "forgotten it: make a new one there with "
			      "rigway rig invite",
			      text);
	if (inv->is_withdrawn)
		return refuse(RW_ERR_EXPIRED,
			      "the laptop that made this code was removed from "
			      "the rig, and its codes with it: ask for a new "
			      "one",
			      text);
	if (!invite_is_live(inv, c->now))
		return refuse(RW_ERR_EXPIRED,
			      "this code has expired, by the rig's clock: make "
			      "a new one there with rigway rig invite",
			      text);

	const struct invite_use *use = invite_use_of(inv, c->pin);

	if (use != NULL && use->removed)
		return refuse(RW_ERR_NOT_ALLOWED,
			      "this machine was removed from the rig since it "
			      "used this code; ask for a new one",
			      text);
	if (use == NULL && inv->used_count >= inv->uses)
		return refuse_used(inv, text);
	if (use == NULL) {
		int err = invite_note_use(v, inv, c, text);

		if (err != 0)
			return err;
	}
	*ret = inv;
	return 0;
}

int invites_bar(struct invites *v, const struct pin *pin)
{
	for (size_t i = 0; i < v->count; i++) {
		struct invite *inv = &v->rows[i];
		struct invite_use *use = invite_use_of(inv, pin);

		if (use != NULL && !use->removed)
			use->removed = v->unsaved = true;
		if (pin_eq(&inv->by, pin) && !inv->is_withdrawn)
			inv->is_withdrawn = v->unsaved = true;
	}
	return v->unsaved ? invites_save(v) : 0;
}

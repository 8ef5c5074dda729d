/* SPDX-License-Identifier: MIT */
/* The invites of relay/book.h: made, judged, used, revoked, written. Over 500
 * lines with the reading of their file, which needs the same privates. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"
#include "relay/book.h"

#define ROWS_MAX 4000000
/* How long a spent or expired invite is remembered, to say who used it.
 * A fleet has no more of them than may be open. */
#define REMEMBER_S (30 * 86400)

/* A row is an invite, or (with `of`) one use of it. */
static const char *const keys[] = { "id",      "fleet",	 "hash",    "role",
				    "issuer",  "issued", "expires", "uses",
				    "first",   "of",	 "pin",	    "at",
				    "revoked", NULL };
static const struct state_format format = {
	.kind = "invites",
	.version = 1,
	.max_rows = ROWS_MAX,
	.keys = keys,
};

static const char *role_word(enum relay_role role)
{
	return role == RELAY_RIG ? "rig" : "client";
}

/* An id as a key of the table. */
struct id_key {
	uint8_t b[PINMAP_KEY_LEN];
};

static struct id_key id_key(const uint8_t id[RELAY_ID_LEN])
{
	struct id_key k = { { 0 } };

	memcpy(k.b, id, RELAY_ID_LEN);
	return k;
}

static struct invite *invite_find(const struct book *b,
				  const uint8_t id[RELAY_ID_LEN])
{
	return pinmap_get(&b->ids, id_key(id).b);
}

void invite_free(struct book *b, struct invite *i)
{
	pinmap_del(&b->hashes, i->hash);
	pinmap_del(&b->ids, id_key(i->id).b);
	list_del(&i->link);
	free(i->used);
	free(i);
}

static struct invite *invite_new(struct book *b, struct fleet *f,
				 const uint8_t id[RELAY_ID_LEN],
				 const uint8_t hash[HASH_LEN])
{
	struct invite *i = calloc(1, sizeof(*i));

	if (i == NULL)
		return NULL;
	memcpy(i->id, id, RELAY_ID_LEN);
	memcpy(i->hash, hash, HASH_LEN);
	if (pinmap_put(&b->ids, id_key(id).b, i) < 0) {
		free(i);
		return NULL;
	}
	if (pinmap_put(&b->hashes, hash, i) < 0) {
		pinmap_del(&b->ids, id_key(id).b);
		free(i);
		return NULL;
	}
	i->fleet = f;
	list_init(&i->link);
	list_push(&f->invites, &i->link);
	return i;
}

static int invite_add_use(struct invite *i, const struct invite_use *use)
{
	struct invite_use *more =
		realloc(i->used, (i->used_count + 1u) * sizeof(*more));

	if (more == NULL)
		return RW_ERR_NOMEM;
	i->used = more;
	i->used[i->used_count++] = *use;
	return 0;
}

static struct invite_use *invite_find_use(const struct invite *i,
					  const struct pin *pin)
{
	for (size_t u = 0; u < i->used_count; u++)
		if (pin_eq(&i->used[u].pin, pin))
			return &i->used[u];
	return NULL;
}

static bool invite_is_open(const struct invite *i, int64_t now)
{
	return now >= i->issued && now < i->expires && i->used_count < i->uses;
}

bool invites_revoke(struct fleet *f, const struct pin *pin,
		    const struct pin *issuer, bool is_revoked)
{
	bool changed = false;

	list_for_each (l, &f->invites) {
		struct invite *i = container_of(l, struct invite, link);
		struct invite_use *use = invite_find_use(i, pin);

		if (use == NULL || use->is_revoked == is_revoked ||
		    (issuer != NULL && !pin_eq(&i->issuer, issuer)))
			continue;
		use->is_revoked = is_revoked;
		changed = true;
	}
	return changed;
}

/* -- making --------------------------------------------------------------- */

/* Forgets what nobody can use any more. Returns how many are open. */
static size_t fleet_tidy(struct book *b, struct fleet *f, int64_t now)
{
	size_t open = 0, closed = 0;

	list_for_each (l, &f->invites) {
		struct invite *i = container_of(l, struct invite, link);

		if (invite_is_open(i, now))
			open++;
		else
			closed++;
	}
	list_for_each_safe (l, &f->invites) {
		struct invite *i = container_of(l, struct invite, link);

		/* One that the clock has not reached is kept: the clock may
		 * be what is wrong. */
		if (invite_is_open(i, now) || now < i->issued)
			continue;
		if (now - i->expires < REMEMBER_S &&
		    closed <= b->limits.invites)
			continue;
		invite_free(b, i);
		closed--;
	}
	return open;
}

static int say_disk(int err, char *text)
{
	snprintf(text, BOOK_TEXT_CAP,
		 "the relay cannot write its state (%s); nothing was changed",
		 err_text(err));
	return err;
}

/* The same id again: only its end moves, as the issuer's clock says. */
static int invite_again(struct book *b, struct invite *i,
			const struct invite_params *p, char *text)
{
	int64_t expires = p->now + (int64_t)p->ttl_s, was = i->expires;
	int err;

	if (!pin_eq(&i->issuer, &p->issuer) || i->fleet != p->fleet ||
	    memcmp(i->hash, p->hash, HASH_LEN) != 0) {
		snprintf(text, BOOK_TEXT_CAP, "that invite is another's");
		return RW_ERR_EXISTS;
	}
	/* A repetition a few seconds off is no news, and not worth a write. */
	if (p->ttl_s == 0 ? was <= p->now
			  : was - expires < 60 && expires - was < 60)
		return 0;
	i->expires = expires;
	i->issued = MIN(i->issued, p->now);
	err = book_save_invites(b);
	if (err < 0) {
		i->expires = was;
		return say_disk(err, text);
	}
	return 0;
}

/* Nothing stands against it. */
static int invite_add(struct book *b, const struct invite_params *p,
		      char text[static BOOK_TEXT_CAP])
{
	struct invite *i = invite_new(b, p->fleet, p->id, p->hash);
	int err;

	if (i == NULL) {
		snprintf(text, BOOK_TEXT_CAP, "the relay is out of memory");
		return RW_ERR_NOMEM;
	}
	i->role = p->role;
	i->issuer = p->issuer;
	i->issued = p->now;
	i->expires = p->now + (int64_t)p->ttl_s;
	i->uses = (uint16_t)p->uses;
	i->is_first = p->is_first;
	err = book_save_invites(b);
	if (err < 0) {
		invite_free(b, i);
		return say_disk(err, text);
	}
	return 0;
}

int book_invite(struct book *b, const struct invite_params *p,
		char text[static BOOK_TEXT_CAP])
{
	struct invite *i = invite_find(b, p->id);
	size_t open;

	if (i == NULL && p->ttl_s == 0)
		return 0; /* withdrawn, and never known here */
	if (p->ttl_s > BOOK_TTL_MAX || p->uses == 0 ||
	    p->uses > BOOK_USES_MAX) {
		snprintf(text, BOOK_TEXT_CAP,
			 "an invite has 1 to %d uses and ends within ten years",
			 BOOK_USES_MAX);
		return RW_ERR_LIMIT;
	}
	if (i != NULL)
		return invite_again(b, i, p, text);
	if (pinmap_get(&b->hashes, p->hash) != NULL) {
		snprintf(text, BOOK_TEXT_CAP, "that invite is another's");
		return RW_ERR_EXISTS;
	}
	open = fleet_tidy(b, p->fleet, p->now);
	if (open >= b->limits.invites) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the group has %zu open invites, which is its limit "
			 "(relay.max_invites)",
			 open);
		return RW_ERR_LIMIT;
	}
	return invite_add(b, p, text);
}

/* -- judging -------------------------------------------------------------- */

static void say_used(const struct invite *i, const struct invite_use *use,
		     const struct redeem_try *t, char *text)
{
	char when[FORMAT_CAP], who[PIN_SHORT_LEN + 1];

	format_time(use->at, when);
	pin_short(&use->pin, who);
	if (use->is_revoked && pin_eq(&use->pin, &t->pin))
		snprintf(text, BOOK_TEXT_CAP,
			 "the code was used at %s by this machine, which was "
			 "removed since; ask for a new one",
			 when);
	else
		snprintf(text, BOOK_TEXT_CAP,
			 "the code was used at %s by %s; if that was not you: "
			 "rigway %s remove %s",
			 when, who, i->role == RELAY_RIG ? "relay" : "rig",
			 who);
}

/* Whether the key may use i now; *ret_again when it has used it before. */
static int invite_judge(const struct invite *i, const struct redeem_try *t,
			bool *ret_again, char *text)
{
	const struct invite_use *use = invite_find_use(i, &t->pin);
	char when[FORMAT_CAP];

	if (t->now < i->issued) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the code counts as expired: the relay's clock is "
			 "before the time at which it was made");
		return RW_ERR_EXPIRED;
	}
	if (t->now >= i->expires) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the code expired at %s; ask for a new one",
			 format_time(i->expires, when));
		return RW_ERR_EXPIRED;
	}
	if (i->role != t->role) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the code is for a %s, and this is a %s",
			 i->role == RELAY_RIG ? "rig" : "laptop",
			 t->role == RELAY_RIG ? "rig" : "laptop");
		return RW_ERR_NOT_ALLOWED;
	}
	*ret_again = use != NULL && !use->is_revoked;
	if (*ret_again || (use == NULL && i->used_count < i->uses))
		return 0;
	say_used(i, use != NULL ? use : &i->used[i->used_count - 1], t, text);
	return RW_ERR_USED;
}

/* A code is what a barred key needs. Until this is written, the bar is there
 * again after a restart; it keeps nobody out who is in. */
static void lift_bar(struct book *b, struct fleet *f, const struct pin *pin)
{
	struct barred *x = book_find_barred(f, pin);

	if (x == NULL)
		return;
	book_unbar(f, x);
	book_save_barred_late(b);
}

/* Puts the key into the invite's fleet, the use being on disk already. */
static int redeem_admit(struct book *b, struct invite *i, struct redeem_try *t,
			char *text)
{
	struct device *d = book_find_in(b, &t->pin, i->fleet), was;
	bool is_new;
	int err;

	if (d == NULL && i->fleet->device_count >= b->limits.devices) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the group has %zu devices, which is its limit "
			 "(relay.max_devices)",
			 i->fleet->device_count);
		return RW_ERR_LIMIT;
	}
	if (d != NULL)
		was = *d;
	t->issuer = i->issuer;
	d = book_admit(b, i->fleet, t, &is_new);
	if (d == NULL) {
		snprintf(text, BOOK_TEXT_CAP, "the relay is out of memory");
		return RW_ERR_NOMEM;
	}
	err = book_save_devices(b);
	if (err == 0) {
		lift_bar(b, i->fleet, &t->pin);
		return 0;
	}
	if (is_new) {
		book_unlink_device(b, d);
	} else {
		d->role = was.role;
		d->issuer = was.issuer;
		str_copy(d->name, sizeof(d->name), was.name);
	}
	return say_disk(err, text);
}

/* That it was used, by whom and when. */
static int redeem_note(struct book *b, struct invite *i,
		       const struct redeem_try *t, char *text)
{
	const struct invite_use use = { .pin = t->pin, .at = t->now };
	int err;

	if (invite_add_use(i, &use) < 0) {
		snprintf(text, BOOK_TEXT_CAP, "the relay is out of memory");
		return RW_ERR_NOMEM;
	}
	err = book_save_invites(b);
	if (err < 0) {
		i->used_count--;
		return say_disk(err, text);
	}
	return 0;
}

int book_redeem(struct book *b, const struct redeem_try *t, struct fleet **ret,
		char text[static BOOK_TEXT_CAP])
{
	struct redeem_try copy = *t;
	uint8_t hash[HASH_LEN];
	struct invite *i;
	bool again;
	int err;

	/* The table is searched by the hash of what was shown: how long that
	 * takes says nothing about the secrets behind the hashes in it. */
	sha256(t->secret, RELAY_SECRET_LEN, hash);
	i = pinmap_get(&b->hashes, hash);
	if (i == NULL) {
		snprintf(text, BOOK_TEXT_CAP,
			 "this relay has no such code (it may have been "
			 "withdrawn, or come from another relay)");
		return RW_ERR_NOT_FOUND;
	}
	err = invite_judge(i, t, &again, text);
	if (err < 0)
		return err;
	if (!again) {
		/* The use goes to disk before the key: a crash in between
		 * leaves a code that its user can use again, never one that
		 * admits two. */
		if (book_find_in(b, &t->pin, i->fleet) == NULL &&
		    i->fleet->device_count >= b->limits.devices)
			return redeem_admit(b, i, &copy, text);
		err = redeem_note(b, i, t, text);
		if (err < 0)
			return err;
	}
	err = redeem_admit(b, i, &copy, text);
	if (err == 0)
		*ret = i->fleet;
	return err;
}

/* -- file ----------------------------------------------------------------- */

static void invite_write(struct state_writer *w, const struct invite *i)
{
	char id[STR_HEX_LEN(RELAY_ID_LEN) + 1], hash[STR_HEX_LEN(HASH_LEN) + 1];
	char pin[PIN_TEXT_LEN + 1];

	str_hex_encode(i->id, sizeof(i->id), id);
	str_hex_encode(i->hash, sizeof(i->hash), hash);
	state_add_row(w);
	state_add_str(w, "id", id);
	state_add_str(w, "fleet", i->fleet->name);
	state_add_str(w, "hash", hash);
	state_add_str(w, "role", role_word(i->role));
	if (!pin_is_zero(&i->issuer))
		state_add_str(w, "issuer", pin_text(&i->issuer, pin));
	state_add_int(w, "issued", i->issued);
	state_add_int(w, "expires", i->expires);
	state_add_int(w, "uses", i->uses);
	state_add_bool(w, "first", i->is_first);
	for (size_t u = 0; u < i->used_count; u++) {
		state_add_row(w);
		state_add_str(w, "of", id);
		state_add_str(w, "pin", pin_text(&i->used[u].pin, pin));
		state_add_int(w, "at", i->used[u].at);
		state_add_bool(w, "revoked", i->used[u].is_revoked);
	}
}

int book_save_invites(struct book *b)
{
	struct state_writer w;

	state_begin(&w, &format);
	list_for_each (lf, &b->fleets) {
		struct fleet *f = container_of(lf, struct fleet, link);

		list_for_each (l, &f->invites)
			invite_write(&w, container_of(l, struct invite, link));
	}
	return state_commit(&w, b->invites_path);
}

static int read_hex(struct state_row *row, const char *key, uint8_t *out,
		    size_t len)
{
	const char *text;
	int err = state_str(row, key, &text);

	if (err < 0)
		return err;
	if (strlen(text) != STR_HEX_LEN(len) ||
	    str_hex_decode(text, strlen(text), out, len) != (int)len)
		return state_refuse(row, key, "is not in hex, or not whole");
	return 0;
}

/* A use belongs to the invite of the rows before it. */
static int on_use_row(struct state_row *row, struct invite *i)
{
	struct invite_use use = { 0 };
	uint8_t id[RELAY_ID_LEN];
	const char *pin;
	int err = read_hex(row, "of", id, sizeof(id));

	if (err == 0)
		err = state_str(row, "pin", &pin);
	if (err == 0)
		err = state_time(row, "at", &use.at);
	if (err == 0)
		err = state_bool(row, "revoked", &use.is_revoked);
	if (err < 0)
		return err;
	if (i == NULL || memcmp(i->id, id, sizeof(id)) != 0)
		return state_refuse(row, "of", "is not the invite above");
	if (pin_parse(pin, &use.pin) < 0)
		return state_refuse(row, "pin", "is no key's fingerprint");
	if (i->used_count >= i->uses)
		return state_refuse(row, "of", "was used too often");
	return invite_add_use(i, &use);
}

struct loading {
	struct book *book;
	struct invite *last;
};

/* The fields that need nothing else to be judged. */
static int read_fields(struct state_row *row, struct invite *ret)
{
	const char *role, *issuer = state_get(row, "issuer");
	int64_t uses = 0;
	int err = read_hex(row, "id", ret->id, sizeof(ret->id));

	if (err == 0)
		err = read_hex(row, "hash", ret->hash, sizeof(ret->hash));
	if (err == 0)
		err = state_str(row, "role", &role);
	if (err == 0)
		err = state_time(row, "issued", &ret->issued);
	if (err == 0)
		err = state_time(row, "expires", &ret->expires);
	if (err == 0)
		err = state_int(row, "uses", 1, BOOK_USES_MAX, &uses);
	if (err == 0)
		err = state_bool(row, "first", &ret->is_first);
	if (err < 0)
		return err;
	if (strcmp(role, "rig") != 0 && strcmp(role, "client") != 0)
		return state_refuse(row, "role", "must be rig or client");
	if (issuer != NULL && pin_parse(issuer, &ret->issuer) < 0)
		return state_refuse(row, "issuer", "is no key's fingerprint");
	ret->role = strcmp(role, "rig") == 0 ? RELAY_RIG : RELAY_CLIENT;
	ret->uses = (uint16_t)uses;
	return 0;
}

static int on_row(void *user, struct state_row *row)
{
	struct loading *at = user;
	const char *fleet = NULL;
	struct invite in = { 0 }, *i;
	struct fleet *f;
	int err;

	if (state_get(row, "of") != NULL)
		return on_use_row(row, at->last);
	err = read_fields(row, &in);
	if (err == 0)
		err = state_str(row, "fleet", &fleet);
	if (err < 0)
		return err;
	f = book_find_fleet(at->book, fleet);
	if (f == NULL)
		return state_refuse(row, "fleet", "is not in the fleets file");
	if (pinmap_get(&at->book->hashes, in.hash) != NULL)
		return state_refuse(row, "hash", "is there twice");
	if (invite_find(at->book, in.id) != NULL)
		return state_refuse(row, "id", "is there twice");
	i = invite_new(at->book, f, in.id, in.hash);
	if (i == NULL)
		return RW_ERR_NOMEM;
	i->role = in.role;
	i->issuer = in.issuer;
	i->issued = in.issued;
	i->expires = in.expires;
	i->uses = in.uses;
	i->is_first = in.is_first;
	at->last = i;
	return 0;
}

int book_load_invites(struct book *b, char **ret_err)
{
	struct loading at = { .book = b };
	int err = state_load(b->invites_path, &format, on_row, &at, ret_err);

	if (err < 0 && err != -ENOENT && *ret_err == NULL)
		*ret_err = xasprintf("%s: %s", b->invites_path, err_text(err));
	return err == -ENOENT ? 0 : err;
}

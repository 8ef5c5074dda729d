/* SPDX-License-Identifier: MIT */
#include "relay/book.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"

#define ROWS_MAX 4000000

static const char *const fleet_keys[] = { "name", "created", NULL };
static const struct state_format fleets_format = {
	.kind = "fleets",
	.version = 1,
	.max_rows = ROWS_MAX,
	.keys = fleet_keys,
};
static const char *const device_keys[] = { "fleet",    "pin", "role", "name",
					   "admitted", "by",  NULL };
static const struct state_format devices_format = {
	.kind = "devices",
	.version = 1,
	.max_rows = ROWS_MAX,
	.keys = device_keys,
};

/* -- fleets --------------------------------------------------------------- */

struct fleet *book_find_fleet(const struct book *b, const char *name)
{
	list_for_each (l, &b->fleets) {
		struct fleet *f = container_of(l, struct fleet, link);

		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static struct fleet *fleet_new(struct book *b, const char *name,
			       int64_t created)
{
	struct fleet *f = xcalloc(1, sizeof(*f));

	str_copy(f->name, sizeof(f->name), name);
	f->created = created;
	list_init(&f->devices);
	list_init(&f->invites);
	list_init(&f->barred);
	list_push(&b->fleets, &f->link);
	b->fleet_count++;
	return f;
}

static void fleet_free(struct book *b, struct fleet *f)
{
	struct list *l;

	while ((l = list_first(&f->invites)) != NULL)
		invite_free(b, container_of(l, struct invite, link));
	while ((l = list_first(&f->devices)) != NULL)
		book_unlink_device(b, container_of(l, struct device, link));
	while ((l = list_first(&f->barred)) != NULL)
		book_unbar(f, container_of(l, struct barred, link));
	list_del(&f->link);
	b->fleet_count--;
	free(f);
}

/* Forgets fleets that nobody is in or can come into any more. */
static void fleets_tidy(struct book *b, int64_t now)
{
	list_for_each_safe (l, &b->fleets) {
		struct fleet *f = container_of(l, struct fleet, link);
		bool open = f->device_count > 0 || f->use.pairs > 0 ||
			    f->meeting > 0;

		list_for_each (li, &f->invites)
			open = open ||
			       container_of(li, struct invite, link)->expires >
				       now;
		if (!open)
			fleet_free(b, f);
	}
}

/* "f-7k2m": short enough to say over the telephone; it is no secret. */
static void fleet_name(const struct book *b, char *name, size_t cap)
{
	do {
		uint8_t r[5];
		char text[STR_BASE32_LEN(sizeof(r)) + 1];
		size_t len = b->fleet_count < 1000 ? 4 : 8;

		random_bytes(r, sizeof(r));
		str_base32_encode(r, sizeof(r), text);
		snprintf(name, cap, "f-%.*s", (int)len, text);
	} while (book_find_fleet(b, name) != NULL);
}

static int save_fleets(struct book *b)
{
	struct state_writer w;

	state_begin(&w, &fleets_format);
	list_for_each (l, &b->fleets) {
		struct fleet *f = container_of(l, struct fleet, link);

		state_add_row(&w);
		state_add_str(&w, "name", f->name);
		state_add_int(&w, "created", f->created);
	}
	return state_commit(&w, b->fleets_path);
}

int book_add_fleet(struct book *b, int64_t now, struct fleet **ret,
		   char text[static BOOK_TEXT_CAP])
{
	char name[RELAY_NAME_MAX + 1];
	struct fleet *f;
	int err;

	if (b->fleet_count >= b->limits.fleets)
		fleets_tidy(b, now);
	if (b->fleet_count >= b->limits.fleets) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the relay has %zu groups, which is its limit "
			 "(relay.max_fleets)",
			 b->fleet_count);
		return RW_ERR_LIMIT;
	}
	fleet_name(b, name, sizeof(name));
	f = fleet_new(b, name, now);
	err = save_fleets(b);
	if (err < 0) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the relay cannot write its state: %s", err_text(err));
		fleet_free(b, f);
		return err;
	}
	*ret = f;
	return 0;
}

/* -- devices -------------------------------------------------------------- */

struct device *book_find_device(const struct book *b, const struct pin *pin)
{
	return pinmap_get(&b->devices, pin->b);
}

struct device *book_find_in(const struct book *b, const struct pin *pin,
			    const struct fleet *f)
{
	struct device *d = book_find_device(b, pin);

	while (d != NULL && d->fleet != f)
		d = d->next;
	return d;
}

struct fleet *book_common(const struct book *b, const struct pin *client,
			  const struct pin *rig)
{
	struct device *d = book_find_device(b, rig);

	for (; d != NULL; d = d->next)
		if (d->role == RELAY_RIG &&
		    book_find_in(b, client, d->fleet) != NULL)
			return d->fleet;
	return NULL;
}

size_t book_device_count(const struct book *b)
{
	return pinmap_count(&b->devices);
}

/* Links d into its fleet and behind the key's other places. */
static int book_link_device(struct book *b, struct device *d)
{
	struct device *first = book_find_device(b, &d->pin);

	if (first == NULL && pinmap_put(&b->devices, d->pin.b, d) < 0)
		return RW_ERR_NOMEM;
	while (first != NULL && first->next != NULL)
		first = first->next;
	if (first != NULL)
		first->next = d;
	list_push(&d->fleet->devices, &d->link);
	d->fleet->device_count++;
	return 0;
}

void book_unlink_device(struct book *b, struct device *d)
{
	struct device *first = book_find_device(b, &d->pin);

	list_del(&d->link);
	d->fleet->device_count--;
	if (first == d) {
		pinmap_del(&b->devices, d->pin.b);
		/* The table has room: an entry was just taken out. */
		if (d->next != NULL)
			CHECK(pinmap_put(&b->devices, d->pin.b, d->next) == 0);
	} else {
		while (first->next != d)
			first = first->next;
		first->next = d->next;
	}
	free(d);
}

struct device *book_admit(struct book *b, struct fleet *f,
			  const struct redeem_try *t, bool *ret_new)
{
	struct device *d = book_find_in(b, &t->pin, f);

	*ret_new = d == NULL;
	if (d == NULL) {
		d = calloc(1, sizeof(*d));
		if (d == NULL)
			return NULL;
		list_init(&d->link);
		d->fleet = f;
		d->pin = t->pin;
		d->admitted = t->now;
		d->issuer = t->issuer;
		if (book_link_device(b, d) < 0) {
			free(d);
			return NULL;
		}
	}
	if (!pin_eq(&d->issuer, &t->issuer))
		d->issuer = (struct pin){ { 0 } };
	d->role = t->role;
	str_copy(d->name, sizeof(d->name), t->name);
	return d;
}

void book_rename(struct book *b, const struct pin *pin, const char *name)
{
	bool differs = false;

	for (struct device *d = book_find_device(b, pin); d; d = d->next) {
		differs = differs || strcmp(d->name, name) != 0;
		str_copy(d->name, sizeof(d->name), name);
	}
	if (differs)
		book_save_devices_late(b);
}

/* Takes d out for good; what is on disk already stays true whatever fails. */
static int device_remove(struct book *b, struct device *d, const struct pin *by)
{
	struct fleet *f = d->fleet;
	const struct pin pin = d->pin;
	int err;

	/* A bar that nobody needed is lifted by the next code. */
	if (book_bar(f, &pin, by) == NULL)
		return RW_ERR_NOMEM;
	err = book_save_barred(b);
	if (err < 0) {
		book_unbar(f, book_find_barred(f, &pin));
		return err;
	}
	/* The uses first: after a crash between the two writes, the key is
	 * still a device and can be removed again. */
	if (invites_revoke(f, &pin, NULL, true)) {
		err = book_save_invites(b);
		if (err < 0) {
			invites_revoke(f, &pin, NULL, false);
			return err;
		}
	}
	/* Written without d, then unlinked: a failure changes nothing. */
	list_del(&d->link);
	err = book_save_devices(b);
	list_push(&f->devices, &d->link);
	if (err < 0)
		return err;
	book_unlink_device(b, d);
	list_for_each_safe (l, &f->invites) {
		struct invite *i = container_of(l, struct invite, link);

		if (pin_eq(&i->issuer, &pin))
			invite_free(b, i);
	}
	return book_save_invites(b);
}

int book_remove(struct book *b, const struct pin *pin, struct fleet *f)
{
	const struct pin relay = { { 0 } };
	struct device *d;
	int err = RW_ERR_NOT_FOUND;

	for (;;) {
		d = f != NULL ? book_find_in(b, pin, f)
			      : book_find_device(b, pin);
		if (d == NULL)
			return err;
		err = device_remove(b, d, &relay);
		if (err < 0)
			return err;
	}
}

int book_drop(struct book *b, const struct pin *r, const struct pin *pin)
{
	struct device *d = book_find_device(b, pin), *next;
	bool changed = false;
	int err = 0;

	for (; d != NULL && err == 0; d = next) {
		next = d->next;
		if (d->role == RELAY_CLIENT && pin_eq(&d->issuer, r))
			err = device_remove(b, d, r);
		else if (book_find_in(b, r, d->fleet) != NULL)
			changed = invites_revoke(d->fleet, pin, r, true) ||
				  changed;
	}
	return err == 0 && changed ? book_save_invites(b) : err;
}

/* -- files ---------------------------------------------------------------- */

int book_save_devices(struct book *b)
{
	char pin[PIN_TEXT_LEN + 1];
	struct state_writer w;

	state_begin(&w, &devices_format);
	list_for_each (lf, &b->fleets) {
		struct fleet *f = container_of(lf, struct fleet, link);

		list_for_each (l, &f->devices) {
			struct device *d = container_of(l, struct device, link);

			state_add_row(&w);
			state_add_str(&w, "fleet", f->name);
			state_add_str(&w, "pin", pin_text(&d->pin, pin));
			state_add_str(&w, "role",
				      d->role == RELAY_RIG ? "rig" : "client");
			state_add_str(&w, "name", d->name);
			state_add_int(&w, "admitted", d->admitted);
			if (!pin_is_zero(&d->issuer))
				state_add_str(&w, "by",
					      pin_text(&d->issuer, pin));
		}
	}
	return state_commit(&w, b->devices_path);
}

static int on_fleet_row(void *user, struct state_row *row)
{
	struct book *b = user;
	const char *name;
	int64_t created;
	int err = state_str(row, "name", &name);

	if (err == 0)
		err = state_time(row, "created", &created);
	if (err < 0)
		return err;
	if (!str_is_name(name))
		return state_refuse(row, "name", "is no name");
	if (book_find_fleet(b, name) != NULL)
		return state_refuse(row, "name", "is there twice");
	fleet_new(b, name, created);
	return 0;
}

static int on_device_row(void *user, struct state_row *row)
{
	struct book *b = user;
	struct redeem_try t = { 0 };
	const char *fleet, *pin, *role, *by = state_get(row, "by");
	struct fleet *f;
	bool is_new;
	int err = state_str(row, "fleet", &fleet);

	if (err == 0)
		err = state_str(row, "pin", &pin);
	if (err == 0)
		err = state_str(row, "role", &role);
	if (err == 0)
		err = state_str(row, "name", &t.name);
	if (err == 0)
		err = state_time(row, "admitted", &t.now);
	if (err < 0)
		return err;
	f = book_find_fleet(b, fleet);
	if (f == NULL)
		return state_refuse(row, "fleet", "is not in the fleets file");
	if (pin_parse(pin, &t.pin) < 0)
		return state_refuse(row, "pin", "is no key's fingerprint");
	if (by != NULL && pin_parse(by, &t.issuer) < 0)
		return state_refuse(row, "by", "is no key's fingerprint");
	if (strcmp(role, "rig") != 0 && strcmp(role, "client") != 0)
		return state_refuse(row, "role", "must be rig or client");
	if (!str_is_clean(t.name, strlen(t.name)) ||
	    strlen(t.name) > RELAY_NAME_MAX)
		return state_refuse(row, "name", "is no name");
	t.role = strcmp(role, "rig") == 0 ? RELAY_RIG : RELAY_CLIENT;
	if (book_admit(b, f, &t, &is_new) == NULL)
		return RW_ERR_NOMEM;
	return is_new ? 0 : state_refuse(row, "pin", "is there twice");
}

static int load(struct book *b, const char *path,
		const struct state_format *format, state_on_row on_row,
		char **ret_err)
{
	int err = state_load(path, format, on_row, b, ret_err);

	if (err < 0 && err != -ENOENT && *ret_err == NULL)
		*ret_err = xasprintf("%s: %s", path, err_text(err));
	return err == -ENOENT ? 0 : err;
}

int book_open(const char *dir, const struct book_limits *limits,
	      struct book **ret, char **ret_err)
{
	struct book *b = xcalloc(1, sizeof(*b));
	int err;

	*ret_err = NULL;
	b->limits = *limits;
	b->fleets_path = xasprintf("%s/fleets", dir);
	b->devices_path = xasprintf("%s/devices", dir);
	b->invites_path = xasprintf("%s/invites", dir);
	b->barred_path = xasprintf("%s/barred", dir);
	list_init(&b->fleets);
	pinmap_init(&b->devices, random_u64());
	pinmap_init(&b->hashes, random_u64());
	pinmap_init(&b->ids, random_u64());
	err = load(b, b->fleets_path, &fleets_format, on_fleet_row, ret_err);
	if (err == 0)
		err = load(b, b->devices_path, &devices_format, on_device_row,
			   ret_err);
	if (err == 0)
		err = book_load_invites(b, ret_err);
	if (err == 0)
		err = book_load_barred(b, ret_err);
	if (err < 0) {
		book_free(b);
		return err;
	}
	*ret = b;
	return 0;
}

void book_free(struct book *b)
{
	struct list *l;

	while ((l = list_first(&b->fleets)) != NULL)
		fleet_free(b, container_of(l, struct fleet, link));
	pinmap_done(&b->devices);
	pinmap_done(&b->hashes);
	pinmap_done(&b->ids);
	free(b->fleets_path);
	free(b->devices_path);
	free(b->invites_path);
	free(b->barred_path);
	free(b);
}

bool book_exists(const char *dir)
{
	static const char *const names[] = { "fleets", "devices", "invites",
					     "barred" };
	bool exists = false;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *path = xasprintf("%s/%s", dir, names[i]);

		exists = exists || access(path, F_OK) == 0;
		free(path);
	}
	return exists;
}

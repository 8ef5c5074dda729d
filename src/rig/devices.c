/* SPDX-License-Identifier: MIT */
#include "rig/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"

static const char *const keys[] = { "key",	"name",	    "role",
				    "services", "admitted", NULL };
static const struct state_format format = {
	.kind = "devices", .version = 1, .max_rows = 8192, .keys = keys
};

static const char *const role_names[] = {
	[DEVICE_OWNER] = "owner",
	[DEVICE_GUEST] = "guest",
	[DEVICE_REMOVED] = "removed",
};

const char *device_role_name(enum device_role role)
{
	return role_names[role];
}

static bool device_role_parse(const char *text, enum device_role *ret)
{
	for (size_t i = DEVICE_OWNER; i < ARRAY_LEN(role_names); i++) {
		if (strcmp(role_names[i], text) != 0)
			continue;
		*ret = (enum device_role)i;
		return true;
	}
	return false;
}

static struct device *devices_row(const struct devices *d,
				  const struct pin *pin)
{
	for (size_t i = 0; i < d->count; i++)
		if (pin_eq(&d->rows[i].pin, pin))
			return &d->rows[i];
	return NULL;
}

static struct device *devices_add(struct devices *d, const struct device *dev)
{
	if (d->count == d->cap) {
		d->cap = d->cap > 0 ? 2 * d->cap : 8;
		d->rows = xrealloc(d->rows, d->cap * sizeof(*d->rows));
	}
	d->rows[d->count] = *dev;
	return &d->rows[d->count++];
}

static void devices_drop(struct devices *d, size_t i)
{
	d->count--;
	memmove(&d->rows[i], &d->rows[i + 1],
		(d->count - i) * sizeof(*d->rows));
}

static int devices_on_row(void *user, struct state_row *row)
{
	struct devices *d = user;
	struct device dev = { 0 };
	const char *key, *name, *role;
	const char *services = state_get(row, "services");
	int err;

	if ((err = state_str(row, "key", &key)) != 0 ||
	    (err = state_str(row, "name", &name)) != 0 ||
	    (err = state_str(row, "role", &role)) != 0 ||
	    (err = state_time(row, "admitted", &dev.admitted)) != 0)
		return err;
	if (pin_parse(key, &dev.pin) != 0)
		return state_refuse(row, "key", "is no fingerprint");
	if (devices_row(d, &dev.pin) != NULL)
		return state_refuse(row, "key", "is there twice");
	if (!device_role_parse(role, &dev.role))
		return state_refuse(row, "role", "is not known");
	if (!str_copy(dev.name, sizeof(dev.name), name))
		return state_refuse(row, "name", "is too long");
	if (!str_copy(dev.services, sizeof(dev.services),
		      services != NULL ? services : ""))
		return state_refuse(row, "services", "is too long");
	devices_add(d, &dev);
	return 0;
}

int devices_load(struct devices *d, const char *path, size_t max,
		 char **ret_err)
{
	*d = (struct devices){ .path = xstrdup(path), .max = max };

	int err = state_load(path, &format, devices_on_row, d, ret_err);

	if (err == -ENOENT)
		return 0;
	if (err != 0)
		devices_done(d);
	return err;
}

void devices_done(struct devices *d)
{
	free(d->path);
	free(d->rows);
	*d = (struct devices){ 0 };
}

static int devices_save(struct devices *d)
{
	struct state_writer w;
	char text[PIN_TEXT_LEN + 1];

	state_begin(&w, &format);
	for (size_t i = 0; i < d->count; i++) {
		const struct device *dev = &d->rows[i];

		state_add_row(&w);
		state_add_str(&w, "key", pin_text(&dev->pin, text));
		state_add_str(&w, "name", dev->name);
		state_add_str(&w, "role", role_names[dev->role]);
		if (dev->services[0] != '\0')
			state_add_str(&w, "services", dev->services);
		state_add_int(&w, "admitted", dev->admitted);
	}

	int err = state_commit(&w, d->path);

	for (size_t i = 0; err == 0 && i < d->count; i++)
		d->rows[i].unsaved = false;
	if (err == 0)
		d->is_late = false;
	return err;
}

size_t devices_admitted(const struct devices *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->count; i++)
		n += d->rows[i].role != DEVICE_REMOVED;
	return n;
}

struct device *devices_find(const struct devices *d, const struct pin *pin)
{
	struct device *dev = devices_row(d, pin);

	return dev != NULL && dev->role != DEVICE_REMOVED ? dev : NULL;
}

int devices_resolve(const struct devices *d, const char *who,
		    struct device **ret)
{
	struct device *found = NULL;

	for (size_t i = 0; i < d->count; i++) {
		struct device *dev = &d->rows[i];

		if ((dev->role == DEVICE_REMOVED && !dev->unsaved) ||
		    (strcasecmp(dev->name, who) != 0 &&
		     !pin_matches(&dev->pin, who)))
			continue;
		if (found != NULL)
			return RW_ERR_EXISTS;
		found = dev;
	}
	if (found == NULL)
		return RW_ERR_NOT_FOUND;
	*ret = found;
	return 0;
}

int devices_put(struct devices *d, const struct device *dev)
{
	struct device *row = devices_row(d, &dev->pin);
	const bool is_new = row == NULL;
	const struct device old = is_new ? (struct device){ 0 } : *row;

	CHECK(dev->role != DEVICE_REMOVED);
	if ((is_new || old.role == DEVICE_REMOVED) &&
	    devices_admitted(d) >= d->max)
		return RW_ERR_LIMIT;
	if (is_new)
		devices_add(d, dev);
	else
		*row = *dev;

	int err = devices_save(d);

	if (err != 0 && is_new)
		d->count--;
	else if (err != 0)
		*row = old;
	return err;
}

/* Bounds what is remembered only for the relays' sake: the oldest go. */
static void devices_trim_removed(struct devices *d)
{
	if (d->count - devices_admitted(d) < d->max)
		return;
	for (size_t i = 0; i < d->count; i++) {
		if (d->rows[i].role != DEVICE_REMOVED || d->rows[i].unsaved)
			continue;
		devices_drop(d, i);
		return;
	}
}

int devices_remove(struct devices *d, const struct pin *pin, int64_t now)
{
	struct device *dev = devices_row(d, pin);

	if (dev == NULL || (dev->role == DEVICE_REMOVED && !dev->unsaved))
		return RW_ERR_NOT_FOUND;
	if (dev->role != DEVICE_REMOVED) {
		devices_trim_removed(d);
		dev = devices_row(d, pin);
		dev->role = DEVICE_REMOVED;
		dev->services[0] = '\0';
		dev->admitted = now;
		dev->told = 0;
		dev->unsaved = true;
	}
	return devices_save(d);
}

void devices_forget(struct devices *d, unsigned all)
{
	bool changed = false;
	int err;

	for (size_t i = d->count; i-- > 0;) {
		if (d->rows[i].role != DEVICE_REMOVED || d->rows[i].unsaved ||
		    (d->rows[i].told & all) != all)
			continue;
		devices_drop(d, i);
		changed = true;
	}
	if (!changed && !d->is_late)
		return;
	err = devices_save(d);
	if (err != 0 && !d->is_late)
		log_warn("%s cannot be written: %s; it is tried again with the "
			 "next change, and until then a restart tells the "
			 "relays once more who was removed",
			 d->path, err_text(err));
	d->is_late = err != 0;
}

static unsigned bits_without(unsigned bits, unsigned n)
{
	const unsigned below = (1u << n) - 1;

	return (bits & below) | (bits >> 1 & ~below);
}

void devices_forget_relay(struct devices *d, unsigned n)
{
	for (size_t i = 0; i < d->count; i++) {
		d->rows[i].told = bits_without(d->rows[i].told, n);
		d->rows[i].vouched = bits_without(d->rows[i].vouched, n);
	}
}

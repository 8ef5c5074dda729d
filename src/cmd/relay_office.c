/* SPDX-License-Identifier: MIT */
#include "cmd/relay_office.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/cmd.h"

#define STANDBY_MS 200

int office_fail(const char *text)
{
	fprintf(stderr, "rigway: %s\n", text);
	return EXIT_FAILED;
}

int office_fail_free(char *text)
{
	office_fail(text);
	free(text);
	return EXIT_FAILED;
}

/* Flags go over what the file says. */
static int take_flags(struct office *o, const struct relay_typed *t)
{
	const char *const flags[][2] = {
		{ "relay.listen", t->listen },
		{ "relay.name", t->name },
		{ "log.level", t->log_level },
	};
	char *err = NULL;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i][1] != NULL &&
		    settings_set(&o->setup.settings, flags[i][0], flags[i][1],
				 &err) < 0) {
			office_fail_free(err);
			return EXIT_MISUSE;
		}
	if (settings_check(&o->setup.settings, &err) < 0)
		return office_fail_free(err);
	log_set_level((enum log_level)o->setup.settings.log.level);
	log_set_limit((unsigned)o->setup.settings.log.lines_per_minute);
	return 0;
}

int office_init(struct office *o, const struct relay_typed *t)
{
	int status;

	memset(o, 0, sizeof(*o));
	o->lock = -1;
	o->standby = t->standby;
	status = setup_init(&o->setup, "rigway");
	return status != 0 ? status : take_flags(o, t);
}

void office_done(struct office *o)
{
	if (o->desk.book != NULL)
		book_free(o->desk.book);
	desk_done(&o->desk);
	key_free(o->key);
	if (o->lock >= 0)
		close(o->lock);
	setup_done(&o->setup);
}

static int explain_key(int err, const char *path)
{
	switch (err) {
	case RW_ERR_KEY_MISSING:
		fprintf(stderr,
			"rigway: the relay's key %s is missing, and "
			"the state beside it was made with it; put it back, or "
			"move the whole folder away to begin anew (every "
			"machine must join again then)\n",
			path);
		break;
	case RW_ERR_OTHER_MACHINE:
		fprintf(stderr,
			"rigway: the key %s was copied from another "
			"machine; each has its own\n",
			path);
		break;
	case RW_ERR_PERM:
		fprintf(stderr,
			"rigway: the key %s can be read by others, or "
			"belongs to another user; 'chmod 600' it if nobody "
			"else could have read it\n",
			path);
		break;
	default:
		fprintf(stderr, "rigway: cannot use the key %s: %s\n", path,
			err_text(err));
	}
	return EXIT_FAILED;
}

/* RW_ERR_BUSY is waited for where this relay is to follow another. 0, or an
 * exit status. */
static int take_lock(struct office *o, const char *path)
{
	const struct timespec pause = { .tv_nsec = STANDBY_MS * 1000000 };
	bool said = false;
	int err;

	while ((err = file_lock(path, &o->lock)) == RW_ERR_BUSY && o->standby) {
		if (!said)
			log_info("another relay runs here already; this one "
				 "takes its place when that one ends");
		said = true;
		nanosleep(&pause, NULL);
	}
	if (err == 0)
		return 0;
	fprintf(stderr, "rigway: %s: %s\n", path,
		err == RW_ERR_BUSY ? "a relay already runs with these files"
				   : err_text(err));
	return EXIT_FAILED;
}

static int open_book(struct office *o, const char *dir)
{
	const struct settings_relay *s = &o->setup.settings.relay;
	const struct book_limits limits = {
		.fleets = (size_t)s->max_fleets,
		.devices = (size_t)s->max_devices,
		.invites = (size_t)s->max_invites,
	};
	char *text;
	int err = book_open(dir, &limits, &o->desk.book, &text);

	if (err == 0)
		return 0;
	return text != NULL ? office_fail_free(text)
			    : office_fail(err_text(err));
}

int office_open(struct office *o)
{
	char *lock = paths_lock(&o->setup.paths, "relay");
	char *dir = paths_state(&o->setup.paths, "relay", NULL);
	char *key = paths_state(&o->setup.paths, "relay", "key");
	int err, status;

	if (lock == NULL || dir == NULL || key == NULL) {
		status = office_fail(paths_error(&o->setup.paths));
		goto free_paths;
	}
	status = take_lock(o, lock);
	if (status != 0)
		goto free_paths;
	err = key_load_or_make(key, paths_machine(&o->setup.paths),
			       book_exists(dir), &o->key);
	if (err < 0) {
		status = explain_key(err, key);
		goto free_paths;
	}
	status = open_book(o, dir);
	o->desk.key = o->key;

free_paths:
	free(lock);
	free(dir);
	free(key);
	return status;
}

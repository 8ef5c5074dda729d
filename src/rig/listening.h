/* SPDX-License-Identifier: MIT */
/*
 * Where this rig was told to listen when it was last started by hand: the file
 * `listen`. It holds while rig.listen is not set and nothing else is typed, so
 * that codes which carry the port stay good over a restart. No loop, no clock.
 */
#pragma once
#include "config/settings.h"

/* Lists as settings_set() takes them; "" for none. */
struct listening {
	char *listen, *public;
};

/* Nothing is there: both are "". 0, or an error of state_load() with a sentence
 * in *ret_err, to be freed. listening_done() after 0. */
int listening_load(const char *path, struct listening *ret, char **ret_err);
void listening_done(struct listening *l);
/* Replaces what the file says; with an empty listen there is no file then. 0 or
 * an error of state_commit(). */
int listening_save(const char *path, const struct listening *l);
/* Puts what is kept into settings that do not say where to listen; a rig.public
 * of theirs stays. 0, or an error with a sentence as settings_set(). */
int listening_apply(const struct listening *l, struct settings *s,
		    char **ret_err);

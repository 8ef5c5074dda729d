/* SPDX-License-Identifier: MIT */
/*
 * The one table of settings: a row each with name, type, range, default and
 * help. The reader of the file, the flags, `rigway config check` and `show`,
 * and the lint of rigway.conf(5) all read it. To add a setting, add a row in
 * schema.c and a field in settings.h. Const data and pure functions; value.h
 * reads and prints the values.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
	SETTING_BOOL,	  /* bool; true, false, yes or no */
	SETTING_INT,	  /* int; decimal, no leading zero */
	SETTING_DURATION, /* uint64_t in ms; "10s", "24h", "500ms" */
	SETTING_BYTES,	  /* uint64_t; "64KiB", "16MiB" */
	SETTING_CHOICE,	  /* int; the index of one of words */
	SETTING_LABEL,	  /* char *; a device's name or empty */
	SETTING_IP,	  /* char *; a numeric address */
	SETTING_PATH,	  /* char *; an absolute path or empty */
	SETTING_LISTEN,	  /* struct setting_addrs; ADDR:PORT */
	SETTING_NAMES,	  /* struct setting_addrs; HOST or HOST:PORT */
	SETTING_STRINGS,  /* struct setting_list */
};

struct setting {
	const char *name; /* "section.key" */
	enum setting_type type;
	size_t offset;	  /* in struct settings */
	int64_t min, max; /* of numbers, in ms or bytes; of lists, items */
	const char *def;  /* text, as in settings_set() */
	const char *help; /* one sentence */
	const char *const *words; /* of SETTING_CHOICE, NULL at the end */
};

/* All rows, grouped by section. */
const struct setting *schema_rows(size_t *ret_len);
/* The row of that full name, or NULL. */
const struct setting *schema_find(const char *name);
/* The row of that key in that section, or NULL. */
const struct setting *schema_in(const char *section, const char *key);
bool schema_has_section(const char *section);

/* What was probably meant, or NULL if nothing is near: a section; a key of a
 * section (or the full name, where the same key is in another one); a full
 * name. */
const char *schema_near_section(const char *word);
const char *schema_near(const char *section, const char *key);
const char *schema_near_name(const char *name);

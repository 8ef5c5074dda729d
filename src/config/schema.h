/* SPDX-License-Identifier: MIT */
/*
 * The one table of settings: a row each with name, type, range, default and
 * help. The reader of the file, the flags, `rigway config check` and `show`,
 * and the lint of rigway.conf(5) all read it. To add a setting, add a row in
 * schema.c and a field in settings.h. Const data and pure functions.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
struct settings;

enum setting_type {
	SETTING_BOOL,	  /* bool; true, false, yes or no */
	SETTING_INT,	  /* int; decimal, no leading zero */
	SETTING_DURATION, /* uint64_t in ms; "10s", "24h", "500ms" */
	SETTING_BYTES,	  /* uint64_t; "64KiB", "16MiB" */
	SETTING_CHOICE,	  /* int; a word of words */
	SETTING_LABEL,	  /* char *; letters, digits, - and _, or empty */
	SETTING_IP,	  /* char *; a numeric address */
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
/* The row of that full name, or NULL. name need not end in NUL. */
const struct setting *schema_find(const char *name, size_t len);
bool schema_has_section(const char *section, size_t len);
/* The section or (where section is not NULL) the key within it that was
 * probably meant by word; NULL if nothing is near. */
const char *schema_near(const char *section, const char *word);

bool setting_is_list(const struct setting *row);
/*
 * Reads text into the row's field of s, in place of what stood there; a list
 * takes one item, which is added. Returns 0, RW_ERR_NOMEM, or RW_ERR_CONFIG
 * with a sentence in *ret_err, to be freed, and the field unchanged.
 */
int setting_read(const struct setting *row, struct settings *s,
		 const char *text, char **ret_err);
/* Empties the row's field and frees what it held. */
void setting_clear(const struct setting *row, struct settings *s);
/* The row's field as text, lists separated by commas; NULL without memory. */
char *setting_text(const struct setting *row, const struct settings *s);
/* One item of a list as text, NULL past its end. */
char *setting_item_text(const struct setting *row, const struct settings *s,
			size_t i);

/* SPDX-License-Identifier: MIT */
/*
 * Reads the user's YAML into settings: sections of keys, nothing else. What
 * YAML has beyond that (anchors, merge keys, tags, several documents, tabs) is
 * refused rather than guessed at. Only the user writes such files; still no
 * text makes it read without bound.
 */
#pragma once
#include <stddef.h>
#include "config/config_errors.h"
struct settings;

/* Where in the file a setting was set; line 0: it was not. */
struct settings_place {
	size_t line, column;
};

struct settings_text {
	const char *name; /* of the file, for errs */
	const char *text;
	size_t len;
};
/* Adds to errs whatever is wrong. places has one item for each row of the
 * schema and is all zero before. s keeps the values that were right. */
void settings_yaml_read(const struct settings_text *from, struct settings *s,
			struct settings_place *places,
			struct config_errors *errs);

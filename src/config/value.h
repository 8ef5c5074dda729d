/* SPDX-License-Identifier: MIT */
/*
 * One setting's value: from text into its field, and back. The file and the
 * flags come through here, so that both refuse the same things with the same
 * words. Pure functions.
 */
#pragma once
#include "config/schema.h"
struct settings;

bool value_is_list(const struct setting *row);
/*
 * Reads text into the row's field of s, in place of what stood there; a list
 * takes one item, which is added. Returns 0, or RW_ERR_FORMAT with a sentence
 * in *ret_err, to be freed, and the field unchanged.
 */
int value_read(const struct setting *row, struct settings *s, const char *text,
	       char **ret_err);
/* Reads a whole list from text with commas, in place of what stood there; the
 * empty text is the empty list. Other rows as value_read(). */
int value_read_all(const struct setting *row, struct settings *s,
		   const char *text, char **ret_err);
/* Empties the row's field and frees what it held. */
void value_clear(const struct setting *row, struct settings *s);

/* One item of a list as text, NULL past its end; item 0 of other rows is the
 * value. To be freed. */
char *value_item(const struct setting *row, const struct settings *s, size_t i);
/* The row's field as text, lists separated by commas. To be freed. */
char *value_text(const struct setting *row, const struct settings *s);

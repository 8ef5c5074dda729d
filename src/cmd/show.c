/* SPDX-License-Identifier: MIT */
#include "cmd/show.h"

#include <stdio.h>

#include "cmd/qr.h"

const char *show_text(const json_t *o, const char *key, const char *none)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : none;
}

void show_json(const json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

void show_json_free(json_t *o)
{
	show_json(o);
	json_decref(o);
}

void show_code(const char *code, bool as_json, bool is_drawn)
{
	if (as_json)
		show_json_free(json_pack("{s:s}", "code", code));
	else
		puts(code);
	fflush(stdout);
	if (is_drawn && !as_json)
		qr_print(stderr, code);
}

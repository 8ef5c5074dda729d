/* SPDX-License-Identifier: MIT */
#include "config/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/quote.h"
#include "config/schema.h"
#include "config/settings_yaml.h"
#include "config/value.h"

void settings_init(struct settings *ret)
{
	size_t len;
	const struct setting *rows = schema_rows(&len);
	char *err = NULL;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < len; i++)
		CHECK(value_read_all(&rows[i], ret, rows[i].def, &err) == 0);
}

void settings_done(struct settings *s)
{
	size_t len;
	const struct setting *rows = schema_rows(&len);

	for (size_t i = 0; i < len; i++)
		value_clear(&rows[i], s);
}

/* Two settings that do not go together, and why. */
struct clash {
	const char *blamed, *other;
	char *text; /* NULL: there is none */
};

static struct clash find_clash(const struct settings *s)
{
	struct clash c = { .text = NULL };
	uint64_t need =
		2 * s->session.floor_bytes * (uint64_t)s->session.max_streams;

	if (s->session.floor_bytes > s->session.window_max_bytes) {
		c.blamed = "session.floor";
		c.other = "session.window_max";
		c.text = xasprintf("'session.floor' is more than "
				   "'session.window_max'");
	} else if (need > s->session.budget_bytes) {
		/* Floors are promised for good; the other half is lent. */
		c.blamed = "session.max_streams";
		c.other = "session.budget";
		c.text = xasprintf("'session.max_streams' may be at most "
				   "%" PRIu64 ": half of 'session.budget' over "
				   "'session.floor'",
				   s->session.budget_bytes /
					   (2 * s->session.floor_bytes));
	}
	return c;
}

int settings_check(const struct settings *s, char **ret_err)
{
	struct clash c = find_clash(s);

	if (c.text == NULL)
		return 0;
	*ret_err = c.text;
	return RW_ERR_FORMAT;
}

/* Adds a clash to errs, at the place of whichever setting the file has. */
static void judge_together(const char *name, const struct settings *s,
			   const struct settings_place *places,
			   struct config_errors *errs)
{
	struct clash c = find_clash(s);
	const struct settings_place *at;
	const struct setting *rows;
	size_t len;

	if (c.text == NULL)
		return;
	rows = schema_rows(&len);
	at = &places[schema_find(c.blamed) - rows];
	if (at->line == 0)
		at = &places[schema_find(c.other) - rows];
	config_errors_add(errs, name, at->line, at->column, "%s", c.text);
	free(c.text);
}

int settings_parse(const char *name, const char *text, size_t len,
		   struct settings *ret, struct config_errors *errs)
{
	struct settings_place *places;
	size_t rows, before = errs->len;

	if (len > SETTINGS_FILE_MAX) {
		config_errors_add(errs, name, 0, 0, "larger than 1 MiB");
		return RW_ERR_LIMIT;
	}
	schema_rows(&rows);
	places = xcalloc(rows, sizeof(places[0]));
	settings_init(ret);
	settings_yaml_read(&(struct settings_text){ name, text, len }, ret,
			   places, errs);
	if (errs->len == before)
		judge_together(name, ret, places, errs);
	free(places);
	if (errs->len == before)
		return 0;
	settings_done(ret);
	return RW_ERR_FORMAT;
}

int settings_load(const char *path, struct settings *ret,
		  struct config_errors *errs)
{
	struct buf text = { 0 };
	int err = file_read(path, SETTINGS_FILE_MAX, &text);
	size_t len;
	uint8_t *data;

	data = buf_peek(&text, &len);
	if (err == 0) {
		err = settings_parse(path, len > 0 ? (const char *)data : "",
				     len, ret, errs);
	} else if (err == -ENOENT) {
		settings_init(ret);
		err = 0;
	} else if (err == RW_ERR_LIMIT) {
		config_errors_add(errs, path, 0, 0, "larger than 1 MiB");
	} else {
		config_errors_add(errs, path, 0, 0, "cannot be read: %s",
				  err_text(err));
	}
	buf_done(&text);
	return err;
}

void settings_list_add(char **list, const char *item)
{
	char *more =
		*list != NULL ? xasprintf("%s,%s", *list, item) : xstrdup(item);

	free(*list);
	*list = more;
}

int settings_set(struct settings *s, const char *key, const char *text,
		 char **ret_err)
{
	const struct setting *row = schema_find(key);
	const char *near = row == NULL ? schema_near_name(key) : NULL;
	char shown[QUOTE_CAP];

	if (row != NULL)
		return value_read_all(row, s, text, ret_err);
	*ret_err =
		near != NULL
			? xasprintf("unknown setting '%s'; did you mean '%s'?",
				    quote(key, shown), near)
			: xasprintf("unknown setting '%s'", quote(key, shown));
	return RW_ERR_FORMAT;
}

char *settings_get(const struct settings *s, const char *key)
{
	const struct setting *row = schema_find(key);

	return row != NULL ? value_text(row, s) : NULL;
}

/* Prints text as a YAML string. Control characters are in none of ours. */
static void show_text(const char *text, FILE *to)
{
	fputc('"', to);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

/* Prints a value in YAML; what might be taken for something else is quoted. */
static void show_value(const struct setting *row, const struct settings *s,
		       FILE *to)
{
	char *item;

	if (!value_is_list(row)) {
		bool is_text = row->type == SETTING_LABEL ||
			       row->type == SETTING_IP ||
			       row->type == SETTING_PATH;

		item = value_item(row, s, 0);
		if (is_text)
			show_text(item, to);
		else
			fputs(item, to);
		free(item);
		return;
	}
	fputc('[', to);
	for (size_t i = 0; (item = value_item(row, s, i)) != NULL; i++) {
		fputs(i > 0 ? ", " : "", to);
		show_text(item, to);
		free(item);
	}
	fputc(']', to);
}

void settings_show(const struct settings *s, FILE *to)
{
	size_t len, section = 0;
	const struct setting *rows = schema_rows(&len);
	struct settings defaults;

	settings_init(&defaults);
	for (size_t i = 0; i < len; i++) {
		const char *dot = strchr(rows[i].name, '.');
		size_t n = (size_t)(dot - rows[i].name);
		char *value = value_text(&rows[i], s);
		char *def = value_text(&rows[i], &defaults);

		if (n != section ||
		    (i > 0 && strncmp(rows[i].name, rows[i - 1].name, n) != 0))
			fprintf(to, "%s%.*s:\n", i > 0 ? "\n" : "", (int)n,
				rows[i].name);
		section = n;
		fprintf(to, "  # %s\n  %s: ", rows[i].help, dot + 1);
		show_value(&rows[i], s, to);
		if (strcmp(value, def) != 0)
			fprintf(to, "  # default: %s",
				def[0] != '\0' ? def : "none");
		fputc('\n', to);
		free(value);
		free(def);
	}
	settings_done(&defaults);
}

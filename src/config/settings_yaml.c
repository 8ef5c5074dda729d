/* SPDX-License-Identifier: MIT */
#include "config/settings_yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/check.h"
#include "base/str.h"
#include "config/quote.h"
#include "config/schema.h"
#include "config/settings.h"
#include "config/value.h"

#define SECTIONS_MAX 16

/* The walk through a file's events. It works on events, not on libyaml's tree
 * of a document, so that aliases are never followed and depth is judged before
 * anything is built. */
struct walk {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	bool is_over;	    /* the file ended or cannot be read further */
	int depth;	    /* of sections and lists around the event */
	const char *name;   /* of the file */
	const char *text;
	size_t len;
	struct settings *s;
	struct settings_place *places;
	struct config_errors *errs;
};

#define COMPLAIN_AT(w, mark, ...)                                              \
	config_errors_add((w)->errs, (w)->name, (mark).line + 1,               \
			  (mark).column + 1, __VA_ARGS__)
/* At the event. Where the file cannot be read further, that was said. */
#define COMPLAIN(w, ...)                                                       \
	((w)->event.type == YAML_NO_EVENT                                      \
		 ? (void)0                                                     \
		 : COMPLAIN_AT(w, (w)->event.start_mark, __VA_ARGS__))

/* Line and column of a byte, for errors that libyaml reports by offset. */
static yaml_mark_t mark_of(const struct walk *w, size_t offset)
{
	yaml_mark_t mark = { 0 };

	for (size_t i = 0; i < offset && i < w->len; i++) {
		/* Columns count characters: not the later bytes of one. */
		mark.column += ((unsigned char)w->text[i] & 0xc0) != 0x80;
		if (w->text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

/* Whether the line has an address that YAML takes for a list: [::]:443. */
static bool has_bare_brackets(const struct walk *w, size_t line)
{
	const char *at = w->text, *end = w->text + w->len;
	const char *stop, *found;

	for (; line > 0 && at != NULL; line--) {
		at = memchr(at, '\n', (size_t)(end - at));
		at = at != NULL ? at + 1 : NULL;
	}
	if (at == NULL)
		return false;
	stop = memchr(at, '\n', (size_t)(end - at));
	found = memmem(at, (size_t)((stop != NULL ? stop : end) - at), "]:", 2);
	return found != NULL;
}

static void complain_of_yaml(struct walk *w)
{
	const yaml_parser_t *p = &w->parser;
	const char *problem = p->problem != NULL ? p->problem : "out of memory";
	yaml_mark_t mark = p->problem_mark;

	if (p->error == YAML_READER_ERROR)
		mark = mark_of(w, p->problem_offset);
	if (has_bare_brackets(w, mark.line) ||
	    has_bare_brackets(w, p->context_mark.line))
		COMPLAIN_AT(w, mark,
			    "not readable as YAML: %s; an address with "
			    "brackets must stand in quotes: \"[::]:443\"",
			    problem);
	else
		COMPLAIN_AT(w, mark, "not readable as YAML: %s", problem);
}

/* Refuses what may stand at any node: an anchor or a tag. */
static void judge_node(struct walk *w, const yaml_char_t *anchor,
		       const yaml_char_t *tag)
{
	if (anchor != NULL)
		COMPLAIN(w, "anchors (&) are not used here");
	if (tag != NULL)
		COMPLAIN(w, "tags (!) are not used here");
}

/* Goes to the next event. At the end, or where the file cannot be read
 * further, is_over is set and the event is YAML_NO_EVENT. */
static void next(struct walk *w)
{
	yaml_event_delete(&w->event);
	if (w->is_over)
		return;
	if (!yaml_parser_parse(&w->parser, &w->event)) {
		complain_of_yaml(w);
		w->is_over = true;
		return;
	}
	if (w->event.type == YAML_STREAM_END_EVENT) {
		w->is_over = true;
	} else if (w->event.type == YAML_SCALAR_EVENT) {
		judge_node(w, w->event.data.scalar.anchor,
			   w->event.data.scalar.tag);
	} else if (w->event.type == YAML_SEQUENCE_START_EVENT) {
		judge_node(w, w->event.data.sequence_start.anchor,
			   w->event.data.sequence_start.tag);
		w->depth++;
	} else if (w->event.type == YAML_MAPPING_START_EVENT) {
		judge_node(w, w->event.data.mapping_start.anchor,
			   w->event.data.mapping_start.tag);
		w->depth++;
	} else if (w->event.type == YAML_SEQUENCE_END_EVENT ||
		   w->event.type == YAML_MAPPING_END_EVENT) {
		w->depth--;
	} else if (w->event.type == YAML_ALIAS_EVENT) {
		COMPLAIN(w, "aliases (*) are not used here");
	}
	if (w->depth > SETTINGS_DEPTH_MAX) {
		COMPLAIN(w, "more than %d sections and lists in each other",
			 SETTINGS_DEPTH_MAX);
		yaml_event_delete(&w->event);
		w->is_over = true;
	}
}

static bool is_at(const struct walk *w, yaml_event_type_t type)
{
	return w->event.type == type;
}

/* From a node's first event to its last. */
static void skip(struct walk *w)
{
	int depth = w->depth - 1;

	if (!is_at(w, YAML_SEQUENCE_START_EVENT) &&
	    !is_at(w, YAML_MAPPING_START_EVENT))
		return;
	while (w->depth > depth && !w->is_over)
		next(w);
}

/* The scalar's text; NULL, after a complaint, if it holds a NUL. */
static const char *scalar_text(struct walk *w)
{
	const char *text = (const char *)w->event.data.scalar.value;

	if (strlen(text) == w->event.data.scalar.length)
		return text;
	COMPLAIN(w, "a NUL character in a text");
	return NULL;
}

/* Nothing, or what YAML calls null, without quotes around it. */
static bool is_null(const struct walk *w)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	const char *text = (const char *)w->event.data.scalar.value;

	if (!is_at(w, YAML_SCALAR_EVENT) ||
	    w->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
		if (strcmp(text, nulls[i]) == 0)
			return true;
	return false;
}

/* Reads the scalar that the walk is at into the row's field. */
static void read_scalar(struct walk *w, const struct setting *row)
{
	const char *text;
	char *err = NULL;

	if (is_at(w, YAML_ALIAS_EVENT))
		return; /* complained of already */
	if (!is_at(w, YAML_SCALAR_EVENT)) {
		COMPLAIN(w, "'%s' takes one value, not a %s", row->name,
			 is_at(w, YAML_SEQUENCE_START_EVENT) ? "list"
							     : "section");
		skip(w);
		return;
	}
	if (is_null(w)) {
		COMPLAIN(w, "'%s' has no value", row->name);
		return;
	}
	text = scalar_text(w);
	if (text != NULL && value_read(row, w->s, text, &err) != 0) {
		COMPLAIN(w, "%s", err);
		free(err);
	}
}

static void read_list(struct walk *w, const struct setting *row)
{
	value_clear(row, w->s);
	if (!is_at(w, YAML_SEQUENCE_START_EVENT)) {
		read_scalar(w, row); /* a list of one needs no brackets */
		return;
	}
	for (next(w); !is_at(w, YAML_SEQUENCE_END_EVENT) && !w->is_over;
	     next(w)) {
		if (is_at(w, YAML_SCALAR_EVENT) || is_at(w, YAML_ALIAS_EVENT)) {
			read_scalar(w, row);
			continue;
		}
		COMPLAIN(w, "an item of '%s' is one value", row->name);
		skip(w);
	}
}

/* At a key: its text, to be freed; NULL after a complaint, at the key's last
 * event. */
static char *take_key(struct walk *w)
{
	const char *text;

	if (is_at(w, YAML_ALIAS_EVENT))
		return NULL;
	if (!is_at(w, YAML_SCALAR_EVENT)) {
		COMPLAIN(w, "a name is expected here");
		skip(w);
		return NULL;
	}
	text = scalar_text(w);
	if (text != NULL && strcmp(text, "<<") == 0) {
		COMPLAIN(w, "merge keys (<<) are not used here");
		return NULL;
	}
	return text != NULL ? strdup(text) : NULL;
}

static void complain_of_key(struct walk *w, const char *section,
			    const char *key)
{
	const char *near = schema_near(section, key);
	char shown[QUOTE_CAP];

	if (near != NULL)
		COMPLAIN(w, "unknown setting '%s'; did you mean '%s'?",
			 quote(key, shown), near);
	else
		COMPLAIN(w, "unknown setting '%s' in section '%s'",
			 quote(key, shown), section);
}

static const struct setting *judge_key(struct walk *w, const char *section,
				       const char *key)
{
	const struct setting *row = schema_in(section, key);
	struct settings_place *place;
	size_t rows;

	if (row == NULL) {
		complain_of_key(w, section, key);
		return NULL;
	}
	place = &w->places[row - schema_rows(&rows)];
	if (place->line != 0) {
		COMPLAIN(w, "'%s' is set twice; the first time in line %zu",
			 row->name, place->line);
		return NULL;
	}
	place->line = w->event.start_mark.line + 1;
	place->column = w->event.start_mark.column + 1;
	return row;
}

/* From the start of a section's mapping to its end. */
static void read_section(struct walk *w, const char *section)
{
	const struct setting *row;
	char *key;

	for (next(w); !is_at(w, YAML_MAPPING_END_EVENT) && !w->is_over;
	     next(w)) {
		key = take_key(w);
		row = key != NULL ? judge_key(w, section, key) : NULL;
		free(key);
		next(w);
		if (row == NULL)
			skip(w);
		else if (value_is_list(row))
			read_list(w, row);
		else
			read_scalar(w, row);
	}
}

static void complain_of_section(struct walk *w, const char *name)
{
	const char *near = schema_near_section(name);
	const char *dot = strchr(name, '.');
	char shown[QUOTE_CAP];

	if (schema_find(name) != NULL)
		COMPLAIN(w, "write '%.*s:' and, indented below it, '%s:'",
			 (int)(dot - name), name, dot + 1);
	else if (near != NULL)
		COMPLAIN(w, "unknown section '%s'; did you mean '%s'?",
			 quote(name, shown), near);
	else
		COMPLAIN(w, "unknown section '%s'", quote(name, shown));
}

/* The sections that stood already, by their names in the schema. */
struct sections {
	struct {
		char *name;
		size_t line;
	} items[SECTIONS_MAX];
	size_t len;
};

static void judge_section(struct walk *w, struct sections *seen,
			  const char *name)
{
	for (size_t i = 0; i < seen->len; i++)
		if (strcmp(seen->items[i].name, name) == 0) {
			COMPLAIN(w,
				 "section '%s' stands twice; the first "
				 "time in line %zu",
				 name, seen->items[i].line);
			return;
		}
	CHECK(seen->len < SECTIONS_MAX);
	seen->items[seen->len].line = w->event.start_mark.line + 1;
	seen->items[seen->len++].name = strdup(name);
}

/* At the value of a section that the schema has. */
static void read_section_value(struct walk *w, const char *name)
{
	if (is_at(w, YAML_MAPPING_START_EVENT))
		read_section(w, name);
	else if (is_at(w, YAML_ALIAS_EVENT) || is_null(w))
		return; /* complained of; or all below it is a comment */
	else {
		COMPLAIN(w,
			 "'%s' is a section: its settings stand below it, "
			 "indented",
			 name);
		skip(w);
	}
}

static void read_sections(struct walk *w)
{
	struct sections seen = { .len = 0 };
	char *name;

	for (next(w); !is_at(w, YAML_MAPPING_END_EVENT) && !w->is_over;
	     next(w)) {
		name = take_key(w);
		bool is_known = name != NULL && schema_has_section(name);

		if (is_known)
			judge_section(w, &seen, name);
		else if (name != NULL)
			complain_of_section(w, name);
		next(w);
		if (is_known)
			read_section_value(w, name);
		else
			skip(w);
		free(name);
	}
	for (size_t i = 0; i < seen.len; i++)
		free(seen.items[i].name);
}

static void read_stream(struct walk *w)
{
	next(w); /* the start of the stream */
	next(w);
	if (w->is_over)
		return; /* no document: only comments, or nothing */
	next(w);
	if (is_at(w, YAML_MAPPING_START_EVENT)) {
		read_sections(w);
	} else if (!is_null(w) && !w->is_over) {
		COMPLAIN(w, "sections are expected here, such as 'relay:'");
		return;
	}
	next(w); /* the end of the document */
	next(w);
	if (!w->is_over)
		COMPLAIN(w, "only one document (---) may stand in the file");
}

/* Complains of each line with a tab before a comment: YAML forbids tabs where
 * they would count, and nowhere in this file are they needed. */
static bool has_tabs(struct walk *w)
{
	yaml_mark_t mark = { 0 };
	bool is_in_comment = false, found = false;

	for (size_t i = 0; i < w->len; i++, mark.column++) {
		if (w->text[i] == '\n') {
			mark.line++;
			mark.column = (size_t)-1;
			is_in_comment = false;
		} else if (w->text[i] == '#') {
			is_in_comment = true;
		} else if (w->text[i] == '\t' && !is_in_comment) {
			mark.index = i;
			COMPLAIN_AT(w, mark, "a tab; use spaces");
			is_in_comment = true; /* one complaint a line */
			found = true;
		}
	}
	return found;
}

void settings_yaml_read(const struct settings_text *from, struct settings *s,
			struct settings_place *places,
			struct config_errors *errs)
{
	struct walk w = {
		.name = from->name,
		.text = from->text,
		.len = from->len,
		.s = s,
		.places = places,
		.errs = errs,
	};

	if (has_tabs(&w))
		return; /* what follows from the tabs would only confuse */
	if (!yaml_parser_initialize(&w.parser)) {
		config_errors_add(errs, from->name, 0, 0, "out of memory");
		return;
	}
	/* Without this a byte order mark would switch to UTF-16. */
	yaml_parser_set_encoding(&w.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
		&w.parser, (const unsigned char *)from->text, from->len);
	read_stream(&w);
	yaml_event_delete(&w.event);
	yaml_parser_delete(&w.parser);
}

/* SPDX-License-Identifier: MIT */
#include "config/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/quote.h"

/* What stands without quotes; the header names them. */
static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			   "abcdefghijklmnopqrstuvwxyz0123456789._:/@+-";

static size_t count_keys(const struct state_format *format)
{
	size_t n = 0;

	while (format->keys[n] != NULL)
		n++;
	return n;
}

static bool has_key(const struct state_format *format, const char *key)
{
	for (size_t i = 0; format->keys[i] != NULL; i++)
		if (strcmp(format->keys[i], key) == 0)
			return true;
	return false;
}

/* Keeps the first sentence about a row. Returns RW_ERR_FORMAT. */
__attribute__((format(printf, 2, 3))) static int complain(struct state_row *row,
							  const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (row->error != NULL)
		return RW_ERR_FORMAT;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	row->error = xasprintf("%s:%u: error: %s", row->file, row->line, text);
	return RW_ERR_FORMAT;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes the escape behind a backslash; *at ends behind it. -1: none of ours,
 * or a NUL. */
static int unescape(const char **at)
{
	static const char names[] = "\"\\ntr", chars[] = "\"\\\n\t\r";
	const char *found = **at != '\0' ? strchr(names, **at) : NULL;
	int high, low;

	if (found != NULL) {
		(*at)++;
		return chars[found - names];
	}
	if (**at != 'x' || (high = hex_digit((*at)[1])) < 0 ||
	    (low = hex_digit((*at)[2])) < 0 || high + low == 0)
		return -1;
	*at += 3;
	return high * 16 + low;
}

/* Reads a quoted value in place: at is behind the first quote and ends behind
 * the last. NULL for one that does not end or has a wrong escape. */
static char *read_quoted(char **at)
{
	char *value = *at, *out = *at;
	const char *in = *at;
	int c;

	while (*in != '"') {
		if (*in == '\0')
			return NULL;
		if (*in != '\\') {
			*out++ = *in++;
			continue;
		}
		in++;
		c = unescape(&in);
		if (c < 0)
			return NULL;
		*out++ = (char)c;
	}
	*at += in + 1 - *at;
	*out = '\0';
	return value;
}

static int judge_key(struct state_row *row, const char *key)
{
	const char *near;
	char shown[QUOTE_CAP];

	if (state_get(row, key) != NULL)
		return complain(row, "'%s' stands twice in one line",
				quote(key, shown));
	if (has_key(row->format, key))
		return 0;
	near = str_near(key, row->format->keys, count_keys(row->format));
	if (near != NULL)
		return complain(row, "unknown key '%s'; did you mean '%s'?",
				quote(key, shown), near);
	return complain(row, "unknown key '%s'", quote(key, shown));
}

/* Reads the value at *at, with quotes or without, which ends behind it. A value
 * without quotes has no NUL yet. */
static int read_value(struct state_row *row, const char *key, char **at,
		      char **ret)
{
	if (**at == '"') {
		(*at)++;
		*ret = read_quoted(at);
		if (*ret == NULL)
			return complain(row,
					"the value of '%s' has a wrong "
					"escape or no second quote",
					key);
		return 0;
	}
	*ret = *at;
	*at += strspn(*at, bare);
	if (*at == *ret)
		return complain(row, "'%s' has no value", key);
	return 0;
}

/* Reads the field at *at, which ends behind it and behind one space. */
static int read_field(struct state_row *row, char **at)
{
	char *key = *at, *value;
	size_t len = strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_-");
	char end;
	int err;

	if (len == 0 || key[len] != '=')
		return complain(row, "expected key=value at column %zu",
				(size_t)(key - row->text) + 1);
	if (row->len == STATE_FIELDS_MAX)
		return complain(row, "more than %d fields", STATE_FIELDS_MAX);
	key[len] = '\0';
	err = judge_key(row, key);
	if (err != 0)
		return err;
	*at = key + len + 1;
	err = read_value(row, key, at, &value);
	if (err != 0)
		return err;
	end = **at;
	if (end != '\0' && (end != ' ' || (*at)[1] == '\0'))
		return complain(row,
				"after the value of '%s', one space and "
				"a field are expected, or the line's end",
				key);
	row->fields[row->len++] = (struct state_field){ key, value };
	**at = '\0'; /* ends a value without quotes */
	*at += end != '\0';
	return 0;
}

static int read_row(struct state_row *row, char *line)
{
	char *at = line;
	int err = 0;

	row->text = line;
	row->len = 0;
	while (err == 0 && *at != '\0')
		err = read_field(row, &at);
	return err;
}

static int read_header(struct state_row *row, const char *line)
{
	const struct state_format *f = row->format;
	char *want = xasprintf("# rigway %s ", f->kind);
	const char *version = line + strlen(want);
	bool is_kind = str_has_prefix(line, want);
	uint64_t got = 0;
	int err = 0;

	if (!is_kind)
		err = complain(row, "the first line must be '%s%d'", want,
			       f->version);
	else if (parse_u64(version, 0, INT32_MAX, &got) != 0)
		err = complain(row, "no version behind '%s'", want);
	else if (got != (uint64_t)f->version)
		err = complain(row,
			       "version %" PRIu64 " of this file; this "
			       "rigway reads version %d",
			       got, f->version);
	free(want);
	return err;
}

/* A reading in progress. */
struct reading {
	struct state_row row;
	state_on_row on_row;
	void *user;
	size_t rows;
};

/* Takes the line of len bytes (without its newline), which may be written to:
 * it ends with a NUL. */
static int read_line(struct reading *r, char *line, size_t len)
{
	struct state_row *row = &r->row;
	int err;

	row->line++;
	if (len > STATE_LINE_MAX)
		return complain(row, "longer than %d bytes", STATE_LINE_MAX);
	if (strlen(line) != len)
		return complain(row, "a NUL character");
	if (row->line == 1)
		return read_header(row, line);
	if (len == 0 || line[0] == '#')
		return 0;
	if (r->rows == row->format->max_rows)
		return complain(row, "more than %zu rows",
				row->format->max_rows);
	r->rows++;
	err = read_row(row, line);
	return err != 0 ? err : r->on_row(r->user, row);
}

/* text is written to. */
static int read_lines(struct reading *r, char *text, size_t len)
{
	char *end = text + len, *stop;
	int err = 0;

	if (len == 0) {
		r->row.line = 1;
		return complain(&r->row, "the file is empty");
	}
	while (err == 0 && text < end) {
		stop = memchr(text, '\n', (size_t)(end - text));
		if (stop == NULL) {
			r->row.line++;
			return complain(&r->row, "the end of the line, and "
						 "perhaps more, is missing");
		}
		*stop = '\0';
		err = read_line(r, text, (size_t)(stop - text));
		text = stop + 1;
	}
	return err;
}

/* text of len bytes and a NUL is written to. */
static int parse(struct reading *r, char *text, size_t len, char **ret_err)
{
	int err = read_lines(r, text, len);

	if (err != 0 && r->row.error == NULL)
		complain(&r->row, "%s", err_text(err));
	if (err != 0)
		*ret_err = r->row.error;
	else
		free(r->row.error); /* of a field that on_row did without */
	return err;
}

int state_parse(const struct state_text *from,
		const struct state_format *format, state_on_row on_row,
		void *user, char **ret_err)
{
	struct reading r = {
		.row = { .format = format, .file = from->name },
		.on_row = on_row,
		.user = user,
	};
	char *copy = xmalloc(from->len + 1);
	int err;

	memcpy(copy, from->text, from->len);
	copy[from->len] = '\0';
	err = parse(&r, copy, from->len, ret_err);
	free(copy);
	return err;
}

int state_load(const char *path, const struct state_format *format,
	       state_on_row on_row, void *user, char **ret_err)
{
	struct reading r = {
		.row = { .format = format, .file = path },
		.on_row = on_row,
		.user = user,
	};
	struct buf text = { 0 };
	int err = file_read(path, STATE_FILE_MAX, &text);

	if (err == 0 && (err = buf_append(&text, "", 1)) == 0)
		err = parse(&r, (char *)text.data + text.off, text.len - 1,
			    ret_err);
	else if (err != -ENOENT)
		*ret_err = xasprintf("%s: error: cannot be read: %s", path,
				     err_text(err));
	buf_done(&text);
	return err;
}

const char *state_get(const struct state_row *row, const char *key)
{
	for (size_t i = 0; i < row->len; i++)
		if (strcmp(row->fields[i].key, key) == 0)
			return row->fields[i].value;
	return NULL;
}

int state_refuse(struct state_row *row, const char *key, const char *text)
{
	return complain(row, "'%s' %s", key, text);
}

int state_str(struct state_row *row, const char *key, const char **ret)
{
	const char *value = state_get(row, key);

	if (value == NULL)
		return state_refuse(row, key, "is missing");
	*ret = value;
	return 0;
}

int state_int(struct state_row *row, const char *key, int64_t min, int64_t max,
	      int64_t *ret)
{
	const char *text;
	char shown[QUOTE_CAP];
	uint64_t size = 0, most;
	bool is_below;
	int64_t v;
	int err = state_str(row, key, &text);

	if (err != 0)
		return err;
	is_below = text[0] == '-';
	most = is_below ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
	err = parse_u64(text + is_below, is_below, most, &size);
	if (err == RW_ERR_FORMAT)
		return complain(row, "'%s' must be a decimal number, not '%s'",
				key, quote(text, shown));
	v = is_below ? (int64_t)(0 - size) : (int64_t)size;
	if (err != 0 || v < min || v > max)
		return complain(row,
				"'%s' must be between %" PRId64 " and %" PRId64
				", not %s",
				key, min, max, quote(text, shown));
	*ret = v;
	return 0;
}

int state_time(struct state_row *row, const char *key, int64_t *ret)
{
	return state_int(row, key, 0, STATE_TIME_MAX, ret);
}

int state_bool(struct state_row *row, const char *key, bool *ret)
{
	const char *text = state_get(row, key);
	char shown[QUOTE_CAP];

	if (text != NULL && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return complain(row, "'%s' must be yes or no, not '%s'", key,
				quote(text, shown));
	*ret = text != NULL && strcmp(text, "yes") == 0;
	return 0;
}

static void keep_err(struct state_writer *w, int err)
{
	if (w->err == 0)
		w->err = err;
}

void state_begin(struct state_writer *w, const struct state_format *format)
{
	*w = (struct state_writer){ .format = format };
	keep_err(w, buf_printf(&w->text, "# rigway %s %d\n", format->kind,
			       format->version));
}

/* Ends the row that is being written, if there is one. */
static void end_row(struct state_writer *w)
{
	size_t len;

	if (w->rows == 0)
		return;
	buf_peek(&w->text, &len);
	if (w->fields > STATE_FIELDS_MAX ||
	    len - w->line_start > STATE_LINE_MAX)
		keep_err(w, RW_ERR_LIMIT);
	keep_err(w, buf_append(&w->text, "\n", 1));
}

void state_add_row(struct state_writer *w)
{
	end_row(w);
	if (++w->rows > w->format->max_rows)
		keep_err(w, RW_ERR_LIMIT);
	w->fields = 0;
	buf_peek(&w->text, &w->line_start);
}

static void add_quoted(struct state_writer *w, const char *value)
{
	struct buf *b = &w->text;

	keep_err(w, buf_append(b, "\"", 1));
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\')
			keep_err(w, buf_printf(b, "\\%c", c));
		else if (c == '\n' || c == '\t' || c == '\r')
			keep_err(w, buf_printf(b, "\\%c",
					       c == '\n'   ? 'n'
					       : c == '\t' ? 't'
							   : 'r'));
		else if (c < ' ' || c == 0x7f)
			keep_err(w, buf_printf(b, "\\x%02x", c));
		else
			keep_err(w, buf_append(b, value, 1));
	}
	keep_err(w, buf_append(b, "\"", 1));
}

void state_add_str(struct state_writer *w, const char *key, const char *value)
{
	CHECK(w->rows > 0);
	CHECK(has_key(w->format, key));
	if (value == NULL || w->err != 0)
		return;
	keep_err(w, buf_printf(&w->text, "%s%s=", w->fields++ > 0 ? " " : "",
			       key));
	if (value[0] == '\0' || value[strspn(value, bare)] != '\0')
		add_quoted(w, value);
	else
		keep_err(w, buf_append(&w->text, value, strlen(value)));
}

void state_add_int(struct state_writer *w, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	state_add_str(w, key, text);
}

void state_add_bool(struct state_writer *w, const char *key, bool value)
{
	state_add_str(w, key, value ? "yes" : NULL);
}

int state_commit(struct state_writer *w, const char *path)
{
	uint8_t *data;
	size_t len;
	int err;

	end_row(w);
	data = buf_peek(&w->text, &len);
	if (len > STATE_FILE_MAX)
		keep_err(w, RW_ERR_LIMIT);
	err = w->err != 0 ? w->err : file_write_atomic(path, data, len, 0600);
	state_drop(w);
	return err;
}

void state_drop(struct state_writer *w)
{
	buf_done(&w->text);
	*w = (struct state_writer){ 0 };
}

/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

void json_init(struct json *j, struct buf *out)
{
	*j = (struct json){ .out = out };
}

static void json_raw(struct json *j, const char *text, size_t len)
{
	if (j->err == 0)
		j->err = buf_append(j->out, text, len);
}

static uint32_t json_bit(const struct json *j)
{
	return UINT32_C(1) << (j->depth - 1);
}

/* The comma before an item of the innermost object or array. */
static void json_comma(struct json *j)
{
	if (j->depth == 0)
		return;
	if (j->has_item & json_bit(j))
		json_raw(j, ",", 1);
	j->has_item |= json_bit(j);
}

/* What comes before a value: nothing after a key, else perhaps a comma. */
static void json_before_value(struct json *j)
{
	bool in_obj = j->depth > 0 && (j->is_obj & json_bit(j)) != 0;

	CHECK(in_obj == j->after_key);
	if (j->after_key)
		j->after_key = false;
	else
		json_comma(j);
}

static void json_begin(struct json *j, const char *sign, bool is_obj)
{
	json_before_value(j);
	CHECK(j->depth < JSON_DEPTH_MAX);
	j->depth++;
	j->has_item &= ~json_bit(j);
	j->is_obj &= ~json_bit(j);
	if (is_obj)
		j->is_obj |= json_bit(j);
	json_raw(j, sign, 1);
}

static void json_close(struct json *j, const char *sign, bool is_obj)
{
	CHECK(j->depth > 0 && !j->after_key);
	CHECK(((j->is_obj & json_bit(j)) != 0) == is_obj);
	j->depth--;
	json_raw(j, sign, 1);
}

void json_obj_begin(struct json *j)
{
	json_begin(j, "{", true);
}

void json_obj_end(struct json *j)
{
	json_close(j, "}", true);
}

void json_arr_begin(struct json *j)
{
	json_begin(j, "[", false);
}

void json_arr_end(struct json *j)
{
	json_close(j, "]", false);
}

static void json_escape_ascii(struct json *j, char c)
{
	static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char text[8];

	for (size_t i = 0; i + 1 < sizeof(named) - 1; i += 2) {
		if (named[i] != c)
			continue;
		text[0] = '\\';
		text[1] = named[i + 1];
		json_raw(j, text, 2);
		return;
	}
	snprintf(text, sizeof(text), "\\u%04x", (unsigned)(uint8_t)c);
	json_raw(j, text, 6);
}

static bool json_is_plain(char c)
{
	return (uint8_t)c >= ' ' && (uint8_t)c < 0x7f && c != '"' && c != '\\';
}

static void json_quoted(struct json *j, const char *s, size_t len)
{
	json_raw(j, "\"", 1);
	for (size_t i = 0; i < len;) {
		size_t n = 0;

		while (i + n < len && json_is_plain(s[i + n]))
			n++;
		json_raw(j, s + i, n);
		i += n;
		if (i >= len)
			break;
		if ((uint8_t)s[i] < 0x80) {
			json_escape_ascii(j, s[i++]);
			continue;
		}
		n = str_utf8_len(s + i, len - i);
		if (n > 0)
			json_raw(j, s + i, n);
		else
			json_raw(j, "\xef\xbf\xbd", 3);
		i += n > 0 ? n : 1;
	}
	json_raw(j, "\"", 1);
}

void json_key(struct json *j, const char *key)
{
	CHECK(j->depth > 0 && (j->is_obj & json_bit(j)) && !j->after_key);
	json_comma(j);
	json_quoted(j, key, strlen(key));
	json_raw(j, ":", 1);
	j->after_key = true;
}

void json_strn(struct json *j, const char *s, size_t len)
{
	json_before_value(j);
	json_quoted(j, s, len);
}

void json_str(struct json *j, const char *s)
{
	if (s == NULL)
		json_put_null(j);
	else
		json_strn(j, s, strlen(s));
}

static void json_word(struct json *j, const char *word)
{
	json_before_value(j);
	json_raw(j, word, strlen(word));
}

void json_int(struct json *j, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, v);
	json_word(j, text);
}

void json_uint(struct json *j, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, v);
	json_word(j, text);
}

/* The shortest of two forms that reads back as the same number. A locale with a
 * decimal comma is undone. */
void json_double(struct json *j, double v)
{
	char text[40];

	if (!isfinite(v)) {
		json_put_null(j);
		return;
	}
	snprintf(text, sizeof(text), "%.15g", v);
	if (strtod(text, NULL) < v || strtod(text, NULL) > v)
		snprintf(text, sizeof(text), "%.17g", v);
	for (char *p = text; *p != '\0'; p++)
		if (*p == ',')
			*p = '.';
	json_word(j, text);
}

void json_bool(struct json *j, bool v)
{
	json_word(j, v ? "true" : "false");
}

void json_put_null(struct json *j)
{
	json_word(j, "null");
}

int json_end(struct json *j)
{
	CHECK(j->depth == 0 && !j->after_key);
	return j->err;
}

void json_key_str(struct json *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_key_int(struct json *j, const char *key, int64_t v)
{
	json_key(j, key);
	json_int(j, v);
}

void json_key_uint(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_uint(j, v);
}

void json_key_bool(struct json *j, const char *key, bool v)
{
	json_key(j, key);
	json_bool(j, v);
}

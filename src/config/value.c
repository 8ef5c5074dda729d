/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/quote.h"
#include "config/settings.h"

/* The field of row in s; the row's type says what it is. */
static void *field(const struct setting *row, const struct settings *s)
{
	return (char *)(uintptr_t)s + row->offset;
}

/* Says what the value must be and what it is. */
static int refuse(const struct setting *row, const char *must_be,
		  const char *text, char **ret_err)
{
	char shown[QUOTE_CAP];

	*ret_err = xasprintf("'%s' must be %s, not '%s'", row->name, must_be,
			     quote(text, shown));
	return RW_ERR_FORMAT;
}

/* A number in the unit that it is typed in, as short as it can be said. */
static char *number_text(const struct setting *row, uint64_t v)
{
	static const struct {
		const char *unit;
		uint64_t size;
	} durations[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 } },
	  sizes[] = { { "GiB", 1 << 30 },
		      { "MiB", 1 << 20 },
		      { "KiB", 1 << 10 } };

	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		if (row->type == SETTING_DURATION && v != 0 &&
		    v % durations[i].size == 0)
			return xasprintf("%" PRIu64 "%s", v / durations[i].size,
					 durations[i].unit);
		if (row->type == SETTING_BYTES && v != 0 &&
		    v % sizes[i].size == 0)
			return xasprintf("%" PRIu64 "%s", v / sizes[i].size,
					 sizes[i].unit);
	}
	if (row->type == SETTING_DURATION)
		return xasprintf("%" PRIu64 "%s", v, v != 0 ? "ms" : "s");
	return xasprintf("%" PRIu64, v);
}

static int refuse_range(const struct setting *row, const char *text,
			char **ret_err)
{
	char *least = number_text(row, (uint64_t)row->min);
	char *most = number_text(row, (uint64_t)row->max);
	char *must_be = xasprintf("between %s and %s", least, most);
	int err = refuse(row, must_be, text, ret_err);

	free(least);
	free(most);
	free(must_be);
	return err;
}

static bool is_in_range(const struct setting *row, uint64_t v)
{
	return v >= (uint64_t)row->min && v <= (uint64_t)row->max;
}

static int read_bool(const struct setting *row, struct settings *s,
		     const char *text, char **ret_err)
{
	bool yes = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0;

	if (!yes && strcmp(text, "false") != 0 && strcmp(text, "no") != 0)
		return refuse(row, "true, false, yes or no", text, ret_err);
	*(bool *)field(row, s) = yes;
	return 0;
}

static int read_int(const struct setting *row, struct settings *s,
		    const char *text, char **ret_err)
{
	uint64_t v = 0;
	int err = parse_u64(text, (uint64_t)row->min, (uint64_t)row->max, &v);

	if (err == RW_ERR_LIMIT)
		return refuse_range(row, text, ret_err);
	if (err != 0)
		return refuse(row, "a decimal number without leading zeros",
			      text, ret_err);
	*(int *)field(row, s) = (int)v;
	return 0;
}

static int read_duration(const struct setting *row, struct settings *s,
			 const char *text, char **ret_err)
{
	uint64_t ms = 0;
	int err = parse_duration(text, &ms);

	if (err == RW_ERR_LIMIT || (err == 0 && !is_in_range(row, ms)))
		return refuse_range(row, text, ret_err);
	if (err != 0)
		return refuse(row,
			      "a time with its unit, such as 500ms, 30s "
			      "or 24h",
			      text, ret_err);
	*(uint64_t *)field(row, s) = ms;
	return 0;
}

static int read_bytes(const struct setting *row, struct settings *s,
		      const char *text, char **ret_err)
{
	uint64_t bytes = 0;
	int err = parse_bytes(text, &bytes);

	if (err == RW_ERR_LIMIT || (err == 0 && !is_in_range(row, bytes)))
		return refuse_range(row, text, ret_err);
	if (err != 0)
		return refuse(row, "a size, such as 64KiB or 16MiB", text,
			      ret_err);
	*(uint64_t *)field(row, s) = bytes;
	return 0;
}

static int read_choice(const struct setting *row, struct settings *s,
		       const char *text, char **ret_err)
{
	struct buf must_be = { 0 };
	int err;

	for (int i = 0; row->words[i] != NULL; i++) {
		if (strcmp(row->words[i], text) == 0) {
			buf_done(&must_be);
			*(int *)field(row, s) = i;
			return 0;
		}
		buf_printf(&must_be, "%s%s",
			   i == 0		       ? ""
			   : row->words[i + 1] != NULL ? ", "
						       : " or ",
			   row->words[i]);
	}
	err = refuse(row, buf_text(&must_be), text, ret_err);
	buf_done(&must_be);
	return err;
}

static void put_string(const struct setting *row, struct settings *s,
		       const char *text)
{
	char **at = field(row, s);

	free(*at);
	*at = xstrdup(text);
}

static int read_label(const struct setting *row, struct settings *s,
		      const char *text, char **ret_err)
{
	if (text[0] != '\0' && !str_is_name(text))
		return refuse(row,
			      "1 to 63 letters, digits, '.', '_' and '-', "
			      "beginning with a letter or digit",
			      text, ret_err);
	put_string(row, s, text);
	return 0;
}

static int read_path(const struct setting *row, struct settings *s,
		     const char *text, char **ret_err)
{
	if ((text[0] != '\0' && text[0] != '/') ||
	    !str_is_clean(text, strlen(text)))
		return refuse(row, "a path that begins with '/'", text,
			      ret_err);
	put_string(row, s, text);
	return 0;
}

/* A numeric address; a v6 one may name its link ("fe80::1%eth0"). */
static bool is_ip(const char *text)
{
	unsigned char out[sizeof(struct in6_addr)];
	char addr[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");

	if (inet_pton(AF_INET, text, out) == 1)
		return true;
	if (len >= sizeof(addr) || (text[len] == '%' && text[len + 1] == '\0'))
		return false;
	memcpy(addr, text, len);
	addr[len] = '\0';
	return inet_pton(AF_INET6, addr, out) == 1;
}

static int read_ip(const struct setting *row, struct settings *s,
		   const char *text, char **ret_err)
{
	if (!is_ip(text))
		return refuse(row,
			      "a numeric address, such as 127.0.0.1 or ::1",
			      text, ret_err);
	put_string(row, s, text);
	return 0;
}

/* Reads "ADDR:PORT" of something to listen on: the address is numeric,
 * localhost, or * for all; port 0 is any free one. */
static bool parse_listen(const char *text, struct hostport *ret)
{
	size_t len = strlen(text);
	char copy[HOSTPORT_CAP];
	bool any_port = len >= 2 && strcmp(text + len - 2, ":0") == 0;

	/* A port alone is one on every address. */
	if (parse_port(text, &ret->port) == 0) {
		ret->host[0] = '\0';
		return true;
	}
	if (!str_copy(copy, sizeof(copy), text))
		return false;
	if (any_port)
		copy[len - 1] = '1';
	if (parse_hostport(copy, 0, ret) != 0)
		return false;
	if (any_port)
		ret->port = 0;
	if (strcmp(ret->host, "*") == 0)
		ret->host[0] = '\0';
	return ret->host[0] == '\0' || strcmp(ret->host, "localhost") == 0 ||
	       is_ip(ret->host);
}

/* Reads "HOST" or "HOST:PORT" of something to be reached at. */
static bool parse_name(const char *text, struct hostport *ret)
{
	if (parse_hostport(text, 0, ret) == 0)
		return true;
	/* Any default will do: it tells the text without a port. */
	if (parse_hostport(text, 1, ret) != 0)
		return false;
	ret->port = 0;
	return true;
}

static int refuse_count(const struct setting *row, char **ret_err)
{
	*ret_err = xasprintf("'%s' takes at most %d items", row->name,
			     (int)row->max);
	return RW_ERR_FORMAT;
}

static int read_addr(const struct setting *row, struct settings *s,
		     const char *text, char **ret_err)
{
	struct setting_addrs *list = field(row, s);
	struct hostport hp = { .port = 0 };

	if (row->type == SETTING_LISTEN && !parse_listen(text, &hp))
		return refuse(row,
			      "PORT or ADDRESS:PORT, such as 7443, "
			      "0.0.0.0:443 or [::]:443",
			      text, ret_err);
	if (row->type == SETTING_NAMES && !parse_name(text, &hp))
		return refuse(row, "HOST or HOST:PORT", text, ret_err);
	if (list->len >= (size_t)row->max)
		return refuse_count(row, ret_err);
	list->items =
		xrealloc(list->items, (list->len + 1) * sizeof(list->items[0]));
	list->items[list->len++] = (struct setting_addr){
		.host = xstrdup(hp.host),
		.port = hp.port,
	};
	return 0;
}

static int read_string(const struct setting *row, struct settings *s,
		       const char *text, char **ret_err)
{
	struct setting_list *list = field(row, s);

	if (!str_is_clean(text, strlen(text)))
		return refuse(row, "text without control characters", text,
			      ret_err);
	if (list->len >= (size_t)row->max)
		return refuse_count(row, ret_err);
	list->items =
		xrealloc(list->items, (list->len + 1) * sizeof(list->items[0]));
	list->items[list->len++] = xstrdup(text);
	return 0;
}

bool value_is_list(const struct setting *row)
{
	return row->type == SETTING_LISTEN || row->type == SETTING_NAMES ||
	       row->type == SETTING_STRINGS;
}

int value_read(const struct setting *row, struct settings *s, const char *text,
	       char **ret_err)
{
	switch (row->type) {
	case SETTING_BOOL: return read_bool(row, s, text, ret_err);
	case SETTING_INT: return read_int(row, s, text, ret_err);
	case SETTING_DURATION: return read_duration(row, s, text, ret_err);
	case SETTING_BYTES: return read_bytes(row, s, text, ret_err);
	case SETTING_CHOICE: return read_choice(row, s, text, ret_err);
	case SETTING_LABEL: return read_label(row, s, text, ret_err);
	case SETTING_IP: return read_ip(row, s, text, ret_err);
	case SETTING_PATH: return read_path(row, s, text, ret_err);
	case SETTING_LISTEN:
	case SETTING_NAMES: return read_addr(row, s, text, ret_err);
	case SETTING_STRINGS: return read_string(row, s, text, ret_err);
	}
	*ret_err = xasprintf("'%s' is of no known type", row->name);
	return RW_ERR_FORMAT;
}

int value_read_all(const struct setting *row, struct settings *s,
		   const char *text, char **ret_err)
{
	struct settings next = { 0 };
	char *copy, *rest, *item;
	int err = 0;

	if (!value_is_list(row))
		return value_read(row, s, text, ret_err);
	/* Read into another struct first: a wrong item changes nothing. */
	rest = copy = xstrdup(text);
	while (err == 0 && text[0] != '\0' &&
	       (item = strsep(&rest, ",")) != NULL)
		err = value_read(row, &next, item, ret_err);
	free(copy);
	if (err != 0) {
		value_clear(row, &next);
		return err;
	}
	value_clear(row, s);
	if (row->type == SETTING_STRINGS)
		*(struct setting_list *)field(row, s) =
			*(struct setting_list *)field(row, &next);
	else
		*(struct setting_addrs *)field(row, s) =
			*(struct setting_addrs *)field(row, &next);
	return 0;
}

void value_clear(const struct setting *row, struct settings *s)
{
	struct setting_addrs *addrs = field(row, s);
	struct setting_list *list = field(row, s);
	char **text = field(row, s);

	switch (row->type) {
	case SETTING_LABEL:
	case SETTING_IP:
	case SETTING_PATH:
		free(*text);
		*text = NULL;
		break;
	case SETTING_LISTEN:
	case SETTING_NAMES:
		for (size_t i = 0; i < addrs->len; i++)
			free(addrs->items[i].host);
		free(addrs->items);
		*addrs = (struct setting_addrs){ 0 };
		break;
	case SETTING_STRINGS:
		for (size_t i = 0; i < list->len; i++)
			free(list->items[i]);
		free(list->items);
		*list = (struct setting_list){ 0 };
		break;
	case SETTING_BOOL:
	case SETTING_INT:
	case SETTING_DURATION:
	case SETTING_BYTES:
	case SETTING_CHOICE: break;
	}
}

static char *addr_text(const struct setting *row, const struct setting_addr *a)
{
	const char *host = a->host[0] != '\0' ? a->host : "*";
	bool is_v6 = strchr(host, ':') != NULL;

	if (row->type == SETTING_NAMES && a->port == 0)
		return xasprintf(is_v6 ? "[%s]" : "%s", host);
	return xasprintf(is_v6 ? "[%s]:%u" : "%s:%u", host, a->port);
}

char *value_item(const struct setting *row, const struct settings *s, size_t i)
{
	const struct setting_addrs *addrs = field(row, s);
	const struct setting_list *list = field(row, s);
	const void *at = field(row, s);

	if (!value_is_list(row) && i > 0)
		return NULL;
	switch (row->type) {
	case SETTING_BOOL: return xstrdup(*(const bool *)at ? "true" : "false");
	case SETTING_INT: return xasprintf("%d", *(const int *)at);
	case SETTING_DURATION:
	case SETTING_BYTES: return number_text(row, *(const uint64_t *)at);
	case SETTING_CHOICE: return xstrdup(row->words[*(const int *)at]);
	case SETTING_LABEL:
	case SETTING_IP:
	case SETTING_PATH: return xstrdup(*(char *const *)at);
	case SETTING_LISTEN:
	case SETTING_NAMES:
		return i < addrs->len ? addr_text(row, &addrs->items[i]) : NULL;
	case SETTING_STRINGS:
		return i < list->len ? xstrdup(list->items[i]) : NULL;
	}
	return NULL;
}

char *value_text(const struct setting *row, const struct settings *s)
{
	struct buf all = { 0 };
	char *item, *text;

	if (!value_is_list(row))
		return value_item(row, s, 0);
	for (size_t i = 0; (item = value_item(row, s, i)) != NULL; i++) {
		buf_printf(&all, i > 0 ? ",%s" : "%s", item);
		free(item);
	}
	text = xstrdup(buf_text(&all));
	buf_done(&all);
	return text;
}

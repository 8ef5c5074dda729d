/* SPDX-License-Identifier: MIT */
#include "base/parse.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/err.h"

/* Digits at *at, which moves behind them. RW_ERR_FORMAT when there are none or
 * a leading zero, RW_ERR_LIMIT when they do not fit. */
static int parse_digits(const char **at, uint64_t *ret)
{
	const char *p = *at;
	uint64_t v = 0;

	if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return RW_ERR_FORMAT;
	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return RW_ERR_LIMIT;
		v = v * 10 + digit;
	}
	*at = p;
	*ret = v;
	return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int err = parse_digits(&text, &v);

	if (err != 0)
		return err;
	if (*text != '\0')
		return RW_ERR_FORMAT;
	if (v < min || v > max)
		return RW_ERR_LIMIT;
	*ret = v;
	return 0;
}

int parse_port(const char *text, uint16_t *ret)
{
	uint64_t v;
	int err = parse_u64(text, 1, UINT16_MAX, &v);

	if (err == 0)
		*ret = (uint16_t)v;
	return err;
}

/* Where the host of text lies and where its port, if any, begins. */
struct hostport_parts {
	const char *host;
	size_t host_len;
	const char *port; /* NULL when there is none */
};

static int hostport_split(const char *text, struct hostport_parts *ret)
{
	const char *colon = strchr(text, ':');

	if (text[0] == '[') {
		const char *end = strchr(text, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':') ||
		    memchr(text, ':', (size_t)(end - text)) == NULL)
			return RW_ERR_FORMAT;
		*ret = (struct hostport_parts){
			.host = text + 1,
			.host_len = (size_t)(end - text) - 1,
			.port = end[1] == ':' ? end + 2 : NULL,
		};
		return 0;
	}
	/* Two colons without brackets: a bare v6 address. */
	if (colon == NULL || strchr(colon + 1, ':') != NULL)
		*ret = (struct hostport_parts){ .host = text,
						.host_len = strlen(text) };
	else
		*ret = (struct hostport_parts){
			.host = text,
			.host_len = (size_t)(colon - text),
			.port = colon + 1,
		};
	return 0;
}

static bool is_host_char(char c)
{
	return c > ' ' && c <= '~' && strchr("/@[]\"'\\`<>,", c) == NULL;
}

/* Hex groups, colons, a v4 tail and a scope; the resolver judges the rest. */
static bool is_v6_text(const char *host, size_t len)
{
	const char *scope = memchr(host, '%', len);
	size_t n = scope != NULL ? (size_t)(scope - host) : len;

	for (size_t i = 0; i < n; i++)
		if (memchr("0123456789abcdefABCDEF:.", host[i], 24) == NULL)
			return false;
	return scope == NULL || len > n + 1;
}

int parse_hostport(const char *text, uint16_t default_port,
		   struct hostport *ret)
{
	struct hostport_parts parts;
	uint16_t port = default_port;
	int err = hostport_split(text, &parts);

	if (err != 0)
		return err;
	if (parts.host_len == 0)
		return RW_ERR_FORMAT;
	if (parts.host_len > HOST_MAX)
		return RW_ERR_LIMIT;
	for (size_t i = 0; i < parts.host_len; i++)
		if (!is_host_char(parts.host[i]))
			return RW_ERR_FORMAT;
	if (memchr(parts.host, ':', parts.host_len) != NULL &&
	    !is_v6_text(parts.host, parts.host_len))
		return RW_ERR_FORMAT;
	if (parts.port != NULL)
		err = parse_port(parts.port, &port);
	else if (default_port == 0)
		err = RW_ERR_FORMAT;
	if (err != 0)
		return err;
	*ret = (struct hostport){ .port = port };
	memcpy(ret->host, parts.host, parts.host_len);
	return 0;
}

static const struct duration_unit {
	const char *name;
	uint64_t ms;
} duration_units[] = {
	{ "w", 7 * 86400000ull }, { "d", 86400000 }, { "h", 3600000 },
	{ "m", 60000 },		  { "s", 1000 },     { "ms", 1 },
};

#define DURATION_MAX_MS (1000ull * 365 * 86400000)

/* The row of the unit at *at, which moves behind it. */
static const struct duration_unit *duration_unit_at(const char **at)
{
	size_t len = strspn(*at, "abcdefghijklmnopqrstuvwxyz");

	for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
		const struct duration_unit *u = &duration_units[i];

		if (strlen(u->name) != len || memcmp(u->name, *at, len) != 0)
			continue;
		*at += len;
		return u;
	}
	return NULL;
}

int parse_duration(const char *text, uint64_t *ret_ms)
{
	const struct duration_unit *last = NULL;
	uint64_t total = 0;

	if (strcmp(text, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	do {
		uint64_t v;
		int err = parse_digits(&text, &v);

		if (err != 0)
			return err;
		const struct duration_unit *u = duration_unit_at(&text);

		/* The rows fall, so a later part has a later row. */
		if (u == NULL || (last != NULL && u <= last))
			return RW_ERR_FORMAT;
		if (v > DURATION_MAX_MS / u->ms ||
		    total + v * u->ms > DURATION_MAX_MS)
			return RW_ERR_LIMIT;
		total += v * u->ms;
		last = u;
	} while (*text != '\0');
	*ret_ms = total;
	return 0;
}

int parse_bytes(const char *text, uint64_t *ret)
{
	static const struct {
		const char *name;
		unsigned shift;
	} units[] = {
		{ "", 0 },   { "B", 0 },    { "K", 10 }, { "KiB", 10 },
		{ "M", 20 }, { "MiB", 20 }, { "G", 30 }, { "GiB", 30 },
		{ "T", 40 }, { "TiB", 40 },
	};
	uint64_t v;
	int err = parse_digits(&text, &v);

	if (err != 0)
		return err;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcasecmp(text, units[i].name) != 0)
			continue;
		if (v > UINT64_MAX >> units[i].shift)
			return RW_ERR_LIMIT;
		*ret = v << units[i].shift;
		return 0;
	}
	return RW_ERR_FORMAT;
}

/* SPDX-License-Identifier: MIT */
#include "client/target.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define PARTS_MAX     4
#define HOST_TOO_LONG "the name of the host is longer than 255 characters"

struct parts {
	char text[PARTS_MAX][HOST_MAX + 1];
	bool bracketed[PARTS_MAX];
	size_t count;
	const char *path; /* what follows the last ':' and begins with '/' */
	bool is_too_long; /* one part is, and split() failed for it */
};

static int refuse(char **ret_err, const char *text, const char *why)
{
	*ret_err = xasprintf("'%s': %s", text, why);
	return RW_ERR_FORMAT;
}

static bool is_number(const char *s)
{
	return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

/* Copies one part, which ends at ':' or the end; returns what follows it. */
static const char *cut_part(const char *at, struct parts *p)
{
	const char *from = at, *end;
	char *out = p->text[p->count];

	p->bracketed[p->count] = *at == '[';
	if (*at == '[') {
		from = at + 1;
		end = strchr(from, ']');
		if (end == NULL || (end[1] != ':' && end[1] != '\0'))
			return NULL;
		at = end + 1;
	} else {
		end = at += strcspn(at, ":");
	}
	p->is_too_long = end - from > HOST_MAX;
	if (p->is_too_long)
		return NULL;
	memcpy(out, from, (size_t)(end - from));
	out[end - from] = '\0';
	return at;
}

/* Cuts text at each ':' outside of brackets; false when it cannot be. */
static bool split(const char *text, struct parts *p)
{
	const char *at = text;

	memset(p, 0, sizeof(*p));
	for (;;) {
		if (*at == '/' && p->count > 0) {
			p->path = at;
			return true;
		}
		if (p->count == PARTS_MAX)
			return false;
		at = cut_part(at, p);
		if (at == NULL)
			return false;
		p->count++;
		if (*at == '\0')
			return true;
		at++;
	}
}

/* Whether a listener can be asked to listen there. */
static bool is_bind(const char *s)
{
	struct in6_addr addr;

	return *s == '\0' || strcmp(s, "*") == 0 ||
	       strcmp(s, "localhost") == 0 ||
	       inet_pton(AF_INET, s, &addr) == 1 ||
	       inet_pton(AF_INET6, s, &addr) == 1;
}

static int set_tcp(const char *text, const char *host, uint16_t port,
		   struct target *ret, char **ret_err)
{
	struct hostport check;
	char both[HOSTPORT_CAP];

	format_hostport(host, port, both);
	if (parse_hostport(both, 0, &check) < 0)
		return refuse(ret_err, text, "there is no such host");
	ret->kind = STREAM_TCP;
	str_copy(ret->to, sizeof(ret->to), both);
	return 0;
}

static int set_path(const char *text, const char *path, struct target *ret,
		    char **ret_err)
{
	if (strlen(path) > STREAM_TARGET_MAX)
		return refuse(ret_err, text, "the path is too long");
	ret->kind = STREAM_UNIX;
	str_copy(ret->to, sizeof(ret->to), path);
	return 0;
}

#define SPEC_FORMS                                                             \
	"expected [BIND:]PORT, [BIND:]PORT:HOST or [BIND:]PORT:HOST:PORT"

static int read_port(const char *text, const char *part, uint16_t *ret,
		     char **ret_err)
{
	if (!is_number(part))
		return refuse(ret_err, text, SPEC_FORMS);
	if (parse_port(part, ret) < 0)
		return refuse(ret_err, text, "a port is 1 to 65535");
	return 0;
}

/* What stands behind the local port, parts i and on. */
static int read_far_end(const char *text, const struct parts *p, size_t i,
			struct target_spec *ret, char **ret_err)
{
	size_t left = p->count - i;
	uint16_t port = ret->port;
	int err;

	if (p->path != NULL)
		return left == 0
			       ? set_path(text, p->path, &ret->target, ret_err)
			       : refuse(ret_err, text, SPEC_FORMS);
	if (left == 0)
		return set_tcp(text, "127.0.0.1", port, &ret->target, ret_err);
	if (left == 1 && is_number(p->text[i]) && !p->bracketed[i]) {
		err = read_port(text, p->text[i], &port, ret_err);
		if (err < 0)
			return err;
		return set_tcp(text, "127.0.0.1", port, &ret->target, ret_err);
	}
	if (left == 2) {
		err = read_port(text, p->text[i + 1], &port, ret_err);
		if (err < 0)
			return err;
	}
	if (left > 2 || p->text[i][0] == '\0')
		return refuse(ret_err, text, SPEC_FORMS);
	return set_tcp(text, p->text[i], port, &ret->target, ret_err);
}

int target_parse_spec(const char *text, struct target_spec *ret, char **ret_err)
{
	struct target_spec spec = { .port = 0 };
	struct parts p;
	size_t i = 0;
	int err;

	if (!split(text, &p))
		return refuse(ret_err, text,
			      p.is_too_long ? HOST_TOO_LONG
					    : SPEC_FORMS
				      "; put [ ] around a v6 address");
	/* The first part is a port, or where to listen before one. */
	if (p.count > 1 && (p.bracketed[0] || !is_number(p.text[0]))) {
		if (!is_bind(p.text[0])) {
			*ret_err = xasprintf("'%s': '%s' is neither a port nor "
					     "an address to listen on",
					     text, p.text[0]);
			return RW_ERR_FORMAT;
		}
		str_copy(spec.bind, sizeof(spec.bind),
			 p.text[0][0] != '\0' ? p.text[0] : "*");
		i = 1;
	}
	err = read_port(text, p.text[i], &spec.port, ret_err);
	if (err == 0)
		err = read_far_end(text, &p, i + 1, &spec, ret_err);
	if (err < 0)
		return err;
	*ret = spec;
	return 0;
}

/* Whether host is what ssh calls the rig: NAME.rig. */
static bool is_rig_host(const char *host, const char *rig)
{
	size_t len = strlen(rig);

	return strncasecmp(host, rig, len) == 0 &&
	       strcasecmp(host + len, ".rig") == 0;
}

int target_parse_dest(const char *text, const char *rig, struct target *ret,
		      char **ret_err)
{
	struct target t = { .kind = STREAM_TCP };
	struct hostport hp;
	uint16_t port;
	int err;

	if (text[0] == '/') {
		err = set_path(text, text, &t, ret_err);
	} else if (strcmp(text, "ssh") == 0) {
		t.kind = STREAM_SERVICE;
		err = 0;
		str_copy(t.to, sizeof(t.to), "ssh");
	} else if (is_number(text)) {
		if (parse_port(text, &port) < 0)
			return refuse(ret_err, text, "a port is 1 to 65535");
		err = set_tcp(text, "127.0.0.1", port, &t, ret_err);
	} else if ((err = parse_hostport(text, 0, &hp)) < 0) {
		return refuse(ret_err, text,
			      err == RW_ERR_LIMIT && strlen(text) > HOST_MAX
				      ? HOST_TOO_LONG
				      : "expected HOST:PORT");
	} else if (!is_rig_host(hp.host, rig)) {
		err = set_tcp(text, hp.host, hp.port, &t, ret_err);
	} else if (hp.port == 22) {
		t.kind = STREAM_SERVICE;
		err = 0;
		str_copy(t.to, sizeof(t.to), "ssh");
	} else {
		err = set_tcp(text, "127.0.0.1", hp.port, &t, ret_err);
	}
	if (err == 0)
		*ret = t;
	return err;
}

char *target_format_spec(const struct target_spec *spec,
			 char out[static TARGET_SPEC_CAP])
{
	char front[HOSTPORT_CAP];

	if (spec->bind[0] != '\0')
		format_hostport(spec->bind, spec->port, front);
	else
		snprintf(front, sizeof(front), "%u", (unsigned)spec->port);
	snprintf(out, TARGET_SPEC_CAP, "%s:%s", front, spec->target.to);
	return out;
}

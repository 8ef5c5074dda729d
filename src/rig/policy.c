/* SPDX-License-Identifier: MIT */
#include "rig/policy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/str.h"

/* An address in its one form: a v4-mapped v6 address is the v4 one. */
struct ip {
	bool is_v6;
	uint8_t b[16]; /* 4 or 16 of them */
	uint16_t port;
};

static bool ip_from_sockaddr(const struct sockaddr *addr, struct ip *ret)
{
	struct ip ip = { 0 };

	if (addr->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, addr, sizeof(in));
		memcpy(ip.b, &in.sin_addr, 4);
		ip.port = ntohs(in.sin_port);
	} else if (addr->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, addr, sizeof(in6));
		ip.port = ntohs(in6.sin6_port);
		ip.is_v6 = !IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
		if (ip.is_v6)
			memcpy(ip.b, &in6.sin6_addr, 16);
		else
			memcpy(ip.b, in6.sin6_addr.s6_addr + 12, 4);
	} else {
		return false;
	}
	*ret = ip;
	return true;
}

static bool ip_from_hostport(const struct hostport *hp, struct ip *ret)
{
	struct ip ip = { .port = hp->port };
	struct in6_addr in6;

	if (inet_pton(AF_INET, hp->host, ip.b) == 1) {
		*ret = ip;
		return true;
	}
	if (inet_pton(AF_INET6, hp->host, &in6) != 1)
		return false;
	ip.is_v6 = !IN6_IS_ADDR_V4MAPPED(&in6);
	memcpy(ip.b, in6.s6_addr + (ip.is_v6 ? 0 : 12), ip.is_v6 ? 16 : 4);
	*ret = ip;
	return true;
}

static bool ip_is_loopback(const struct ip *ip)
{
	static const uint8_t v6[16] = { [15] = 1 };

	return ip->is_v6 ? memcmp(ip->b, v6, sizeof(v6)) == 0 : ip->b[0] == 127;
}

static bool ip_eq(const struct ip *a, const struct ip *b)
{
	return a->is_v6 == b->is_v6 && a->port == b->port &&
	       memcmp(a->b, b->b, a->is_v6 ? 16 : 4) == 0;
}

/* One item of a guest's list. */
enum service_form {
	SERVICE_NAME,
	SERVICE_PORT, /* of this machine */
	SERVICE_ADDR, /* a numeric address and a port */
	SERVICE_HOST, /* a host's name and a port */
	SERVICE_PATH,
};

struct service {
	enum service_form form;
	uint16_t port;
	struct hostport hp;
	struct ip ip;
};

static int service_parse(const char *text, struct service *ret)
{
	struct service s = { 0 };

	if (text[0] == '/')
		s.form = SERVICE_PATH;
	else if (parse_port(text, &s.port) == 0)
		s.form = SERVICE_PORT;
	else if (strspn(text, "0123456789") == strlen(text))
		return RW_ERR_FORMAT; /* a number, but no port */
	else if (str_is_name(text))
		s.form = SERVICE_NAME;
	else if (parse_hostport(text, 0, &s.hp) != 0)
		return RW_ERR_FORMAT;
	else if (strcasecmp(s.hp.host, "localhost") == 0)
		s = (struct service){ .form = SERVICE_PORT, .port = s.hp.port };
	else
		s.form = ip_from_hostport(&s.hp, &s.ip) ? SERVICE_ADDR
							: SERVICE_HOST;
	*ret = s;
	return 0;
}

/* Calls match for each item of a list until one says yes. */
static bool services_any(const char *list,
			 bool (*match)(const char *text,
				       const struct service *s,
				       const void *what),
			 const void *what)
{
	char copy[DEVICE_SERVICES_CAP], *save = NULL;
	struct service s;

	if (!str_copy(copy, sizeof(copy), list))
		return false;
	for (char *t = strtok_r(copy, ",", &save); t != NULL;
	     t = strtok_r(NULL, ",", &save))
		if (service_parse(t, &s) == 0 && match(t, &s, what))
			return true;
	return false;
}

/* What is judged: a target, and one of its addresses once it has them. */
struct wanted {
	const struct target *t;
	const struct ip *ip;
	uint16_t sshd_port;
};

static bool match_text(const char *text, const struct service *s,
		       const void *what)
{
	const struct wanted *w = what;
	const bool is_path = w->t->kind == STREAM_UNIX;

	return s->form == (is_path ? SERVICE_PATH : SERVICE_NAME) &&
	       strcmp(text, w->t->text) == 0;
}

/* By name only: could any address of it be allowed? */
static bool match_hostport(const char *text, const struct service *s,
			   const void *what)
{
	const struct wanted *w = what;
	const struct hostport *hp = &w->t->hp;

	switch (s->form) {
	case SERVICE_NAME:
		return strcmp(text, "ssh") == 0 && w->sshd_port != 0 &&
		       hp->port == w->sshd_port;
	case SERVICE_PORT: return hp->port == s->port;
	case SERVICE_ADDR: return hp->port == s->hp.port;
	case SERVICE_HOST:
		return hp->port == s->hp.port &&
		       strcasecmp(hp->host, s->hp.host) == 0;
	case SERVICE_PATH: return false;
	}
	return false;
}

static bool match_addr(const char *text, const struct service *s,
		       const void *what)
{
	const struct wanted *w = what;

	if (!match_hostport(text, s, what))
		return false;
	if (s->form == SERVICE_HOST)
		return true;
	if (s->form == SERVICE_ADDR)
		return ip_eq(w->ip, &s->ip);
	return ip_is_loopback(w->ip);
}

int target_parse(enum stream_kind kind, const char *text, struct target *ret)
{
	struct target t = { .kind = kind, .text = text };

	if (strlen(text) > STREAM_TARGET_MAX)
		return RW_ERR_FORMAT;
	switch (kind) {
	case STREAM_TCP:
		if (parse_hostport(text, 0, &t.hp) != 0)
			return RW_ERR_FORMAT;
		break;
	case STREAM_UNIX:
		if (text[0] != '/')
			return RW_ERR_FORMAT;
		break;
	case STREAM_SERVICE:
		if (!str_is_name(text))
			return RW_ERR_FORMAT;
		break;
	default: /* of a newer peer */ return RW_ERR_FORMAT;
	}
	*ret = t;
	return 0;
}

bool policy_allows_target(const struct device *dev, const struct target *t,
			  uint16_t sshd_port)
{
	const struct wanted w = { .t = t, .sshd_port = sshd_port };

	if (dev->role == DEVICE_OWNER)
		return true;
	if (dev->role != DEVICE_GUEST)
		return false;
	return services_any(dev->services,
			    t->kind == STREAM_TCP ? match_hostport : match_text,
			    &w);
}

bool policy_allows_addr(const struct device *dev, const struct target *t,
			const struct sockaddr *addr, uint16_t sshd_port)
{
	struct ip ip;
	const struct wanted w = { .t = t, .ip = &ip, .sshd_port = sshd_port };

	if (!ip_from_sockaddr(addr, &ip))
		return false;
	if (dev->role == DEVICE_OWNER)
		return true;
	if (dev->role != DEVICE_GUEST || t->kind != STREAM_TCP)
		return false;
	return services_any(dev->services, match_addr, &w);
}

int services_parse(const char *text, char ret[DEVICE_SERVICES_CAP],
		   char bad[DEVICE_SERVICES_CAP])
{
	char copy[2 * DEVICE_SERVICES_CAP], out[DEVICE_SERVICES_CAP] = "";
	char *save = NULL;
	size_t len = 0;
	struct service s;

	if (!str_copy(copy, sizeof(copy), text))
		return RW_ERR_LIMIT;
	for (char *t = strtok_r(copy, ", ", &save); t != NULL;
	     t = strtok_r(NULL, ", ", &save)) {
		if (service_parse(t, &s) != 0 || !str_is_clean(t, strlen(t))) {
			str_copy(bad, DEVICE_SERVICES_CAP, t);
			return RW_ERR_FORMAT;
		}
		if (len + strlen(t) + 2 > sizeof(out))
			return RW_ERR_LIMIT;
		if (len > 0)
			out[len++] = ',';
		memcpy(out + len, t, strlen(t) + 1);
		len += strlen(t);
	}
	memcpy(ret, out, sizeof(out));
	return 0;
}

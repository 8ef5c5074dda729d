/* SPDX-License-Identifier: MIT */
#include "rig/places.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "net/ifaces.h"
#include "net/sockaddr.h"

static void place_add(struct places *p, const char *host, uint16_t port)
{
	char text[HOSTPORT_CAP];
	struct hostport hp;

	if (port == 0 || p->count == CODE_ADDRS_MAX)
		return;
	format_hostport(host, port, text);
	if (parse_hostport(text, 0, &hp) != 0)
		return;
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->at[i], text) == 0)
			return;
	str_copy(p->at[p->count++], HOSTPORT_CAP, text);
}

static void addr_host(const struct sockaddr_storage *ss,
		      char host[INET6_ADDRSTRLEN])
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memcpy(&v4, ss, sizeof(v4));
	memcpy(&v6, ss, sizeof(v6));
	if (inet_ntop(ss->ss_family,
		      ss->ss_family == AF_INET ? (void *)&v4.sin_addr
					       : (void *)&v6.sin6_addr,
		      host, INET6_ADDRSTRLEN) == NULL)
		host[0] = '\0';
}

/* The machine's addresses of one reach; v4 first: most places have it. */
static void add_own(struct places *p, enum sockaddr_scope scope, uint16_t port)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct iface_addr list[IFACES_MAX];
	const size_t n = ifaces_list(list, NULL);
	char host[INET6_ADDRSTRLEN];

	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		for (size_t i = 0; i < n; i++) {
			const struct sockaddr_storage *a = &list[i].addr;
			const struct sockaddr *sa = (const void *)a;

			/* A v6 link-local address means nothing elsewhere. */
			if (a->ss_family != families[f] ||
			    sockaddr_scope(sa) != scope ||
			    (scope == SOCKADDR_LINK && f == 1))
				continue;
			addr_host(a, host);
			place_add(p, host, port);
		}
}

static bool is_every_address(const char *host)
{
	return *host == '\0' || strcmp(host, "0.0.0.0") == 0 ||
	       strcmp(host, "::") == 0;
}

/* Item i's addresses of that reach. */
static void add_item(struct places *p, const struct setting_addr *at,
		     uint16_t port, enum sockaddr_scope scope)
{
	struct sockaddr_storage ss;

	if (is_every_address(at->host)) {
		add_own(p, scope, port);
		return;
	}
	if (strcmp(at->host, "localhost") == 0) {
		if (scope == SOCKADDR_LOOPBACK)
			place_add(p, "127.0.0.1", port);
		return;
	}
	if (sockaddr_parse(at->host, port, &ss) &&
	    sockaddr_scope((struct sockaddr *)&ss) == scope)
		place_add(p, at->host, port);
}

void places_find(const struct settings_rig *s, const uint16_t *ports,
		 struct places *ret)
{
	struct places p = { .count = 0 };
	uint16_t first = 0;

	for (size_t i = 0; i < s->listen.len && first == 0; i++)
		first = ports[i];
	for (size_t i = 0; i < s->public.len && first != 0; i++)
		place_add(&p, s->public.items[i].host,
			  s->public.items[i].port != 0 ? s->public.items[i].port
						       : first);
	for (int scope = SOCKADDR_GLOBAL; scope >= SOCKADDR_LOOPBACK; scope--) {
		if (scope < SOCKADDR_PRIVATE && p.count > 0)
			break;
		for (size_t i = 0; i < s->listen.len; i++)
			add_item(&p, &s->listen.items[i], ports[i],
				 (enum sockaddr_scope)scope);
	}
	*ret = p;
}

void places_find_unbound(const struct settings_rig *s, struct places *ret)
{
	uint16_t ports[CODE_ADDRS_MAX] = { 0 };

	for (size_t i = 0; i < s->listen.len && i < CODE_ADDRS_MAX; i++)
		ports[i] = s->listen.items[i].port;
	places_find(s, ports, ret);
}

char *places_text(const struct places *p, char *text, size_t cap)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < p->count; i++) {
		const size_t more = strlen(p->at[i]) + (len > 0);

		if (len + more >= cap)
			break;
		snprintf(text + len, cap - len, "%s%s", len > 0 ? "," : "",
			 p->at[i]);
		len += more;
	}
	return text;
}

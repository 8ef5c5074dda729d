/* SPDX-License-Identifier: MIT */
#include "net/sockaddr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/check.h"

static void sockaddr_text_v6(const struct sockaddr_in6 *sa, char *text,
			     size_t cap)
{
	char ip[INET6_ADDRSTRLEN];

	if (inet_ntop(AF_INET6, &sa->sin6_addr, ip, sizeof(ip)) == NULL)
		ip[0] = '\0';
	if (sa->sin6_scope_id != 0)
		snprintf(text, cap, "[%s%%%u]:%u", ip, sa->sin6_scope_id,
			 ntohs(sa->sin6_port));
	else
		snprintf(text, cap, "[%s]:%u", ip, ntohs(sa->sin6_port));
}

char *sockaddr_text(const struct sockaddr *addr, char *text, size_t cap)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
	char ip[INET_ADDRSTRLEN];

	switch (addr->sa_family) {
	case AF_INET:
		if (inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip)) == NULL)
			ip[0] = '\0';
		snprintf(text, cap, "%s:%u", ip, ntohs(v4->sin_port));
		break;
	case AF_INET6:
		sockaddr_text_v6((const struct sockaddr_in6 *)addr, text, cap);
		break;
	default:
		snprintf(text, cap, "%s",
			 addr->sa_family == AF_UNIX ? "unix" : "unknown");
	}
	return text;
}

bool sockaddr_unmap(const struct sockaddr *addr, struct sockaddr_in *ret)
{
	struct sockaddr_in6 v6;

	if (addr->sa_family != AF_INET6)
		return false;
	memcpy(&v6, addr, sizeof(v6));
	if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
		return false;
	*ret = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = v6.sin6_port };
	memcpy(&ret->sin_addr, v6.sin6_addr.s6_addr + 12, 4);
	return true;
}

static enum sockaddr_scope scope_v4(uint32_t ip)
{
	static const struct {
		uint32_t net, mask;
		enum sockaddr_scope scope;
	} rows[] = {
		{ 0x00000000, 0xff000000, SOCKADDR_ANY },
		{ 0x7f000000, 0xff000000, SOCKADDR_LOOPBACK },
		{ 0xa9fe0000, 0xffff0000, SOCKADDR_LINK },
		{ 0x0a000000, 0xff000000, SOCKADDR_PRIVATE },
		{ 0x64400000, 0xffc00000, SOCKADDR_PRIVATE },
		{ 0xac100000, 0xfff00000, SOCKADDR_PRIVATE },
		{ 0xc0a80000, 0xffff0000, SOCKADDR_PRIVATE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((ip & rows[i].mask) == rows[i].net)
			return rows[i].scope;
	return SOCKADDR_GLOBAL;
}

static enum sockaddr_scope scope_v6(const struct in6_addr *ip)
{
	if (IN6_IS_ADDR_UNSPECIFIED(ip))
		return SOCKADDR_ANY;
	if (IN6_IS_ADDR_LOOPBACK(ip))
		return SOCKADDR_LOOPBACK;
	if (IN6_IS_ADDR_LINKLOCAL(ip) || IN6_IS_ADDR_MC_LINKLOCAL(ip))
		return SOCKADDR_LINK;
	return (ip->s6_addr[0] & 0xfe) == 0xfc ? SOCKADDR_PRIVATE
					       : SOCKADDR_GLOBAL;
}

enum sockaddr_scope sockaddr_scope(const struct sockaddr *addr)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (addr->sa_family == AF_INET6 && !sockaddr_unmap(addr, &v4)) {
		memcpy(&v6, addr, sizeof(v6));
		return scope_v6(&v6.sin6_addr);
	}
	if (addr->sa_family == AF_INET)
		memcpy(&v4, addr, sizeof(v4));
	return scope_v4(ntohl(v4.sin_addr.s_addr));
}

bool sockaddr_parse(const char *host, uint16_t port,
		    struct sockaddr_storage *ret)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (uv_ip4_addr(host, port, &v4) == 0)
		memcpy(&ss, &v4, sizeof(v4));
	else if (uv_ip6_addr(host, port, &v6) == 0)
		memcpy(&ss, &v6, sizeof(v6));
	else
		return false;
	*ret = ss;
	return true;
}

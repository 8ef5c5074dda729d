/* SPDX-License-Identifier: MIT */
#include "net/sockaddr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

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

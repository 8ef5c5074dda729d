/* SPDX-License-Identifier: MIT */
#include "net/ifaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "base/str.h"

static size_t addr_len(const struct sockaddr *sa)
{
	if (sa == NULL)
		return 0;
	return sa->sa_family == AF_INET	   ? sizeof(struct sockaddr_in)
	       : sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					   : 0;
}

size_t ifaces_list(struct iface_addr ret[IFACES_MAX], size_t *ret_left_out)
{
	struct ifaddrs *list;
	size_t n = 0, left_out = 0;

	if (ret_left_out != NULL)
		*ret_left_out = 0;
	if (getifaddrs(&list) < 0)
		return 0;
	for (struct ifaddrs *it = list; it != NULL; it = it->ifa_next) {
		const size_t len = addr_len(it->ifa_addr);
		struct iface_addr *a = &ret[n];

		if (len == 0 || (it->ifa_flags & IFF_UP) == 0)
			continue;
		if (n == IFACES_MAX) {
			left_out++;
			continue;
		}
		*a = (struct iface_addr){
			.index = if_nametoindex(it->ifa_name),
			.is_loopback = (it->ifa_flags & IFF_LOOPBACK) != 0,
			.has_multicast = (it->ifa_flags & IFF_MULTICAST) != 0,
		};
		str_copy(a->name, sizeof(a->name), it->ifa_name);
		memcpy(&a->addr, it->ifa_addr, len);
		n++;
	}
	freeifaddrs(list);
	if (ret_left_out != NULL)
		*ret_left_out = left_out;
	return n;
}

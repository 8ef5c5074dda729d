/* SPDX-License-Identifier: MIT */
/* The round trip that Linux has measured on a TCP socket. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "net/rtt.h"

uint64_t sock_rtt_us(int fd)
{
	struct tcp_info info = { .tcpi_rtt = 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_rtt;
}

/* SPDX-License-Identifier: MIT */
/*
 * connect(2) as the libraries find it in this program. Whoever dials
 * 127.a.b.c:PORT comes from 127.a.b.c and reaches 127.0.0.1:PORT: so each rig
 * has its own address, although no library asks where it comes from.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crowd.h"

static uint64_t dials;

void source_text(int kind, unsigned n, int port, char out[AT_CAP])
{
	snprintf(out, AT_CAP, "127.%d.%u.%u:%d", 1 + kind * 8 + (int)(n >> 16),
		 n >> 8 & 255, n & 255, port);
}

uint64_t source_dials(void)
{
	return dials;
}

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_in to, from = { .sin_family = AF_INET };
	const int on = 1;

	if (sa->sa_family != AF_INET || len < sizeof(to))
		return (int)syscall(SYS_connect, fd, sa, len);
	to = *(const struct sockaddr_in *)sa;
	from.sin_addr = to.sin_addr;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	dials++;
	/* The port is chosen at connect: each address has all of them. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		return -1;
	return (int)syscall(SYS_connect, fd, &to, sizeof(to));
}

/* SPDX-License-Identifier: MIT */
/* What Linux has measured on a TCP socket. */
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
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

bool sock_is_acked(int fd)
{
	int left = -1;

	return ioctl(fd, SIOCOUTQ, &left) == 0 && left == 0;
}

uint64_t sock_silence_ms(int fd)
{
	struct tcp_info info = { .tcpi_rtt = 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return UINT64_MAX;
	return info.tcpi_last_ack_recv;
}

enum sock_loss sock_loss(int fd)
{
	struct tcp_info info = { .tcpi_rtt = 0 };
	socklen_t len = sizeof(info);
	bool ours, theirs;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return SOCK_LOST_NONE;
	/* Where only what is small was lost, nothing is known of large ones. */
	ours = info.tcpi_total_retrans > 0 &&
	       info.tcpi_bytes_acked <= SOCK_PASSED &&
	       info.tcpi_bytes_retrans / info.tcpi_total_retrans >= SOCK_LARGE;
	/* Out of order: something that came before it was missing. */
	theirs = info.tcpi_rcv_ooopack > 0 &&
		 info.tcpi_bytes_received <= SOCK_PASSED;
	if (ours && info.tcpi_unacked > 0)
		return SOCK_LOST_OURS;
	return ours || theirs ? SOCK_LOST_ONCE : SOCK_LOST_NONE;
}

/* SPDX-License-Identifier: MIT */
/* Sockets as libuv's streams, whatever their kind. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop_local.h"
#include "net/sockaddr.h"

/* Found dead after about idle + 30 s. */
#define KEEPALIVE_EVERY_S 10
#define KEEPALIVE_PROBES  3
#define KEEPALIVE_IDLE_S  300

static void sock_set_int(int fd, int level, int name, int value)
{
	/* An option that a kernel lacks costs comfort, not correctness. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void sock_keepalive(int fd, unsigned idle_s)
{
	const unsigned every_s =
		idle_s < KEEPALIVE_EVERY_S ? idle_s : KEEPALIVE_EVERY_S;

	sock_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	sock_set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)idle_s);
	/* Answered or not, the next question comes so much later. */
	sock_set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)every_s);
	sock_set_int(fd, IPPROTO_TCP, TCP_KEEPCNT,
		     KEEPALIVE_PROBES * KEEPALIVE_EVERY_S / (int)every_s);
}

void sock_keepalive_usual(int fd)
{
	sock_keepalive(fd, KEEPALIVE_IDLE_S);
}

void sock_unsent_max(int fd, int bytes)
{
	sock_set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

void sock_near(int fd, const struct sockaddr *addr)
{
	/* The one that every system has, and lets everybody choose. */
	static const char algorithm[] = "reno";

	if (sockaddr_scope(addr) == SOCKADDR_LOOPBACK)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm,
				 sizeof(algorithm) - 1);
}

static int sock_domain(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	return domain;
}

int sock_prepare(int fd, bool *ret_is_tcp)
{
	int domain = sock_domain(fd);
	bool is_tcp = domain == AF_INET || domain == AF_INET6;

	if (domain < 0)
		return domain;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (is_tcp) {
		sock_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		sock_keepalive_usual(fd);
	}
	*ret_is_tcp = is_tcp;
	return 0;
}

int sock_open(uv_loop_t *loop, union sock *s, int fd)
{
	bool is_tcp = false;
	int r = sock_prepare(fd, &is_tcp);

	if (is_tcp)
		uv_tcp_init(loop, &s->tcp);
	else
		uv_pipe_init(loop, &s->pipe, 0);
	if (r == 0)
		r = is_tcp ? uv_tcp_open(&s->tcp, fd)
			   : uv_pipe_open(&s->pipe, fd);
	if (r < 0)
		close(fd);
	return r;
}

int sock_eof_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

bool sock_is_tcp(const union sock *s)
{
	return s->handle.type == UV_TCP;
}

int sock_fd(const union sock *s)
{
	uv_os_fd_t fd = -1;

	/* Fails once the handle closes; -1 is the answer then. */
	(void)uv_fileno(&s->handle, &fd);
	return fd;
}

/* SPDX-License-Identifier: MIT */
#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop_local.h"

struct udp {
	uv_udp_t handle;
	struct loop_item item;
	int family;
	udp_on_datagram *on_datagram;
	void *user;
	bool is_closed;
	/* One more byte than may come tells the longer ones apart. */
	uint8_t mem[UDP_LEN_MAX + 1];
};

static void on_alloc(uv_handle_t *h, size_t wanted, uv_buf_t *ret)
{
	struct udp *u = h->data;

	(void)wanted;
	*ret = uv_buf_init((char *)u->mem, sizeof(u->mem));
}

static void on_recv(uv_udp_t *h, ssize_t n, const uv_buf_t *buf,
		    const struct sockaddr *from, unsigned flags)
{
	struct udp *u = h->data;

	(void)buf;
	/* Errors are of datagrams sent before (a port that is not there). */
	if (n < 0 || from == NULL || n > UDP_LEN_MAX ||
	    (flags & UV_UDP_PARTIAL) != 0 || u->is_closed)
		return;
	u->on_datagram(u->user, u->mem, (size_t)n, from);
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void udp_stop(struct udp *u)
{
	u->is_closed = true;
	list_del(&u->item.link);
	uv_close((uv_handle_t *)&u->handle, on_closed);
}

static void on_shut(struct loop_item *item)
{
	udp_stop(container_of(item, struct udp, item));
}

void udp_close(struct udp *u)
{
	if (u != NULL)
		udp_stop(u);
}

/* host at port, as the system has it. */
static int addr_make(int family, const char *host, uint16_t port,
		     struct sockaddr_storage *ret)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (family == AF_INET) {
		r = uv_ip4_addr(host != NULL ? host : "0.0.0.0", port, &v4);
		memcpy(ret, &v4, sizeof(v4));
	} else {
		r = uv_ip6_addr(host != NULL ? host : "::", port, &v6);
		memcpy(ret, &v6, sizeof(v6));
	}
	return r;
}

static int udp_bind(struct udp *u, const struct udp_params *p)
{
	struct sockaddr_storage at;
	unsigned flags = p->family == AF_INET6 ? UV_UDP_IPV6ONLY : 0;
	int r = addr_make(p->family, p->host, p->port, &at);

	if (p->is_shared)
		flags |= UV_UDP_REUSEADDR;
	if (r == 0)
		r = uv_udp_bind(&u->handle, (struct sockaddr *)&at, flags);
	if (r == 0)
		r = uv_udp_recv_start(&u->handle, on_alloc, on_recv);
	return r;
}

int udp_open(uv_loop_t *loop, const struct udp_params *p, struct udp **ret)
{
	struct udp *u = xcalloc(1, sizeof(*u));
	int r = uv_udp_init_ex(loop, &u->handle, (unsigned)p->family);

	if (r < 0) {
		free(u);
		return r;
	}
	u->handle.data = u;
	u->family = p->family;
	u->on_datagram = p->on_datagram;
	u->user = p->user;
	loop_item_add(loop_local(loop), &u->item, on_shut);
	r = udp_bind(u, p);
	if (r < 0) {
		udp_stop(u);
		return r;
	}
	*ret = u;
	return 0;
}

static int udp_fd(const struct udp *u)
{
	uv_os_fd_t fd = -1;

	(void)uv_fileno((const uv_handle_t *)&u->handle, &fd);
	return fd;
}

uint16_t udp_port(const struct udp *u)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in v4;
	int len = sizeof(ss);

	if (uv_udp_getsockname(&u->handle, (struct sockaddr *)&ss, &len) < 0)
		return 0;
	/* The port lies at the same place in both families. */
	memcpy(&v4, &ss, sizeof(v4));
	return ntohs(v4.sin_port);
}

static int group_change(struct udp *u, int what, const char *group,
			unsigned iface)
{
	struct group_req req = { .gr_interface = iface };
	const int level = u->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	int r = addr_make(u->family, group, 0, &req.gr_group);

	if (r < 0)
		return r;
	r = setsockopt(udp_fd(u), level, what, &req, sizeof(req));
	return r < 0 ? -errno : 0;
}

int udp_join(struct udp *u, const char *group, unsigned iface)
{
	int r = group_change(u, MCAST_JOIN_GROUP, group, iface);

	return r == -EADDRINUSE ? 0 : r;
}

int udp_leave(struct udp *u, const char *group, unsigned iface)
{
	return group_change(u, MCAST_LEAVE_GROUP, group, iface);
}

int udp_send(struct udp *u, const struct sockaddr *to, const void *data,
	     size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)data, (unsigned)len);
	int r = uv_udp_try_send(&u->handle, &buf, 1, to);

	return MIN(r, 0);
}

static int choose_iface(const struct udp *u, unsigned iface)
{
	const struct ip_mreqn v4 = { .imr_ifindex = (int)iface };
	const int v6 = (int)iface;
	int r = u->family == AF_INET
			? setsockopt(udp_fd(u), IPPROTO_IP, IP_MULTICAST_IF,
				     &v4, sizeof(v4))
			: setsockopt(udp_fd(u), IPPROTO_IPV6, IPV6_MULTICAST_IF,
				     &v6, sizeof(v6));

	return r < 0 ? -errno : 0;
}

int udp_send_group(struct udp *u, const struct udp_group *to, const void *data,
		   size_t len)
{
	struct sockaddr_storage ss;
	int r = addr_make(u->family, to->addr, to->port, &ss);

	if (r == 0)
		r = choose_iface(u, to->iface);
	return r == 0 ? udp_send(u, (struct sockaddr *)&ss, data, len) : r;
}

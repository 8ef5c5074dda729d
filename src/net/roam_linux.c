/* SPDX-License-Identifier: MIT */
/*
 * rtnetlink(7). The kernel also tells what it or a daemon only says again:
 * addresses at each router advertisement, links at each scan of a radio. So
 * what was told last of each thing is remembered, as a hash, and the same once
 * more is no change.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fnv.h"
#include "net/loop_local.h"
#include "net/roam_local.h"

/* What is remembered; one more pushes the oldest out, which is news again. */
#define FACTS 256
/* Read at once; the rest is for the next turn. */
#define READS 32

/* A thing and what was told of it last, as hashes; key 0: none. */
struct fact {
	uint64_t key, value;
};

struct roam_source {
	uv_poll_t poll;
	struct loop_item item;
	struct roam *roam;
	int fd;
	struct fact facts[FACTS];
	size_t next; /* is overwritten next */
};

/* What a message speaks of, and what it says of it. Zero at first: parts that
 * a message lacks count as zeros. */
struct thing {
	uint16_t kind;
	uint8_t family, len, table, type;
	uint32_t index, priority, flags;
	uint8_t addr[16];
};

/* Never 0. */
static uint64_t hash(const void *data, size_t len)
{
	const uint64_t h = fnv_add(FNV_BEGIN, data, len);

	return h != 0 ? h : 1;
}

static struct fact *find_fact(struct roam_source *s, uint64_t key)
{
	for (size_t i = 0; i < FACTS; i++)
		if (s->facts[i].key == key)
			return &s->facts[i];
	return NULL;
}

/* Whether it is news that this is so (or, is_gone, that it is no more). */
static bool is_news(struct roam_source *s, uint64_t key, uint64_t value,
		    bool is_gone)
{
	struct fact *f = find_fact(s, key);
	bool is_known = f != NULL && f->value == value;

	if (is_gone) {
		if (f != NULL)
			f->key = 0;
		return true;
	}
	if (f == NULL)
		f = &s->facts[s->next++ % FACTS];
	*f = (struct fact){ key, value };
	return !is_known;
}

static void copy_addr(uint8_t to[16], const struct rtattr *a)
{
	memcpy(to, RTA_DATA(a), MIN(RTA_PAYLOAD(a), (size_t)16));
}

static uint32_t get_u32(const struct rtattr *a)
{
	uint32_t v = 0;

	memcpy(&v, RTA_DATA(a), MIN(RTA_PAYLOAD(a), sizeof(v)));
	return v;
}

/* A link counts as up or not; names and statistics do not matter. */
static bool take_link(struct roam_source *s, const struct nlmsghdr *h)
{
	const struct ifinfomsg *m = NLMSG_DATA(h);
	struct thing t;
	uint64_t value;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) ||
	    (m->ifi_flags & IFF_LOOPBACK) != 0)
		return false;
	memset(&t, 0, sizeof(t));
	t.kind = RTM_NEWLINK;
	t.index = (uint32_t)m->ifi_index;
	value = m->ifi_flags & (IFF_UP | IFF_RUNNING);
	return is_news(s, hash(&t, sizeof(t)), value,
		       h->nlmsg_type == RTM_DELLINK);
}

static bool take_addr(struct roam_source *s, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *m = NLMSG_DATA(h);
	struct thing t;
	int left;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return false;
	memset(&t, 0, sizeof(t));
	t.kind = RTM_NEWADDR;
	t.family = m->ifa_family;
	t.len = m->ifa_prefixlen;
	t.index = m->ifa_index;
	left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	for (const struct rtattr *a = IFA_RTA(m); RTA_OK(a, left);
	     a = RTA_NEXT(a, left))
		if (a->rta_type == IFA_ADDRESS)
			copy_addr(t.addr, a);
	return is_news(s, hash(&t, sizeof(t)),
		       m->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED),
		       h->nlmsg_type == RTM_DELADDR);
}

/* The key is where a route leads to, the value by which way. */
static bool take_route(struct roam_source *s, const struct nlmsghdr *h)
{
	const struct rtmsg *m = NLMSG_DATA(h);
	struct thing t, via;
	int left;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)) ||
	    m->rtm_table == RT_TABLE_LOCAL || (m->rtm_flags & RTM_F_CLONED))
		return false;
	memset(&t, 0, sizeof(t));
	memset(&via, 0, sizeof(via));
	t.kind = RTM_NEWROUTE;
	t.family = m->rtm_family;
	t.len = m->rtm_dst_len;
	t.table = m->rtm_table;
	via.type = m->rtm_type;
	left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	for (const struct rtattr *a = RTM_RTA(m); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		switch (a->rta_type) {
		case RTA_DST: copy_addr(t.addr, a); break;
		case RTA_PRIORITY: t.priority = get_u32(a); break;
		case RTA_OIF: via.index = get_u32(a); break;
		case RTA_GATEWAY: copy_addr(via.addr, a); break;
		default: break;
		}
	}
	return is_news(s, hash(&t, sizeof(t)), hash(&via, sizeof(via)),
		       h->nlmsg_type == RTM_DELROUTE);
}

static bool take(struct roam_source *s, const struct nlmsghdr *h)
{
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK: return take_link(s, h);
	case RTM_NEWADDR:
	case RTM_DELADDR: return take_addr(s, h);
	case RTM_NEWROUTE:
	case RTM_DELROUTE: return take_route(s, h);
	default: return false;
	}
}

/* One datagram of messages; false when there is none. */
static bool read_some(struct roam_source *s, bool *news)
{
	_Alignas(struct nlmsghdr) uint8_t mem[16384];
	const struct nlmsghdr *h = (const struct nlmsghdr *)(void *)mem;
	const ssize_t n = recv(s->fd, mem, sizeof(mem), MSG_DONTWAIT);
	unsigned left;

	if (n < 0 && errno == EINTR)
		return true;
	/* More came than the socket holds: it says so once. */
	*news |= n < 0 && errno == ENOBUFS;
	if (n <= 0)
		return n < 0 && errno == ENOBUFS;
	left = (unsigned)n;
	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		*news |= take(s, h);
	return true;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct roam_source *s = poll->data;
	bool news = status < 0;

	(void)events;
	for (int i = 0; i < READS && read_some(s, &news); i++)
		;
	if (status < 0) /* broken: no busy loop */
		uv_poll_stop(poll);
	if (news)
		roam_note(s->roam);
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void source_shut(struct loop_item *item)
{
	struct roam_source *s = container_of(item, struct roam_source, item);

	uv_close((uv_handle_t *)&s->poll, on_closed);
	close(s->fd);
}

static int open_netlink(void)
{
	const struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
			     RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			     RTMGRP_IPV6_ROUTE,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
			NETLINK_ROUTE);
	int err;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int roam_source_open(uv_loop_t *loop, struct roam *r, struct roam_source **ret)
{
	struct roam_source *s = calloc(1, sizeof(*s));
	int err;

	if (s == NULL)
		return RW_ERR_NOMEM;
	s->roam = r;
	s->fd = err = open_netlink();
	if (err >= 0)
		err = uv_poll_init(loop, &s->poll, s->fd);
	if (err < 0) {
		if (s->fd >= 0)
			close(s->fd);
		free(s);
		return err;
	}
	s->poll.data = s;
	loop_item_add(loop_local(loop), &s->item, source_shut);
	uv_unref((uv_handle_t *)&s->poll);
	err = uv_poll_start(&s->poll, UV_READABLE, on_readable);
	if (err < 0) {
		roam_source_close(s);
		return err;
	}
	*ret = s;
	return 0;
}

void roam_source_close(struct roam_source *s)
{
	list_del(&s->item.link);
	source_shut(&s->item);
}

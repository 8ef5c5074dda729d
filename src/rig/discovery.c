/* SPDX-License-Identifier: MIT */
#include "rig/discovery.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/ifaces.h"
#include "net/sockaddr.h"
#include "net/udp.h"
#include "rig/gate.h"
#include "rig/questions.h"
#include "rig/rig.h"
#include "wire/probe.h"

/* A family's sockets. Both are of one socket while this rig is the only one on
 * its machine to have the port. */
struct ear {
	int family;
	const char *group;
	struct discovery *discovery;
	struct udp *many; /* hears the group */
	struct udp *own;  /* hears questions to this rig's own address */
	unsigned joined[IFACES_MAX]; /* where many hears it */
	size_t joined_count;
};

struct discovery {
	struct rig *rig;
	struct probe_keys keys;
	struct rate rate;
	struct questions questions;
	bool is_deaf;	    /* and it was said that it is, in some networks */
	struct ear ears[2]; /* v4, v6 */
};

/* One that was recorded and comes again, from wherever, gets nothing, and takes
 * nothing from the others. */
static bool is_good(struct discovery *d, const uint8_t nonce[PROBE_NONCE_LEN])
{
	const uint64_t now_us = loop_now_us(d->rig->loop);
	const enum question_kind kind =
		questions_judge(&d->questions, nonce, now_us);

	if (kind != QUESTION_NEW)
		return kind == QUESTION_REPEATED;
	if (!rate_take(&d->rate, now_us))
		return false;
	questions_add(&d->questions, nonce, now_us);
	return true;
}

static void answer(struct udp *u, struct discovery *d, const uint8_t *data,
		   size_t len, const struct sockaddr *from)
{
	uint8_t nonce[PROBE_NONCE_LEN], out[PROBE_ANSWER_LEN];
	char text[80];
	uint16_t port;

	if (!probe_read(&d->keys, data, len, nonce) || !is_good(d, nonce))
		return;
	port = gate_open_for(d->rig->gate, from, nonce);
	log_debug("%s looks for this rig in its network: %s",
		  sockaddr_text(from, text, sizeof(text)),
		  port != 0 ? "answered" : "no port is free for it");
	if (port == 0)
		return;
	probe_answer_write(&d->keys, nonce, port, out);
	(void)udp_send(u, from, out, sizeof(out));
}

static void on_many(void *user, const uint8_t *data, size_t len,
		    const struct sockaddr *from)
{
	struct ear *e = user;

	answer(e->many, e->discovery, data, len, from);
}

static void on_own(void *user, const uint8_t *data, size_t len,
		   const struct sockaddr *from)
{
	struct ear *e = user;

	answer(e->own, e->discovery, data, len, from);
}

/* Whether the ear's group can be heard at that interface. */
static bool ear_has_iface(const struct ear *e, const struct iface_addr *list,
			  size_t n, unsigned iface)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].index == iface && list[i].has_multicast &&
		    list[i].addr.ss_family == e->family)
			return true;
	return false;
}

static bool ear_is_joined(const struct ear *e, unsigned iface)
{
	for (size_t i = 0; i < e->joined_count; i++)
		if (e->joined[i] == iface)
			return true;
	return false;
}

/* An interface that is gone keeps its place among the few that a socket may
 * have (20 on Linux) until it is left. */
static void ear_leave_gone(struct ear *e, const struct iface_addr *list,
			   size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->joined_count; i++)
		if (ear_has_iface(e, list, n, e->joined[i]))
			e->joined[kept++] = e->joined[i];
		else
			(void)udp_leave(e->many, e->group, e->joined[i]);
	e->joined_count = kept;
}

/* Returns on how many interfaces it is not heard because the system lets a
 * socket hear no more of them. */
static size_t ear_rejoin(struct ear *e, const struct iface_addr *list, size_t n)
{
	size_t deaf = 0;

	ear_leave_gone(e, list, n);
	for (size_t i = 0; i < n; i++) {
		const unsigned iface = list[i].index;
		int err;

		if (e->joined_count == IFACES_MAX || ear_is_joined(e, iface) ||
		    !ear_has_iface(e, list, n, iface))
			continue;
		err = udp_join(e->many, e->group, iface);
		deaf += err == -ENOBUFS || err == -ENOMEM;
		if (err == 0)
			e->joined[e->joined_count++] = iface;
		else
			log_debug("no discovery by multicast in %s: %s",
				  list[i].name, err_text(err));
	}
	return deaf;
}

/* Once while it is so. */
static void say_deaf(struct discovery *d, size_t deaf)
{
	if (deaf > 0 && !d->is_deaf)
		log_warn("laptops that look for this rig in their network are "
			 "not heard on %zu addresses of this machine: it has "
			 "more networks than the system lets one program "
			 "listen in (sysctl net.ipv4.igmp_max_memberships), or "
			 "over %d addresses. They still find it where it was "
			 "before, and through relays",
			 deaf, IFACES_MAX);
	d->is_deaf = deaf > 0;
}

void discovery_rejoin(struct discovery *d)
{
	struct iface_addr list[IFACES_MAX];
	size_t deaf = 0;
	const size_t n = d != NULL ? ifaces_list(list, &deaf) : 0;

	if (d == NULL)
		return;
	for (size_t e = 0; e < ARRAY_LEN(d->ears); e++)
		if (d->ears[e].many != NULL)
			deaf += ear_rejoin(&d->ears[e], list, n);
	say_deaf(d, deaf);
}

/*
 * If nobody else on this machine has the port, one socket takes what is sent
 * to the group and to this machine. Else the group is shared, with sockets
 * bound to it that take nothing else, and questions to this rig alone come to
 * a port of its own, which laptops learn when they are let in.
 */
static void ear_open(struct ear *e, uv_loop_t *loop, uint16_t port)
{
	struct udp_params p = { .family = e->family,
				.port = port,
				.on_datagram = on_own,
				.user = e };
	int err = udp_open(loop, &p, &e->own);
	const bool is_alone = err == 0;

	if (err == -EAFNOSUPPORT)
		return;
	udp_close(e->own);
	e->own = NULL;
	p.is_shared = true;
	p.on_datagram = on_many;
	p.host = is_alone ? NULL : e->group;
	err = udp_open(loop, &p, &e->many);
	if (err != 0)
		log_debug("no discovery by multicast on UDP port %u: %s", port,
			  err_text(err));
	if (is_alone && err == 0)
		return;
	/* One port for both families, if that can be. */
	p = (struct udp_params){ .family = e->family,
				 .port = discovery_port(e->discovery),
				 .on_datagram = on_own,
				 .user = e };
	err = udp_open(loop, &p, &e->own);
	if (err != 0)
		log_debug("no discovery: %s", err_text(err));
}

struct discovery *discovery_new(struct rig *rig)
{
	const struct settings_rig *s = &rig->settings->rig;
	struct discovery *d;

	if (s->probe_port == 0)
		return NULL;
	d = xcalloc(1, sizeof(*d));
	d->rig = rig;
	probe_keys_init(&d->keys, key_pin(rig->key));
	rate_init(&d->rate, (uint32_t)s->probes_per_minute,
		  loop_now_us(rig->loop));
	d->ears[0] = (struct ear){ .family = AF_INET,
				   .group = PROBE_GROUP4,
				   .discovery = d };
	d->ears[1] = (struct ear){ .family = AF_INET6,
				   .group = PROBE_GROUP6,
				   .discovery = d };
	for (size_t i = 0; i < ARRAY_LEN(d->ears); i++)
		ear_open(&d->ears[i], rig->loop, (uint16_t)s->probe_port);
	discovery_rejoin(d);
	return d;
}

void discovery_free(struct discovery *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(d->ears); i++) {
		udp_close(d->ears[i].many);
		udp_close(d->ears[i].own);
	}
	free(d);
}

uint16_t discovery_port(const struct discovery *d)
{
	const struct ear *e = d != NULL ? &d->ears[0] : NULL;

	if (e == NULL)
		return 0;
	return e->own != NULL	 ? udp_port(e->own)
	       : e->many != NULL ? udp_port(e->many)
				 : 0;
}

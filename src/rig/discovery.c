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
};

struct discovery {
	struct rig *rig;
	struct probe_keys keys;
	struct rate rate;
	struct ear ears[2]; /* v4, v6 */
};

static void answer(struct udp *u, struct discovery *d, const uint8_t *data,
		   size_t len, const struct sockaddr *from)
{
	uint8_t nonce[PROBE_NONCE_LEN], out[PROBE_ANSWER_LEN];
	char text[80];
	uint16_t port;

	if (!probe_read(&d->keys, data, len, nonce) ||
	    !rate_take(&d->rate, loop_now_us(d->rig->loop)))
		return;
	port = gate_open_for(d->rig->gate, from);
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

/* A network that is joined already does no harm. */
void discovery_rejoin(struct discovery *d)
{
	struct iface_addr list[IFACES_MAX];
	const size_t n = d != NULL ? ifaces_list(list) : 0;

	if (d == NULL)
		return;
	for (size_t e = 0; e < ARRAY_LEN(d->ears); e++)
		for (size_t i = 0; i < n && d->ears[e].many != NULL; i++)
			if (list[i].addr.ss_family == d->ears[e].family &&
			    list[i].has_multicast)
				(void)udp_join(d->ears[e].many,
					       d->ears[e].group, list[i].index);
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
	d->ears[0] = (struct ear){ AF_INET, PROBE_GROUP4, d, NULL, NULL };
	d->ears[1] = (struct ear){ AF_INET6, PROBE_GROUP6, d, NULL, NULL };
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

/* SPDX-License-Identifier: MIT */
#include "carrier/discover.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/str.h"
#include "net/chan.h"
#include "net/ifaces.h"
#include "net/sockaddr.h"
#include "net/udp.h"
#include "wire/probe.h"

/* When the questions leave; one may be lost, or wait for an ARP answer. */
static const uint64_t asks_ms[] = { 0, 200, 600 };

struct discover {
	uv_loop_t *loop;
	struct probe_keys keys;
	uint8_t nonce[PROBE_NONCE_LEN];
	uint8_t question[PROBE_LEN];
	struct udp *v4, *v6; /* NULL: this machine has none */
	struct timer *timer;
	unsigned asked; /* of asks_ms */
	uint16_t port;
	struct sockaddr_storage before; /* family 0: none */
	char found[DISCOVER_FOUND_MAX][CHAN_ADDR_CAP];
	unsigned count;
	const struct discover_ops *ops;
	void *user;
};

static void discover_free(struct discover *d)
{
	udp_close(d->v4);
	udp_close(d->v6);
	timer_free(d->timer);
	secret_wipe(&d->keys.probe);
	secret_wipe(&d->keys.answer);
	free(d);
}

/* -- answers */

/* Where a TCP connection to the answer's port goes. */
static void answer_place(const struct sockaddr *from, uint16_t port,
			 char out[CHAN_ADDR_CAP])
{
	struct sockaddr_storage at = { .ss_family = 0 };

	if (from->sa_family == AF_INET) {
		struct sockaddr_in v4;

		memcpy(&v4, from, sizeof(v4));
		v4.sin_port = htons(port);
		memcpy(&at, &v4, sizeof(v4));
	} else {
		struct sockaddr_in6 v6;

		memcpy(&v6, from, sizeof(v6));
		v6.sin6_port = htons(port);
		memcpy(&at, &v6, sizeof(v6));
	}
	sockaddr_text((struct sockaddr *)&at, out, CHAN_ADDR_CAP);
}

static void on_datagram(void *user, const uint8_t *data, size_t len,
			const struct sockaddr *from)
{
	struct discover *d = user;
	char at[CHAN_ADDR_CAP];
	uint16_t port;

	if (!probe_answer_read(&d->keys, d->nonce, data, len, &port))
		return;
	answer_place(from, port, at);
	for (unsigned i = 0; i < d->count; i++)
		if (strcmp(d->found[i], at) == 0)
			return;
	if (d->count == DISCOVER_FOUND_MAX)
		return;
	str_copy(d->found[d->count++], CHAN_ADDR_CAP, at);
	d->ops->on_found(d->user, at);
}

/* -- questions */

static void ask_group(const struct discover *d, const struct iface_addr *at)
{
	bool is_v4 = at->addr.ss_family == AF_INET;
	struct udp *u = is_v4 ? d->v4 : d->v6;
	const struct udp_group to = { is_v4 ? PROBE_GROUP4 : PROBE_GROUP6,
				      PROBE_PORT, at->index };

	if (u != NULL && at->has_multicast && !at->is_loopback)
		(void)udp_send_group(u, &to, d->question, PROBE_LEN);
}

static void ask_one(const struct discover *d, const struct sockaddr *to)
{
	struct udp *u = to->sa_family == AF_INET ? d->v4 : d->v6;

	if (u != NULL)
		(void)udp_send(u, to, d->question, PROBE_LEN);
}

/* The rig may be on this very machine, where no group reaches it. */
static void ask_here(const struct discover *d)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_port = htons(d->port) };

	v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ask_one(d, (const struct sockaddr *)&v4);
}

static void ask_all(const struct discover *d)
{
	struct iface_addr all[IFACES_MAX];
	size_t n = ifaces_list(all, NULL);

	for (size_t i = 0; i < n; i++) {
		bool is_asked = false;

		for (size_t k = 0; k < i; k++)
			is_asked |=
				all[k].index == all[i].index &&
				all[k].addr.ss_family == all[i].addr.ss_family;
		if (!is_asked)
			ask_group(d, &all[i]);
	}
	ask_here(d);
	if (d->before.ss_family != 0)
		ask_one(d, (const struct sockaddr *)&d->before);
}

static void on_timer(void *user)
{
	struct discover *d = user;
	const struct discover_ops *ops = d->ops;
	void *done_user = d->user;
	unsigned count = d->count;
	uint64_t now_ms;

	if (d->asked < ARRAY_LEN(asks_ms)) {
		now_ms = asks_ms[d->asked++];
		ask_all(d);
		timer_start(d->timer, d->asked < ARRAY_LEN(asks_ms)
					      ? asks_ms[d->asked] - now_ms
					      : DISCOVER_MS - now_ms);
		return;
	}
	discover_free(d);
	ops->on_done(done_user, count,
		     count > 0 ? "" : "the rig is not in this network");
}

/* -- the start */

/* The numeric address where the rig was, with its discovery's port. */
static void set_before(struct discover *d, const char *text)
{
	struct hostport hp;

	if (text != NULL && parse_hostport(text, 1, &hp) == 0)
		(void)sockaddr_parse(hp.host, d->port, &d->before);
}

static void open_sockets(struct discover *d)
{
	struct udp_params p = {
		.family = AF_INET,
		.on_datagram = on_datagram,
		.user = d,
	};

	if (udp_open(d->loop, &p, &d->v4) < 0)
		d->v4 = NULL;
	p.family = AF_INET6;
	if (udp_open(d->loop, &p, &d->v6) < 0)
		d->v6 = NULL;
}

int discover_start(const struct discover_params *params,
		   const struct discover_ops *ops, void *user,
		   struct discover **ret)
{
	struct discover *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return RW_ERR_NOMEM;
	d->loop = params->loop;
	d->port = params->port != 0 ? params->port : PROBE_PORT;
	d->ops = ops;
	d->user = user;
	probe_keys_init(&d->keys, &params->rig);
	random_bytes(d->nonce, sizeof(d->nonce));
	probe_write(&d->keys, d->nonce, d->question);
	set_before(d, params->before);
	open_sockets(d);
	d->timer = timer_new(d->loop, on_timer, d);
	timer_start(d->timer, 0);
	*ret = d;
	return 0;
}

void discover_cancel(struct discover *d)
{
	discover_free(d);
}

/* SPDX-License-Identifier: MIT */
#include "relay/place.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/settings.h"
#include "config/state.h"
#include "wire/relay_msg.h"

static const char *const keys[] = { "at", NULL };
static const struct state_format format = {
	.kind = "place",
	.version = 1,
	.max_rows = CODE_RELAYS_MAX,
	.keys = keys,
};

/* What is not public of v4 (RFC 6890); address and mask. The addresses for
 * documentation are not among them: laboratories use them as public ones. */
static const uint32_t private4[][2] = {
	{ 0x00000000, 0xff000000 }, /* this network */
	{ 0x0a000000, 0xff000000 }, /* 10/8 */
	{ 0x64400000, 0xffc00000 }, /* 100.64/10, carrier-grade NAT */
	{ 0x7f000000, 0xff000000 }, /* loopback */
	{ 0xa9fe0000, 0xffff0000 }, /* link-local */
	{ 0xac100000, 0xfff00000 }, /* 172.16/12 */
	{ 0xc0000000, 0xffffff00 }, /* 192.0.0/24 */
	{ 0xc0a80000, 0xffff0000 }, /* 192.168/16 */
	{ 0xc6120000, 0xfffe0000 }, /* 198.18/15, benchmarks */
	{ 0xe0000000, 0xe0000000 }, /* multicast, reserved */
};

bool place_is_public(const struct sockaddr *addr)
{
	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *a = (const void *)addr;
		uint32_t ip = ntohl(a->sin_addr.s_addr);

		for (size_t i = 0; i < ARRAY_LEN(private4); i++)
			if ((ip & private4[i][1]) == private4[i][0])
				return false;
		return true;
	}
	if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)addr;
		const uint8_t *b = a->sin6_addr.s6_addr;

		/* 2000::/3 is all that was ever given out; not Teredo, nor
		 * the documentation's. */
		return (b[0] & 0xe0) == 0x20 && get_be32(b) != 0x20010000 &&
		       get_be32(b) != 0x20010db8;
	}
	return false;
}

static void place_add(struct place *p, const char *host, uint16_t port)
{
	char text[HOSTPORT_CAP];

	format_hostport(host, port, text);
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->at[i], text) == 0)
			return;
	if (p->count < CODE_RELAYS_MAX)
		str_copy(p->at[p->count++], HOSTPORT_CAP, text);
}

static bool is_every_address(const char *host)
{
	return *host == '\0' || strcmp(host, "*") == 0 ||
	       strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* The machine's own public addresses, v4 first: a code lasts, and most places
 * still have no v6. The others, for a sentence, go to ret_private. */
static void place_add_own(struct place *p, uint16_t port,
			  struct buf *ret_private)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (size_t f = 0; f < ARRAY_LEN(families); f++)
		for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
			const struct sockaddr *a = i->ifa_addr;
			char host[NI_MAXHOST];

			if (a == NULL || a->sa_family != families[f] ||
			    !(i->ifa_flags & IFF_UP) ||
			    getnameinfo(a,
					f == 0 ? sizeof(struct sockaddr_in)
					       : sizeof(struct sockaddr_in6),
					host, sizeof(host), NULL, 0,
					NI_NUMERICHOST) != 0)
				continue;
			if (place_is_public(a))
				place_add(p, host, port);
			else if (!(i->ifa_flags & IFF_LOOPBACK) && f == 0)
				buf_printf(ret_private, "%s%s",
					   ret_private->len > 0 ? ", " : "",
					   host);
		}
	freeifaddrs(all);
}

static char *explain_no_place(struct buf *private, uint16_t port)
{
	const char *own = buf_text(private);

	return xasprintf(
		"a code would lead nowhere: this machine has no public address "
		"of its own%s%s%s; say how others reach it: add --name HOST or "
		"--name HOST:PORT to 'rigway relay' (behind a router: the "
		"router's name or address, and let it pass port %u on to this "
		"machine)",
		*own != '\0' ? " (" : "", own,
		*own != '\0' ? " is private)" : "", port);
}

int place_find(const struct settings_relay *s, uint16_t port, struct place *ret,
	       char **ret_err)
{
	struct place p = { .count = 0 };
	struct buf private = { 0 };
	bool all = s->listen.len == 0;

	for (size_t i = 0; i < s->name.len; i++)
		place_add(&p, s->name.items[i].host,
			  s->name.items[i].port != 0 ? s->name.items[i].port
						     : port);
	for (size_t i = 0; i < s->listen.len; i++)
		all = all || is_every_address(s->listen.items[i].host);
	if (p.count == 0 && !all)
		for (size_t i = 0; i < s->listen.len; i++)
			place_add(&p, s->listen.items[i].host,
				  s->listen.items[i].port != 0
					  ? s->listen.items[i].port
					  : port);
	if (p.count == 0)
		place_add_own(&p, port, &private);
	if (p.count == 0)
		*ret_err = explain_no_place(&private, port);
	buf_done(&private);
	if (p.count == 0)
		return RW_ERR_UNREACHABLE;
	*ret = p;
	return 0;
}

int place_save(const struct place *p, const char *path)
{
	struct state_writer w;

	state_begin(&w, &format);
	for (size_t i = 0; i < p->count; i++) {
		state_add_row(&w);
		state_add_str(&w, "at", p->at[i]);
	}
	return state_commit(&w, path);
}

static int on_row(void *user, struct state_row *row)
{
	struct place *p = user;
	struct hostport hp;
	const char *at;
	int err = state_str(row, "at", &at);

	if (err < 0)
		return err;
	if (parse_hostport(at, RELAY_PORT, &hp) < 0)
		return state_refuse(row, "at", "is no host:port");
	place_add(p, hp.host, hp.port);
	return 0;
}

int place_load(const char *path, struct place *ret, char **ret_err)
{
	struct place p = { .count = 0 };
	int err;

	*ret_err = NULL;
	err = state_load(path, &format, on_row, &p, ret_err);
	if (err < 0)
		return err;
	if (p.count == 0)
		return -ENOENT;
	*ret = p;
	return 0;
}

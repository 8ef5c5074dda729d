/* SPDX-License-Identifier: MIT */
#include "rig/visitors.h"

#include <netinet/in.h>
#include <string.h>

static bool same_address(const struct sockaddr_storage *a,
			 const struct sockaddr_storage *b)
{
	struct sockaddr_in a4, b4;
	struct sockaddr_in6 a6, b6;

	if (a->ss_family != b->ss_family)
		return false;
	memcpy(&a4, a, sizeof(a4));
	memcpy(&b4, b, sizeof(b4));
	memcpy(&a6, a, sizeof(a6));
	memcpy(&b6, b, sizeof(b6));
	return a->ss_family == AF_INET
		       ? a4.sin_addr.s_addr == b4.sin_addr.s_addr
		       : a6.sin6_scope_id == b6.sin6_scope_id &&
				 memcmp(&a6.sin6_addr, &b6.sin6_addr, 16) == 0;
}

static struct visitor *visitors_find(struct visitors *v,
				     const struct sockaddr_storage *addr,
				     uint64_t now_us)
{
	for (size_t i = 0; i < VISITORS_MAX; i++)
		if (v->rows[i].until_us > now_us &&
		    same_address(&v->rows[i].addr, addr))
			return &v->rows[i];
	return NULL;
}

static size_t visitors_of(const struct visitors *v,
			  const uint8_t nonce[PROBE_NONCE_LEN], uint64_t now_us)
{
	size_t n = 0;

	for (size_t i = 0; i < VISITORS_MAX; i++)
		n += v->rows[i].until_us > now_us &&
		     memcmp(v->rows[i].nonce, nonce, PROBE_NONCE_LEN) == 0;
	return n;
}

/* One that is over, or else ends first: whoever asked last is about to come. */
static struct visitor *visitors_oldest(struct visitors *v)
{
	struct visitor *oldest = &v->rows[0];

	for (size_t i = 1; i < VISITORS_MAX; i++)
		if (v->rows[i].until_us < oldest->until_us)
			oldest = &v->rows[i];
	return oldest;
}

bool visitors_let(struct visitors *v, const struct sockaddr_storage *addr,
		  const uint8_t nonce[PROBE_NONCE_LEN], uint64_t now_us)
{
	struct visitor *row = visitors_find(v, addr, now_us);

	if (row == NULL &&
	    visitors_of(v, nonce, now_us) >= VISITORS_OF_ONE_QUESTION)
		return false;
	if (row == NULL)
		row = visitors_oldest(v);
	row->addr = *addr;
	memcpy(row->nonce, nonce, PROBE_NONCE_LEN);
	row->until_us = now_us + VISITORS_OPEN_US;
	return true;
}

bool visitors_has(struct visitors *v, const struct sockaddr_storage *addr,
		  uint64_t now_us)
{
	return visitors_find(v, addr, now_us) != NULL;
}

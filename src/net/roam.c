/* SPDX-License-Identifier: MIT */
#include "net/roam.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fnv.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/roam_local.h"

#define COMPARE_MS 5000

struct roam {
	uv_loop_t *loop;
	void (*on_roam)(void *user);
	void *user;
	struct timer *quiet;	    /* runs while changes come in */
	uint64_t since_us;	    /* the first of them; 0: none */
	struct timer *compare;	    /* where nobody tells */
	uint64_t addrs;		    /* a hash of the addresses, the last time */
	struct roam_source *source; /* NULL: none */
};

/* -- changes */

static void on_quiet(void *user)
{
	struct roam *r = user;

	r->since_us = 0;
	r->on_roam(r->user);
}

void roam_note(struct roam *r)
{
	const uint64_t now = loop_now_us(r->loop);
	uint64_t passed_ms;

	if (r->since_us == 0)
		r->since_us = now;
	passed_ms = MIN((now - r->since_us) / 1000, (uint64_t)ROAM_MAX_MS);
	timer_start(r->quiet,
		    MIN((uint64_t)ROAM_QUIET_MS, ROAM_MAX_MS - passed_ms));
}

/* -- comparing */

static uint64_t hash_addr(const uv_interface_address_t *a)
{
	uint64_t h = fnv_add(FNV_BEGIN, a->name, strlen(a->name));

	if (a->address.address4.sin_family == AF_INET)
		return fnv_add(h, &a->address.address4.sin_addr,
			       sizeof(a->address.address4.sin_addr));
	return fnv_add(h, &a->address.address6.sin6_addr,
		       sizeof(a->address.address6.sin6_addr));
}

/* Of all addresses of interfaces that are up, in any order. */
static uint64_t hash_addrs(void)
{
	uv_interface_address_t *a;
	uint64_t sum = 0;
	int n;

	if (uv_interface_addresses(&a, &n) < 0)
		return 0;
	for (int i = 0; i < n; i++)
		if (!a[i].is_internal)
			sum += hash_addr(&a[i]);
	uv_free_interface_addresses(a, n);
	return sum;
}

static void on_compare(void *user)
{
	struct roam *r = user;
	const uint64_t now = hash_addrs();

	timer_start(r->compare, COMPARE_MS);
	if (now != r->addrs)
		roam_note(r);
	r->addrs = now;
}

static void start_comparing(struct roam *r)
{
	r->compare = timer_new(r->loop, on_compare, r);
	timer_unref(r->compare);
	r->addrs = hash_addrs();
	timer_start(r->compare, COMPARE_MS);
}

/* -- the module's calls */

struct roam *roam_new(uv_loop_t *loop, void (*on_roam)(void *user), void *user)
{
	struct roam *r = xcalloc(1, sizeof(*r));
	int err;

	r->loop = loop;
	r->on_roam = on_roam;
	r->user = user;
	r->quiet = timer_new(loop, on_quiet, r);
	timer_unref(r->quiet);
	err = roam_source_open(loop, r, &r->source);
	if (err < 0) {
		log_debug("changes of addresses are not told here (%s); "
			  "comparing",
			  err_text(err));
		start_comparing(r);
	}
	return r;
}

void roam_free(struct roam *r)
{
	if (r == NULL)
		return;
	if (r->source != NULL)
		roam_source_close(r->source);
	timer_free(r->quiet);
	timer_free(r->compare);
	free(r);
}

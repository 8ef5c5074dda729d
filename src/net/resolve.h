/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses, for net/dial.c. Whoever asks for a name that is being
 * resolved waits for the same answer: a name server that does not answer holds
 * one or two of libuv's four threads a name, not one an attempt. The last good
 * answer is remembered for callers to whom an old address does no harm.
 */
#pragma once
#include <netdb.h>

#include "base/list.h"

struct loop_local;

/* One question; embedded in the asker's struct. */
struct resolve {
	struct list link;
	/* From the loop. list is borrowed until the call returns; err is 0 or
	 * RW_ERR_NO_HOST, RW_ERR_UNREACHABLE (name servers), RW_ERR_NOMEM. */
	void (*on_done)(struct resolve *r, int err,
			const struct addrinfo *list);
};

/* host has at most HOST_MAX bytes. 0: on_done follows; RW_ERR_NOMEM. */
int resolve_start(struct loop_local *ll, struct resolve *r, const char *host);
/* on_done never runs; harmless when it did. r was list_init()ed or started. */
void resolve_stop(struct resolve *r);
/* The last good answer for host, NULL if there is none; borrowed until the
 * loop goes on. */
const struct addrinfo *resolve_known(struct loop_local *ll, const char *host);
/* At the loop's end. */
void resolve_forget(struct loop_local *ll);

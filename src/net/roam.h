/* SPDX-License-Identifier: MIT */
/*
 * Notices that the machine's addresses, routes or links changed: another
 * network, a cable, a lease. Connections may be dead then without a word, and
 * must be asked. What is only said again (a router's advertisement every few
 * seconds) is no change, and many changes at once are one call. Loop thread
 * only.
 */
#pragma once
#include <uv.h>

struct roam;

/* The call comes when nothing has changed for so long, or at the latest. */
#define ROAM_QUIET_MS 100
#define ROAM_MAX_MS   500

/*
 * on_roam runs from the loop after each change. Where the system tells of
 * changes (Linux: netlink) this costs nothing in between; elsewhere, and where
 * it may not be asked, the addresses are compared every few seconds. Ends the
 * process when memory is out. It does not keep uv_run() going.
 */
struct roam *roam_new(uv_loop_t *loop, void (*on_roam)(void *user), void *user);
/* on_roam runs no more; fine inside of it. NULL is fine. */
void roam_free(struct roam *r);

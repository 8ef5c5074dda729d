/* SPDX-License-Identifier: MIT */
/*
 * Answers laptops that look for this rig in their network (PROTOCOL.md, section
 * 14): sound questions only, at a limited rate, from the addresses they came
 * from; to all else it is silent. Loop thread only.
 */
#pragma once
#include <stdint.h>
struct discovery;
struct rig;

/* NULL when rig.probe_port is 0. Where there is no multicast, or the port is
 * taken, what remains is done; it never fails. */
struct discovery *discovery_new(struct rig *rig);
void discovery_free(struct discovery *d);
/* The machine has other networks now. d may be NULL. */
void discovery_rejoin(struct discovery *d);
/* The UDP port at which questions to this rig's own address arrive; 0 for
 * none. */
uint16_t discovery_port(const struct discovery *d);

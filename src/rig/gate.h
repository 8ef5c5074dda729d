/* SPDX-License-Identifier: MIT */
/*
 * The ports at which laptops come straight to this rig: those of rig.listen,
 * and one that opens for a while for the addresses that asked for the rig in
 * their network (rig/discovery.h). Speaks TLS with whoever comes, counts them
 * by address until they have shown an admitted key, and leads them to the
 * door. Loop thread only.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "wire/probe.h"
struct gate;
struct places;
struct rig;

/* As rig.listen. */
#define GATE_PORTS_MAX 8

/* Opens what rig.listen says. Where an address is not there (yet), it is tried
 * again every few seconds. Else 0, or an error with a sentence in *ret_err, to
 * be freed. */
int gate_new(struct rig *rig, struct gate **ret, char **ret_err);
/* g may be NULL. */
void gate_free(struct gate *g);
/* Lets nobody new in, and drops who has not proven a key. */
void gate_close(struct gate *g);

/* The port of the i-th item of rig.listen; 0 while it is not open. */
uint16_t gate_port(const struct gate *g, size_t i);
/* Where the ports that are open lead from elsewhere. */
void gate_places(const struct gate *g, struct places *ret);
/* A port at which this address may knock: one of rig.listen, else the one for
 * those who asked (rig/visitors.h), which is opened. 0: not now. */
uint16_t gate_open_for(struct gate *g, const struct sockaddr *who,
		       const uint8_t nonce[PROBE_NONCE_LEN]);

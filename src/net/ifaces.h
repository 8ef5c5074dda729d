/* SPDX-License-Identifier: MIT */
/*
 * The addresses that this machine has now, and on which interface. Asks the
 * system; any thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Addresses: a machine full of containers has one on each of their interfaces,
 * behind its own. */
#define IFACES_MAX	256
#define IFACES_NAME_CAP 16

struct iface_addr {
	unsigned index;
	char name[IFACES_NAME_CAP];
	bool is_loopback, has_multicast;
	struct sockaddr_storage addr; /* AF_INET or AF_INET6; no port */
};

/* Those of interfaces that are up, as the system orders them; returns how many
 * were written. ret_left_out (may be NULL): how many there are beyond them. */
size_t ifaces_list(struct iface_addr ret[IFACES_MAX], size_t *ret_left_out);

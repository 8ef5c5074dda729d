/* SPDX-License-Identifier: MIT */
/*
 * The addresses that this machine has now, and on which interface. Asks the
 * system; any thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define IFACES_MAX	64
#define IFACES_NAME_CAP 16

struct iface_addr {
	unsigned index;
	char name[IFACES_NAME_CAP];
	bool is_loopback, has_multicast;
	struct sockaddr_storage addr; /* AF_INET or AF_INET6; no port */
};

/* Those of interfaces that are up, in the order of the interfaces; returns how
 * many were written. */
size_t ifaces_list(struct iface_addr ret[IFACES_MAX]);

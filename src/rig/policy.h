/* SPDX-License-Identifier: MIT */
/*
 * What a device may reach from this rig. An owner: whatever the rig's user can
 * reach. A guest: its services, each of which is a name ("ssh"), a port of this
 * machine ("8888"), HOST:PORT, or the path of a unix socket. Names are judged
 * first, and each resolved address again just before connecting. Pure
 * functions.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/parse.h"
#include "core/stream.h"
#include "rig/devices.h"

/* What an OPEN asks for. */
struct target {
	enum stream_kind kind;
	struct hostport hp; /* STREAM_TCP */
	const char *text;   /* as it came */
};

/* RW_ERR_FORMAT: not HOST:PORT, not an absolute path, not a name. text is
 * borrowed for as long as *ret is used. */
int target_parse(enum stream_kind kind, const char *text, struct target *ret);

/* Whether it is worth resolving: false means that no address of it could be
 * allowed. sshd_port: where this machine's sshd listens, 0 unknown. */
bool policy_allows_target(const struct device *dev, const struct target *t,
			  uint16_t sshd_port);
/* Whether this address of t may be connected to (STREAM_TCP). */
bool policy_allows_addr(const struct device *dev, const struct target *t,
			const struct sockaddr *addr, uint16_t sshd_port);

/* Checks a guest's list as a person typed it and writes it in its one form.
 * RW_ERR_FORMAT with the bad word in bad, RW_ERR_LIMIT when it is too long. */
int services_parse(const char *text, char ret[DEVICE_SERVICES_CAP],
		   char bad[DEVICE_SERVICES_CAP]);

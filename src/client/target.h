/* SPDX-License-Identifier: MIT */
/*
 * What people type to say which port comes here and where it leads: the SPEC
 * of `rigway forward`, which is ssh's -L and two short forms, and the
 * destination of `rigway connect`. Pure functions.
 *
 *	PORT				127.0.0.1:PORT at the rig
 *	PORT:PORT			another port at the rig
 *	PORT:HOST			HOST:PORT as the rig sees HOST
 *	PORT:HOST:PORT			ssh's -L
 *	PORT:/path			a unix socket at the rig
 *	BIND:...			before each: the address to listen on;
 *					"*" or nothing for all of them
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"
#include "core/stream.h"

/* Where a connection leads at the rig. */
struct target {
	enum stream_kind kind;
	char to[STREAM_TARGET_MAX + 1];
};

struct target_spec {
	char bind[HOST_MAX + 1]; /* "": where client.bind says */
	uint16_t port;
	struct target target;
};

/* A target_spec as text: bind, port, target. */
#define TARGET_SPEC_CAP (HOSTPORT_CAP + STREAM_TARGET_MAX + 2)

/* Returns 0, or RW_ERR_FORMAT with a sentence in *ret_err, to be freed. */
int target_parse_spec(const char *text, struct target_spec *ret,
		      char **ret_err);
/*
 * HOST:PORT as the rig sees it, PORT alone (the rig itself), a /path of a unix
 * socket there, or "ssh": the rig's sshd wherever it listens. rig is the rig's
 * name: RIG.rig:22 is its sshd, any other port of RIG.rig is on the rig itself.
 * Returns as target_parse_spec().
 */
int target_parse_dest(const char *text, const char *rig, struct target *ret,
		      char **ret_err);
/* The longest form, which target_parse_spec() reads back. Returns out. */
char *target_format_spec(const struct target_spec *spec,
			 char out[static TARGET_SPEC_CAP]);

/* SPDX-License-Identifier: MIT */
/*
 * One local connection on its way through a rig: waits for the rig if it is
 * away, then opens a stream and joins the two (net/pump.h). What both doors,
 * forwarded ports and `rigway connect`, have in common. Loop thread only.
 */
#pragma once
#include <stdint.h>

#include "client/target.h"
struct passage;
struct way;

struct passage_ops {
	/* The target at the rig accepted. May be NULL. */
	void (*on_connected)(void *user);
	/* Once, from the loop; c is freed on return and its socket closed: by
	 * an end of file if err is 0, else by a reset. text is a sentence
	 * part, never NULL. */
	void (*on_done)(void *user, int err, const char *text);
};

struct passage_params {
	struct way *way;
	int fd; /* taken, also on failure */
	const struct target *target;
	uint64_t wait_ms; /* for the rig to come back */
	const struct passage_ops *ops;
	void *user;
};

/* Cannot fail: whatever goes wrong is told by on_done. */
struct passage *passage_new(const struct passage_params *p);
/* Resets both ends; on_done(err) follows from the loop. */
void passage_abort(struct passage *c, int err);

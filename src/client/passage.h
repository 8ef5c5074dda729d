/* SPDX-License-Identifier: MIT */
/*
 * One local connection on its way through a rig: waits for the rig if it is
 * away, then opens a stream and joins the two (net/pump.h). What both doors,
 * forwarded ports and `rigway connect`, have in common. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "client/target.h"
struct passage_ops;
struct pending;
struct pump;
struct way;

/* Embedded in what its owner keeps of the connection, which may be open for
 * days; the fields are passage.c's. */
struct passage {
	struct way *way;
	const struct passage_ops *ops;
	union {
		struct pending *wait; /* until the pump has the stream */
		struct pump *pump;    /* then; NULL once that is over */
	};
	bool is_open;	   /* it is pump */
	bool is_connected; /* on_connected has run */
};

struct passage_ops {
	/* The target at the rig accepted. May be NULL. */
	void (*on_connected)(struct passage *c);
	/* Once, from the loop, and the last that is done with c; its socket is
	 * closed: by an end of file if err is 0, else by a reset. text is a
	 * sentence part, never NULL, and not in c. */
	void (*on_done)(struct passage *c, int err, const char *text);
};

struct passage_params {
	struct way *way;
	int fd; /* taken, also on failure */
	const struct target *target;
	uint64_t wait_ms; /* for the rig to come back */
	const struct passage_ops *ops;
};

/* c needs no other beginning. Cannot fail: whatever goes wrong is told by
 * on_done. */
void passage_start(struct passage *c, const struct passage_params *p);
/* Whether the target at the rig has accepted it. */
static inline bool passage_is_connected(const struct passage *c)
{
	return c->is_connected;
}
/* Resets both ends; on_done(err) follows from the loop. */
void passage_abort(struct passage *c, int err);

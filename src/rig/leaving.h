/* SPDX-License-Identifier: MIT */
/*
 * Leaving a relay: it is told, so that it forgets this rig, and then the rig
 * forgets it; also when it cannot be told. From a running rig.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
struct leaving;
struct rig;

/* err 0: it is left, and text says so, and whether the relay knows. Else
 * nothing has changed here, and text says why. */
typedef void leaving_on_done(void *user, int err, bool was_told,
			     const char *text);
/* Leaves relay n of rig->relays. on_done follows, perhaps from inside this
 * call: *ret is NULL then. A relay that is connected and says nothing is lost
 * within RELAY_PING_MS + RELAY_PONG_MS, and left then. */
void leaving_start(struct rig *rig, size_t n, leaving_on_done *on_done,
		   void *user, struct leaving **ret);
/* on_done does not run; the relay is left all the same. */
void leaving_forget(struct leaving *l);

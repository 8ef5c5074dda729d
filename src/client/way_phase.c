/* SPDX-License-Identifier: MIT */
#include "client/way_phase.h"

static const enum way_phase edges[PHASES][WAY_EVENTS] = {
	[PHASE_OPEN] = { [WAY_EV_RENEW] = PHASE_RENEWING,
			 [WAY_EV_OVER] = PHASE_CLOSING,
			 [WAY_EV_REFUSED] = PHASE_ENDING },
	[PHASE_RENEWING] = { [WAY_EV_RENEWED] = PHASE_OPEN,
			     [WAY_EV_OVER] = PHASE_CLOSING,
			     [WAY_EV_REFUSED] = PHASE_ENDING },
	[PHASE_CLOSING] = { [WAY_EV_GONE] = PHASE_OPEN,
			    [WAY_EV_REFUSED] = PHASE_ENDING },
	[PHASE_ENDING] = { [WAY_EV_GONE] = PHASE_ENDED,
			   [WAY_EV_REVIVE] = PHASE_CLOSING },
	/* Refused once more: whoever waits is told. */
	[PHASE_ENDED] = { [WAY_EV_REVIVE] = PHASE_OPEN,
			  [WAY_EV_REFUSED] = PHASE_ENDING },
};

enum way_phase way_phase_next(enum way_phase at, enum way_event ev)
{
	const enum way_phase to = edges[at][ev];

	return to != PHASE_NONE ? to : at;
}

/* SPDX-License-Identifier: MIT */
/*
 * Whether a way may have a session: what its flags would be, as one state and a
 * table. Pure. What of it is connected is the links' business, and who wants it
 * is counted by the way: client/way.h makes one word of the three.
 */
#pragma once

/* In order of life. */
enum way_phase {
	PHASE_NONE,	/* no such edge */
	PHASE_OPEN,	/* connected, or it may be */
	PHASE_RENEWING, /* connected, and dialled anew in place of that */
	PHASE_CLOSING,	/* the session is over; the next one may begin when
			 * its links are gone */
	PHASE_ENDING,	/* the same, and there is no next one */
	PHASE_ENDED,	/* all of it is gone; only REVIVE leads back */
	PHASES,
};

enum way_event {
	WAY_EV_RENEW,	/* somebody wants other connections than these */
	WAY_EV_RENEWED, /* they are there, or there is none left to replace,
			 * or none came in time */
	WAY_EV_OVER,	/* the session is over */
	WAY_EV_REFUSED, /* for good: no dial can change it */
	WAY_EV_GONE,	/* the last link is */
	WAY_EV_REVIVE,	/* somebody has a reason to try again */
	WAY_EVENTS,
};

/* Where ev leads; at itself where it means nothing. */
enum way_phase way_phase_next(enum way_phase at, enum way_event ev);

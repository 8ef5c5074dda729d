/* SPDX-License-Identifier: MIT */
/*
 * Making a code for a laptop: the invite is written down here, and the relay is
 * told what to let through, before the code is shown. Works without a running
 * rig too (issue_make), which then tells the relays when it starts.
 */
#pragma once

#include "carrier/control.h"
#include "rig/invites.h"
#include "rig/relays.h"
#include "wire/code.h"
struct issue;
struct places;
struct rig;

/* A code of this rig, and what the relays need to know of it. */
struct issued {
	char code[CODE_TEXT_CAP];
	struct control_invite invite;
};

/* Who the rig is, for the code. */
struct issuer {
	const struct rig_relay
		*relay;		     /* the one that the code names, or NULL */
	const struct places *places; /* where it is reached without one */
	const struct pin *pin;
	const char *name;
};

/* Errors of invites_make(), code_format(); RW_ERR_UNREACHABLE: there is neither
 * a relay nor a place; text is a sentence then. */
int issue_make(struct invites *v, const struct issuer *by,
	       const struct invite_params *p, struct issued *ret,
	       char text[INVITE_TEXT_CAP]);

/* err 0: the code, and a note if the relay does not know of it yet, else "".
 * err: a sentence in note. The struct issue is gone on return. */
typedef void issue_on_done(void *user, int err, const char *code,
			   const char *note);
/* Makes a code in a running rig; p's services are read during the call. on_done
 * follows, perhaps from inside this call: *ret is NULL then. */
void issue_start(struct rig *rig, const struct invite_params *p,
		 issue_on_done *on_done, void *user, struct issue **ret);
/* on_done does not run; the invite stays. */
void issue_cancel(struct issue *is);

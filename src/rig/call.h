/* SPDX-License-Identifier: MIT */
/*
 * A relay says that somebody wants this rig: answers for keys on the rig's own
 * list, or that show a live invite, at a limited rate, and leads them to the
 * door. Loop thread only.
 */
#pragma once
struct control_call;
struct rig;
struct uplink;

void call_answer(struct uplink *u, const struct control_call *call);
/* Gives up those of one relay, which goes; NULL: of all, at the end. */
void calls_close(struct rig *rig, const struct uplink *u);

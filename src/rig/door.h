/* SPDX-License-Identifier: MIT */
/*
 * Who may come in: answers a relay's call for keys on the rig's own list, or
 * that show a live invite, at a limited rate; reads the HELLO, redeems the code
 * in it, and hands the connection to its session, or says no in words. Loop
 * thread only.
 */
#pragma once
struct control_call;
struct rig;
struct uplink;

void door_answer(struct uplink *u, const struct control_call *call);
/* Drops all that wait; at the end. */
void doors_close(struct rig *rig);

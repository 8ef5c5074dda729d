/* SPDX-License-Identifier: MIT */
/*
 * Pairing with a rig by the code it printed: the relay's half of the secret is
 * redeemed at the relay, the rig's half goes to the rig inside the end-to-end
 * session, and only when the rig has welcomed us is anything written. A join
 * that broke anywhere may be repeated with the same code. Loop thread only.
 */
#pragma once
struct daemon;
struct local_req;

/* How long the rig may take after the relay took the code. */
#define JOIN_TIMEOUT_MS 25000

/* code: as it was pasted; name: what the rig is to be called here, or NULL.
 * Answers r: {"rig":NAME,"host":HOST,"user":USER,"new":BOOL}, and the end. */
void join_start(struct daemon *d, const char *code, const char *name,
		struct local_req *r);
/* The daemon stops: every join ends. */
void join_end_all(struct daemon *d);

/* SPDX-License-Identifier: MIT */
/*
 * What the commands can ask of the daemon on client.sock: one JSON object with
 * "do", answered by lines and a last one (net/local.h). The table is in
 * verbs.c. Loop thread only.
 */
#pragma once
#include <jansson.h>
struct daemon;
struct local_req;
struct rigs_row;

/* user is the struct daemon. */
void verbs_on_request(struct local_req *r, json_t *msg, void *user);
/* Ends the looks that wait. */
void verbs_end(struct daemon *d);
/* The rig that msg's "rig" means; ends r and returns NULL when there is
 * none. */
struct rigs_row *verbs_rig(struct daemon *d, struct local_req *r,
			   const json_t *msg);

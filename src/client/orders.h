/* SPDX-License-Identifier: MIT */
/*
 * The verbs "forward" and "unforward": a request opens all its SPECs or none,
 * and what it kept is on disk before it is answered. A rig that is being
 * dialled has a moment to say that it does not want this machine: then nothing
 * stays. With "hold" the forwards are not kept, and stand as long as the asker
 * does (`--foreground`). Loop thread only.
 */
#pragma once
#include <jansson.h>
struct daemon;
struct local_req;

void orders_forward(struct daemon *d, struct local_req *r, json_t *msg);
/* "8888" means every kept forward of that port; a whole SPEC its port and,
 * where it says one, its address. */
void orders_unforward(struct daemon *d, struct local_req *r, json_t *msg);
/* The daemon stops: held forwards end, and who waits is told. */
void orders_end_all(struct daemon *d);

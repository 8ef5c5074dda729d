/* SPDX-License-Identifier: MIT */
/*
 * What net/roam.c and the system's way to hear of changes share: roam_linux.c
 * or roam_plain.c. For these files only.
 */
#pragma once
#include "net/roam.h"

/* A way to hear of changes; one of the system's own, or NULL to compare. */
struct roam_source;

/* 0, or an error: there is no such way here, then addresses are compared. */
int roam_source_open(uv_loop_t *loop, struct roam *r, struct roam_source **ret);
/* The memory comes back from the loop. */
void roam_source_close(struct roam_source *s);

/* Something has changed. */
void roam_note(struct roam *r);

/* SPDX-License-Identifier: MIT */
/*
 * Answers what an owner's laptop asks on stream 0 (wire/request.h): codes,
 * devices, removal, ssh keys. One request at a time, in order; the next one is
 * read when the answer is out. Loop thread only.
 */
#pragma once
struct peer;
struct requests;

/* Takes the session's stream 0 on. */
struct requests *requests_new(struct peer *p);
/* Before the session is freed. */
void requests_free(struct requests *q);

/* SPDX-License-Identifier: MIT */
/*
 * How what is known, or not, stands in an answer over a local socket (local.h):
 * the same in each role, since scripts read all of them. What is not known is
 * null, never left out.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

/* NULL or "": null. */
void answer_set_text(json_t *o, const char *key, const char *text);
void answer_set_int(json_t *o, const char *key, uint64_t v);
/* A duration or the like; UINT64_MAX: null. */
void answer_set_known(json_t *o, const char *key, uint64_t v);
/* Unix seconds, as "2024-05-01T12:00:00Z"; 0: null. */
void answer_set_time(json_t *o, const char *key, int64_t unix_s);
/* The same of moment.h's. */
void answer_set_moment(json_t *o, const char *key, uint64_t moment);

/* SPDX-License-Identifier: MIT */
/*
 * What `rigway status` prints: the daemon's answer in words, aligned, with
 * times as people tell them. No clock and no output of its own.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/format.h"

/* One rig, several lines; now in unix seconds. */
void status_words_rig(struct buf *out, const json_t *rig, int64_t now);
/* One forward, one line or two. */
void status_words_forward(struct buf *out, const json_t *fw, int64_t now);

/* How long that has been so: "3s"; less than a second counts as one. */
const char *words_for(const json_t *o, const char *key, int64_t now,
		      char out[static FORMAT_CAP]);
/* "3s ago", "just now"; "-" where o has no such time. */
const char *words_ago(const json_t *o, const char *key, int64_t now,
		      char out[static FORMAT_CAP]);

/* SPDX-License-Identifier: MIT */
/*
 * How a running rig stands, as JSON: its relays, its ports, and each laptop
 * with a session; nothing is up there that was not proven within its deadline.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
struct peer;
struct rig;

/* The caller owns it. */
json_t *status_json(const struct rig *rig);
/* Whether the laptop was heard of within the time of a ping and its answer. */
bool status_is_proven(const struct rig *rig, const struct peer *p);

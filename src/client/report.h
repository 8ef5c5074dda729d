/* SPDX-License-Identifier: MIT */
/*
 * What the daemon tells about itself, as JSON: one object a rig, one a
 * forward. `rigway ls`, `rigway status` and the dashboard read these. The
 * caller owns what is returned.
 */
#pragma once
#include <jansson.h>
struct daemon;
struct forward;
struct rigs_row;

/* What is on disk: name, fingerprint, user, host, ... */
json_t *report_rig(const struct rigs_row *row);
/* The same with whether it is online, as its relay says or as the session
 * proves. */
json_t *report_ls(const struct daemon *d, const struct rigs_row *row);
/* The same with the session's figures. */
json_t *report_status(const struct daemon *d, const struct rigs_row *row);
json_t *report_forward(const struct forward *fw);
/* The process itself. */
json_t *report_daemon(const struct daemon *d);

/* SPDX-License-Identifier: MIT */
/*
 * A stream that a laptop opens: judged by the rig's rules, connected to its
 * target, and joined with it. Every failure is told apart in words. Loop thread
 * only.
 */
#pragma once
struct peer;
struct stream;

/* From session_ops.on_open: takes the stream on. */
void opening_start(struct peer *p, struct stream *st);
/* Cuts all streams of the peer, now. */
void openings_abort(struct peer *p, int err, const char *text);
/* The session was freed: what still has a socket to close outlives it. */
void openings_orphan(struct peer *p);

/* SPDX-License-Identifier: MIT */
/*
 * Somebody's text inside our sentences: short, on one line, and harmless to a
 * terminal. For messages only, never to be read back.
 */
#pragma once

#define QUOTE_CAP 64

/* Copies text to out, cut with "..." when long, anything but printable ASCII
 * and clean UTF-8 as '?'; returns out. */
char *quote(const char *text, char out[static QUOTE_CAP]);

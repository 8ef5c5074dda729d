/* SPDX-License-Identifier: MIT */
/*
 * A code as a picture on a terminal, to be read by a phone's camera. Codes are
 * also printed as text: this is an extra, and goes where people look, never
 * where scripts do.
 */
#pragma once
#include <stdio.h>

/* Draws text on to, if that is a terminal wide enough for it and UTF-8 is
 * spoken there; else does nothing. In upper case, which reads as the same code
 * and makes a smaller picture. */
void qr_print(FILE *to, const char *text);

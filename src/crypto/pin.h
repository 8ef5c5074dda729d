/* SPDX-License-Identifier: MIT */
/*
 * The pin of a key: SHA-256 of its DER SubjectPublicKeyInfo. It names a device
 * or relay everywhere; it is public.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PIN_LEN	      32
#define PIN_TEXT_LEN  52 /* base32 */
#define PIN_SHORT_LEN 19 /* "abcd-efgh-ijkl-mnop" */
#define PIN_MATCH_MIN 4	 /* the shortest prefix pin_matches() takes */

struct pin {
	uint8_t b[PIN_LEN];
};

bool pin_eq(const struct pin *a, const struct pin *b);
/* No key has the all zero pin; it stands for "none". */
bool pin_is_zero(const struct pin *p);
/* Lower case base32. Returns out. */
char *pin_text(const struct pin *p, char out[PIN_TEXT_LEN + 1]);
/* For people: the first 16 characters in groups of four. Returns out. */
char *pin_short(const struct pin *p, char out[PIN_SHORT_LEN + 1]);
/* The full text, any case; 0 or RW_ERR_FORMAT. */
int pin_parse(const char *text, struct pin *ret);
/* Whether text is a beginning of the pin's text, '-' and case aside, of at
 * least PIN_MATCH_MIN characters. For "remove abcd-efgh"; the caller checks
 * that only one device matches. */
bool pin_matches(const struct pin *p, const char *text);

/* SPDX-License-Identifier: MIT */
/*
 * Text: bounded copies, checks, suggestions for mistyped words, hex and base32.
 * base/parse.h reads numbers, addresses and durations, base/format.h writes
 * them; both come along with this header.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/format.h"
#include "base/parse.h"

/* Characters (without the NUL) that len bytes take. */
#define STR_HEX_LEN(len)    (2 * (len))
#define STR_BASE32_LEN(len) (((len)*8 + 4) / 5)

/* Copies src, always ending it with a NUL; cap > 0. False when src was cut. */
bool str_copy(char *dst, size_t cap, const char *src);
/* Valid UTF-8 (RFC 3629), no NUL and no control character (C0, DEL, C1,
 * the line and paragraph separators, the marks that reverse the order of what
 * is shown): safe to print on a terminal. */
bool str_is_clean(const char *s, size_t len);
/* Bytes of the valid UTF-8 character at s; 0 when there is none. len > 0. */
size_t str_utf8_len(const char *s, size_t len);
/* Only ASCII from space to '~'. */
bool str_is_printable(const char *s, size_t len);
/* A name of a rig, fleet or service: 1 to 63 of a-z A-Z 0-9 . _ -, beginning
 * with a letter or digit. */
bool str_is_name(const char *s);
bool str_has_prefix(const char *s, const char *prefix);

/* Edits (insert, drop, change, swap neighbours) that make b of a, not
 * regarding case. Words over 63 bytes are infinitely far: SIZE_MAX. */
size_t str_distance(const char *a, const char *b);
/* The candidate a person most likely meant, or NULL when none is near. */
const char *str_near(const char *word, const char *const *candidates,
		     size_t count);

/* Lower case, NUL ended: out has STR_HEX_LEN(len) + 1 bytes. */
void str_hex_encode(const void *data, size_t len, char *out);
/* Text of text_len characters, any case. Returns how many bytes were written,
 * or RW_ERR_FORMAT; RW_ERR_LIMIT when they do not fit into cap. */
int str_hex_decode(const char *text, size_t text_len, void *out, size_t cap);
/* RFC 4648 base32, lower case, no padding, NUL ended: out has
 * STR_BASE32_LEN(len) + 1 bytes. */
void str_base32_encode(const void *data, size_t len, char *out);
/* The other way, any case; the unused last bits must be 0 (one text a value).
 * Returns the number of bytes, RW_ERR_FORMAT or RW_ERR_LIMIT. */
int str_base32_decode(const char *text, size_t text_len, void *out, size_t cap);

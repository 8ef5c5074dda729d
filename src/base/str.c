/* SPDX-License-Identifier: MIT */
#include "base/str.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define STR_WORD_MAX 63

bool str_copy(char *dst, size_t cap, const char *src)
{
	size_t len = strlen(src);

	CHECK(cap > 0);
	if (len < cap) {
		memcpy(dst, src, len + 1);
		return true;
	}
	memcpy(dst, src, cap - 1);
	dst[cap - 1] = '\0';
	return false;
}

/* Decodes one character at s; 0 when it is not valid, else its length. */
static size_t utf8_next(const uint8_t *s, size_t len, uint32_t *ret)
{
	static const struct {
		uint8_t mask, lead;
		uint32_t min; /* less would be an overlong form */
	} forms[] = {
		{ 0x80, 0x00, 0 },
		{ 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};

	for (size_t n = 0; n < ARRAY_LEN(forms); n++) {
		if ((s[0] & forms[n].mask) != forms[n].lead)
			continue;
		uint32_t c = s[0] & (uint8_t)~forms[n].mask;

		if (n >= len)
			return 0;
		for (size_t i = 1; i <= n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[i] & 0x3f);
		}
		if (c < forms[n].min || c > 0x10ffff ||
		    (c >= 0xd800 && c <= 0xdfff))
			return 0;
		*ret = c;
		return n + 1;
	}
	return 0;
}

/* Controls, the two separators that some terminals and log readers take for
 * line ends, and the marks that reverse the order of what is shown. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

bool str_is_clean(const char *s, size_t len)
{
	const uint8_t *at = (const uint8_t *)s;

	for (size_t i = 0; i < len;) {
		uint32_t c = 0;
		size_t n = utf8_next(at + i, len - i, &c);

		if (n == 0 || is_control(c))
			return false;
		i += n;
	}
	return true;
}

size_t str_utf8_len(const char *s, size_t len)
{
	uint32_t c;

	return utf8_next((const uint8_t *)s, len, &c);
}

bool str_is_printable(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] < ' ' || s[i] > '~')
			return false;
	return true;
}

/* Not isalnum() and tolower(): the locale must not decide what is a name. */
static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_is_name(const char *s)
{
	size_t n = 0;

	for (; s[n] != '\0'; n++)
		if (n >= STR_WORD_MAX ||
		    !(is_alnum(s[n]) || (n > 0 && strchr("._-", s[n]))))
			return false;
	return n > 0;
}

bool str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Damerau-Levenshtein in its restricted form, three rows of the table. */
size_t str_distance(const char *a, const char *b)
{
	size_t rows[3][STR_WORD_MAX + 1];
	size_t *prev2 = rows[0], *prev = rows[1], *row = rows[2];
	size_t len_a = strlen(a), len_b = strlen(b);

	if (len_a > STR_WORD_MAX || len_b > STR_WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= len_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		size_t *spare = prev2;

		prev2 = prev;
		prev = row;
		row = spare;
		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			char ca = lower(a[i - 1]), cb = lower(b[j - 1]);
			size_t best = prev[j - 1] + (ca != cb);

			best = MIN(best, prev[j] + 1);
			best = MIN(best, row[j - 1] + 1);
			if (i > 1 && j > 1 && ca == lower(b[j - 2]) &&
			    lower(a[i - 2]) == cb)
				best = MIN(best, prev2[j - 2] + 1);
			row[j] = best;
		}
	}
	return row[len_b];
}

const char *str_near(const char *word, const char *const *candidates,
		     size_t count)
{
	/* A third of the letters may be wrong: "prt" means port, but "ls" is
	 * not a misspelt "gpu". */
	size_t best = strlen(word) / 3 + 1;
	const char *ret = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t d = str_distance(word, candidates[i]);

		/* All letters wrong is no likeness. */
		if (d > best || d >= strlen(candidates[i]) ||
		    d >= strlen(word) || (d == best && ret != NULL))
			continue;
		best = d;
		ret = candidates[i];
	}
	return ret;
}

void str_hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	c = lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int str_hex_decode(const char *text, size_t text_len, void *out, size_t cap)
{
	uint8_t *to = out;

	if (text_len % 2 != 0)
		return RW_ERR_FORMAT;
	if (text_len / 2 > cap || text_len > INT32_MAX)
		return RW_ERR_LIMIT;
	for (size_t i = 0; i < text_len; i += 2) {
		int high = hex_value(text[i]), low = hex_value(text[i + 1]);

		if (high < 0 || low < 0)
			return RW_ERR_FORMAT;
		*to++ = (uint8_t)(high << 4 | low);
	}
	return (int)(text_len / 2);
}

void str_base32_encode(const void *data, size_t len, char *out)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	const uint8_t *in = data;
	uint32_t acc = 0; /* its low nbits bits are still to be written */
	unsigned nbits = 0;

	for (size_t i = 0; i < len; i++) {
		acc = acc << 8 | in[i];
		nbits += 8;
		while (nbits >= 5) {
			nbits -= 5;
			*out++ = letters[acc >> nbits & 31];
		}
	}
	if (nbits > 0)
		*out++ = letters[acc << (5 - nbits) & 31];
	*out = '\0';
}

static int base32_value(char c)
{
	c = lower(c);
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

int str_base32_decode(const char *text, size_t text_len, void *out, size_t cap)
{
	uint8_t *to = out;
	uint32_t acc = 0;
	unsigned nbits = 0;

	if (text_len > INT32_MAX || text_len * 5 / 8 > cap)
		return RW_ERR_LIMIT;
	for (size_t i = 0; i < text_len; i++) {
		int v = base32_value(text[i]);

		if (v < 0)
			return RW_ERR_FORMAT;
		acc = acc << 5 | (uint32_t)v;
		nbits += 5;
		if (nbits >= 8) {
			nbits -= 8;
			*to++ = (uint8_t)(acc >> nbits);
		}
	}
	/* A whole unused letter, or bits set in the unused ones: not what the
	 * encoder writes. */
	if (nbits >= 5 || (acc & ((1u << nbits) - 1)) != 0)
		return RW_ERR_FORMAT;
	return (int)(text_len * 5 / 8);
}

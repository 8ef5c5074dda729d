/* SPDX-License-Identifier: MIT */
#include "crypto/pin.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"

bool pin_eq(const struct pin *a, const struct pin *b)
{
	return memcmp(a->b, b->b, PIN_LEN) == 0;
}

bool pin_is_zero(const struct pin *p)
{
	static const struct pin zero;

	return pin_eq(p, &zero);
}

char *pin_text(const struct pin *p, char out[PIN_TEXT_LEN + 1])
{
	str_base32_encode(p->b, PIN_LEN, out);
	return out;
}

char *pin_short(const struct pin *p, char out[PIN_SHORT_LEN + 1])
{
	char text[PIN_TEXT_LEN + 1];
	size_t n = 0;

	pin_text(p, text);
	for (size_t i = 0; n < PIN_SHORT_LEN; i++) {
		if (i > 0 && i % 4 == 0)
			out[n++] = '-';
		out[n++] = text[i];
	}
	out[n] = '\0';
	return out;
}

int pin_parse(const char *text, struct pin *ret)
{
	struct pin p;
	size_t len = strlen(text);

	if (len != PIN_TEXT_LEN ||
	    str_base32_decode(text, len, p.b, sizeof(p.b)) != PIN_LEN)
		return RW_ERR_FORMAT;
	*ret = p;
	return 0;
}

bool pin_matches(const struct pin *p, const char *text)
{
	char full[PIN_TEXT_LEN + 1];
	size_t n = 0;

	pin_text(p, full);
	for (; *text != '\0'; text++) {
		char c = *text;

		if (c == '-')
			continue;
		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (n >= PIN_TEXT_LEN || full[n] != c)
			return false;
		n++;
	}
	return n >= PIN_MATCH_MIN;
}

/* SPDX-License-Identifier: MIT */
#include "config/quote.h"

#include <string.h>

#include "base/str.h"

char *quote(const char *text, char out[static QUOTE_CAP])
{
	size_t len = strlen(text), room = QUOTE_CAP - sizeof("...");

	if (len < QUOTE_CAP && str_is_clean(text, len)) {
		memcpy(out, text, len + 1);
		return out;
	}
	if (len >= QUOTE_CAP) {
		len = room;
		memcpy(out + len, "...", sizeof("..."));
	} else {
		out[len] = '\0';
	}
	for (size_t i = 0; i < len; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	return out;
}

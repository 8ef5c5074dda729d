/* SPDX-License-Identifier: MIT */
/* No text makes the reader of the configuration crash, leak or run on; and
 * what it took can be shown, read back, and shown the same again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char *show(const struct settings *s, size_t *ret_len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, ret_len);

	CHECK(to != NULL);
	settings_show(s, to);
	fclose(to);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config_errors errs = { 0 };
	struct settings s, again;
	char *first, *second;
	size_t first_len, second_len;

	if (settings_parse("f", (const char *)data, len, &s, &errs) != 0) {
		CHECK(errs.len > 0);
		config_errors_done(&errs);
		return 0;
	}
	CHECK(errs.len == 0);
	first = show(&s, &first_len);
	CHECK(settings_parse("f", first, first_len, &again, &errs) == 0);
	second = show(&again, &second_len);
	CHECK(strcmp(first, second) == 0);
	free(first);
	free(second);
	settings_done(&s);
	settings_done(&again);
	return 0;
}

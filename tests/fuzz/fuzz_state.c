/* SPDX-License-Identifier: MIT */
/* No state file makes the reader crash or leak, and each value that it took is
 * written so that it is read back as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const keys[] = { "key", "name", "added", "guest", NULL };
static const struct state_format format = {
	.kind = "devices",
	.version = 1,
	.max_rows = 64,
	.keys = keys,
};

static int on_row(void *user, struct state_row *row)
{
	struct state_writer *w = user;
	const char *text;
	int64_t number;
	bool truth;

	if (w == NULL)
		return 0;
	state_add_row(w);
	for (size_t i = 0; keys[i] != NULL; i++)
		state_add_str(w, keys[i], state_get(row, keys[i]));
	(void)state_str(row, "name", &text);
	(void)state_int(row, "added", INT64_MIN, INT64_MAX, &number);
	(void)state_bool(row, "guest", &truth);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct state_writer first, second;
	char *err = NULL;

	state_begin(&first, &format);
	state_begin(&second, &format);
	if (state_parse(&(struct state_text){ "f", (const char *)data, len },
			&format, on_row, &first, &err) != 0) {
		CHECK(err != NULL);
		free(err);
	} else if (first.err == 0) {
		state_add_row(&first); /* ends the row before; is empty */
		CHECK(state_parse(
			      &(struct state_text){
				      "f", (const char *)first.text.data,
				      first.text.len },
			      &format, on_row, &second, &err) == 0);
		state_add_row(&second);
		CHECK(first.text.len == second.text.len);
		CHECK(memcmp(first.text.data, second.text.data,
			     first.text.len) == 0);
	}
	state_drop(&first);
	state_drop(&second);
	return 0;
}

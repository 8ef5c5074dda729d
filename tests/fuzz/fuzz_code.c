/* SPDX-License-Identifier: MIT */
/*
 * code_parse() on what anybody may paste. The first byte says whether the rest
 * is the text itself or the inside of a code, which then gets a right length
 * and checksum: random text never passes those.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/code.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What was accepted can be written and reads as the same. */
static void check_accepted(const struct code *c)
{
	char text[CODE_TEXT_CAP], text_again[CODE_TEXT_CAP];
	struct code again;
	int n = code_format(c, text, sizeof(text));

	CHECK(n > 0);
	CHECK(code_parse(text, (size_t)n, &again) == 0);
	CHECK(code_format(&again, text_again, sizeof(text_again)) == n);
	CHECK(strcmp(text, text_again) == 0);
}

static void fuzz_text(const char *text, size_t len)
{
	struct code c;
	int err = code_parse(text, len, &c);

	CHECK(err <= 0);
	if (err == 0)
		check_accepted(&c);
}

static void fuzz_inside(const uint8_t *data, size_t len)
{
	uint8_t bytes[2000], hash[HASH_LEN];
	char text[CODE_INPUT_MAX] = "rw1";

	if (len > sizeof(bytes) - 6)
		return;
	put_be16(bytes, (uint16_t)(len + 4));
	memcpy(bytes + 2, data, len);
	sha256(bytes, len + 2, hash);
	memcpy(bytes + 2 + len, hash, 4);
	str_base32_encode(bytes, len + 6, text + 3);
	fuzz_text(text, strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] == 'i')
		fuzz_inside(data + 1, len - 1);
	else
		fuzz_text((const char *)data + 1, len - 1);
	return 0;
}

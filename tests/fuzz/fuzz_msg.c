/* SPDX-License-Identifier: MIT */
/* msg_decode() with a schema that has every type of field. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "wire/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct sample {
	uint64_t present;
	uint8_t kind;
	uint16_t port;
	uint32_t count;
	uint64_t offset;
	uint8_t id[4];
	struct msg_view data;
	char name[8];
};

static const struct msg_field fields[] = {
	MSG_U8(1, struct sample, kind, true),
	MSG_U16(2, struct sample, port, false),
	MSG_U32(3, struct sample, count, false),
	MSG_U64(4, struct sample, offset, false),
	MSG_FIXED(5, struct sample, id, false),
	MSG_BYTES(6, struct sample, data, 10, false),
	MSG_STR(63, struct sample, name, false),
};

static const struct msg_schema schema = MSG_SCHEMA(struct sample, fields);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sample s, again;
	uint8_t out[128];

	memset(&again, 0, sizeof(again));
	if (msg_decode(&schema, data, len, &s) != 0)
		return 0;
	CHECK(s.data.len <= 10);
	CHECK(s.data.len == 0 ||
	      (s.data.data >= data && s.data.data + s.data.len <= data + len));
	CHECK(memchr(s.name, '\0', sizeof(s.name)) != NULL);
	CHECK(str_is_clean(s.name, strlen(s.name)));
	/* What was accepted can be written and reads as the same. */
	int n = msg_encode(&schema, &s, out, sizeof(out));

	CHECK(n > 0);
	CHECK(msg_decode(&schema, out, (size_t)n, &again) == 0);
	CHECK(again.data.len == s.data.len);
	CHECK(s.data.len == 0 ||
	      memcmp(again.data.data, s.data.data, s.data.len) == 0);
	again.data = s.data;
	CHECK(memcmp(&again, &s, sizeof(s)) == 0);
	return 0;
}

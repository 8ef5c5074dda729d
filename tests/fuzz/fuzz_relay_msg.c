/* SPDX-License-Identifier: MIT */
/* Whatever a stranger says to a relay, or a relay to a device. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "wire/relay_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_as(const uint8_t *data, size_t len, enum relay_side from)
{
	uint8_t frame[RELAY_FRAME_MAX], again[RELAY_FRAME_MAX];
	struct relay_msg m, same;
	ssize_t n = relay_msg_read(data, len, from, &m);
	size_t out;

	CHECK(n <= (ssize_t)len);
	if (n <= 0)
		return;
	/* What was accepted is sound: written and read, it is the same. */
	out = relay_msg_write(&m, frame);
	CHECK(relay_msg_read(frame, out, from, &same) == (ssize_t)out);
	CHECK(relay_msg_write(&same, again) == out);
	CHECK(memcmp(frame, again, out) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	read_as(data, len, RELAY_SIDE_DEVICE);
	read_as(data, len, RELAY_SIDE_RELAY);
	return 0;
}

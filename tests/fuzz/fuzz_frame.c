/* SPDX-License-Identifier: MIT */
/* frame_decode() and dgram_decode() over a run of frames. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_dgram(const struct frame *f)
{
	uint8_t out[FRAME_MAX];
	struct dgram_piece p, q;
	struct frame g;

	if (dgram_decode(f, &p) != 0)
		return;
	CHECK(p.length <= DGRAM_MAX && p.offset + p.len <= p.length);
	size_t n = frame_put_dgram(out, f->stream, &p);

	CHECK(frame_decode(out, n, &g) == (ssize_t)n);
	CHECK(dgram_decode(&g, &q) == 0);
	CHECK(q.number == p.number && q.length == p.length &&
	      q.offset == p.offset && q.len == p.len);
	CHECK(p.len == 0 || memcmp(p.data, q.data, p.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	while (len > 0) {
		struct frame f, g;
		ssize_t n = frame_decode(data, len, &f);

		if (n <= 0) {
			CHECK(n == 0 || n == RW_ERR_PROTO);
			return 0;
		}
		CHECK((size_t)n <= len && n <= FRAME_MAX);
		CHECK(n == FRAME_HDR_LEN + f.len);
		CHECK(f.payload == data + FRAME_HDR_LEN);
		/* A prefix is no frame, and no error either. */
		CHECK(frame_decode(data, (size_t)n - 1, &g) == 0);
		if (f.type == FRAME_DGRAM)
			check_dgram(&f);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

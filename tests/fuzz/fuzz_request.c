/* SPDX-License-Identifier: MIT */
/*
 * request_read() on what a laptop may send on stream 0. What was read can be
 * written, and reads as the same; a prefix of it is never more than unfinished.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "rig/authorize.h"
#include "wire/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_read(const struct request *r)
{
	static uint8_t out[REQUEST_MAX], again[REQUEST_MAX];
	struct request back;
	ssize_t n = request_write(r, out, sizeof(out));

	CHECK(n > 0);
	CHECK(request_read(out, (size_t)n, &back) == n);
	CHECK(request_write(&back, again, sizeof(again)) == n);
	CHECK(memcmp(out, again, (size_t)n) == 0);
	CHECK(request_read(out, (size_t)n - 1, &back) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct request r;
	struct buf key = { 0 };

	while (len > 0) {
		ssize_t n = request_read(data, len, &r);

		if (n <= 0)
			break;
		CHECK((size_t)n <= len);
		if (r.known)
			check_read(&r);
		if (r.type == Q_AUTHORIZE)
			authorize_parse((const char *)r.q_authorize.key.data,
					r.q_authorize.key.len, &key);
		data += n;
		len -= (size_t)n;
	}
	buf_done(&key);
	return 0;
}

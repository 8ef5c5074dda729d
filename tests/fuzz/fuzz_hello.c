/* SPDX-License-Identifier: MIT */
/* What a stranger says first, and what is answered: the first byte chooses. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/frame.h"
#include "wire/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t out[FRAME_MAX];

static void try_hello(const uint8_t *data, size_t len)
{
	struct hello h, again;
	ssize_t n = hello_read(data, len, &h);

	CHECK(n == RW_ERR_PROTO || (n >= 0 && (size_t)n <= len));
	if (n <= 0)
		return;
	CHECK(h.live_count <= HELLO_CARRIERS);
	CHECK(str_is_clean(h.extra.name, strlen(h.extra.name)));
	size_t m = hello_write(&h, out);

	CHECK(hello_read(out, m, &again) == (ssize_t)m);
	CHECK(memcmp(h.session, again.session, SESSION_ID_LEN) == 0);
	CHECK(h.carrier == again.carrier && h.floor == again.floor);
	CHECK(h.extra.redeems == again.extra.redeems);
	CHECK(strcmp(h.extra.name, again.extra.name) == 0);
}

static void try_welcome(const uint8_t *data, size_t len)
{
	static struct welcome w, again;

	if (welcome_decode(data, len, &w) != 0)
		return;
	CHECK(strlen(w.info.host_keys) <= RIG_INFO_KEYS_MAX);
	size_t m = welcome_write(&w, out);

	CHECK(welcome_decode(out + FRAME_HDR_LEN, m - FRAME_HDR_LEN, &again) ==
	      0);
	CHECK(strcmp(w.info.host_keys, again.info.host_keys) == 0);
	CHECK(strcmp(w.info.host, again.info.host) == 0);
	CHECK(w.incarnation == again.incarnation && w.fresh == again.fresh);
}

static void try_refused(const uint8_t *data, size_t len)
{
	struct refused r, again;

	if (refused_decode(data, len, &r) != 0)
		return;
	size_t m = refused_write(&r, out);

	CHECK(refused_decode(out + FRAME_HDR_LEN, m - FRAME_HDR_LEN, &again) ==
	      0);
	CHECK(r.code == again.code);
	CHECK(strcmp(r.text, again.text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] == FRAME_HELLO)
		try_hello(data, len);
	else if (data[0] == FRAME_WELCOME)
		try_welcome(data + 1, len - 1);
	else
		try_refused(data + 1, len - 1);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What a stranger's bytes do to a TLS connection, in any pieces. The first byte
 * says whether they come first, or to a connection that is up; the second how
 * long the pieces are. Whatever they are, they yield no plaintext, and what is
 * not read is left over as it came.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "crypto/key.h"
#include "net/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct key *client, *server;
static struct tls_ctx *client_ctx, *server_ctx;

static void make_contexts(void)
{
	CHECK(key_generate(&client) == 0 && key_generate(&server) == 0);
	CHECK(tls_ctx_new(client, TLS_CLIENT, "rigway/1", &client_ctx) == 0);
	CHECK(tls_ctx_new(server, TLS_SERVER, "rigway/1", &server_ctx) == 0);
}

static size_t carry(struct tls *from, struct tls *to)
{
	size_t len;
	const uint8_t *data = tls_output(from, &len);

	if (len > 0)
		CHECK(tls_feed(to, data, len) == 0);
	tls_drain(from, len);
	return len;
}

/* A server that has seen a client's handshake. */
static struct tls *server_up(void)
{
	struct tls *c, *s;
	size_t moved;

	CHECK(tls_new(client_ctx, NULL, &c) == 0);
	CHECK(tls_new(server_ctx, NULL, &s) == 0);
	do {
		(void)tls_step(c);
		moved = carry(c, s);
		(void)tls_step(s);
		moved += carry(s, c);
	} while (moved > 0);
	CHECK(tls_is_up(s));
	tls_free(c);
	return s;
}

static struct tls *new_side(struct tls_ctx *ctx)
{
	struct tls *t;

	CHECK(tls_new(ctx, NULL, &t) == 0);
	(void)tls_step(t);
	return t;
}

static int digest(struct tls *t)
{
	static uint8_t plain[TLS_RECORD_MAX];
	ssize_t n;
	int r = tls_step(t);

	if (r <= 0)
		return r;
	n = tls_read(t, plain, sizeof(plain));
	CHECK(n <= 0);
	return (int)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf left = { 0 };
	struct tls *t;
	size_t step;
	int r = 0;

	if (client_ctx == NULL)
		make_contexts();
	if (len < 2)
		return 0;
	step = data[1] == 0 ? len : data[1];
	switch (data[0] % 3) {
	case 0: t = new_side(server_ctx); break;
	case 1: t = new_side(client_ctx); break;
	default: t = server_up(); break;
	}
	for (size_t at = 2; at < len && r == 0; at += step) {
		size_t n = MIN(step, len - at);

		if (at % 2 == 0) {
			tls_lend(t, data + at, n);
			r = digest(t);
			CHECK(tls_keep(t) == 0);
		} else {
			CHECK(tls_feed(t, data + at, n) == 0);
			r = digest(t);
		}
	}
	if (r == 0 && tls_take_leftover(t, &left) == 0) {
		size_t n;
		const uint8_t *rest = buf_peek(&left, &n);

		CHECK(n <= len);
		CHECK(n == 0 || memcmp(rest, data + len - n, n) == 0);
	}
	buf_done(&left);
	tls_free(t);
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "net/tls.h"

/* Linked with --wrap: keys that a connection has no more. */
static int keys_gone;
int __real_EVP_PKEY_set_type(EVP_PKEY *k, int type);
int __wrap_EVP_PKEY_set_type(EVP_PKEY *k, int type);

int __wrap_EVP_PKEY_set_type(EVP_PKEY *k, int type)
{
	uint8_t raw[64];
	size_t len = sizeof(raw);
	int r;

	assert_int_equal(EVP_PKEY_get_raw_public_key(k, raw, &len), 1);
	r = __real_EVP_PKEY_set_type(k, type);
	len = sizeof(raw);
	keys_gone += EVP_PKEY_get_raw_public_key(k, raw, &len) != 1 &&
		     EVP_PKEY_get_raw_private_key(k, raw, &len) != 1;
	return r;
}

/* Two devices, and a third that nobody expects. The server has the wide AES-GCM
 * where there is one, and the client has not, so each test has them speak. */
static struct key *alice, *bob, *eve;
static struct tls_ctx *client_ctx, *server_ctx;

static int make_keys(void **state)
{
	(void)state;
	return key_generate(&alice) < 0 || key_generate(&bob) < 0 ||
			       key_generate(&eve) < 0 ||
			       tls_ctx_new(alice, TLS_CLIENT, "rigway/1",
					   &client_ctx) < 0 ||
			       tls_ctx_new_bulk(bob, TLS_SERVER, "rigway/1",
						&server_ctx) < 0
		       ? -1
		       : 0;
}

static int drop_keys(void **state)
{
	(void)state;
	tls_ctx_free(client_ctx);
	tls_ctx_free(server_ctx);
	key_free(alice);
	key_free(bob);
	key_free(eve);
	return 0;
}

/* Carries all that `from` has to say to `to`. */
static size_t carry(struct tls *from, struct tls *to)
{
	size_t len;
	const uint8_t *data = tls_output(from, &len);

	if (len > 0)
		assert_int_equal(tls_feed(to, data, len), 0);
	tls_drain(from, len);
	return len;
}

struct pair {
	struct tls *client, *server;
	int client_result, server_result;
};

/* Runs both handshakes until neither has anything more to say. */
static void shake(struct pair *p)
{
	size_t moved;

	do {
		p->client_result = tls_step(p->client);
		moved = carry(p->client, p->server);
		p->server_result = tls_step(p->server);
		moved += carry(p->server, p->client);
	} while (moved > 0);
}

static struct pair pair_new(struct tls_ctx *c, struct tls_ctx *s,
			    const struct pin *client_expects,
			    const struct pin *server_expects)
{
	struct pair p = { 0 };

	assert_int_equal(tls_new(c, client_expects, &p.client), 0);
	assert_int_equal(tls_new(s, server_expects, &p.server), 0);
	shake(&p);
	return p;
}

static void pair_free(struct pair *p)
{
	tls_free(p->client);
	tls_free(p->server);
}

static void both_sides_know_each_other_by_pin(void **state)
{
	struct pair p =
		pair_new(client_ctx, server_ctx, key_pin(bob), key_pin(alice));

	(void)state;
	assert_int_equal(p.client_result, 1);
	assert_int_equal(p.server_result, 1);
	assert_true(pin_eq(tls_peer(p.client), key_pin(bob)));
	assert_true(pin_eq(tls_peer(p.server), key_pin(alice)));
	pair_free(&p);
}

/* Both ephemeral ones and the peer's: a connection may last for months. */
static void the_keys_of_the_handshake_are_forgotten(void **state)
{
	struct pair p;

	(void)state;
	keys_gone = 0;
	p = pair_new(client_ctx, server_ctx, key_pin(bob), key_pin(alice));
	assert_int_equal(keys_gone, 6);
	pair_free(&p);
}

static void without_a_pin_any_ed25519_key_comes_in_and_is_named(void **state)
{
	struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);

	(void)state;
	assert_int_equal(p.server_result, 1);
	assert_true(pin_eq(tls_peer(p.server), key_pin(alice)));
	pair_free(&p);
}

static void a_wrong_server_is_refused_by_the_client(void **state)
{
	struct pair p = pair_new(client_ctx, server_ctx, key_pin(eve), NULL);

	(void)state;
	assert_int_equal(p.client_result, RW_ERR_PIN);
	assert_int_equal(p.server_result, RW_ERR_REFUSED);
	assert_int_equal(tls_step(p.client), RW_ERR_PIN); /* and stays so */
	pair_free(&p);
}

/* RFC 8446: the client is done before the server has judged it. */
static void a_wrong_client_hears_of_it_at_its_first_read(void **state)
{
	static uint8_t plain[TLS_RECORD_MAX];
	struct pair p =
		pair_new(client_ctx, server_ctx, key_pin(bob), key_pin(eve));

	(void)state;
	assert_int_equal(p.client_result, 1);
	assert_int_equal(p.server_result, RW_ERR_PIN);
	assert_int_equal(tls_read(p.client, plain, sizeof(plain)),
			 RW_ERR_REFUSED);
	pair_free(&p);
}

static void another_protocol_name_is_refused(void **state)
{
	struct tls_ctx *other;
	struct pair p;

	(void)state;
	assert_int_equal(
		tls_ctx_new(alice, TLS_CLIENT, "rigway-relay/1", &other), 0);
	p = pair_new(other, server_ctx, NULL, NULL);
	assert_int_equal(p.server_result, RW_ERR_PROTO);
	assert_int_equal(p.client_result, RW_ERR_PROTO);
	pair_free(&p);
	tls_ctx_free(other);
}

static void garbage_is_refused_before_what_it_announces_arrives(void **state)
{
	static const char http[] = "GET / HTTP/1.0\r\n\r\n";
	struct tls *t;

	(void)state;
	assert_int_equal(tls_new(server_ctx, NULL, &t), 0);
	assert_int_equal(tls_feed(t, (const uint8_t *)http, 5), 0);
	assert_int_equal(tls_step(t), RW_ERR_PROTO);
	tls_free(t);
}

/* Reads everything that is there into out; returns how much. */
static size_t read_all(struct tls *t, uint8_t *out, size_t cap)
{
	static uint8_t plain[TLS_RECORD_MAX];
	size_t total = 0;
	ssize_t n;

	while ((n = tls_read(t, plain, sizeof(plain))) > 0) {
		assert_true(total + (size_t)n <= cap);
		memcpy(out + total, plain, (size_t)n);
		total += (size_t)n;
	}
	assert_int_equal(n, 0);
	return total;
}

static void bytes_come_out_as_they_went_in(void **state)
{
	const size_t len = 1000003;
	uint8_t *data = sample(len), *back = malloc(len);
	struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);

	(void)state;
	assert_int_equal(tls_write(p.client, data, len), 0);
	carry(p.client, p.server);
	assert_int_equal(read_all(p.server, back, len), len);
	assert_memory_equal(data, back, len);
	assert_int_equal(tls_write(p.server, data, 17), 0);
	carry(p.server, p.client);
	assert_int_equal(read_all(p.client, back, len), 17);
	assert_memory_equal(data, back, 17);
	pair_free(&p);
	free(data);
	free(back);
}

/* However the network cuts it. */
static void one_byte_at_a_time_is_as_good(void **state)
{
	uint8_t *data = sample(300), back[600];
	struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);
	size_t len, total = 0;
	uint8_t *wire;

	(void)state;
	assert_int_equal(tls_write(p.client, data, 200), 0);
	assert_int_equal(tls_write(p.client, data + 200, 100), 0);
	wire = tls_output(p.client, &len);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(tls_feed(p.server, wire + i, 1), 0);
		total += read_all(p.server, back + total, sizeof(back) - total);
	}
	assert_int_equal(total, 300);
	assert_memory_equal(back, data, 300);
	pair_free(&p);
	free(data);
}

static void a_lent_buffer_is_read_in_place_and_its_rest_kept(void **state)
{
	uint8_t *data = sample(40000), *back = malloc(40000);
	struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);
	size_t len, total = 0;
	uint8_t *wire, *copy;

	(void)state;
	assert_int_equal(tls_write(p.client, data, 40000), 0);
	wire = tls_output(p.client, &len);
	/* Each piece is gone after the call, as a shared buffer's would be. */
	for (size_t at = 0; at < len; at += 7001) {
		size_t n = MIN((size_t)7001, len - at);

		copy = malloc(n);
		memcpy(copy, wire + at, n);
		tls_lend(p.server, copy, n);
		total += read_all(p.server, back + total, 40000 - total);
		assert_int_equal(tls_keep(p.server), 0);
		free(copy);
	}
	assert_int_equal(total, 40000);
	assert_memory_equal(back, data, 40000);
	assert_int_equal(tls_pending(p.server), 0);
	pair_free(&p);
	free(data);
	free(back);
}

/* Whoever leaves TLS after a record finds all bytes behind it untouched. */
static void what_follows_a_record_is_left_over_exactly(void **state)
{
	static const char inner[] = "\x16\x03\x01 the inner handshake";
	static uint8_t plain[TLS_RECORD_MAX];
	struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);
	struct buf left = { 0 };
	size_t len;

	(void)state;
	assert_int_equal(tls_write(p.server, (const uint8_t *)"READY", 5), 0);
	carry(p.server, p.client);
	assert_int_equal(
		tls_feed(p.client, (const uint8_t *)inner, sizeof(inner)), 0);
	assert_int_equal(tls_read(p.client, plain, sizeof(plain)), 5);
	assert_memory_equal(plain, "READY", 5);
	assert_int_equal(tls_take_leftover(p.client, &left), 0);
	assert_memory_equal(buf_peek(&left, &len), inner, sizeof(inner));
	assert_int_equal(len, sizeof(inner));
	buf_done(&left);
	pair_free(&p);
}

static void the_key_is_updated_and_the_peer_follows(void **state)
{
	struct tls_ctx *c;
	struct pair p;
	uint8_t *data = sample(1000), back[1000];

	(void)state;
	assert_int_equal(tls_ctx_new(alice, TLS_CLIENT, "rigway/1", &c), 0);
	tls_ctx_set_rekey(c, 10);
	p = pair_new(c, server_ctx, NULL, NULL);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(tls_write(p.client, data + i * 10, 10), 0);
		carry(p.client, p.server);
		assert_int_equal(read_all(p.server, back + i * 10, 10), 10);
	}
	assert_memory_equal(back, data, 1000);
	assert_int_equal(tls_rekeys(p.client), 9);
	assert_int_equal(tls_rekeys(p.server), 0);
	pair_free(&p);
	tls_ctx_free(c);
	free(data);
}

typedef int (*ctx_maker)(const struct key *k, enum tls_side side,
			 const char *alpn, struct tls_ctx **ret);

/* Sends data both ways, all of it n times, and compares. */
static void talk(struct pair *p, const uint8_t *data, size_t len, size_t n)
{
	uint8_t *back = malloc(len);

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(tls_write(p->client, data, len), 0);
		carry(p->client, p->server);
		assert_int_equal(read_all(p->server, back, len), len);
		assert_memory_equal(back, data, len);
		assert_int_equal(tls_write(p->server, data, len), 0);
		carry(p->server, p->client);
		assert_int_equal(read_all(p->client, back, len), len);
		assert_memory_equal(back, data, len);
	}
	free(back);
}

/* Whoever has it, with whom it speaks, and however often keys change. */
static void the_wide_cipher_and_the_plain_one_are_the_same(void **state)
{
	static const ctx_maker makers[] = { tls_ctx_new, tls_ctx_new_bulk };
	const size_t len = 300001;
	uint8_t *data = sample(len);

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct tls_ctx *c, *s;
		struct pair p;

		assert_int_equal(
			makers[i & 1](alice, TLS_CLIENT, "rigway/1", &c), 0);
		assert_int_equal(
			makers[i >> 1](bob, TLS_SERVER, "rigway/1", &s), 0);
		tls_ctx_set_rekey(c, 7);
		tls_ctx_set_rekey(s, 4);
		p = pair_new(c, s, key_pin(bob), key_pin(alice));
		talk(&p, data, len, 5);
		assert_int_equal(tls_rekeys(p.client), 13);
		assert_int_equal(tls_rekeys(p.server), 23);
		pair_free(&p);
		tls_ctx_free(c);
		tls_ctx_free(s);
	}
	free(data);
}

/* Memory that rest gave back comes again, on either side, for any record. */
static void who_rested_goes_on(void **state)
{
	struct tls_ctx *c, *s;
	uint8_t *data = sample(40000);
	struct pair p;

	(void)state;
	assert_int_equal(tls_ctx_new_bulk(alice, TLS_CLIENT, "rigway/1", &c),
			 0);
	assert_int_equal(tls_ctx_new_bulk(bob, TLS_SERVER, "rigway/1", &s), 0);
	p = pair_new(c, s, NULL, NULL);
	for (int i = 0; i < 3; i++) {
		tls_release(p.client);
		talk(&p, data, 64, 2);
		tls_release(p.server);
		talk(&p, data, 40000, 1);
	}
	pair_free(&p);
	tls_ctx_free(c);
	tls_ctx_free(s);
	free(data);
}

static void a_clean_end_is_told_from_a_cut(void **state)
{
	static uint8_t plain[TLS_RECORD_MAX];
	struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);

	(void)state;
	assert_int_equal(tls_read(p.server, plain, sizeof(plain)), 0);
	tls_end(p.client);
	tls_end(p.client);
	carry(p.client, p.server);
	assert_int_equal(tls_read(p.server, plain, sizeof(plain)), -EPIPE);
	pair_free(&p);
}

/* Each byte of a record, flipped, is noticed; nothing wrong comes out. */
static void a_flipped_bit_never_yields_a_byte(void **state)
{
	static uint8_t plain[TLS_RECORD_MAX];
	size_t len = 0;

	(void)state;
	for (size_t at = 0; at == 0 || at < len; at++) {
		struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);
		uint8_t *wire;
		ssize_t n;

		assert_int_equal(
			tls_write(p.client, (const uint8_t *)"secret", 6), 0);
		wire = tls_output(p.client, &len);
		wire[at] ^= 0x10;
		carry(p.client, p.server);
		n = tls_read(p.server, plain, sizeof(plain));
		/* A longer length only makes it wait. */
		assert_true(n == RW_ERR_PROTO ||
			    (n == 0 && (at == 3 || at == 4)));
		pair_free(&p);
	}
	assert_true(len > 20);
}

static void replayed_and_dropped_records_are_noticed(void **state)
{
	static uint8_t plain[TLS_RECORD_MAX];
	struct pair p = pair_new(client_ctx, server_ctx, NULL, NULL);
	uint8_t copy[200];
	size_t len;

	(void)state;
	assert_int_equal(tls_write(p.client, (const uint8_t *)"one", 3), 0);
	memcpy(copy, tls_output(p.client, &len), MIN(len, sizeof(copy)));
	carry(p.client, p.server);
	assert_int_equal(tls_feed(p.server, copy, len), 0);
	assert_int_equal(tls_read(p.server, plain, sizeof(plain)), 3);
	assert_int_equal(tls_read(p.server, plain, sizeof(plain)),
			 RW_ERR_PROTO);
	pair_free(&p);

	p = pair_new(client_ctx, server_ctx, NULL, NULL);
	assert_int_equal(tls_write(p.client, (const uint8_t *)"one", 3), 0);
	tls_output(p.client, &len);
	tls_drain(p.client, len);
	assert_int_equal(tls_write(p.client, (const uint8_t *)"two", 3), 0);
	carry(p.client, p.server);
	assert_int_equal(tls_read(p.server, plain, sizeof(plain)),
			 RW_ERR_PROTO);
	pair_free(&p);
}

/* What one core does, both ends on it. */
static void throughput_of(const char *name, ctx_maker make, size_t rounds)
{
	const size_t step = 256 * 1024;
	static uint8_t plain[TLS_RECORD_MAX];
	uint8_t *data = sample(step);
	struct tls_ctx *c, *s;
	struct pair p;
	clock_t start;
	size_t total = 0;

	assert_int_equal(make(alice, TLS_CLIENT, "rigway/1", &c), 0);
	assert_int_equal(make(bob, TLS_SERVER, "rigway/1", &s), 0);
	p = pair_new(c, s, NULL, NULL);
	start = clock();
	for (size_t i = 0; i < rounds; i++) {
		const uint8_t *wire;
		size_t len;
		ssize_t n;

		assert_int_equal(tls_write(p.client, data, step), 0);
		wire = tls_output(p.client, &len);
		tls_lend(p.server, wire, len);
		while ((n = tls_read(p.server, plain, sizeof(plain))) > 0)
			total += (size_t)n;
		assert_int_equal(tls_keep(p.server), 0);
		tls_drain(p.client, len);
	}
	assert_int_equal(total, step * rounds);
	print_message("# %s: %.0f MB/s encrypted and decrypted on one core\n",
		      name,
		      (double)total / 1e6 /
			      ((double)(clock() - start) / CLOCKS_PER_SEC));
	pair_free(&p);
	tls_ctx_free(c);
	tls_ctx_free(s);
	free(data);
}

/* Not a test of right or wrong. RIGWAY_BENCH=1 makes it long enough to mean
 * something. */
static void throughput_through_memory(void **state)
{
	size_t rounds = getenv("RIGWAY_BENCH") != NULL ? 20000 : 100;

	(void)state;
	throughput_of("plain", tls_ctx_new, rounds);
	throughput_of("bulk", tls_ctx_new_bulk, rounds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_know_each_other_by_pin),
		cmocka_unit_test(the_keys_of_the_handshake_are_forgotten),
		cmocka_unit_test(
			without_a_pin_any_ed25519_key_comes_in_and_is_named),
		cmocka_unit_test(a_wrong_server_is_refused_by_the_client),
		cmocka_unit_test(a_wrong_client_hears_of_it_at_its_first_read),
		cmocka_unit_test(another_protocol_name_is_refused),
		cmocka_unit_test(
			garbage_is_refused_before_what_it_announces_arrives),
		cmocka_unit_test(bytes_come_out_as_they_went_in),
		cmocka_unit_test(one_byte_at_a_time_is_as_good),
		cmocka_unit_test(
			a_lent_buffer_is_read_in_place_and_its_rest_kept),
		cmocka_unit_test(what_follows_a_record_is_left_over_exactly),
		cmocka_unit_test(the_key_is_updated_and_the_peer_follows),
		cmocka_unit_test(
			the_wide_cipher_and_the_plain_one_are_the_same),
		cmocka_unit_test(who_rested_goes_on),
		cmocka_unit_test(a_clean_end_is_told_from_a_cut),
		cmocka_unit_test(a_flipped_bit_never_yields_a_byte),
		cmocka_unit_test(replayed_and_dropped_records_are_noticed),
		cmocka_unit_test(throughput_through_memory),
	};

	return cmocka_run_group_tests_name("tls", tests, make_keys, drop_keys);
}

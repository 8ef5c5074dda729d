/* SPDX-License-Identifier: MIT */
/* The wide AES-GCM equals OpenSSL's own, called as TLS calls it. */
#include "unit.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "crypto/wide_gcm.h"
#include "sample.h"

#define TAG   16
#define OURS  "provider=rigway-wide"
#define PLAIN "provider=default"
/* More than a record, and more than all that is unrolled. */
#define TEXT_MAX 20000

/* By which TLS asks for it. */
#define NAME "id-aes128-GCM"

/* This machine has none, or has it from OpenSSL. */
static bool is_missing(void)
{
	return wide_gcm_query() == NULL;
}

static EVP_CIPHER *fetch(const char *name, const char *query)
{
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, name, query);

	assert_non_null(c);
	return c;
}

/* As TLS 1.3 does it: a cipher, its IV's length, the key; the IVs come later.
 */
static EVP_CIPHER_CTX *ctx_new(const char *name, const char *query,
			       const uint8_t *key, int enc)
{
	EVP_CIPHER *cipher = fetch(name, query);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	assert_int_equal(EVP_CipherInit_ex(c, cipher, NULL, NULL, NULL, enc),
			 1);
	assert_true(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) >
		    0);
	assert_int_equal(EVP_CipherInit_ex(c, NULL, NULL, key, NULL, -1), 1);
	EVP_CIPHER_free(cipher);
	return c;
}

/* One message. */
struct msg {
	const uint8_t *iv, *aad, *in;
	size_t aad_len, len, piece; /* text goes in pieces of this length */
	uint8_t *out, *tag;	    /* tag: given to decrypt, else set */
};

/* Whether it went through; on decrypting, whether the tag was right. */
static bool run(EVP_CIPHER_CTX *c, int enc, const struct msg *m)
{
	int n, end = 0;

	if (EVP_CipherInit_ex(c, NULL, NULL, NULL, m->iv, enc) != 1)
		return false;
	if (!enc &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, m->tag) <= 0)
		return false;
	if (m->aad_len > 0 &&
	    EVP_CipherUpdate(c, NULL, &n, m->aad, (int)m->aad_len) != 1)
		return false;
	for (size_t at = 0; at < m->len; at += m->piece) {
		size_t len = MIN(m->piece, m->len - at);

		if (EVP_CipherUpdate(c, m->out + at, &n, m->in + at,
				     (int)len) != 1)
			return false;
		assert_int_equal(n, len);
	}
	if (EVP_CipherFinal_ex(c, m->out + m->len, &end) != 1)
		return false;
	assert_int_equal(end, 0);
	return !enc ||
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, m->tag) > 0;
}

/* Ours and OpenSSL's own, both ways. */
struct four {
	EVP_CIPHER_CTX *ours_enc, *ours_dec, *plain_enc, *plain_dec;
};

static struct four four_new(const char *name, const uint8_t *key)
{
	return (struct four){
		ctx_new(name, OURS, key, 1),
		ctx_new(name, OURS, key, 0),
		ctx_new(name, PLAIN, key, 1),
		ctx_new(name, PLAIN, key, 0),
	};
}

static void four_free(struct four *f)
{
	EVP_CIPHER_CTX_free(f->ours_enc);
	EVP_CIPHER_CTX_free(f->ours_dec);
	EVP_CIPHER_CTX_free(f->plain_enc);
	EVP_CIPHER_CTX_free(f->plain_dec);
}

/* Each understands the other, and they say the same. m's text is what is
 * encrypted; its out and tag are not used. */
static void compare(const struct four *f, const struct msg *m)
{
	static uint8_t wide[TEXT_MAX], plain[TEXT_MAX], back[TEXT_MAX];
	uint8_t wide_tag[TAG], plain_tag[TAG];
	struct msg a = *m, b = *m;

	a.out = wide;
	a.tag = wide_tag;
	b.out = plain;
	b.tag = plain_tag;
	assert_true(run(f->ours_enc, 1, &a));
	assert_true(run(f->plain_enc, 1, &b));
	assert_memory_equal(wide, plain, m->len);
	assert_memory_equal(wide_tag, plain_tag, TAG);
	b.in = wide;
	b.out = back;
	b.tag = wide_tag;
	assert_true(run(f->plain_dec, 0, &b));
	assert_memory_equal(back, m->in, m->len);
	/* In place, as records are. */
	a.in = a.out = plain;
	assert_true(run(f->ours_dec, 0, &a));
	assert_memory_equal(plain, m->in, m->len);
}

static void every_length_equals_openssl(void **state)
{
	uint8_t *text = sample(TEXT_MAX), iv[12] = { 9 };
	struct msg m = { .iv = iv, .aad = text, .in = text + 5 };
	struct four f;

	(void)state;
	if (is_missing()) {
		free(text);
		skip();
	}
	f = four_new(NAME, text + 77);
	m.piece = TEXT_MAX;
	for (m.len = 0; m.len < TEXT_MAX - 5; m.len += m.len < 1100 ? 1 : 397) {
		m.aad_len = m.len % 3 == 0 ? 5 : m.len % 67;
		iv[11]++;
		compare(&f, &m);
	}
	/* A full record with its type, 16 KiB and around. */
	for (m.len = 16370; m.len < 16400; m.len++)
		compare(&f, &m);
	four_free(&f);
	free(text);
}

static void text_may_come_in_pieces(void **state)
{
	static const size_t pieces[] = { 1,  15,  16,  17,  31,	 48,  63,
					 64, 255, 256, 257, 769, 4096 };
	uint8_t *text = sample(TEXT_MAX), iv[12] = { 3 };
	struct msg m = { .iv = iv, .aad = text, .aad_len = 5 };
	struct four f;

	(void)state;
	if (is_missing()) {
		free(text);
		skip();
	}
	f = four_new(NAME, text);
	for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
		m.in = text + k;
		m.piece = pieces[k];
		for (m.len = 1; m.len < 9000; m.len = m.len * 3 + k)
			compare(&f, &m);
	}
	four_free(&f);
	free(text);
}

/* Test case 4 of McGrew and Viega, "The Galois/Counter Mode of Operation". */
static void a_known_answer_comes_out(void **state)
{
	static const uint8_t key[16] = { 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65,
					 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94,
					 0x67, 0x30, 0x83, 0x08 };
	static const uint8_t iv[12] = { 0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
					0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88 };
	static const uint8_t aad[20] = { 0xfe, 0xed, 0xfa, 0xce, 0xde,
					 0xad, 0xbe, 0xef, 0xfe, 0xed,
					 0xfa, 0xce, 0xde, 0xad, 0xbe,
					 0xef, 0xab, 0xad, 0xda, 0xd2 };
	static const uint8_t text[60] = {
		0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59,
		0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53,
		0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
		0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53,
		0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25, 0xb1, 0x6a,
		0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39
	};
	static const uint8_t want[60] = {
		0x42, 0x83, 0x1e, 0xc2, 0x21, 0x77, 0x74, 0x24, 0x4b, 0x72,
		0x21, 0xb7, 0x84, 0xd0, 0xd4, 0x9c, 0xe3, 0xaa, 0x21, 0x2f,
		0x2c, 0x02, 0xa4, 0xe0, 0x35, 0xc1, 0x7e, 0x23, 0x29, 0xac,
		0xa1, 0x2e, 0x21, 0xd5, 0x14, 0xb2, 0x54, 0x66, 0x93, 0x1c,
		0x7d, 0x8f, 0x6a, 0x5a, 0xac, 0x84, 0xaa, 0x05, 0x1b, 0xa3,
		0x0b, 0x39, 0x6a, 0x0a, 0xac, 0x97, 0x3d, 0x58, 0xe0, 0x91
	};
	static const uint8_t want_tag[TAG] = { 0x5b, 0xc9, 0x4f, 0xbc,
					       0x32, 0x21, 0xa5, 0xdb,
					       0x94, 0xfa, 0xe9, 0x5a,
					       0xe7, 0x12, 0x1a, 0x47 };
	uint8_t out[60], tag[TAG];
	struct msg m = { iv, aad, text, 20, 60, 60, out, tag };
	EVP_CIPHER_CTX *c;

	(void)state;
	if (is_missing())
		skip();
	c = ctx_new("AES-128-GCM", OURS, key, 1);
	assert_true(run(c, 1, &m));
	assert_memory_equal(out, want, sizeof(want));
	assert_memory_equal(tag, want_tag, TAG);
	EVP_CIPHER_CTX_free(c);
}

/* One message of 100 bytes, encrypted. */
struct sealed {
	uint8_t key[16], iv[12], aad[5], out[100], tag[TAG];
};

static struct sealed sealed_new(void)
{
	static const uint8_t text[100] = { 1 };
	struct sealed s = { .key = { 7 } };
	EVP_CIPHER_CTX *c = ctx_new(NAME, OURS, s.key, 1);
	struct msg m = { s.iv, s.aad, text, 5, 100, 100, s.out, s.tag };

	assert_true(run(c, 1, &m));
	EVP_CIPHER_CTX_free(c);
	return s;
}

/* What is forged, in whichever bit of whatever, is told from the rest; and
 * the next message is read as if nothing had been. */
static void a_flipped_bit_is_noticed(void **state)
{
	struct sealed s;
	uint8_t back[100];
	EVP_CIPHER_CTX *c;

	(void)state;
	if (is_missing())
		skip();
	s = sealed_new();
	c = ctx_new(NAME, OURS, s.key, 0);

	struct msg m = { s.iv, s.aad, s.out, 5, 100, 100, back, s.tag };
	const struct {
		uint8_t *at;
		size_t len;
	} parts[] = {
		{ s.iv, sizeof(s.iv) },
		{ s.aad, sizeof(s.aad) },
		{ s.out, sizeof(s.out) },
		{ s.tag, sizeof(s.tag) },
	};

	for (size_t k = 0; k < ARRAY_LEN(parts); k++)
		for (size_t bit = 0; bit < parts[k].len * 8; bit++) {
			uint8_t *at = parts[k].at + bit / 8;

			*at ^= (uint8_t)(1 << bit % 8);
			assert_false(run(c, 0, &m));
			*at ^= (uint8_t)(1 << bit % 8);
		}
	assert_true(run(c, 0, &m));
	EVP_CIPHER_CTX_free(c);
}

/* No IV serves twice, nothing is read without a tag, and what TLS 1.3 does not
 * ask for is refused rather than done otherwise. */
static void misuse_is_refused(void **state)
{
	static const uint8_t key[16] = { 1 }, iv[12] = { 2 };
	uint8_t text[32] = { 0 };
	EVP_CIPHER_CTX *c;
	int n;

	(void)state;
	if (is_missing())
		skip();
	c = ctx_new(NAME, OURS, key, 1);
	assert_int_not_equal(EVP_CipherUpdate(c, text, &n, text, 16), 1);
	assert_int_equal(EVP_CipherInit_ex(c, NULL, NULL, NULL, iv, 1), 1);
	assert_int_equal(EVP_CipherUpdate(c, text, &n, text, 16), 1);
	/* Associated data behind the text. */
	assert_int_not_equal(EVP_CipherUpdate(c, NULL, &n, text, 16), 1);
	assert_int_equal(EVP_CipherFinal_ex(c, text, &n), 1);
	assert_int_not_equal(EVP_CipherUpdate(c, text, &n, text, 16), 1);
	assert_int_not_equal(EVP_CipherFinal_ex(c, text, &n), 1);
	assert_true(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, 16, NULL) <=
		    0);
	EVP_CIPHER_CTX_free(c);

	c = ctx_new(NAME, OURS, key, 0);
	assert_int_equal(EVP_CipherInit_ex(c, NULL, NULL, NULL, iv, 0), 1);
	assert_int_equal(EVP_CipherUpdate(c, text, &n, text, 16), 1);
	assert_int_not_equal(EVP_CipherFinal_ex(c, text, &n), 1);
	assert_true(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 8, text) <=
		    0);
	EVP_CIPHER_CTX_free(c);
}

/* In the middle of a message. */
static void a_copy_goes_on_by_itself(void **state)
{
	struct sealed s;
	EVP_CIPHER_CTX *c, *copy = EVP_CIPHER_CTX_new();
	uint8_t back[100] = { 0 };
	int n;

	(void)state;
	if (is_missing()) {
		EVP_CIPHER_CTX_free(copy);
		skip();
	}
	s = sealed_new();
	c = ctx_new(NAME, OURS, s.key, 0);
	assert_int_equal(EVP_CipherInit_ex(c, NULL, NULL, NULL, s.iv, 0), 1);
	assert_true(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, s.tag) >
		    0);
	assert_int_equal(EVP_CipherUpdate(c, NULL, &n, s.aad, 5), 1);
	assert_int_equal(EVP_CipherUpdate(c, back, &n, s.out, 50), 1);
	assert_int_equal(EVP_CIPHER_CTX_copy(copy, c), 1);
	EVP_CIPHER_CTX_free(c);
	assert_int_equal(EVP_CipherUpdate(copy, back + 50, &n, s.out + 50, 50),
			 1);
	assert_int_equal(EVP_CipherFinal_ex(copy, back, &n), 1);
	assert_int_equal(back[0], 1);
	EVP_CIPHER_CTX_free(copy);
}

/* Everything else stays with OpenSSL. */
static void only_aes_128_gcm_is_taken(void **state)
{
	EVP_CIPHER *c;
	EVP_MD *md;

	(void)state;
	if (is_missing())
		skip();
	c = fetch("AES-128-GCM", wide_gcm_query());
	assert_string_equal(
		OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(c)),
		"rigway-wide");
	EVP_CIPHER_free(c);
	c = fetch("AES-256-GCM", wide_gcm_query());
	assert_string_equal(
		OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(c)),
		"default");
	EVP_CIPHER_free(c);
	c = fetch("ChaCha20-Poly1305", wide_gcm_query());
	assert_string_equal(
		OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(c)),
		"default");
	EVP_CIPHER_free(c);
	md = EVP_MD_fetch(NULL, "SHA256", wide_gcm_query());
	assert_non_null(md);
	EVP_MD_free(md);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_equals_openssl),
		cmocka_unit_test(text_may_come_in_pieces),
		cmocka_unit_test(a_known_answer_comes_out),
		cmocka_unit_test(a_flipped_bit_is_noticed),
		cmocka_unit_test(misuse_is_refused),
		cmocka_unit_test(a_copy_goes_on_by_itself),
		cmocka_unit_test(only_aes_128_gcm_is_taken),
	};

	return cmocka_run_group_tests_name("wide_gcm", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "crypto/hash.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "base/check.h"

void sha256(const void *data, size_t len, uint8_t out[HASH_LEN])
{
	size_t n = 0;

	CHECK(EVP_Q_digest(NULL, "SHA256", NULL, data, len, out, &n) == 1);
	CHECK(n == HASH_LEN);
}

void hmac_sha256(const struct secret *key, const void *data, size_t len,
		 uint8_t out[HASH_LEN])
{
	size_t n = 0;

	CHECK(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->b,
			sizeof(key->b), data, len, out, HASH_LEN, &n) != NULL);
	CHECK(n == HASH_LEN);
}

void hkdf_sha256(const void *ikm, size_t ikm_len, const char *label, void *out,
		 size_t out_len)
{
	/* The library's parameters are not const; it does not write to them. */
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
						  (void *)ikm, ikm_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
						  (void *)label, strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);

	CHECK(kdf != NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

	CHECK(ctx != NULL);
	CHECK(EVP_KDF_derive(ctx, out, out_len, params) == 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

void random_bytes(void *out, size_t len)
{
	CHECK(RAND_priv_bytes_ex(NULL, out, len, 0) == 1);
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_bytes(&v, sizeof(v));
	return v;
}

void secret_wipe(struct secret *s)
{
	mem_wipe(s, sizeof(*s));
}

void mem_wipe(void *data, size_t len)
{
	OPENSSL_cleanse(data, len);
}

bool mem_eq_ct(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

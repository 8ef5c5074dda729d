/* SPDX-License-Identifier: MIT */
#include "crypto/wide_gcm.h"

#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/wide_gcm_local.h"

#define QUERY "?" WIDE_PROPERTIES
/* The first OpenSSL that does it itself: 3.1. */
#define OPENSSL_WITH_WIDE 0x30100000UL

/* -- the provider */

static const OSSL_ALGORITHM *on_query(void *lib, int operation,
				      int *ret_no_cache)
{
	(void)lib;
	*ret_no_cache = 0;
	return operation == OSSL_OP_CIPHER ? wide_gcm_ciphers : NULL;
}

static void on_teardown(void *lib)
{
	wide_lib_close(lib);
	free(lib);
}

static int on_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
		   const OSSL_DISPATCH **ret_fns, void **ret_lib)
{
	static const OSSL_DISPATCH fns[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION,
		  (void (*)(void))on_query },
		{ OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))on_teardown },
		{ 0, NULL },
	};
	struct wide_lib *lib = calloc(1, sizeof(*lib));

	(void)core;
	(void)in;
	if (lib == NULL || !wide_lib_open(lib)) {
		free(lib);
		return 0;
	}
	*ret_fns = fns;
	*ret_lib = lib;
	return 1;
}

/* -- whether it does what OpenSSL's own does */

#define TEST_LEN 1021 /* steps of 48 blocks, of 16, and a part of one */

/* Encrypts or decrypts one message with a fixed key; tag is set or compared. */
static bool test_run(const char *query, int is_encrypting,
		     const uint8_t in[TEST_LEN], uint8_t out[TEST_LEN],
		     uint8_t tag[16])
{
	static const uint8_t key[16] = { 1, 2, 3 }, iv[12] = { 4, 5, 6 };
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", query);
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0;
	bool ok =
		cipher != NULL && c != NULL &&
		EVP_CipherInit_ex(c, cipher, NULL, key, iv, is_encrypting) &&
		(is_encrypting ||
		 EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, tag) > 0) &&
		EVP_CipherUpdate(c, NULL, &n, iv, 5) &&
		EVP_CipherUpdate(c, out, &n, in, TEST_LEN) &&
		EVP_CipherFinal_ex(c, out + n, &n) &&
		(!is_encrypting ||
		 EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag) > 0);

	EVP_CIPHER_CTX_free(c);
	EVP_CIPHER_free(cipher);
	return ok;
}

/* A library that answers otherwise, for whatever reason, is not used. */
static bool test_equals_openssl(void)
{
	static const uint8_t text[TEST_LEN] = { 7, 8, 9 };
	uint8_t wide[TEST_LEN], plain[TEST_LEN], back[TEST_LEN];
	uint8_t wide_tag[16], plain_tag[16];

	return test_run(WIDE_PROPERTIES, 1, text, wide, wide_tag) &&
	       test_run("provider=default", 1, text, plain, plain_tag) &&
	       memcmp(wide, plain, TEST_LEN) == 0 &&
	       memcmp(wide_tag, plain_tag, sizeof(wide_tag)) == 0 &&
	       test_run(WIDE_PROPERTIES, 0, wide, back, wide_tag) &&
	       memcmp(back, text, TEST_LEN) == 0;
}

/* -- */

/* NULL: not here. */
static OSSL_PROVIDER *wide_gcm_load(void)
{
	OSSL_PROVIDER *p;

	if (OpenSSL_version_num() >= OPENSSL_WITH_WIDE || !wide_cpu_can() ||
	    OSSL_PROVIDER_add_builtin(NULL, WIDE_PROVIDER, on_init) != 1)
		return NULL;
	/* 1: its own, "default", still comes by itself. */
	p = OSSL_PROVIDER_try_load(NULL, WIDE_PROVIDER, 1);
	if (p == NULL || test_equals_openssl())
		return p;
	(void)OSSL_PROVIDER_unload(p);
	return NULL;
}

const char *wide_gcm_query(void)
{
	static bool was_asked;
	/* Until the process ends, as with OpenSSL's own. */
	static OSSL_PROVIDER *provider;

	if (!was_asked) {
		was_asked = true;
		(void)ERR_set_mark();
		provider = wide_gcm_load();
		(void)ERR_pop_to_mark();
	}
	return provider != NULL ? QUERY : NULL;
}

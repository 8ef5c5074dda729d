/* SPDX-License-Identifier: MIT */
/*
 * What OpenSSL calls for AES-128-GCM, provider-cipher(7), as far as TLS 1.3
 * needs it: IVs of 12 bytes, tags of 16, associated data in one piece. All
 * else is refused. 1 is success and 0 failure, as OpenSSL wants it.
 */
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/wide_gcm_local.h"

#define KEY_LEN	  16
#define IV_LEN	  12
#define TAG_LEN	  16
#define CTX_ALIGN 64 /* what libipsec-mb wants for its keys */

/* In order of life; a new IV begins anew. */
enum wide_state {
	WIDE_NO_IV,   /* also when a message has ended: no IV serves twice */
	WIDE_IV,      /* associated data or the text may come */
	WIDE_RUNNING, /* only text may come */
};

struct wide_ctx {
	_Alignas(CTX_ALIGN) struct gcm_key_data key;
	struct gcm_context_data gcm;
	const struct wide_lib *lib;
	enum wide_state state;
	int is_encrypting; /* 0 or 1: an index of struct wide_lib */
	bool has_key;
	bool has_tag; /* the peer's to compare with, or ours to be asked for */
	uint8_t iv[IV_LEN];
	uint8_t tag[TAG_LEN];
};

/* -- life */

static void *wide_new(void *provider)
{
	struct wide_ctx *c = aligned_alloc(CTX_ALIGN, sizeof(*c));

	if (c == NULL)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->lib = provider;
	return c;
}

static void *wide_dup(void *ctx)
{
	struct wide_ctx *c = aligned_alloc(CTX_ALIGN, sizeof(*c));

	if (c != NULL)
		memcpy(c, ctx, sizeof(*c));
	return c;
}

static void wide_free(void *ctx)
{
	if (ctx != NULL)
		OPENSSL_cleanse(ctx, sizeof(struct wide_ctx));
	free(ctx);
}

/* -- parameters */

static int wide_set_ctx_params(void *ctx, const OSSL_PARAM params[])
{
	struct wide_ctx *c = ctx;
	const OSSL_PARAM *p;
	size_t len;

	if (params == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_TAG);
	if (p != NULL) {
		void *tag = c->tag;

		if (c->is_encrypting || p->data_size != TAG_LEN ||
		    !OSSL_PARAM_get_octet_string(p, &tag, TAG_LEN, &len))
			return 0;
		c->has_tag = true;
	}
	p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_AEAD_IVLEN);
	if (p != NULL && (!OSSL_PARAM_get_size_t(p, &len) || len != IV_LEN))
		return 0;
	p = OSSL_PARAM_locate_const(params, OSSL_CIPHER_PARAM_KEYLEN);
	return p == NULL || (OSSL_PARAM_get_size_t(p, &len) && len == KEY_LEN);
}

static int set_size(OSSL_PARAM params[], const char *name, size_t value)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return p == NULL || OSSL_PARAM_set_size_t(p, value);
}

static int wide_get_ctx_params(void *ctx, OSSL_PARAM params[])
{
	const struct wide_ctx *c = ctx;
	OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_AEAD_TAG);

	if (p != NULL &&
	    (!c->is_encrypting || !c->has_tag || p->data_size != TAG_LEN ||
	     !OSSL_PARAM_set_octet_string(p, c->tag, TAG_LEN)))
		return 0;
	return set_size(params, OSSL_CIPHER_PARAM_IVLEN, IV_LEN) &&
	       set_size(params, OSSL_CIPHER_PARAM_KEYLEN, KEY_LEN) &&
	       set_size(params, OSSL_CIPHER_PARAM_AEAD_TAGLEN, TAG_LEN);
}

static int set_flag(OSSL_PARAM params[], const char *name)
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, name);

	return p == NULL || OSSL_PARAM_set_int(p, 1);
}

static int wide_get_params(OSSL_PARAM params[])
{
	OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_MODE);

	if (p != NULL && !OSSL_PARAM_set_uint(p, EVP_CIPH_GCM_MODE))
		return 0;
	return set_size(params, OSSL_CIPHER_PARAM_KEYLEN, KEY_LEN) &&
	       set_size(params, OSSL_CIPHER_PARAM_IVLEN, IV_LEN) &&
	       set_size(params, OSSL_CIPHER_PARAM_BLOCK_SIZE, 1) &&
	       set_flag(params, OSSL_CIPHER_PARAM_AEAD) &&
	       set_flag(params, OSSL_CIPHER_PARAM_CUSTOM_IV);
}

/* -- messages */

static int wide_set_key(struct wide_ctx *c, const unsigned char *key,
			size_t len)
{
	if (len != KEY_LEN)
		return 0;
	c->lib->pre(key, &c->key);
	c->has_key = true;
	if (c->state == WIDE_RUNNING)
		c->state = WIDE_NO_IV;
	return 1;
}

static int wide_set_iv(struct wide_ctx *c, const unsigned char *iv, size_t len)
{
	if (len != IV_LEN)
		return 0;
	memcpy(c->iv, iv, IV_LEN);
	c->state = WIDE_IV;
	c->has_tag = false;
	return 1;
}

static int wide_encrypt(void *ctx, const unsigned char *key, size_t key_len,
			const unsigned char *iv, size_t iv_len,
			const OSSL_PARAM params[])
{
	struct wide_ctx *c = ctx;

	c->is_encrypting = 1;
	return (key == NULL || wide_set_key(c, key, key_len)) &&
	       (iv == NULL || wide_set_iv(c, iv, iv_len)) &&
	       wide_set_ctx_params(c, params);
}

static int wide_decrypt(void *ctx, const unsigned char *key, size_t key_len,
			const unsigned char *iv, size_t iv_len,
			const OSSL_PARAM params[])
{
	struct wide_ctx *c = ctx;

	c->is_encrypting = 0;
	return (key == NULL || wide_set_key(c, key, key_len)) &&
	       (iv == NULL || wide_set_iv(c, iv, iv_len)) &&
	       wide_set_ctx_params(c, params);
}

/* Begins the message whose associated data this is. */
static int wide_begin(struct wide_ctx *c, const uint8_t *aad, size_t len)
{
	if (!c->has_key || c->state != WIDE_IV)
		return 0;
	c->lib->init(&c->key, &c->gcm, c->iv, aad, len);
	c->state = WIDE_RUNNING;
	return 1;
}

/* Without out it is associated data. */
static int wide_update(void *ctx, unsigned char *out, size_t *ret_len,
		       size_t out_size, const unsigned char *in, size_t len)
{
	static const uint8_t none[1];
	struct wide_ctx *c = ctx;

	*ret_len = 0;
	if (len == 0)
		return 1;
	if (out == NULL) {
		*ret_len = len;
		return wide_begin(c, in, len);
	}
	if (out_size < len ||
	    (c->state == WIDE_IV && !wide_begin(c, none, 0)) ||
	    c->state != WIDE_RUNNING)
		return 0;
	c->lib->update[c->is_encrypting](&c->key, &c->gcm, out, in, len);
	*ret_len = len;
	return 1;
}

static int wide_final(void *ctx, unsigned char *out, size_t *ret_len,
		      size_t out_size)
{
	static const uint8_t none[1];
	struct wide_ctx *c = ctx;
	uint8_t tag[TAG_LEN];
	int ok = 1;

	(void)out;
	(void)out_size;
	*ret_len = 0;
	if (c->state == WIDE_IV && !wide_begin(c, none, 0))
		return 0;
	if (c->state != WIDE_RUNNING || (!c->is_encrypting && !c->has_tag))
		return 0;
	c->state = WIDE_NO_IV;
	c->lib->finalize[c->is_encrypting](&c->key, &c->gcm, tag, TAG_LEN);
	if (c->is_encrypting) {
		memcpy(c->tag, tag, TAG_LEN);
		c->has_tag = true;
	} else {
		ok = CRYPTO_memcmp(tag, c->tag, TAG_LEN) == 0;
		c->has_tag = false;
	}
	/* Of a forged message it would be what the forger lacks. */
	OPENSSL_cleanse(tag, sizeof(tag));
	return ok;
}

/* -- tables */

#define FN(id, fn)                                                             \
	{                                                                      \
		OSSL_FUNC_CIPHER_##id, (void (*)(void))(fn)                    \
	}

static const OSSL_DISPATCH fns[] = {
	FN(NEWCTX, wide_new),
	FN(FREECTX, wide_free),
	FN(DUPCTX, wide_dup),
	FN(ENCRYPT_INIT, wide_encrypt),
	FN(DECRYPT_INIT, wide_decrypt),
	FN(UPDATE, wide_update),
	FN(FINAL, wide_final),
	FN(GET_PARAMS, wide_get_params),
	FN(GET_CTX_PARAMS, wide_get_ctx_params),
	FN(SET_CTX_PARAMS, wide_set_ctx_params),
	{ 0, NULL },
};

/* All the names that OpenSSL's own has: TLS asks by one, people by another. */
const OSSL_ALGORITHM wide_gcm_ciphers[] = {
	{ "AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", WIDE_PROPERTIES,
	  fns, NULL },
	{ NULL, NULL, NULL, NULL },
};

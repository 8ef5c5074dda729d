/* SPDX-License-Identifier: MIT */
/* What wide_gcm.c (when it is used), wide_gcm_cipher.c (what OpenSSL calls) and
 * wide_gcm_lib.c (libipsec-mb) share. Not for others. */
#pragma once
#include <intel-ipsec-mb.h>
#include <openssl/core.h>
#include <stdbool.h>

#define WIDE_PROVIDER	"rigway-wide"
#define WIDE_PROPERTIES "provider=" WIDE_PROVIDER

/* Its functions for AES-128-GCM. In update and finalize 0 decrypts, 1 encrypts.
 */
struct wide_lib {
	void *handle; /* dlopen()'s */
	aes_gcm_pre_t pre;
	aes_gcm_init_t init;
	aes_gcm_enc_dec_update_t update[2];
	aes_gcm_enc_dec_finalize_t finalize[2];
};

/* Whether the processor, and the system, can do it. */
bool wide_cpu_can(void);
/* False, and nothing to close, where the library is missing or another one than
 * this was built for. */
bool wide_lib_open(struct wide_lib *lib);
void wide_lib_close(struct wide_lib *lib);

/* The provider's context is a struct wide_lib. */
extern const OSSL_ALGORITHM wide_gcm_ciphers[];

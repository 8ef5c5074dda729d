/* SPDX-License-Identifier: MIT */
/*
 * Hashes, key derivation, randomness, and secrets. A secret is compared in
 * constant time, wiped, and never logged, formatted or passed in argv. These
 * calls end the process when the library cannot hash at all (memory is out, no
 * random source): nothing could go on safely.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_LEN 32

struct secret {
	uint8_t b[32];
};

void sha256(const void *data, size_t len, uint8_t out[HASH_LEN]);
/* RFC 2104 with SHA-256. */
void hmac_sha256(const struct secret *key, const void *data, size_t len,
		 uint8_t out[HASH_LEN]);
/* RFC 5869 with SHA-256, no salt, label as info; out_len <= 8160. */
void hkdf_sha256(const void *ikm, size_t ikm_len, const char *label, void *out,
		 size_t out_len);
/* From the system's generator, fit for keys. */
void random_bytes(void *out, size_t len);
uint64_t random_u64(void);
void secret_wipe(struct secret *s);
/* Wipes any memory in a way the compiler keeps. */
void mem_wipe(void *data, size_t len);
/* Whether both are equal; the time taken depends on len only. */
bool mem_eq_ct(const void *a, const void *b, size_t len);

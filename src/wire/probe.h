/* SPDX-License-Identifier: MIT */
/*
 * The two datagrams of discovery (PROTOCOL.md, section 14): a client asks who
 * of a network is the rig with this key; only a rig of that key understands
 * the question, and only who knows the key understands the answer. Neither
 * names anybody. An answer is shorter than its question, so that nobody gains
 * by sending questions under a false address. Nothing is allocated.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/pin.h"

#define PROBE_PORT	 7443 /* UDP, unless told */
#define PROBE_GROUP4	 "239.255.82.87"
#define PROBE_GROUP6	 "ff02::5257"
#define PROBE_NONCE_LEN	 16
#define PROBE_LEN	 64
#define PROBE_ANSWER_LEN 58

/* What one rig's questions and answers are proven with; made once a rig. */
struct probe_keys {
	struct secret probe, answer;
};

void probe_keys_init(struct probe_keys *k, const struct pin *rig);

/* Writes PROBE_LEN bytes; the nonce is random, a new one each time. */
void probe_write(const struct probe_keys *k,
		 const uint8_t nonce[PROBE_NONCE_LEN],
		 uint8_t out[static PROBE_LEN]);
/* Whether this asks for the rig of k. */
bool probe_read(const struct probe_keys *k, const uint8_t *data, size_t len,
		uint8_t ret_nonce[PROBE_NONCE_LEN]);
/* Writes PROBE_ANSWER_LEN bytes: port is where the rig listens (TCP). */
void probe_answer_write(const struct probe_keys *k,
			const uint8_t nonce[PROBE_NONCE_LEN], uint16_t port,
			uint8_t out[static PROBE_ANSWER_LEN]);
/* Whether this answers the question that had this nonce. */
bool probe_answer_read(const struct probe_keys *k,
		       const uint8_t nonce[PROBE_NONCE_LEN],
		       const uint8_t *data, size_t len, uint16_t *ret_port);

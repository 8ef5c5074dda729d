/* SPDX-License-Identifier: MIT */
/* Datagrams of discovery, from anybody in the network. The first byte 'm'
 * says that the rest gets a right proof: random bytes never have one. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "wire/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct pin rig = { { 0x33 } };
	uint8_t b[2 * PROBE_LEN] = { 0 }, nonce[PROBE_NONCE_LEN];
	uint16_t port = 0;
	struct probe_keys k;
	bool is_proven = len > 0 && data[0] == 'm';

	if (len == 0 || len > sizeof(b))
		return 0;
	len--;
	memcpy(b, data + 1, len);
	probe_keys_init(&k, &rig);
	if (is_proven && len == PROBE_LEN)
		hmac_sha256(&k.probe, b, len - HASH_LEN, b + len - HASH_LEN);
	if (is_proven && len == PROBE_ANSWER_LEN)
		hmac_sha256(&k.answer, b, len - HASH_LEN, b + len - HASH_LEN);
	if (probe_read(&k, b, len, nonce))
		CHECK(is_proven && memcmp(nonce, b + 8, sizeof(nonce)) == 0);
	memcpy(nonce, b + 8, sizeof(nonce));
	if (probe_answer_read(&k, nonce, b, len, &port))
		CHECK(is_proven && port != 0);
	return 0;
}

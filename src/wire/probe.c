/* SPDX-License-Identifier: MIT */
#include "wire/probe.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

#define MAGIC_LEN  8
#define PAD_LEN	   8 /* zeros: keeps the answer the shorter one */
#define NONCE_AT   MAGIC_LEN
#define PORT_AT	   (NONCE_AT + PROBE_NONCE_LEN)
#define ASK_MAC_AT (NONCE_AT + PROBE_NONCE_LEN + PAD_LEN)
#define ANS_MAC_AT (PORT_AT + 2)

_Static_assert(PROBE_LEN == ASK_MAC_AT + HASH_LEN, "PROTOCOL.md, section 14");
_Static_assert(PROBE_ANSWER_LEN == ANS_MAC_AT + HASH_LEN,
	       "PROTOCOL.md, section 14");

static const char ask_magic[] = "rigway?1", answer_magic[] = "rigway!1";

void probe_keys_init(struct probe_keys *k, const struct pin *rig)
{
	hkdf_sha256(rig->b, PIN_LEN, "rigway probe 1", k->probe.b,
		    sizeof(k->probe.b));
	hkdf_sha256(rig->b, PIN_LEN, "rigway answer 1", k->answer.b,
		    sizeof(k->answer.b));
}

static bool mac_is_right(const struct secret *key, const uint8_t *data,
			 size_t mac_at)
{
	uint8_t mac[HASH_LEN];

	hmac_sha256(key, data, mac_at, mac);
	return mem_eq_ct(mac, data + mac_at, HASH_LEN);
}

void probe_write(const struct probe_keys *k,
		 const uint8_t nonce[PROBE_NONCE_LEN],
		 uint8_t out[static PROBE_LEN])
{
	memcpy(out, ask_magic, MAGIC_LEN);
	memcpy(out + NONCE_AT, nonce, PROBE_NONCE_LEN);
	memset(out + NONCE_AT + PROBE_NONCE_LEN, 0, PAD_LEN);
	hmac_sha256(&k->probe, out, ASK_MAC_AT, out + ASK_MAC_AT);
}

bool probe_read(const struct probe_keys *k, const uint8_t *data, size_t len,
		uint8_t ret_nonce[PROBE_NONCE_LEN])
{
	if (len != PROBE_LEN || memcmp(data, ask_magic, MAGIC_LEN) != 0 ||
	    !mac_is_right(&k->probe, data, ASK_MAC_AT))
		return false;
	memcpy(ret_nonce, data + NONCE_AT, PROBE_NONCE_LEN);
	return true;
}

void probe_answer_write(const struct probe_keys *k,
			const uint8_t nonce[PROBE_NONCE_LEN], uint16_t port,
			uint8_t out[static PROBE_ANSWER_LEN])
{
	CHECK(port != 0);
	memcpy(out, answer_magic, MAGIC_LEN);
	memcpy(out + NONCE_AT, nonce, PROBE_NONCE_LEN);
	put_be16(out + PORT_AT, port);
	hmac_sha256(&k->answer, out, ANS_MAC_AT, out + ANS_MAC_AT);
}

bool probe_answer_read(const struct probe_keys *k,
		       const uint8_t nonce[PROBE_NONCE_LEN],
		       const uint8_t *data, size_t len, uint16_t *ret_port)
{
	if (len != PROBE_ANSWER_LEN ||
	    memcmp(data, answer_magic, MAGIC_LEN) != 0 ||
	    memcmp(data + NONCE_AT, nonce, PROBE_NONCE_LEN) != 0 ||
	    get_be16(data + PORT_AT) == 0 ||
	    !mac_is_right(&k->answer, data, ANS_MAC_AT))
		return false;
	*ret_port = get_be16(data + PORT_AT);
	return true;
}

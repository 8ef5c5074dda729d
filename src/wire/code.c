/* SPDX-License-Identifier: MIT */
#include "wire/code.h"

#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Behind the prefix, in base32: length of all that follows it (2 bytes), kind,
 * flags, number of relays, each as length (2) and text, the relay's pin, the
 * bits, for a client the rig's pin, its name as length (1) and text, the number
 * of its own addresses and each as length (2) and text, and the first four
 * bytes of SHA-256 over everything before. Without relays there is no relay's
 * pin.
 */
#define CODE_PREFIX	"rw1"
#define CODE_PREFIX_LEN 3
#define CODE_SUM_LEN	4
#define CODE_LEN_LEN	2
#define CODE_BYTES_MAX	1272

_Static_assert(CODE_PREFIX_LEN + STR_BASE32_LEN(CODE_BYTES_MAX) < CODE_TEXT_CAP,
	       "the largest code fits into CODE_TEXT_CAP");

/* The checksum of len bytes, to out. */
static void code_sum(const uint8_t *data, size_t len, uint8_t out[CODE_SUM_LEN])
{
	uint8_t hash[HASH_LEN];

	sha256(data, len, hash);
	memcpy(out, hash, CODE_SUM_LEN);
}

static bool code_name_is_valid(const char *name)
{
	size_t len = strnlen(name, CODE_NAME_CAP);

	return len < CODE_NAME_CAP && str_is_clean(name, len);
}

static bool code_addr_is_valid(const char *addr)
{
	struct hostport hp;

	return strnlen(addr, HOSTPORT_CAP) < HOSTPORT_CAP &&
	       parse_hostport(addr, 0, &hp) == 0;
}

/* The rules both directions keep; PROTOCOL.md, section 12. */
static bool code_is_valid(const struct code *c)
{
	if (c->kind != CODE_RIG && c->kind != CODE_CLIENT)
		return false;
	if (c->relay_count > CODE_RELAYS_MAX || c->addr_count > CODE_ADDRS_MAX)
		return false;
	for (size_t i = 0; i < c->relay_count; i++)
		if (!code_addr_is_valid(c->relay[i]))
			return false;
	for (size_t i = 0; i < c->addr_count; i++)
		if (!code_addr_is_valid(c->addr[i]))
			return false;
	if (c->kind == CODE_RIG)
		return c->relay_count > 0 && c->addr_count == 0;
	return c->relay_count + c->addr_count > 0 &&
	       code_name_is_valid(c->rig_name);
}

static void code_put_text16(struct writer *w, const char *text)
{
	size_t len = strlen(text);

	writer_u16(w, (uint16_t)len);
	writer_bytes(w, text, len);
}

/* Everything but the length before and the checksum behind. */
static void code_put(const struct code *c, struct writer *w)
{
	writer_u8(w, (uint8_t)c->kind);
	writer_u8(w, c->flags);
	writer_u8(w, c->relay_count);
	for (size_t i = 0; i < c->relay_count; i++)
		code_put_text16(w, c->relay[i]);
	if (c->relay_count > 0)
		writer_bytes(w, c->relay_pin.b, PIN_LEN);
	writer_bytes(w, c->bits, CODE_BITS_LEN);
	if (c->kind != CODE_CLIENT)
		return;
	writer_bytes(w, c->rig_pin.b, PIN_LEN);
	writer_u8(w, (uint8_t)strlen(c->rig_name));
	writer_bytes(w, c->rig_name, strlen(c->rig_name));
	writer_u8(w, c->addr_count);
	for (size_t i = 0; i < c->addr_count; i++)
		code_put_text16(w, c->addr[i]);
}

int code_format(const struct code *c, char *out, size_t cap)
{
	uint8_t bytes[CODE_BYTES_MAX];
	struct writer w;

	if (!code_is_valid(c))
		return RW_ERR_FORMAT;
	writer_init(&w, bytes, sizeof(bytes));
	uint8_t *len_at = writer_take(&w, CODE_LEN_LEN);

	code_put(c, &w);
	size_t len = (size_t)(w.at - bytes);
	uint8_t *sum_at = writer_take(&w, CODE_SUM_LEN);

	if (w.failed) {
		mem_wipe(bytes, sizeof(bytes));
		return RW_ERR_LIMIT;
	}
	put_be16(len_at, (uint16_t)(len + CODE_SUM_LEN - CODE_LEN_LEN));
	code_sum(bytes, len, sum_at);
	len += CODE_SUM_LEN;

	size_t text_len = CODE_PREFIX_LEN + STR_BASE32_LEN(len);
	int ret = RW_ERR_LIMIT;

	if (text_len < cap) {
		memcpy(out, CODE_PREFIX, CODE_PREFIX_LEN);
		str_base32_encode(bytes, len, out + CODE_PREFIX_LEN);
		ret = (int)text_len;
	}
	mem_wipe(bytes, sizeof(bytes));
	return ret;
}

/* Copies the letters and digits: what mail programs, terminals and people put
 * between is none. Returns their number. */
static size_t code_strip(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			out[n++] = c;
	}
	return n;
}

/* A text with a NUL inside would not be what it seems: it fails the reader. */
static void code_get_text(struct reader *r, size_t len, char *out, size_t cap)
{
	const uint8_t *text = reader_bytes(r, len);

	if (text == NULL)
		return;
	if (len >= cap || memchr(text, '\0', len) != NULL) {
		r->failed = true;
		return;
	}
	memcpy(out, text, len);
}

/* Reads what code_put() wrote; the checksum has been found right. */
static int code_get(struct reader *r, struct code *c)
{
	c->kind = (enum code_kind)reader_u8(r);
	c->flags = reader_u8(r);
	c->relay_count = reader_u8(r);
	for (size_t i = 0; i < c->relay_count && i < CODE_RELAYS_MAX; i++)
		code_get_text(r, reader_u16(r), c->relay[i], HOSTPORT_CAP);
	if (c->relay_count > 0)
		reader_copy(r, c->relay_pin.b, PIN_LEN);
	reader_copy(r, c->bits, CODE_BITS_LEN);
	if (c->kind == CODE_CLIENT) {
		reader_copy(r, c->rig_pin.b, PIN_LEN);
		code_get_text(r, reader_u8(r), c->rig_name, CODE_NAME_CAP);
		c->addr_count = reader_u8(r);
		for (size_t i = 0; i < c->addr_count && i < CODE_ADDRS_MAX; i++)
			code_get_text(r, reader_u16(r), c->addr[i],
				      HOSTPORT_CAP);
	}
	return !r->failed && r->left == 0 && code_is_valid(c) ? 0
							      : RW_ERR_FORMAT;
}

/* From the text behind the prefix to bytes that are as they were written.
 * Returns their number. */
static int code_decode(const char *text, size_t len, uint8_t *out, size_t cap)
{
	const size_t head = 8; /* letters, which are 5 bytes */
	uint8_t sum[CODE_SUM_LEN];

	for (size_t i = 0; i < len; i++)
		if (strchr("0189", text[i]) != NULL)
			return RW_ERR_MANGLED;
	if (len < head)
		return RW_ERR_TRUNCATED;
	CHECK(str_base32_decode(text, head, out, cap) == 5);
	size_t want = CODE_LEN_LEN + (size_t)get_be16(out);

	if (want > cap || want < CODE_LEN_LEN + CODE_SUM_LEN)
		return RW_ERR_MANGLED;
	if (len != STR_BASE32_LEN(want))
		return len < STR_BASE32_LEN(want) ? RW_ERR_TRUNCATED
						  : RW_ERR_MANGLED;
	if (str_base32_decode(text, len, out, cap) != (int)want)
		return RW_ERR_MANGLED;
	code_sum(out, want - CODE_SUM_LEN, sum);
	if (!mem_eq_ct(sum, out + want - CODE_SUM_LEN, CODE_SUM_LEN))
		return RW_ERR_MANGLED;
	return (int)want;
}

/* text is stripped. */
static int code_parse_stripped(const char *text, size_t len, struct code *ret)
{
	uint8_t bytes[CODE_BYTES_MAX];
	struct code c = { 0 };
	struct reader r;

	if (len < CODE_PREFIX_LEN || memcmp(text, CODE_PREFIX, 2) != 0)
		return RW_ERR_FORMAT;
	if (text[2] != CODE_PREFIX[2])
		return text[2] >= '2' && text[2] <= '9' ? RW_ERR_VERSION
							: RW_ERR_FORMAT;
	int n = code_decode(text + CODE_PREFIX_LEN, len - CODE_PREFIX_LEN,
			    bytes, sizeof(bytes));
	int err = MIN(n, 0);

	if (err == 0) {
		reader_init(&r, bytes + CODE_LEN_LEN,
			    (size_t)n - CODE_LEN_LEN - CODE_SUM_LEN);
		err = code_get(&r, &c);
	}
	if (err == 0)
		*ret = c;
	code_wipe(&c);
	mem_wipe(bytes, sizeof(bytes));
	return err;
}

int code_parse(const char *text, size_t len, struct code *ret)
{
	char stripped[CODE_INPUT_MAX];

	if (len > CODE_INPUT_MAX)
		return RW_ERR_LIMIT;
	int err = code_parse_stripped(stripped, code_strip(text, len, stripped),
				      ret);

	mem_wipe(stripped, sizeof(stripped));
	return err;
}

void code_secrets(const uint8_t bits[CODE_BITS_LEN], struct secret *ret_relay,
		  struct secret *ret_rig, uint8_t ret_invite_id[CODE_ID_LEN])
{
	hkdf_sha256(bits, CODE_BITS_LEN, "rigway invite 1 relay", ret_relay->b,
		    sizeof(ret_relay->b));
	hkdf_sha256(bits, CODE_BITS_LEN, "rigway invite 1 rig", ret_rig->b,
		    sizeof(ret_rig->b));
	hkdf_sha256(bits, CODE_BITS_LEN, "rigway invite 1 id", ret_invite_id,
		    CODE_ID_LEN);
}

void code_wipe(struct code *c)
{
	mem_wipe(c, sizeof(*c));
}

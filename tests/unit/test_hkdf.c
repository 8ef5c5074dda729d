/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "base/str.h"
#include "crypto/hash.h"

static void assert_hex(const uint8_t *data, size_t len, const char *want)
{
	char text[200];

	str_hex_encode(data, len, text);
	assert_string_equal(text, want);
}

/* FIPS 180-2, appendix B.1. */
static void sha256_agrees_with_fips_180(void **state)
{
	uint8_t out[HASH_LEN];

	(void)state;
	sha256("abc", 3, out);
	assert_hex(out, 32,
		   "ba7816bf8f01cfea414140de5dae2223"
		   "b00361a396177a9cb410ff61f20015ad");
	sha256("", 0, out);
	assert_hex(out, 32,
		   "e3b0c44298fc1c149afbf4c8996fb924"
		   "27ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test case 1, its key of 20 bytes filled up with zeros, which
 * changes nothing (RFC 2104, section 2). */
static void hmac_agrees_with_rfc_4231(void **state)
{
	struct secret key = { { 0 } };
	uint8_t out[HASH_LEN];

	(void)state;
	memset(key.b, 0x0b, 20);
	hmac_sha256(&key, "Hi There", 8, out);
	assert_hex(out, 32,
		   "b0344c61d8db38535ca8afceaf0bf12b"
		   "881dc200c9833da726e9376c2e32cff7");
}

/* RFC 5869, test case 3: no salt, no info. */
static void hkdf_agrees_with_rfc_5869(void **state)
{
	uint8_t ikm[22], out[42];

	(void)state;
	memset(ikm, 0x0b, sizeof(ikm));
	hkdf_sha256(ikm, sizeof(ikm), "", out, sizeof(out));
	assert_hex(out, sizeof(out),
		   "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c"
		   "738d2d9d201395faa4b61a96c8");
}

static void another_label_gives_another_key(void **state)
{
	uint8_t a[32], b[32], c[16];

	(void)state;
	hkdf_sha256("ikm", 3, "one", a, sizeof(a));
	hkdf_sha256("ikm", 3, "two", b, sizeof(b));
	hkdf_sha256("ikm", 3, "one", c, sizeof(c));
	assert_memory_not_equal(a, b, 32);
	assert_memory_equal(a, c, 16);
}

static void random_bytes_differ(void **state)
{
	struct secret a, b, zero = { { 0 } };

	(void)state;
	random_bytes(a.b, sizeof(a.b));
	random_bytes(b.b, sizeof(b.b));
	assert_false(mem_eq_ct(a.b, b.b, sizeof(a.b)));
	assert_false(random_u64() == random_u64());
	secret_wipe(&a);
	assert_true(mem_eq_ct(&a, &zero, sizeof(a)));
	assert_true(mem_eq_ct(&a, &b, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_agrees_with_fips_180),
		cmocka_unit_test(hmac_agrees_with_rfc_4231),
		cmocka_unit_test(hkdf_agrees_with_rfc_5869),
		cmocka_unit_test(another_label_gives_another_key),
		cmocka_unit_test(random_bytes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

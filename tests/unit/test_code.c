/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "wire/code.h"

static struct code sample(enum code_kind kind)
{
	struct code c = { .kind = kind, .relay_count = 2 };

	str_copy(c.relay[0], HOSTPORT_CAP, "203.0.113.5:7443");
	str_copy(c.relay[1], HOSTPORT_CAP, "[2001:db8::1]:7443");
	memset(c.relay_pin.b, 0x11, PIN_LEN);
	memset(c.bits, 0x22, CODE_BITS_LEN);
	if (kind == CODE_CLIENT) {
		memset(c.rig_pin.b, 0x33, PIN_LEN);
		str_copy(c.rig_name, CODE_NAME_CAP, "desk");
		c.addr_count = 2;
		str_copy(c.addr[0], HOSTPORT_CAP, "desk.example.org:4443");
		str_copy(c.addr[1], HOSTPORT_CAP, "192.168.1.5:7443");
	}
	return c;
}

static int parse(const char *text, struct code *ret)
{
	return code_parse(text, strlen(text), ret);
}

/* The text holds every field, and has one form. */
static void assert_same(const struct code *a, const struct code *b)
{
	char text_a[CODE_TEXT_CAP], text_b[CODE_TEXT_CAP];

	assert_true(code_format(a, text_a, sizeof(text_a)) > 0);
	assert_true(code_format(b, text_b, sizeof(text_b)) > 0);
	assert_string_equal(text_a, text_b);
}

static void a_code_reads_back(void **state)
{
	char text[CODE_TEXT_CAP];

	(void)state;
	for (int kind = CODE_RIG; kind <= CODE_CLIENT; kind++) {
		struct code c = sample((enum code_kind)kind), d;
		int n = code_format(&c, text, sizeof(text));

		assert_true(n > 0);
		assert_int_equal(strlen(text), n);
		assert_int_equal(parse(text, &d), 0);
		assert_same(&c, &d);
		assert_int_equal(d.kind, kind);
		assert_string_equal(d.relay[1], "[2001:db8::1]:7443");
		assert_memory_equal(d.bits, c.bits, CODE_BITS_LEN);
		assert_true(pin_eq(&d.relay_pin, &c.relay_pin));
		assert_true(pin_eq(&d.rig_pin, &c.rig_pin));
		assert_string_equal(d.rig_name, c.rig_name);
		assert_int_equal(d.addr_count, c.addr_count);
		assert_string_equal(d.addr[1], c.addr[1]);
	}
}

/* A rig that listens needs no relay, and a relay's rig need not listen. */
static void either_way_to_a_rig_is_enough(void **state)
{
	struct code c = sample(CODE_CLIENT), d;
	char text[CODE_TEXT_CAP];

	(void)state;
	c.relay_count = 0;
	memset(&c.relay_pin, 0, sizeof(c.relay_pin));
	assert_true(code_format(&c, text, sizeof(text)) > 0);
	assert_int_equal(parse(text, &d), 0);
	assert_int_equal(d.relay_count, 0);
	assert_true(pin_is_zero(&d.relay_pin));
	assert_string_equal(d.addr[0], "desk.example.org:4443");
	c = sample(CODE_CLIENT);
	c.addr_count = 0;
	assert_true(code_format(&c, text, sizeof(text)) > 0);
	assert_int_equal(parse(text, &d), 0);
	assert_int_equal(d.addr_count, 0);
	c.relay_count = 0;
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
	/* A machine becomes a rig of a relay's fleet only. */
	c = sample(CODE_RIG);
	c.addr_count = 1;
	str_copy(c.addr[0], HOSTPORT_CAP, "desk:1");
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
}

/* One word for every shell, chat and mail program. */
static void the_text_is_plain(void **state)
{
	struct code c = sample(CODE_CLIENT);
	char text[CODE_TEXT_CAP];

	(void)state;
	assert_true(code_format(&c, text, sizeof(text)) > 0);
	assert_memory_equal(text, "rw1", 3);
	assert_int_equal(strspn(text, "abcdefghijklmnopqrstuvwxyz1234567"),
			 strlen(text));
}

static void the_largest_code_fits(void **state)
{
	struct code c = { .kind = CODE_CLIENT,
			  .flags = 255,
			  .relay_count = CODE_RELAYS_MAX },
		    d;
	char text[CODE_TEXT_CAP];

	(void)state;
	for (int i = 0; i < CODE_RELAYS_MAX; i++) {
		memset(c.relay[i], 'a', HOST_MAX);
		strcpy(c.relay[i] + HOST_MAX, ":65535");
	}
	memset(c.rig_name, 'n', CODE_NAME_CAP - 1);
	int n = code_format(&c, text, sizeof(text));

	assert_true(n > 0);
	assert_int_equal(parse(text, &d), 0);
	assert_same(&c, &d);
	assert_int_equal(code_format(&c, text, (size_t)n), RW_ERR_LIMIT);
	assert_int_equal(code_format(&c, text, (size_t)n + 1), n);
	/* One more such address is one too many. */
	strcpy(c.addr[c.addr_count++], c.relay[0]);
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_LIMIT);
}

static void line_wraps_quotes_and_case_do_not_matter(void **state)
{
	struct code c = sample(CODE_CLIENT), d;
	char text[CODE_TEXT_CAP], worn[3 * CODE_TEXT_CAP];
	size_t n = 0;

	(void)state;
	assert_true(code_format(&c, text, sizeof(text)) > 0);
	n += (size_t)strlen(strcpy(worn, "  > \"\xc2\xa0"));
	for (size_t i = 0; text[i] != '\0'; i++) {
		char u = text[i];

		worn[n++] = u >= 'a' && u <= 'z' && i % 3 ? (char)(u - 32) : u;
		if (i % 20 == 19)
			n += strlen(strcpy(worn + n, "\r\n> > "));
		else if (i % 4 == 3)
			worn[n++] = '-';
	}
	strcpy(worn + n, "\".\n\n");
	assert_int_equal(parse(worn, &d), 0);
	assert_same(&c, &d);
}

static void every_shorter_text_is_truncated(void **state)
{
	struct code c = sample(CODE_CLIENT), d;
	char text[CODE_TEXT_CAP];

	(void)state;
	int n = code_format(&c, text, sizeof(text));

	assert_true(n > 0);
	memset(&d, 0x5a, sizeof(d));
	for (size_t len = 3; len < (size_t)n; len++)
		assert_int_equal(code_parse(text, len, &d), RW_ERR_TRUNCATED);
	for (size_t len = 0; len < 3; len++)
		assert_int_equal(code_parse(text, len, &d), RW_ERR_FORMAT);
	/* Untouched until success. */
	for (size_t i = 0; i < sizeof(d); i++)
		assert_int_equal(((uint8_t *)&d)[i], 0x5a);
}

/* One wrong character is never another code; two swapped neither. */
static void no_slip_of_the_pen_makes_another_code(void **state)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567189";
	struct code c = sample(CODE_RIG), d;
	char text[CODE_TEXT_CAP];

	(void)state;
	int n = code_format(&c, text, sizeof(text));

	assert_true(n > 0);
	for (int i = 3; i < n; i++) {
		char right = text[i];

		for (const char *l = letters; *l != '\0'; l++) {
			text[i] = *l;
			int err = parse(text, &d);

			if (*l == right)
				assert_int_equal(err, 0);
			else
				assert_true(err == RW_ERR_MANGLED ||
					    err == RW_ERR_TRUNCATED);
		}
		text[i] = right;
	}
	for (int i = 10; i + 1 < n; i++) {
		char a = text[i], b = text[i + 1];

		if (a == b)
			continue;
		text[i] = b;
		text[i + 1] = a;
		assert_int_not_equal(parse(text, &d), 0);
		text[i] = a;
		text[i + 1] = b;
	}
	/* Behind the length it is always "mangled". */
	text[60] = text[60] == 'a' ? 'b' : 'a';
	assert_int_equal(parse(text, &d), RW_ERR_MANGLED);
	text[60] = '9';
	assert_int_equal(parse(text, &d), RW_ERR_MANGLED);
}

static void what_is_no_code_is_told_so(void **state)
{
	static char big[CODE_INPUT_MAX + 1];
	struct code c = sample(CODE_RIG), d;
	char text[CODE_TEXT_CAP];

	(void)state;
	assert_int_equal(parse("", &d), RW_ERR_FORMAT);
	assert_int_equal(parse("desk", &d), RW_ERR_FORMAT);
	assert_int_equal(parse("ssh:me@host", &d), RW_ERR_FORMAT);
	assert_int_equal(parse("rwx", &d), RW_ERR_FORMAT);
	assert_int_equal(parse("rw2aaaa", &d), RW_ERR_VERSION);
	assert_int_equal(code_parse(big, sizeof(big), &d), RW_ERR_LIMIT);
	memset(big, 'a', sizeof(big));
	assert_int_equal(code_parse(big, sizeof(big) - 1, &d), RW_ERR_FORMAT);
	memcpy(big, "rw1", 3);
	assert_int_equal(code_parse(big, sizeof(big) - 1, &d), RW_ERR_MANGLED);
	/* Twice the same paste. */
	int n = code_format(&c, text, sizeof(text));

	memcpy(text + n, text, (size_t)n);
	assert_int_equal(code_parse(text, 2 * (size_t)n, &d), RW_ERR_MANGLED);
}

/* Found by the fuzzer: the checksum was right, the text went on behind a NUL.
 */
static void an_address_with_a_nul_inside_is_refused(void **state)
{
	uint8_t bytes[2 + 3 + 2 + 8 + PIN_LEN + CODE_BITS_LEN + 4] = {
		0,	  sizeof(bytes) - 2,
		CODE_RIG, 0,
		1,	  0,
		8,	  'a',
		':',	  '2',
		'2',	  0,
		'x',	  'y',
		'z',
	};
	char text[3 + STR_BASE32_LEN(sizeof(bytes)) + 1] = "rw1";
	const size_t sum_at = sizeof(bytes) - 4;
	uint8_t hash[HASH_LEN];
	struct code c;

	(void)state;
	sha256(bytes, sum_at, hash);
	memcpy(bytes + sum_at, hash, 4);
	str_base32_encode(bytes, sizeof(bytes), text + 3);
	assert_int_equal(parse(text, &c), RW_ERR_FORMAT);
	memcpy(bytes + 7, "abcde:22", 8);
	sha256(bytes, sum_at, hash);
	memcpy(bytes + sum_at, hash, 4);
	str_base32_encode(bytes, sizeof(bytes), text + 3);
	assert_int_equal(parse(text, &c), 0);
	assert_string_equal(c.relay[0], "abcde:22");
}

static void only_whole_codes_are_written(void **state)
{
	char text[CODE_TEXT_CAP];
	struct code c = sample(CODE_RIG);

	(void)state;
	c.relay_count = 0;
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
	c.relay_count = CODE_RELAYS_MAX + 1;
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
	c = sample(CODE_RIG);
	str_copy(c.relay[1], HOSTPORT_CAP, "no port");
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
	c = sample(CODE_CLIENT);
	str_copy(c.addr[1], HOSTPORT_CAP, "no port");
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
	c = sample(CODE_CLIENT);
	c.addr_count = CODE_ADDRS_MAX + 1;
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
	c = sample(CODE_CLIENT);
	str_copy(c.rig_name, CODE_NAME_CAP, "a\nb");
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
	c = sample(CODE_RIG);
	c.kind = (enum code_kind)7;
	assert_int_equal(code_format(&c, text, sizeof(text)), RW_ERR_FORMAT);
}

/* Fixed for ever: a code printed by one version is redeemed by another. */
static void the_secrets_are_apart_and_stay_the_same(void **state)
{
	uint8_t bits[CODE_BITS_LEN], id[CODE_ID_LEN];
	struct secret relay, rig;
	char text[65];

	(void)state;
	for (uint8_t i = 0; i < CODE_BITS_LEN; i++)
		bits[i] = i;
	code_secrets(bits, &relay, &rig, id);
	str_hex_encode(relay.b, 32, text);
	assert_string_equal(text, "1a6b3f001287708fbf7752d0b5841350"
				  "b8e66787be57b243e94d2221e91dc4af");
	str_hex_encode(rig.b, 32, text);
	assert_string_equal(text, "e8d6732cdbbadc76d83b6fe14986ac66"
				  "2f0e917a2be07da3e4000344c5df012f");
	str_hex_encode(id, CODE_ID_LEN, text);
	assert_string_equal(text, "bdd4e24f584f518510c075ff42ba7661");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_code_reads_back),
		cmocka_unit_test(either_way_to_a_rig_is_enough),
		cmocka_unit_test(the_text_is_plain),
		cmocka_unit_test(the_largest_code_fits),
		cmocka_unit_test(line_wraps_quotes_and_case_do_not_matter),
		cmocka_unit_test(every_shorter_text_is_truncated),
		cmocka_unit_test(no_slip_of_the_pen_makes_another_code),
		cmocka_unit_test(what_is_no_code_is_told_so),
		cmocka_unit_test(an_address_with_a_nul_inside_is_refused),
		cmocka_unit_test(only_whole_codes_are_written),
		cmocka_unit_test(the_secrets_are_apart_and_stay_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/err.h"
#include "base/file.h"
#include "base/str.h"
#include "crypto/key.h"

static void a_saved_key_loads_as_the_same_device(void **state)
{
	struct key *k, *again;
	struct stat st;

	(void)state;
	umask(0);
	assert_int_equal(key_generate(&k), 0);
	assert_int_equal(key_set_machine(k, "0123abcd-ef"), 0);
	assert_int_equal(key_save(k, "key"), 0);
	assert_int_equal(stat("key", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(key_load("key", &again), 0);
	assert_true(pin_eq(key_pin(k), key_pin(again)));
	assert_string_equal(key_machine(again), "0123abcd-ef");
	assert_int_equal(EVP_PKEY_eq(key_evp(k), key_evp(again)), 1);
	key_free(k);
	key_free(again);
	key_free(NULL);
}

static void keys_differ_and_pins_name_them(void **state)
{
	struct key *a, *b;

	(void)state;
	assert_int_equal(key_generate(&a), 0);
	assert_int_equal(key_generate(&b), 0);
	assert_false(pin_eq(key_pin(a), key_pin(b)));
	assert_false(pin_is_zero(key_pin(a)));
	assert_null(key_machine(a));
	key_free(a);
	key_free(b);
}

/* RFC 8032, 7.1, test 1: its seed in base32; the pin is SHA-256 over the SPKI
 * of RFC 8410 around its public key, computed by other means. */
static void the_pin_is_the_hash_of_the_spki(void **state)
{
	static const char line[] =
		"rigway-key-1 "
		"tvq3dhpp7vngbouejl2jf3bmyrcetrljpmzgsglqhowaghfop5qa\n";
	char hex[65];
	struct key *k;

	(void)state;
	assert_int_equal(file_write_atomic("key", line, strlen(line), 0600), 0);
	assert_int_equal(key_load("key", &k), 0);
	str_hex_encode(key_pin(k)->b, PIN_LEN, hex);
	assert_string_equal(hex, "06e3fd8fda29bb60ab59557de61edb0a"
				 "ecdb231134be30e75b455f8e1b792fa9");
	key_free(k);
}

static void the_certificate_shows_the_key_and_nothing_else(void **state)
{
	struct key *k;
	struct pin pin;

	(void)state;
	assert_int_equal(key_generate(&k), 0);
	X509 *x = key_cert(k);

	assert_int_equal(cert_pin(x, &pin), 0);
	assert_true(pin_eq(&pin, key_pin(k)));
	assert_int_equal(X509_verify(x, key_evp(k)), 1);
	assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(x)), 0);
	assert_int_equal(X509_get_ext_count(x), 0);
	key_free(k);
}

static void other_kinds_of_keys_have_no_pin(void **state)
{
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	X509 *x = X509_new();
	struct pin pin;

	(void)state;
	assert_non_null(ec);
	assert_int_equal(cert_pin(x, &pin), RW_ERR_CRYPTO);
	assert_int_equal(X509_set_pubkey(x, ec), 1);
	assert_int_equal(cert_pin(x, &pin), RW_ERR_CRYPTO);
	X509_free(x);
	EVP_PKEY_free(ec);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
	static const mode_t bad[] = { 0640, 0604, 0620, 0602, 0644, 0601 };
	struct key *k;

	(void)state;
	assert_int_equal(key_load_or_make("key", NULL, false, &k), 0);
	key_free(k);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(chmod("key", bad[i]), 0);
		assert_int_equal(key_load("key", &k), RW_ERR_PERM);
	}
	assert_int_equal(chmod("key", 0400), 0);
	assert_int_equal(key_load("key", &k), 0);
	key_free(k);
	if (geteuid() == 0) {
		assert_int_equal(chmod("key", 0600), 0);
		assert_int_equal(chown("key", 12345, -1), 0);
		assert_int_equal(key_load("key", &k), RW_ERR_PERM);
	}
}

#define SEED "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void a_mangled_key_file_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"rigway-key-1 " SEED, /* its end is cut */
		"rigway-key-1 " SEED "a\n",
		"rigway-key-1 aaaa\n",
		"rigway-key-1 " SEED " \n",
		"rigway-key-2 " SEED "\n",
		"rigway-key-1 1" SEED "\n",
		"rigway-key-1 " SEED "\n\n",
		"rigway-key-1 " SEED "\nmachine \n",
		"rigway-key-1 " SEED "\nmachine a b\n",
		"rigway-key-1 " SEED "\nmachine a",
		"rigway-key-1 " SEED "\nmachine a\nmachine a\n",
		"rigway-key-1 " SEED "\nowner a\n",
		"-----BEGIN PRIVATE KEY-----\n",
	};
	static char big[10000];
	struct key *k;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			file_write_atomic("key", bad[i], strlen(bad[i]), 0600),
			0);
		assert_int_equal(key_load("key", &k), RW_ERR_FORMAT);
	}
	memset(big, 'a', sizeof(big));
	assert_int_equal(file_write_atomic("key", big, sizeof(big), 0600), 0);
	assert_int_equal(key_load("key", &k), RW_ERR_FORMAT);
	assert_int_equal(
		file_write_atomic("key", "rigway-key-1 " SEED "\n\0", 67, 0600),
		0);
	assert_int_equal(key_load("key", &k), RW_ERR_FORMAT);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(key_load("fifo", &k), RW_ERR_FORMAT);
	assert_int_equal(
		file_write_atomic("key", "rigway-key-1 " SEED "\n", 66, 0600),
		0);
	assert_int_equal(key_load("key", &k), 0);
	key_free(k);
}

static void the_first_use_makes_the_key_once(void **state)
{
	struct key *a, *b;

	(void)state;
	assert_int_equal(key_load("key", &a), -ENOENT);
	assert_int_equal(key_load_or_make("key", "m1", false, &a), 0);
	assert_int_equal(key_load_or_make("key", "m1", true, &b), 0);
	assert_true(pin_eq(key_pin(a), key_pin(b)));
	assert_int_equal(key_save(a, "key"), RW_ERR_EXISTS);
	key_free(a);
	key_free(b);
}

static void a_missing_key_beside_state_is_not_made_anew(void **state)
{
	struct key *k;

	(void)state;
	assert_int_equal(key_load_or_make("key", "m1", true, &k),
			 RW_ERR_KEY_MISSING);
	assert_int_not_equal(access("key", F_OK), 0);
}

static void a_key_copied_from_another_machine_is_refused(void **state)
{
	struct key *k;

	(void)state;
	assert_int_equal(key_load_or_make("key", "m1", false, &k), 0);
	key_free(k);
	assert_int_equal(key_load_or_make("key", "m2", true, &k),
			 RW_ERR_OTHER_MACHINE);
	/* A machine without an id cannot tell. */
	assert_int_equal(key_load_or_make("key", NULL, true, &k), 0);
	key_free(k);
	assert_int_equal(key_load_or_make("other", "a\nb", false, &k),
			 RW_ERR_FORMAT);
	assert_int_not_equal(access("other", F_OK), 0);
}

static void pins_are_read_as_they_are_written(void **state)
{
	struct pin p = { { 0 } }, q;
	char text[PIN_TEXT_LEN + 2], brief[PIN_SHORT_LEN + 1];

	(void)state;
	for (uint8_t i = 0; i < PIN_LEN; i++)
		p.b[i] = (uint8_t)(i * 37 + 5);
	pin_text(&p, text);
	assert_int_equal(pin_parse(text, &q), 0);
	assert_true(pin_eq(&p, &q));
	text[0] = (char)(text[0] - 32);
	assert_int_equal(pin_parse(text, &q), 0);
	assert_true(pin_eq(&p, &q));
	text[51] = '\0';
	assert_int_equal(pin_parse(text, &q), RW_ERR_FORMAT);
	assert_int_equal(pin_parse("", &q), RW_ERR_FORMAT);
	pin_short(&p, brief);
	assert_int_equal(strlen(brief), PIN_SHORT_LEN);
	assert_int_equal(brief[4], '-');
	assert_true(pin_matches(&p, brief));
	assert_true(pin_matches(&p, pin_text(&p, text)));
	brief[3] = '\0';
	assert_false(pin_matches(&p, brief));
	pin_short(&p, brief);
	brief[18] = brief[18] == 'a' ? 'b' : 'a';
	assert_false(pin_matches(&p, brief));
	pin_text(&p, text);
	strcat(text, "a");
	assert_false(pin_matches(&p, text));
}

#define in_folder(f)                                                           \
	cmocka_unit_test_setup_teardown(f, in_new_folder, remove_folder)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		in_folder(a_saved_key_loads_as_the_same_device),
		cmocka_unit_test(keys_differ_and_pins_name_them),
		in_folder(the_pin_is_the_hash_of_the_spki),
		cmocka_unit_test(
			the_certificate_shows_the_key_and_nothing_else),
		cmocka_unit_test(other_kinds_of_keys_have_no_pin),
		in_folder(a_key_that_others_can_read_is_refused),
		in_folder(a_mangled_key_file_is_refused),
		in_folder(the_first_use_makes_the_key_once),
		in_folder(a_missing_key_beside_state_is_not_made_anew),
		in_folder(a_key_copied_from_another_machine_is_refused),
		cmocka_unit_test(pins_are_read_as_they_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "crypto/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/str.h"
#include "crypto/hash.h"

#define KEY_SEED_LEN   32
#define KEY_PUBLIC_LEN 32
/* SEQUENCE { SEQUENCE { 1.3.101.112 }, BIT STRING of KEY_PUBLIC_LEN } */
#define SPKI_HEAD                                                              \
	0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00
#define SPKI_LEN      (12 + KEY_PUBLIC_LEN)
#define KEY_SEED_TEXT STR_BASE32_LEN(KEY_SEED_LEN)
#define KEY_FILE_MAX  4096
#define KEY_MAGIC     "rigway-key-1 "
#define KEY_MACHINE   "machine "

struct key {
	struct secret seed;
	EVP_PKEY *evp;
	X509 *cert;
	struct pin pin;
	char machine[KEY_MACHINE_MAX + 1]; /* "": none */
};

static int evp_public(const EVP_PKEY *evp, uint8_t ret[KEY_PUBLIC_LEN])
{
	size_t len = KEY_PUBLIC_LEN;

	return EVP_PKEY_get_raw_public_key(evp, ret, &len) == 1 &&
			       len == KEY_PUBLIC_LEN
		       ? 0
		       : RW_ERR_CRYPTO;
}

/* SHA-256 of the SubjectPublicKeyInfo, as RFC 7469 pins do. It is written here
 * (RFC 8410, 4): the library's own writer brings 300 others with it. */
static int evp_pin(EVP_PKEY *evp, struct pin *ret)
{
	uint8_t der[] = { SPKI_HEAD, [SPKI_LEN - 1] = 0 };

	if (evp == NULL || !EVP_PKEY_is_a(evp, "ED25519") ||
	    evp_public(evp, der + SPKI_LEN - KEY_PUBLIC_LEN) != 0)
		return RW_ERR_CRYPTO;
	sha256(der, sizeof(der), ret->b);
	return 0;
}

int cert_pin(struct x509_st *cert, struct pin *ret)
{
	return evp_pin(X509_get0_pubkey(cert), ret);
}

/* Without the library's writer, as above; x has the bytes, and not yet a key
 * that could be used. */
static bool cert_set_key(X509 *x, const EVP_PKEY *evp)
{
	uint8_t *raw = OPENSSL_malloc(KEY_PUBLIC_LEN);

	if (raw != NULL && evp_public(evp, raw) == 0 &&
	    X509_PUBKEY_set0_param(X509_get_X509_PUBKEY(x),
				   OBJ_nid2obj(NID_ED25519), V_ASN1_UNDEF, NULL,
				   raw, KEY_PUBLIC_LEN) == 1)
		return true; /* raw is x's */
	OPENSSL_free(raw);
	return false;
}

/* Takes x, and returns what a reader makes of it. */
static X509 *cert_read_back(X509 *x)
{
	uint8_t *der = NULL;
	const int len = i2d_X509(x, &der);
	const uint8_t *at = der;
	X509 *ret = len > 0 ? d2i_X509(NULL, &at, len) : NULL;

	OPENSSL_free(der);
	X509_free(x);
	return ret;
}

/* A certificate that says nothing but the key: no name, no time that could be
 * wrong, always the same. NULL when it cannot be made. */
static X509 *key_make_cert(EVP_PKEY *evp)
{
	X509 *x = X509_new();

	if (x == NULL)
		return NULL;
	if (X509_set_version(x, X509_VERSION_3) != 1 ||
	    ASN1_INTEGER_set(X509_get_serialNumber(x), 1) != 1 ||
	    ASN1_TIME_set_string_X509(X509_getm_notBefore(x),
				      "20000101000000Z") != 1 ||
	    ASN1_TIME_set_string_X509(X509_getm_notAfter(x),
				      "99991231235959Z") != 1 ||
	    !cert_set_key(x, evp) ||
	    X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
	    X509_sign(x, evp, NULL) <= 0) {
		X509_free(x);
		return NULL;
	}
	return cert_read_back(x);
}

/* Nobody reads the texts of the library's errors, and they take 66 KB. To be
 * called before all that would load them. */
static void library_begin(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, NULL);
}

static int key_from_seed(const struct secret *seed, struct key **ret)
{
	struct key *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return RW_ERR_NOMEM;
	k->seed = *seed;
	k->evp = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed->b,
						 KEY_SEED_LEN);
	if (k->evp != NULL)
		k->cert = key_make_cert(k->evp);
	if (k->cert == NULL || evp_pin(k->evp, &k->pin) != 0) {
		key_free(k);
		return RW_ERR_CRYPTO;
	}
	*ret = k;
	return 0;
}

int key_generate(struct key **ret)
{
	struct secret seed;

	library_begin();
	/* An Ed25519 private key is any 32 random bytes (RFC 8032, 5.1.5). */
	random_bytes(seed.b, sizeof(seed.b));
	int err = key_from_seed(&seed, ret);

	secret_wipe(&seed);
	return err;
}

void key_free(struct key *k)
{
	if (k == NULL)
		return;
	X509_free(k->cert);
	EVP_PKEY_free(k->evp);
	mem_wipe(k, sizeof(*k));
	free(k);
}

/* Only what may stand on a line of the file as one word. */
static bool is_machine_id(const char *id)
{
	size_t len = strlen(id);

	return len >= 1 && len <= KEY_MACHINE_MAX &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			  "0123456789-") == len;
}

int key_set_machine(struct key *k, const char *machine_id)
{
	if (machine_id == NULL) {
		k->machine[0] = '\0';
		return 0;
	}
	if (!is_machine_id(machine_id))
		return RW_ERR_FORMAT;
	str_copy(k->machine, sizeof(k->machine), machine_id);
	return 0;
}

const char *key_machine(const struct key *k)
{
	return k->machine[0] != '\0' ? k->machine : NULL;
}

/* "rigway-key-1 SEED\n" and perhaps "machine ID\n". */
int key_save(const struct key *k, const char *path)
{
	char seed[KEY_SEED_TEXT + 1];
	char text[sizeof(KEY_MAGIC) + sizeof(seed) + sizeof(KEY_MACHINE) +
		  sizeof(k->machine)];
	size_t n = 0;
	const char *const parts[] = {
		KEY_MAGIC,  seed,
		"\n",	    k->machine[0] != '\0' ? KEY_MACHINE : "",
		k->machine, k->machine[0] != '\0' ? "\n" : "",
	};

	str_base32_encode(k->seed.b, KEY_SEED_LEN, seed);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t len = strlen(parts[i]);

		memcpy(text + n, parts[i], len);
		n += len;
	}
	int err = file_write_new(path, text, n, 0600);

	mem_wipe(seed, sizeof(seed));
	mem_wipe(text, sizeof(text));
	return err;
}

/* Takes the next line off *text: NUL-ended in place; NULL when none is left or
 * it has no end (the file was cut). */
static char *key_next_line(char **text)
{
	char *line = *text;
	char *end = strchr(line, '\n');

	if (end == NULL)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

/* The text of a key file, which is altered. */
static int key_parse(char *text, struct key **ret)
{
	struct secret seed;
	struct key *k = NULL;
	char *line = key_next_line(&text);
	int err = RW_ERR_FORMAT;

	if (line == NULL || !str_has_prefix(line, KEY_MAGIC))
		return RW_ERR_FORMAT;
	line += strlen(KEY_MAGIC);
	if (strlen(line) == KEY_SEED_TEXT &&
	    str_base32_decode(line, KEY_SEED_TEXT, seed.b, sizeof(seed.b)) ==
		    KEY_SEED_LEN)
		err = key_from_seed(&seed, &k);
	secret_wipe(&seed);
	while (err == 0 && *text != '\0') {
		line = key_next_line(&text);
		/* An unknown or doubled line is not skipped: it may say
		 * something about who may use this key. */
		if (line == NULL || !str_has_prefix(line, KEY_MACHINE) ||
		    k->machine[0] != '\0')
			err = RW_ERR_FORMAT;
		else
			err = key_set_machine(k, line + strlen(KEY_MACHINE));
	}
	if (err != 0) {
		key_free(k);
		return err;
	}
	*ret = k;
	return 0;
}

/* On the open file, so that it cannot be changed for another between. */
static int key_check_perm(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return RW_ERR_FORMAT;
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return RW_ERR_PERM;
	return 0;
}

int key_load(const char *path, struct key **ret)
{
	struct buf text = { 0 };
	/* NONBLOCK: a FIFO in the file's place must not hang us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	library_begin();
	int err = key_check_perm(fd);

	/* All room at once, so that no copy of the seed is left behind. */
	if (err == 0 && buf_reserve(&text, KEY_FILE_MAX + 2) == NULL)
		err = RW_ERR_NOMEM;
	if (err == 0)
		err = file_read_fd(fd, KEY_FILE_MAX, &text);
	close(fd);
	if (err == RW_ERR_LIMIT)
		err = RW_ERR_FORMAT;
	if (err == 0 && memchr(text.data, '\0', text.len) != NULL)
		err = RW_ERR_FORMAT;
	if (err == 0)
		err = key_parse(buf_text(&text), ret);
	if (text.data != NULL)
		mem_wipe(text.data, text.cap);
	buf_done(&text);
	return err;
}

static int key_make(const char *path, const char *machine_id, struct key **ret)
{
	struct key *k;
	int err = key_generate(&k);

	if (err != 0)
		return err;
	err = key_set_machine(k, machine_id);
	if (err == 0)
		err = key_save(k, path);
	if (err != 0) {
		key_free(k);
		return err;
	}
	*ret = k;
	return 0;
}

int key_load_or_make(const char *path, const char *machine_id,
		     bool state_exists, struct key **ret)
{
	struct key *k;
	int err = key_load(path, &k);

	if (err == -ENOENT) {
		if (state_exists)
			return RW_ERR_KEY_MISSING;
		err = key_make(path, machine_id, ret);
		if (err != RW_ERR_EXISTS)
			return err;
		/* Another process made it in this very moment: take its. */
		err = key_load(path, &k);
	}
	if (err != 0)
		return err;
	if (machine_id != NULL && k->machine[0] != '\0' &&
	    strcmp(machine_id, k->machine) != 0) {
		key_free(k);
		return RW_ERR_OTHER_MACHINE;
	}
	*ret = k;
	return 0;
}

const struct pin *key_pin(const struct key *k)
{
	return &k->pin;
}

struct evp_pkey_st *key_evp(const struct key *k)
{
	return k->evp;
}

struct x509_st *key_cert(const struct key *k)
{
	return k->cert;
}

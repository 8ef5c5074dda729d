/* SPDX-License-Identifier: MIT */
/*
 * The Ed25519 key of a device or relay: a device is its key. Made on first use,
 * kept in a file of mode 0600, shown to peers as a self-signed certificate that
 * holds nothing but the key. key_cert() and key_evp() are for net/tls, the only
 * other user of the TLS library.
 */
#pragma once
#include <stdbool.h>

#include "crypto/pin.h"

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */
struct x509_st;	    /* OpenSSL's X509 */
struct key;

/* The longest machine id a key file holds (systemd's has 32 characters). */
#define KEY_MACHINE_MAX 64

/* RW_ERR_CRYPTO, RW_ERR_NOMEM. The caller owns *ret: key_free(). */
int key_generate(struct key **ret);
/* Wipes and frees; NULL is fine. */
void key_free(struct key *k);

/* Notes which machine the key belongs to, for key_save(): 1 to KEY_MACHINE_MAX
 * of a-z A-Z 0-9 and '-', or NULL for none. RW_ERR_FORMAT. */
int key_set_machine(struct key *k, const char *machine_id);
/* NULL when the key has none. Borrowed. */
const char *key_machine(const struct key *k);

/* Mode 0600, atomic. RW_ERR_EXISTS rather than replacing a file. -errno. */
int key_save(const struct key *k, const char *path);
/* RW_ERR_PERM: others may read it or it is another user's; RW_ERR_FORMAT:
 * mangled; -ENOENT and other -errno; RW_ERR_CRYPTO. */
int key_load(const char *path, struct key **ret);
/* Loads the key at path or, where nothing depends on one yet, makes it.
 * machine_id as in key_set_machine(); where both it and the file's are known
 * they must agree. state_exists: the state beside path was made with a key.
 * Errors of key_load() and:
 *   RW_ERR_KEY_MISSING    no key file beside existing state
 *   RW_ERR_OTHER_MACHINE  the key was copied from another machine */
int key_load_or_make(const char *path, const char *machine_id,
		     bool state_exists, struct key **ret);

/* Borrowed; as long as k lives. */
const struct pin *key_pin(const struct key *k);
struct evp_pkey_st *key_evp(const struct key *k);
struct x509_st *key_cert(const struct key *k);

/* The pin of a peer's certificate. RW_ERR_CRYPTO unless its key is Ed25519.
 * That the peer holds the key is known only once the handshake has ended. */
int cert_pin(struct x509_st *cert, struct pin *ret);

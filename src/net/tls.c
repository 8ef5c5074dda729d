/* SPDX-License-Identifier: MIT */
/* Over 500 lines: everything that speaks to libssl is in this file, so that its
 * types, its error queue and its memory rules stay here. */
#include "net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "crypto/wide_gcm.h"
#include "net/cpu.h"

#define TLS_HEADER_LEN 5
#define TLS_TYPE_MIN   20 /* change_cipher_spec */
#define TLS_TYPE_MAX   23 /* application_data */
#define TLS_BODY_MAX   (TLS_RECORD_WIRE_MAX - TLS_HEADER_LEN)
/* Certificates here have 300 bytes; a stranger may not make us hold more. */
#define TLS_CERTS_MAX 4096
#define TLS_ALPN_MAX  32

/* Both are as safe; the order is that of speed. */
static const char suites_with_aes[] = "TLS_AES_128_GCM_SHA256:"
				      "TLS_AES_256_GCM_SHA384:"
				      "TLS_CHACHA20_POLY1305_SHA256";
static const char suites_without[] = "TLS_CHACHA20_POLY1305_SHA256:"
				     "TLS_AES_128_GCM_SHA256:"
				     "TLS_AES_256_GCM_SHA384";

struct tls_ctx {
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	enum tls_side side;
	uint64_t rekey_records;
	uint8_t alpn[TLS_ALPN_MAX]; /* length, name: as on the wire */
	size_t alpn_len;
	size_t refs; /* one for the owner, one for each connection */
	bool is_bulk;
};

struct tls {
	SSL *ssl;
	struct tls_ctx *ctx;
	struct buf in;	     /* ciphertext kept, older than what is lent */
	const uint8_t *lent; /* borrowed until tls_keep() */
	size_t lent_len;
	size_t record_left; /* bytes of a whole record that may be read */
	struct buf own_out;
	struct buf *out;  /* own_out or the caller's */
	uint64_t written; /* records since the last key update */
	uint64_t rekeys;
	struct pin expect, peer;
	bool has_expect;
	bool is_up;
	bool is_ended; /* by tls_end() */
	int err;       /* the first failure; it stays */
};

/* Before a call that is judged by the library's queue of errors. To empty it
 * costs as much as to encrypt a keystroke, and it is empty as a rule. */
static void tls_clear_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* -- input: bytes go to the library in whole records only, so that what lies
 * behind a record is still ours when the connection leaves TLS there. */

size_t tls_pending(const struct tls *t)
{
	return t->in.len + t->lent_len;
}

/* Copies the first n unread bytes, n <= tls_pending(). */
static void tls_input_copy(const struct tls *t, uint8_t *out, size_t n)
{
	size_t len;
	const uint8_t *kept = buf_peek(&t->in, &len);
	size_t first = MIN(n, len);

	if (first > 0)
		memcpy(out, kept, first);
	if (n > first)
		memcpy(out + first, t->lent, n - first);
}

static void tls_input_drain(struct tls *t, size_t n)
{
	size_t first = MIN(n, t->in.len);

	if (first > 0)
		buf_drain(&t->in, first);
	if (n > first) {
		t->lent += n - first;
		t->lent_len -= n - first;
	}
}

/* How many bytes from the front the library may see. A header that is none is
 * shown at once: the library then refuses it, rather than we wait for a body
 * that a stranger has announced. */
static size_t tls_input_visible(const struct tls *t)
{
	uint8_t h[TLS_HEADER_LEN];
	size_t body;

	if (tls_pending(t) < sizeof(h))
		return 0;
	tls_input_copy(t, h, sizeof(h));
	body = get_be16(h + 3);
	if (h[0] < TLS_TYPE_MIN || h[0] > TLS_TYPE_MAX || h[1] != 3 ||
	    body > TLS_BODY_MAX)
		return sizeof(h);
	return tls_pending(t) >= sizeof(h) + body ? sizeof(h) + body : 0;
}

static int tls_bio_read(BIO *bio, char *data, int len)
{
	struct tls *t = BIO_get_data(bio);
	size_t n;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (t->record_left == 0)
		t->record_left = tls_input_visible(t);
	if (t->record_left == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	n = MIN((size_t)len, t->record_left);
	tls_input_copy(t, (uint8_t *)data, n);
	tls_input_drain(t, n);
	t->record_left -= n;
	return (int)n;
}

static int tls_bio_write(BIO *bio, const char *data, int len)
{
	struct tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (buf_append(t->out, data, (size_t)len) < 0) {
		t->err = RW_ERR_NOMEM;
		return -1;
	}
	return len;
}

static long tls_bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *tls_bio_method(void)
{
	/* The type number only tells BIOs apart in a chain; ours stands
	 * alone. */
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "buf");

	if (m == NULL)
		return NULL;
	BIO_meth_set_read(m, tls_bio_read);
	BIO_meth_set_write(m, tls_bio_write);
	BIO_meth_set_ctrl(m, tls_bio_ctrl);
	return m;
}

/* -- contexts */

/* Runs before the peer has proven its key: only compares, and remembers. */
static int tls_on_verify(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = BIO_get_data(SSL_get_rbio(ssl));
	X509 *cert = X509_STORE_CTX_get0_cert(store);

	(void)arg;
	if (cert != NULL && cert_pin(cert, &t->peer) == 0 &&
	    (!t->has_expect || pin_eq(&t->peer, &t->expect)))
		return 1;
	t->err = RW_ERR_PIN;
	/* Becomes the alert bad_certificate, which tls_failed() knows. */
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

static int tls_on_alpn(SSL *ssl, const unsigned char **out,
		       unsigned char *out_len, const unsigned char *in,
		       unsigned int in_len, void *arg)
{
	struct tls_ctx *ctx = arg;
	unsigned char *chosen;

	(void)ssl;
	if (SSL_select_next_proto(&chosen, out_len, ctx->alpn,
				  (unsigned int)ctx->alpn_len, in,
				  in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Sets everything that says what is spoken, and nothing weaker. */
static bool tls_ctx_set(struct tls_ctx *ctx, const struct key *k)
{
	SSL_CTX *s = ctx->ssl;
	const char *suites = cpu_has_aes() ? suites_with_aes : suites_without;

	SSL_CTX_set_options(s, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
				       SSL_OP_NO_RENEGOTIATION |
				       SSL_OP_CIPHER_SERVER_PREFERENCE |
				       SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(s, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(s, TLS_CERTS_MAX);
	SSL_CTX_set_read_ahead(s, 0);
	SSL_CTX_set_verify(s, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   NULL);
	SSL_CTX_set_cert_verify_callback(s, tls_on_verify, NULL);
	SSL_CTX_set_alpn_select_cb(s, tls_on_alpn, ctx);
	return SSL_CTX_set_min_proto_version(s, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(s, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(s, suites) == 1 &&
	       SSL_CTX_set1_sigalgs_list(s, "ed25519") == 1 &&
	       SSL_CTX_set1_client_sigalgs_list(s, "ed25519") == 1 &&
	       SSL_CTX_set1_groups_list(s, "X25519") == 1 &&
	       SSL_CTX_set_num_tickets(s, 0) == 1 &&
	       SSL_CTX_use_certificate(s, key_cert(k)) == 1 &&
	       SSL_CTX_use_PrivateKey(s, key_evp(k)) == 1 &&
	       (ctx->side == TLS_SERVER ||
		SSL_CTX_set_alpn_protos(s, ctx->alpn,
					(unsigned int)ctx->alpn_len) == 0);
}

static void tls_ctx_unref(struct tls_ctx *ctx)
{
	if (--ctx->refs > 0)
		return;
	SSL_CTX_free(ctx->ssl);
	BIO_meth_free(ctx->bio);
	free(ctx);
}

/* query: which ciphers are preferred, as wide_gcm_query(); NULL: OpenSSL's. */
static int tls_ctx_make(const struct key *k, enum tls_side side,
			const char *alpn, const char *query,
			struct tls_ctx **ret)
{
	struct tls_ctx *ctx = calloc(1, sizeof(*ctx));
	size_t len = strlen(alpn);

	CHECK(len > 0 && len < TLS_ALPN_MAX);
	if (ctx == NULL)
		return RW_ERR_NOMEM;
	ctx->refs = 1;
	ctx->side = side;
	ctx->rekey_records = TLS_REKEY_RECORDS;
	ctx->alpn[0] = (uint8_t)len;
	memcpy(ctx->alpn + 1, alpn, len);
	ctx->alpn_len = len + 1;
	/* As in key.c: nobody reads these texts. */
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_SSL_STRINGS |
				 OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS,
			 NULL);
	ctx->bio = tls_bio_method();
	ctx->ssl = SSL_CTX_new_ex(NULL, query,
				  side == TLS_CLIENT ? TLS_client_method()
						     : TLS_server_method());
	if (ctx->bio == NULL || ctx->ssl == NULL || !tls_ctx_set(ctx, k)) {
		ERR_clear_error();
		tls_ctx_unref(ctx);
		return RW_ERR_CRYPTO;
	}
	*ret = ctx;
	return 0;
}

int tls_ctx_new(const struct key *k, enum tls_side side, const char *alpn,
		struct tls_ctx **ret)
{
	return tls_ctx_make(k, side, alpn, NULL, ret);
}

int tls_ctx_new_bulk(const struct key *k, enum tls_side side, const char *alpn,
		     struct tls_ctx **ret)
{
	int r = tls_ctx_make(k, side, alpn, wide_gcm_query(), ret);

	if (r == 0)
		(*ret)->is_bulk = true;
	return r;
}

void tls_ctx_free(struct tls_ctx *ctx)
{
	if (ctx != NULL)
		tls_ctx_unref(ctx);
}

void tls_ctx_set_rekey(struct tls_ctx *ctx, uint64_t records)
{
	CHECK(records > 0);
	ctx->rekey_records = records;
}

/* -- connections */

/* Gives t its SSL over one BIO for both directions. */
static bool tls_attach(struct tls *t)
{
	BIO *bio;

	t->ssl = SSL_new(t->ctx->ssl);
	if (t->ssl == NULL)
		return false;
	bio = BIO_new(t->ctx->bio);
	if (bio == NULL)
		return false;
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	if (t->ctx->side == TLS_CLIENT)
		SSL_set_connect_state(t->ssl);
	else
		SSL_set_accept_state(t->ssl);
	return true;
}

int tls_new(struct tls_ctx *ctx, const struct pin *expect, struct tls **ret)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return RW_ERR_NOMEM;
	t->ctx = ctx;
	ctx->refs++;
	t->out = &t->own_out;
	if (expect != NULL) {
		t->expect = *expect;
		t->has_expect = true;
	}
	if (!tls_attach(t)) {
		ERR_clear_error();
		tls_free(t);
		return RW_ERR_NOMEM;
	}
	*ret = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	buf_done(&t->in);
	buf_done(&t->own_out);
	tls_ctx_unref(t->ctx);
	free(t);
}

void tls_set_output(struct tls *t, struct buf *out)
{
	t->out = out;
}

int tls_feed(struct tls *t, const uint8_t *data, size_t len)
{
	CHECK(t->lent_len == 0);
	return buf_append(&t->in, data, len);
}

void tls_lend(struct tls *t, const uint8_t *data, size_t len)
{
	CHECK(t->lent_len == 0);
	t->lent = data;
	t->lent_len = len;
}

int tls_keep(struct tls *t)
{
	int r = 0;

	if (t->lent_len > 0)
		r = buf_append(&t->in, t->lent, t->lent_len);
	t->lent = NULL;
	t->lent_len = 0;
	return r;
}

/* Whether the peer's alert says that it did not want our key. */
static bool tls_alert_is_refusal(int alert)
{
	static const int refusals[] = {
		SSL_AD_BAD_CERTIFICATE,	    SSL_AD_UNSUPPORTED_CERTIFICATE,
		SSL_AD_CERTIFICATE_REVOKED, SSL_AD_CERTIFICATE_EXPIRED,
		SSL_AD_CERTIFICATE_UNKNOWN, SSL_AD_UNKNOWN_CA,
		SSL_AD_ACCESS_DENIED,	    SSL_AD_CERTIFICATE_REQUIRED,
	};

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (alert == refusals[i])
			return true;
	return false;
}

/* The library reports a peer's alert as a reason at this offset. */
static int tls_reason(unsigned long e)
{
	int reason = ERR_GET_REASON(e);

	if (reason == ERR_R_MALLOC_FAILURE)
		return RW_ERR_NOMEM;
	if (reason > SSL_AD_REASON_OFFSET &&
	    reason <= SSL_AD_REASON_OFFSET + UCHAR_MAX &&
	    tls_alert_is_refusal(reason - SSL_AD_REASON_OFFSET))
		return RW_ERR_REFUSED;
	return RW_ERR_PROTO;
}

/* Judges the last call's result: 0 when it wants more, else an error, which
 * stays: the library must not be called again after a fatal one. */
static int tls_failed(struct tls *t, int result)
{
	switch (SSL_get_error(t->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return t->err;
	case SSL_ERROR_ZERO_RETURN: return -EPIPE;
	default:
		if (t->err == 0)
			t->err = tls_reason(ERR_peek_error());
		ERR_clear_error();
		return t->err;
	}
}

/* A peer that named no protocol at all was not asked by the callback. */
static bool tls_alpn_is_ours(const struct tls *t)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(t->ssl, &name, &len);
	return len + 1 == t->ctx->alpn_len &&
	       memcmp(name, t->ctx->alpn + 1, len) == 0;
}

/* Takes a reference. The type stays, for there is no key without one. */
static void key_clear(EVP_PKEY *k, int type)
{
	(void)EVP_PKEY_set_type(k, type);
	EVP_PKEY_free(k);
}

/* What only the handshake needed: both ephemeral keys and the peer's public
 * one. The library would keep them for as long as the connection lasts. */
static void tls_forget_keys(struct tls *t)
{
	X509 *cert = SSL_get1_peer_certificate(t->ssl);
	EVP_PKEY *k = NULL;

	if (SSL_get_tmp_key(t->ssl, &k) == 1)
		key_clear(k, EVP_PKEY_X25519);
	if (SSL_get_peer_tmp_key(t->ssl, &k) == 1)
		key_clear(k, EVP_PKEY_X25519);
	if (cert != NULL)
		key_clear(X509_get_pubkey(cert), EVP_PKEY_ED25519);
	X509_free(cert);
	ERR_clear_error();
}

int tls_step(struct tls *t)
{
	int r;

	if (t->err != 0)
		return t->err;
	if (t->is_up)
		return 1;
	tls_clear_errors();
	r = SSL_do_handshake(t->ssl);
	if (r != 1)
		return tls_failed(t, r);
	if (!tls_alpn_is_ours(t)) {
		t->err = RW_ERR_PROTO;
		return t->err;
	}
	tls_forget_keys(t);
	/* Until tls_release(): else each record has memory of its own. */
	if (t->ctx->is_bulk)
		SSL_clear_mode(t->ssl, SSL_MODE_RELEASE_BUFFERS);
	t->is_up = true;
	return 1;
}

bool tls_is_up(const struct tls *t)
{
	return t->is_up;
}

ssize_t tls_read(struct tls *t, uint8_t *data, size_t cap)
{
	size_t n = 0;
	int r;

	CHECK(t->is_up && cap >= TLS_RECORD_MAX);
	if (t->err != 0)
		return t->err;
	/* A read takes a whole record, so the library has nothing left. */
	if (t->record_left == 0 && tls_input_visible(t) == 0)
		return 0;
	tls_clear_errors();
	r = SSL_read_ex(t->ssl, data, cap, &n);
	if (r == 1)
		return (ssize_t)n;
	return tls_failed(t, r);
}

/* Counts a record that is about to be written; time for new keys? */
static int tls_count_record(struct tls *t)
{
	if (t->written < t->ctx->rekey_records) {
		t->written++;
		return 0;
	}
	/* Each side minds its own direction: the peer is not asked for its. The
	 * message goes out ahead of the next record. */
	if (SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) {
		ERR_clear_error();
		t->err = RW_ERR_CRYPTO;
		return t->err;
	}
	t->written = 1;
	t->rekeys++;
	return 0;
}

int tls_write(struct tls *t, const uint8_t *data, size_t len)
{
	CHECK(t->is_up && !t->is_ended);
	while (len > 0 && t->err == 0) {
		size_t n = MIN(len, (size_t)TLS_RECORD_MAX);
		size_t done = 0;
		int r = tls_count_record(t);

		if (r < 0)
			return r;
		tls_clear_errors();
		r = SSL_write_ex(t->ssl, data, n, &done);
		if (r != 1) {
			/* Our BIO never asks to wait. */
			r = tls_failed(t, r);
			if (t->err == 0)
				t->err = r < 0 ? r : RW_ERR_PROTO;
			return t->err;
		}
		data += done;
		len -= done;
	}
	return t->err;
}

void tls_end(struct tls *t)
{
	if (!t->is_up || t->is_ended || t->err != 0)
		return;
	t->is_ended = true;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
}

uint8_t *tls_output(const struct tls *t, size_t *len)
{
	return buf_peek(t->out, len);
}

void tls_drain(struct tls *t, size_t n)
{
	buf_drain(t->out, n);
}

const struct pin *tls_peer(const struct tls *t)
{
	CHECK(t->is_up);
	return &t->peer;
}

int tls_take_leftover(struct tls *t, struct buf *ret)
{
	size_t len;
	const uint8_t *kept = buf_peek(&t->in, &len);
	int r = 0;

	/* Half a record inside the library would be lost. That cannot be: each
	 * goes there whole and is read to its end. */
	if (t->record_left != 0)
		return RW_ERR_PROTO;
	if (len > 0)
		r = buf_append(ret, kept, len);
	if (r == 0 && t->lent_len > 0)
		r = buf_append(ret, t->lent, t->lent_len);
	buf_done(&t->in);
	t->lent = NULL;
	t->lent_len = 0;
	return r;
}

uint64_t tls_rekeys(const struct tls *t)
{
	return t->rekeys;
}

void tls_release(struct tls *t)
{
	buf_release(&t->in);
	buf_release(&t->own_out);
	if (t->is_up)
		(void)SSL_free_buffers(t->ssl);
}

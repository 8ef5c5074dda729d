/* SPDX-License-Identifier: MIT */
/*
 * TLS 1.3 without I/O: ciphertext is fed in, ciphertext is taken out. Both
 * sides always show a self-signed Ed25519 certificate, and each judges the
 * other by its pin; there are no tickets, so each handshake judges anew.
 * PROTOCOL.md, section 2. Note that a client's handshake ends before the server
 * has judged it (RFC 8446, 4.4): it is accepted once the server's first
 * application bytes were read, not before.
 *
 * Reading takes whole records only and never one more than asked for, so that
 * a connection can leave TLS at a record's end: the bytes behind it stay here,
 * untouched, for tls_take_leftover(). PROTOCOL.md, section 3.4.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "crypto/key.h"

struct tls_ctx;
struct tls;

enum tls_side { TLS_CLIENT, TLS_SERVER };

/* Most plaintext of one record (RFC 8446, 5.1); room for one is what
 * tls_read() wants. */
#define TLS_RECORD_MAX 16384
/* A record's header and the most its body may have (RFC 8446, 5.2). */
#define TLS_RECORD_WIRE_MAX (5 + TLS_RECORD_MAX + 256)
/* Records written before the key is updated; the limit for AES-GCM is 2^24.5
 * (RFC 8446, 5.5). */
#define TLS_REKEY_RECORDS (UINT64_C(1) << 23)

/* One identity on one side with one ALPN name. k must outlive the context.
 * RW_ERR_CRYPTO, RW_ERR_NOMEM. */
int tls_ctx_new(const struct key *k, enum tls_side side, const char *alpn,
		struct tls_ctx **ret);
/* The same for connections that will carry much: with the fastest AES-GCM there
 * is (crypto/wide_gcm.h), which takes memory once a process. */
int tls_ctx_new_bulk(const struct key *k, enum tls_side side, const char *alpn,
		     struct tls_ctx **ret);
/* Connections made from it keep what they need. NULL is fine. */
void tls_ctx_free(struct tls_ctx *ctx);
/* For tests: rekey after this many records written. */
void tls_ctx_set_rekey(struct tls_ctx *ctx, uint64_t records);

/* One connection. expect: the only pin that is accepted, copied; NULL accepts
 * any Ed25519 key, which the caller judges by tls_peer(). RW_ERR_NOMEM. */
int tls_new(struct tls_ctx *ctx, const struct pin *expect, struct tls **ret);
/* Says nothing to the peer. NULL is fine. */
void tls_free(struct tls *t);
/* Ciphertext goes to the end of out (borrowed) instead of to a buf of its own;
 * tls_output() and tls_drain() then show out. Call it before tls_step(). */
void tls_set_output(struct tls *t, struct buf *out);

/* Ciphertext from the peer, copied. RW_ERR_NOMEM. */
int tls_feed(struct tls *t, const uint8_t *data, size_t len);
/* The same without a copy: data is borrowed until tls_keep(), which copies
 * what was not read yet: RW_ERR_NOMEM. No tls_feed() in between. */
void tls_lend(struct tls *t, const uint8_t *data, size_t len);
int tls_keep(struct tls *t);
/* Ciphertext fed and not read yet. */
size_t tls_pending(const struct tls *t);

/* Drives the handshake: 1 when it has ended, 0 when the peer's next bytes are
 * wanted, else an error; output (also an alert) may be waiting in each case.
 *   RW_ERR_PIN      the peer's key is not the expected one, or not Ed25519
 *   RW_ERR_REFUSED  the peer refused our key
 *   RW_ERR_PROTO    not TLS, not our ALPN, or broken
 *   RW_ERR_NOMEM */
int tls_step(struct tls *t);
bool tls_is_up(const struct tls *t);

/* One record's plaintext at most, cap >= TLS_RECORD_MAX: the number of bytes;
 * 0 when no whole record is there. -EPIPE after the peer's clean end
 * (close_notify), RW_ERR_REFUSED, RW_ERR_PROTO (also: a record was forged). */
ssize_t tls_read(struct tls *t, uint8_t *buf, size_t cap);
/* Appends records with data to the output. All of it or an error:
 * RW_ERR_NOMEM, RW_ERR_PROTO (the connection has failed before). */
int tls_write(struct tls *t, const uint8_t *data, size_t len);
/* Appends close_notify: no tls_write() afterwards. */
void tls_end(struct tls *t);

/* Ciphertext to be sent: peek, then drain what was sent. */
uint8_t *tls_output(const struct tls *t, size_t *len);
void tls_drain(struct tls *t, size_t n);

/* The peer's pin; the handshake must have ended. */
const struct pin *tls_peer(const struct tls *t);
/* Moves the ciphertext that was fed and not read to the end of ret.
 * RW_ERR_NOMEM; RW_ERR_PROTO where a record is read in part. */
int tls_take_leftover(struct tls *t, struct buf *ret);
/* Key updates sent so far. */
uint64_t tls_rekeys(const struct tls *t);
/* Gives back memory that an idle connection does not need. */
void tls_release(struct tls *t);

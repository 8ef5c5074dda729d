/* SPDX-License-Identifier: MIT */
/*
 * One connection over a socket (TCP, unix, socketpair), with TLS once it was
 * asked for. Everything is asynchronous on one loop; writing collects, and
 * chan_flush() sends with one call. Buffers are given back when it idles.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "crypto/pin.h"
#include "net/tls.h"

struct chan;

/* How many bytes on_data may leave untaken. */
#define CHAN_HOLD 65536
/* Room for chan_peer_addr(): "[v6%interface]:port", or "unix". */
#define CHAN_ADDR_CAP 80

/* No callback runs inside a call that its user makes. Inside each of them any
 * call on the chan is fine, chan_close() too. NULL members are skipped. */
struct chan_ops {
	/* TLS is up; at once (from the loop) where there is none. */
	void (*on_up)(struct chan *c);
	/* Plaintext, valid until the call returns. Returns how many bytes were
	 * taken; the rest is shown again, in one piece with what follows. More
	 * than CHAN_HOLD untaken bytes close the connection with RW_ERR_LIMIT.
	 * NULL takes everything. */
	size_t (*on_data)(struct chan *c, const uint8_t *data, size_t len);
	/* Everything that was flushed is with the kernel, after chan_flush()
	 * could not send it at once. */
	void (*on_room)(struct chan *c);
	/* The last call; the chan is freed on return. err is 0 for the peer's
	 * clean end (close_notify, or EOF without TLS); what chan_close() was
	 * given; RW_ERR_TRUNCATED for an EOF without close_notify; an error of
	 * tls.h; or a libuv code (-ECONNRESET, ...). */
	void (*on_closed)(struct chan *c, int err);
};

/* Takes fd (also on failure), starts reading. ops must outlive the chan; user
 * is stored. 0 or a libuv code, RW_ERR_NOMEM. */
int chan_open_fd(uv_loop_t *loop, int fd, const struct chan_ops *ops,
		 void *user, struct chan **ret);
/* Hands the chan to another owner. If it is up, ops->on_up does not run. Bytes
 * not taken yet are shown to ops after the current callback. */
void chan_set_ops(struct chan *c, const struct chan_ops *ops, void *user);

/*
 * Speaks TLS from here on; on_up or on_closed follows. ctx must live until
 * then. expect as for tls_new(). On a chan that has TLS already (the READY
 * handover, PROTOCOL.md 3.4), the old one is dropped without a word, and bytes
 * that it has not read belong to the new one; call it from inside on_data, and
 * take all that on_data showed: plaintext behind the handover closes the
 * connection with RW_ERR_PROTO. Queued bytes are sent first, as they are.
 * 0, RW_ERR_NOMEM, RW_ERR_CLOSING, or RW_ERR_PROTO: plaintext was left before.
 */
int chan_start_tls(struct chan *c, struct tls_ctx *ctx,
		   const struct pin *expect);

/* Encrypts data, if there is TLS, and adds it to the queue. 0, RW_ERR_NOMEM,
 * RW_ERR_BUSY while TLS is not up yet, RW_ERR_CLOSING after chan_close() or
 * chan_finish(); after any other error the chan closes by itself. */
int chan_write(struct chan *c, const void *data, size_t len);
/* Sends the queue: one system call now, the rest when the kernel has room. */
void chan_flush(struct chan *c);
/* Bytes (as they go over the wire) that are not with the kernel yet. */
size_t chan_queued(const struct chan *c);

/* Stops reading for good, until chan_detach_fd() or an end from here: on_data
 * does not run any more, and the peer's end is not noticed. */
void chan_pause(struct chan *c);

/* Drops the connection and the queue; on_closed(err) follows from the loop. A
 * second call changes nothing. */
void chan_close(struct chan *c, int err);
/* The same, and the kernel does not send either what it was given: that would
 * take the path from the connection that takes over. The peer sees a reset. */
void chan_abort(struct chan *c, int err);
/* Sends the queue, then our end (close_notify, FIN), waits for the peer's, at
 * most 5 s, and closes: on_closed(err). What arrives meanwhile is dropped. */
void chan_finish(struct chan *c, int err);
/* Takes the socket out: returns a duplicate of it, and appends the bytes that
 * were read from it but not shown (ciphertext, if there is TLS) to leftover.
 * The chan says nothing to the peer and is freed from the loop without
 * on_closed. Nothing may be queued (RW_ERR_BUSY), nor plaintext be left
 * (RW_ERR_PROTO). Else RW_ERR_CLOSING, RW_ERR_NOMEM, -errno; the chan is as it
 * was then. */
int chan_detach_fd(struct chan *c, struct buf *leftover);

/* Whether on_up ran, or would have. */
bool chan_is_up(const struct chan *c);
/* NULL without TLS or before it is up. */
const struct pin *chan_peer_pin(const struct chan *c);
/* The peer's address and port; returns text. */
char *chan_peer_addr(const struct chan *c, char text[CHAN_ADDR_CAP]);
void *chan_user(const struct chan *c);
/* Whether bytes of the peer wait in the socket, not read yet. */
bool chan_has_unread(const struct chan *c);
/* When bytes last came, whole records or not; 0: never. */
uint64_t chan_heard_us(const struct chan *c);
/* The kernel's smoothed round trip to the other end of the socket; 0 where it
 * is not known. */
uint64_t chan_rtt_us(const struct chan *c);
/* All that was written has reached the other end's system: the path was there,
 * both ways, and if no answer comes, then since nobody has read it yet. */
bool chan_is_acked(const struct chan *c);
/* While it is watched, the other end's system is asked every second whether it
 * is there, and chan_is_acked() is false when it does not answer. */
void chan_watch(struct chan *c, bool on);
/* It was dialled to send small packets, because large ones vanished
 * (docs/decisions/012). */
bool chan_is_narrow(const struct chan *c);

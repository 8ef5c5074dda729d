/* SPDX-License-Identifier: MIT */
/*
 * One byte stream inside a session: ordered, flow controlled, half-closable,
 * and unaware of the connections it travels over. It never touches a socket:
 * its user's calls become frames when a carrier is asked for output, the
 * peer's frames become calls on its ops. PROTOCOL.md, sections 5 and 6.
 * Loop thread only.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
struct session;
struct stream;

/* What an OPEN names; PROTOCOL.md, section 6.1. */
enum stream_kind {
	STREAM_TCP = 1,	    /* "host:port", resolved at the far end */
	STREAM_UNIX = 2,    /* a path at the far end */
	STREAM_SERVICE = 3, /* a service's name at the far end */
};

#define STREAM_TARGET_MAX 300
#define STREAM_TEXT_MAX	  200

/* What a stream tells its user. Every member may be NULL but on_closed. None
 * of them runs inside a call that the user itself makes. */
struct stream_ops {
	/* The far end is connected to the target (opener only). */
	void (*on_connected)(struct stream *st);
	/* Bytes arrived, valid until the call returns. Returns how many were
	 * taken for good (0 to len); the core keeps the rest, in order, for
	 * stream_peek() and stream_consume(). While such a rest exists, new
	 * bytes join it and on_data is called with nothing: (NULL, 0). */
	size_t (*on_data)(struct stream *st, const uint8_t *data, size_t len);
	/* The peer's end, at its place: all bytes before it were consumed. */
	void (*on_eof)(struct stream *st);
	/* stream_room() has space again after it had none. */
	void (*on_room)(struct stream *st);
	/* The last call for this stream, which is freed on return. err is 0
	 * when both directions ended cleanly; else one of RW_ERR_*, with text
	 * in words from the peer or from here ("" if there is none). */
	void (*on_closed)(struct stream *st, int err, const char *text);
};

struct stream_to {
	enum stream_kind kind;
	const char *target;
};
/*
 * Opens a stream. The session owns it until on_closed; ops must
 * outlive it; user is stored, never followed. Bytes may be written at once:
 * they follow the OPEN without waiting for its answer. Without a carrier the
 * stream waits. Returns 0 and sets *ret, else
 *   RW_ERR_CLOSING  the session takes no new streams
 *   RW_ERR_LIMIT    too many streams are open here; try again later
 *   RW_ERR_FORMAT   target is empty, not clean, or over STREAM_TARGET_MAX
 */
int stream_open(struct session *s, const struct stream_to *to,
		const struct stream_ops *ops, void *user, struct stream **ret);

/* For a stream that session_ops.on_open announced: take it on, or tell the
 * peer that its target is connected. Until stream_connected() the opener's
 * on_connected does not run, but its bytes already arrive. */
void stream_take(struct stream *st, const struct stream_ops *ops, void *user);
void stream_connected(struct stream *st);

/* Contiguous space for the next bytes to send, inside the core's own buffer;
 * *len is 0 and NULL is returned when the limits allow none: on_room follows.
 * Fill any prefix of it and call stream_wrote() before any other call. */
uint8_t *stream_room(struct stream *st, size_t *len);
void stream_wrote(struct stream *st, size_t len);
/* The same with a copy; returns how many bytes were taken. */
size_t stream_write(struct stream *st, const void *data, size_t len);
/* How many bytes stream_write() would take now, memory allowing; 0 also when
 * they are too few to be worth a call. After 0, on_room follows. */
size_t stream_space(struct stream *st);
/* No more bytes will be written: the peer sees the end after the last one. */
void stream_finish(struct stream *st);

/* A run of bytes inside the core. */
struct stream_span {
	const uint8_t *data;
	size_t len;
};
/* The bytes kept because on_data did not take them, in order, as at most max
 * runs; returns how many. The memory stays put until it is consumed. */
size_t stream_spans(struct stream *st, struct stream_span *ret, size_t max);
/* The first run alone. */
const uint8_t *stream_peek(struct stream *st, size_t *len);
void stream_consume(struct stream *st, size_t len);

/* Drops the stream and tells the peer why (text may be NULL). Callable from
 * the stream's own callbacks; on_closed comes later, from session_tick(). */
void stream_reset(struct stream *st, int err, const char *text);

void *stream_user(const struct stream *st);
uint64_t stream_id(const struct stream *st);
struct session *stream_session(const struct stream *st);
enum stream_kind stream_kind(const struct stream *st);
const char *stream_target(const struct stream *st);

/* Whether on_eof has run, perhaps for a user before stream_take(). */
bool stream_is_eof(const struct stream *st);

struct stream_stats {
	uint64_t sent, acked;	     /* bytes written by us; consumed there */
	uint64_t received, consumed; /* bytes read from the peer; taken here */
	bool connected, waiting;     /* waiting: no carrier carries it now */
};
void stream_stats(const struct stream *st, struct stream_stats *ret);

/* SPDX-License-Identifier: MIT */
/*
 * Frames: what a carrier carries. An 8-byte header (type, flags, length,
 * stream) and a payload; PROTOCOL.md, section 3. One frame fits one TLS
 * record. Encoding and decoding allocate nothing and read nothing beyond the
 * bytes they are given.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_HDR_LEN	  8
#define FRAME_MAX	  16384 /* header and payload: one TLS record */
#define FRAME_MAX_PAYLOAD (FRAME_MAX - FRAME_HDR_LEN)
/* DATA: the header and the offset stand before the bytes. */
#define FRAME_DATA_HDR (FRAME_HDR_LEN + 8)
#define FRAME_DATA_MAX (FRAME_MAX - FRAME_DATA_HDR)
/* Bulk goes in frames of so many bytes, so many of which are read from a
 * program and written to a carrier at once; fewer while somebody types.
 * Encrypted, a batch is a little less than eight of TCP's largest segments, and
 * than one read of the peer (512 KiB): some bytes more, and a tiny segment and
 * half a record would follow each. */
#define FRAME_BULK	 (FRAME_DATA_MAX - 48)
#define FRAME_BULK_BATCH 32
#define FRAME_BULK_FEW	 4

#define FRAME_LIVE_MAX 9
/* The receiver states at once how far it has read (section 7.1). */
#define FRAME_FLAG_MARK 0x01
/* STATE only: the target is connected. */
#define FRAME_FLAG_CONNECTED 0x02

enum frame_type {
	FRAME_HELLO = 0x01,   /* client, first: wire/hello.h */
	FRAME_WELCOME = 0x02, /* rig's answer */
	FRAME_REFUSED = 0x03, /* the other answer; also ends a session */
	FRAME_PING = 0x04,    /* token */
	FRAME_PONG = 0x05,    /* the token */
	FRAME_READ = 0x06,    /* carrier bytes read so far */
	FRAME_STREAMS = 0x07, /* the highest id the peer may open */
	FRAME_LIVE = 0x08,    /* client: newest carrier, those in use */
	FRAME_WANTS = 0x09,   /* rig: serial, carriers that it could use */
	FRAME_LEAVE = 0x0a,   /* no bytes of mine ride here any more */
	FRAME_OPEN = 0x10,    /* first limit, kind, target */
	FRAME_DATA = 0x11,    /* offset, bytes */
	FRAME_FIN = 0x12,     /* offset of the end */
	FRAME_STATE = 0x13,   /* received, consumed, limit */
	FRAME_ASK = 0x14,     /* state this stream here */
	FRAME_RESET = 0x15,   /* acceptor: code, text */
	FRAME_END = 0x16,     /* opener: code; 0 is a clean end */
	FRAME_GONE = 0x17,    /* acceptor's last word on an id */
	FRAME_DGRAM = 0x20,   /* number, length, offset, bytes (section 8) */
	FRAME_TYPES = 0x21,   /* session types are below; the relay's from
				 0x40, requests' from 0x80 */
};

struct frame {
	uint8_t type, flags;
	uint16_t len; /* of the payload */
	uint32_t stream;
	const uint8_t *payload;
};

/* Reads one session frame; judges the header before the payload is there.
 * Returns its whole length, 0 if more bytes are needed, RW_ERR_PROTO. */
ssize_t frame_decode(const uint8_t *data, size_t len, struct frame *ret);
/* The bare header, for every protocol that uses it; the payload must follow
 * at out + FRAME_HDR_LEN. */
void frame_header(uint8_t *out, uint8_t type, uint8_t flags, size_t len,
		  uint32_t stream);
/* The rules of a type, for tests: false if no such type. */
bool frame_type_bounds(uint8_t type, size_t *min, size_t *max);

/* Each writes one frame and returns its length; out has room for it. */
size_t frame_put_u64(uint8_t *out, enum frame_type type, uint32_t stream,
		     uint64_t v);
size_t frame_put_streams(uint8_t *out, uint32_t highest);
/* At most FRAME_LIVE_MAX numbers. */
size_t frame_put_live(uint8_t *out, uint32_t newest, const uint32_t *live,
		      size_t count);
size_t frame_put_empty(uint8_t *out, enum frame_type type, uint32_t stream);
size_t frame_put_open(uint8_t *out, uint32_t stream, uint32_t limit,
		      uint8_t kind, const char *target);
struct frame_state {
	bool connected;
	uint64_t received, consumed, limit;
};
size_t frame_put_state(uint8_t *out, uint32_t stream,
		       const struct frame_state *state);
size_t frame_put_reset(uint8_t *out, uint32_t stream, uint16_t code,
		       const char *text);
size_t frame_put_end(uint8_t *out, uint32_t stream, uint16_t code);
/* Copies text for people, at most max bytes and whole characters; what is not
 * clean becomes '?', so that no local text can break the protocol. */
size_t frame_put_text(uint8_t *out, const char *text, size_t max);

/* A datagram's piece; section 8. */
struct dgram_piece {
	uint32_t number; /* of the datagram in its flow */
	uint16_t length; /* of the whole datagram, <= 65507 */
	uint16_t offset; /* of this piece */
	const uint8_t *data;
	size_t len;
};
#define DGRAM_MAX	65507
#define DGRAM_HDR_LEN	8
#define DGRAM_PIECE_MAX (FRAME_MAX_PAYLOAD - DGRAM_HDR_LEN)
size_t frame_put_dgram(uint8_t *out, uint32_t flow,
		       const struct dgram_piece *p);
/* 0, or RW_ERR_PROTO when the piece lies outside its datagram. */
int dgram_decode(const struct frame *f, struct dgram_piece *ret);

/* Reasons on the wire: RW_ERR_* as 1 to 31 (their distance from -20000), 0 for
 * none. An unknown number reads as RW_ERR_REFUSED. */
uint16_t reason_to_wire(int err);
int reason_from_wire(uint16_t code);

/* SPDX-License-Identifier: MIT */
/*
 * What devices and their relay say to each other inside the outer TLS, before
 * a pair of sockets is spliced. One frame a message: the session protocol's
 * header of 8 bytes, then tag-length-value fields (wire/msg.h).
 * PROTOCOL.md, section 10. Nothing is allocated; views point into
 * the input.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "crypto/pin.h"
#include "wire/msg.h"

#define RELAY_ALPN	 "rigway-relay/1"
#define RELAY_VERSION	 1
#define RELAY_PORT	 443 /* where allowed, else the next */
#define RELAY_PORT_HIGH	 7443
#define RELAY_HDR_LEN	 8
#define RELAY_BODY_MAX	 1024 /* the largest body of any message */
#define RELAY_FRAME_MAX	 (RELAY_HDR_LEN + RELAY_BODY_MAX)
#define RELAY_NAME_MAX	 63
#define RELAY_ADDR_MAX	 63 /* "[v6]:port" */
#define RELAY_TEXT_MAX	 400
#define RELAY_LOST_MAX	 64 /* dead rendezvous named at once */
#define RELAY_ID_LEN	 16 /* of an invite */
#define RELAY_SECRET_LEN 32
#define RELAY_WAITING_MS 4000  /* R_WAITING comes this often */
#define RELAY_SILENCE_MS 9000  /* the silence that means a dead peer */
#define RELAY_PING_MS	 5000  /* by then a device pings its control */
#define RELAY_PONG_MS	 4000  /* and waits this long for the answer */
#define RELAY_CALL_MS	 10000 /* a rendezvous number's life, at least */

enum relay_type {
	R_HELLO = 0x40,	  /* device: who I am and what I want */
	R_WELCOME = 0x41, /* relay: control, redeem and list are admitted */
	R_REFUSED = 0x42, /* relay: no, and why; then it closes (but see ref) */
	R_CALL = 0x43,	  /* relay to rig: somebody wants you */
	R_READY = 0x44,	  /* relay to both: from here on the socket is raw */
	R_WAITING = 0x45, /* relay to wisher: the rig is away, you stand in
			   * line */
	R_ROW = 0x46,	  /* relay: one device of the fleet */
	R_END = 0x47,	  /* relay: that was the last row */
	R_PING = 0x48,	  /* either side of a control connection */
	R_PONG = 0x49,	  /* the answer, with the same number */
	R_INVITE = 0x4a,  /* rig: take this invite; the same id again is fine */
	R_DONE = 0x4b,	  /* relay: the request numbered ref is on disk */
	R_DROP = 0x4c,	  /* rig: I removed this device; myself: I leave */
	R_LIST = 0x4d,	  /* device: tell me the fleet on this control */
	R_DECLINE = 0x4e, /* rig: I do not answer that call */
	R_LOST = 0x4f,	  /* rig: these rendezvous are dead, close them */
	R_ADMIT = 0x50,	  /* rig: this client may ask for me */
};

enum relay_purpose {
	RELAY_CONTROL = 1,
	RELAY_WISH,
	RELAY_ANSWER,
	RELAY_REDEEM,
	RELAY_LIST,
};

enum relay_role {
	RELAY_RIG = 1,
	RELAY_CLIENT = 2,
};

/* Tags; a number is never given to another meaning. */
enum {
	R_TAG_VERSION_MIN = 1,
	R_TAG_VERSION_MAX,
	R_TAG_PURPOSE,
	R_TAG_ROLE,
	R_TAG_NAME,
	R_TAG_INCARNATION,
	R_TAG_SECRET,
	R_TAG_RIG,
	R_TAG_INVITE_ID,
	R_TAG_WAIT,
	R_TAG_RENDEZVOUS,
	R_TAG_LOST,
	R_TAG_VERSION,
	R_TAG_FLEET,
	R_TAG_ADDR,
	R_TAG_CODE,
	R_TAG_TEXT,
	R_TAG_CLIENT,
	R_TAG_SINCE,
	R_TAG_PIN,
	R_TAG_ONLINE,
	R_TAG_NUMBER,
	R_TAG_HASH,
	R_TAG_TTL,
	R_TAG_USES,
	R_TAG_REF,
};

struct relay_hello {
	uint64_t present;
	uint16_t version_min, version_max;
	uint8_t purpose; /* enum relay_purpose */
	uint8_t role;	 /* enum relay_role */
	char name[RELAY_NAME_MAX + 1];
	uint64_t incarnation;		  /* of the device's process; control */
	uint8_t secret[RELAY_SECRET_LEN]; /* redeem */
	struct pin rig;			  /* wish */
	uint8_t invite_id[RELAY_ID_LEN];  /* wish while pairing */
	uint8_t wait;			  /* wish: 1 waits for an absent rig */
	uint64_t rendezvous;		  /* answer */
	struct msg_view lost;		  /* control: u64 numbers in a row */
};

struct relay_welcome {
	uint64_t present;
	uint16_t version;
	char name[RELAY_NAME_MAX + 1]; /* the relay's */
	char fleet[RELAY_NAME_MAX + 1];
	char addr[RELAY_ADDR_MAX + 1]; /* the device's, as the relay sees it */
	uint64_t incarnation;	       /* of the relay's process */
};

struct relay_refused {
	uint64_t present;
	uint16_t code; /* relay_code(); relay_code_err() reads it */
	char text[RELAY_TEXT_MAX + 1];
	uint64_t ref; /* optional: only this request failed */
};

struct relay_call {
	uint64_t present;
	uint64_t rendezvous;
	struct pin client;
	char addr[RELAY_ADDR_MAX + 1];
	uint8_t invite_id[RELAY_ID_LEN]; /* optional */
};

struct relay_ready {
	uint64_t present;
	char addr[RELAY_ADDR_MAX + 1]; /* the peer's, as the relay sees it */
};

struct relay_waiting {
	uint64_t present;
	uint8_t online; /* it is connected and has not answered yet */
	uint64_t since; /* unix seconds when the rig was last here; 0 never */
};

struct relay_row {
	uint64_t present;
	struct pin pin;
	uint8_t role;
	char name[RELAY_NAME_MAX + 1];
	uint8_t online;
	char addr[RELAY_ADDR_MAX + 1]; /* "" when away */
	uint64_t since; /* unix seconds of the last coming or going; 0 never */
};

struct relay_number { /* R_PING, R_PONG, R_DONE (the ref), R_END, R_LIST */
	uint64_t present;
	uint64_t number;
};

struct relay_invite {
	uint64_t present;
	uint64_t ref;
	uint8_t hash[RELAY_SECRET_LEN]; /* SHA-256 of the relay's secret */
	uint8_t invite_id[RELAY_ID_LEN];
	uint8_t role; /* what it makes of the key that redeems it */
	uint64_t ttl; /* seconds, by the issuer's clock; 0: withdrawn */
	uint16_t uses;
};

struct relay_drop {
	uint64_t present;
	uint64_t ref;
	struct pin pin;
};

struct relay_decline {
	uint64_t present;
	uint64_t rendezvous;
	uint16_t code;
	char text[RELAY_TEXT_MAX + 1];
};

struct relay_lost {
	uint64_t present;
	struct msg_view lost;
};

struct relay_admit {
	uint64_t present;
	uint64_t ref;
	struct pin pin;
	char name[RELAY_NAME_MAX + 1];
};

/* A whole message; type says which member counts. */
struct relay_msg {
	uint8_t type;
	union {
		struct relay_hello hello;
		struct relay_welcome welcome;
		struct relay_refused refused;
		struct relay_call call;
		struct relay_ready ready;
		struct relay_waiting waiting;
		struct relay_row row;
		struct relay_number number;
		struct relay_invite invite;
		struct relay_drop drop;
		struct relay_decline decline;
		struct relay_lost lost;
		struct relay_admit admit;
	};
};

/* Who may send a type. */
enum relay_side {
	RELAY_SIDE_DEVICE = 1,
	RELAY_SIDE_RELAY = 2,
};

/*
 * Reads the message at the front of data, sent by side. Returns its length
 * with *ret filled, 0 while more bytes are needed, or RW_ERR_PROTO; a header
 * that announces nonsense is refused before its body is waited for.
 */
ssize_t relay_msg_read(const uint8_t *data, size_t len, enum relay_side from,
		       struct relay_msg *ret);
/* Writes m as one frame and returns its length. A message of ours always
 * fits and is sound, which is checked. */
size_t relay_msg_write(const struct relay_msg *m,
		       uint8_t out[static RELAY_FRAME_MAX]);
/* Copies text for a message: cut to fit, and made clean (what is not becomes
 * '?'), so that no local text can make a message unsound. */
void relay_text_copy(char *dst, size_t cap, const char *src);

/* R_REFUSED's code for an error of base/err.h, and back; an unknown code is
 * RW_ERR_REFUSED. */
uint16_t relay_code(int err);
int relay_code_err(uint16_t code);

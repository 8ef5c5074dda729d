/* SPDX-License-Identifier: MIT */
/*
 * What an owner's laptop asks of a rig inside a session: requests and answers
 * on stream 0. PROTOCOL.md, section 11. Each is the 8-byte header of a session
 * frame (type, flags 0, length of the body, the request's number in the place
 * of the stream) and a body of fields (wire/msg.h). Every request is answered
 * under its number, in order: rows, if any, then exactly one of DONE, ERROR
 * or (to INVITE) INVITE. Nothing is allocated; views point into the input.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "crypto/pin.h"
#include "wire/msg.h"

#define REQUEST_HDR_LEN	     8
#define REQUEST_BODY_MAX     8448
#define REQUEST_MAX	     (REQUEST_HDR_LEN + REQUEST_BODY_MAX)
#define REQUEST_KEY_MAX	     8192 /* an ssh public key's line */
#define REQUEST_TEXT_MAX     400
#define REQUEST_CODE_MAX     2047
#define REQUEST_SERVICES_MAX 255

enum request_type {
	Q_INVITE = 0x80,    /* make a code for another laptop */
	A_INVITE = 0x81,    /* the code; ends the answer */
	Q_DEVICES = 0x82,   /* who may come in? */
	A_DEVICE = 0x83,    /* one row; more or DONE follow */
	Q_REMOVE = 0x84,    /* this one may not any more */
	Q_AUTHORIZE = 0x85, /* an ssh public key for the rig's user */
	A_DONE = 0x8e,	    /* done, in words */
	A_ERROR = 0x8f,	    /* refused or failed, in words */
};

enum request_role {
	REQUEST_OWNER = 1,
	REQUEST_GUEST = 2,
};

struct q_invite {
	uint64_t present;
	uint64_t ttl_s; /* 0: the rig's default */
	uint16_t uses;	/* 0: one */
	/* For a guest: its services, separated by commas; "" for an owner. */
	char services[REQUEST_SERVICES_MAX + 1];
};

struct a_invite {
	uint64_t present;
	char code[REQUEST_CODE_MAX + 1];
	char note[REQUEST_TEXT_MAX + 1]; /* a warning, or "" */
};

struct a_device {
	uint64_t present;
	uint8_t pin[PIN_LEN];
	char name[64];
	uint8_t role;	   /* enum request_role */
	uint8_t online;	   /* a session of it is connected now */
	uint64_t admitted; /* seconds since 1970 */
	uint64_t last;	   /* last heard of, the same; 0 unknown */
	char services[REQUEST_SERVICES_MAX + 1];
};

struct q_remove {
	uint64_t present;
	char who[64]; /* a name, or the beginning of a fingerprint */
};

struct q_authorize {
	uint64_t present;
	struct msg_view key; /* one line, at most REQUEST_KEY_MAX */
};

struct a_text {
	uint64_t present;
	uint16_t code; /* A_ERROR only: request_code() */
	char text[REQUEST_TEXT_MAX + 1];
};

struct request {
	uint8_t type;	 /* enum request_type, or one of a newer peer */
	bool known;	 /* when read: type is one of those above */
	uint32_t number; /* the asker's choice */
	union {
		struct q_invite q_invite;
		struct a_invite a_invite;
		struct a_device a_device;
		struct q_remove q_remove;
		struct q_authorize q_authorize;
		struct a_text text; /* A_DONE, A_ERROR */
	};
};

/* Takes one whole message from the front of data. Returns its length, 0 when
 * more bytes are needed, or RW_ERR_PROTO: the stream cannot be followed any
 * more. ret is filled when the result is over 0. */
ssize_t request_read(const uint8_t *data, size_t len, struct request *ret);
/* Writes one into out (REQUEST_MAX bytes always suffice) and returns its
 * length; RW_ERR_LIMIT, RW_ERR_FORMAT as msg_encode(). A must field is written
 * whether it is 0 or not; present is set here. */
ssize_t request_write(const struct request *r, uint8_t *out, size_t cap);

/* The error of an A_ERROR, and the code for one (wire/frame.h, reasons). */
int request_err(uint16_t code);
uint16_t request_code(int err);

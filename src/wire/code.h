/* SPDX-License-Identifier: MIT */
/*
 * The invite code: one line of text that a person copies from one machine to
 * another (PROTOCOL.md, section 12). It says where the relay is, which
 * key it has, and 128 random bits; for a client also which rig to trust, and
 * where that can be reached without a relay.
 * Whoever holds the text may use it: keep it off logs.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"
#include "crypto/hash.h"
#include "crypto/pin.h"

#define CODE_RELAYS_MAX 4
#define CODE_ADDRS_MAX	8
#define CODE_BITS_LEN	16
#define CODE_ID_LEN	16
#define CODE_NAME_CAP	64
/* The longest input looked at, and the longest text written with its NUL. */
#define CODE_INPUT_MAX 4096
#define CODE_TEXT_CAP  2048

enum code_kind {
	CODE_RIG = 1,	 /* makes a machine a rig of a fleet */
	CODE_CLIENT = 2, /* lets a laptop reach a rig */
};

struct code {
	enum code_kind kind;
	uint8_t flags;	     /* none defined yet: 0; kept as they come */
	uint8_t relay_count; /* 0 (CODE_CLIENT only) to CODE_RELAYS_MAX */
	char relay[CODE_RELAYS_MAX][HOSTPORT_CAP]; /* "host:port" */
	struct pin relay_pin;			   /* 0 without a relay */
	uint8_t bits[CODE_BITS_LEN];
	struct pin rig_pin;	      /* CODE_CLIENT only, else 0 */
	char rig_name[CODE_NAME_CAP]; /* CODE_CLIENT only, else "" */
	/* CODE_CLIENT only: where the rig listens itself, the likeliest first;
	 * at least one where there is no relay. */
	uint8_t addr_count;
	char addr[CODE_ADDRS_MAX][HOSTPORT_CAP]; /* "host:port" */
};

/* Writes the text: "rw1" and base32, nothing that a shell would touch. Returns
 * its length; RW_ERR_FORMAT when a field of c is not as above, RW_ERR_LIMIT
 * when cap is too small, or all addresses together are longer than a code may
 * be. */
int code_format(const struct code *c, char *out, size_t cap);
/*
 * Reads what a person pasted: any case; all but letters and digits is skipped
 * (blanks, line ends, '-', quotes, mail's '>'). 0 with *ret written, or:
 *   RW_ERR_FORMAT     not a code at all
 *   RW_ERR_VERSION    a code of a newer rigway
 *   RW_ERR_TRUNCATED  its end is missing
 *   RW_ERR_MANGLED    some characters are wrong
 *   RW_ERR_LIMIT      over CODE_INPUT_MAX
 */
int code_parse(const char *text, size_t len, struct code *ret);
/* What the bits stand for: the secret shown to the relay (which stores its
 * hash), the one shown only to the rig inside the end-to-end session, and the
 * name under which issuers file the invite. None leads to another. */
void code_secrets(const uint8_t bits[CODE_BITS_LEN], struct secret *ret_relay,
		  struct secret *ret_rig, uint8_t ret_invite_id[CODE_ID_LEN]);
void code_wipe(struct code *c);

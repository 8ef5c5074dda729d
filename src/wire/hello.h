/* SPDX-License-Identifier: MIT */
/*
 * HELLO, WELCOME and REFUSED: what two ends of a new carrier say to each other
 * first. PROTOCOL.md, section 4. Bodies are tag-length-value (wire/msg.h), so
 * versions mix. Decoding allocates nothing; views point into the input.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/parse.h"
#include "crypto/pin.h"

#define SESSION_ID_LEN	   16
#define HELLO_CARRIERS	   9
#define HELLO_NAME_MAX	   63
#define INVITE_SECRET_LEN  32
#define INVITE_ID_LEN	   16
#define RIG_INFO_KEYS_MAX  4096
#define RIG_INFO_ADDRS_MAX 1024
#define RIG_INFO_RELAYS	   8
#define RIG_INFO_RELAY_AT  4
#define REFUSED_TEXT_MAX   400

/* What the roles add to a HELLO; the core only carries it. */
struct hello_extra {
	char name[HELLO_NAME_MAX + 1]; /* this device's label */
	bool redeems;		       /* the next two fields are set */
	uint8_t invite_id[INVITE_ID_LEN];
	uint8_t secret[INVITE_SECRET_LEN]; /* the rig's half of the code */
};

struct hello {
	uint16_t version_min, version_max;
	uint8_t session[SESSION_ID_LEN];
	uint64_t incarnation; /* of the client's process */
	uint64_t welcomed_by; /* the rig incarnation that knew it; 0 never */
	uint32_t carrier;     /* this carrier's number, counting from 1 */
	uint32_t live[HELLO_CARRIERS]; /* the others still in use */
	uint8_t live_count;
	uint32_t waiting[HELLO_CARRIERS]; /* that await their WELCOME */
	uint8_t waiting_count;
	uint32_t floor;	      /* first limit of every stream the rig sends on */
	uint32_t max_streams; /* streams the rig may open */
	struct hello_extra extra;
};

/* One of a rig's relays, as the rig reaches it. */
struct rig_relay_info {
	struct pin pin;
	uint8_t count;				  /* 1 to RIG_INFO_RELAY_AT */
	char at[RIG_INFO_RELAY_AT][HOSTPORT_CAP]; /* "host:port" */
};

/* What a rig says about itself, for ssh and for people. */
struct rig_info {
	char name[HELLO_NAME_MAX + 1];
	char user[64];	    /* the account the rig runs as */
	char host[256];	    /* its machine's name */
	uint16_t sshd_port; /* 0: no sshd found */
	char version[32];   /* of the program */
	char role[8];	    /* what the device is here: owner, guest */
	/* sshd's public host keys, one "type base64" a line. */
	char host_keys[RIG_INFO_KEYS_MAX + 1];
	/* Where it can be reached without a relay: "host:port" joined by ',',
	 * the likeliest first; "" when it does not listen. */
	char addrs[RIG_INFO_ADDRS_MAX + 1];
	uint16_t probe_port; /* of discovery (UDP); 0: none */
	uint8_t relay_count;
	struct rig_relay_info relays[RIG_INFO_RELAYS];
};

struct welcome {
	uint16_t version;
	uint64_t incarnation; /* of the rig's process */
	bool fresh;	      /* the session was not known before this HELLO */
	uint32_t floor;	      /* first limit of every stream the client opens */
	uint32_t max_streams; /* streams the client may open */
	uint32_t keep_s;      /* seconds an absent session is kept */
	struct rig_info info;
};

struct refused {
	uint16_t code; /* PROTOCOL.md, section 9 */
	char text[REFUSED_TEXT_MAX + 1];
};

/* Each writes a whole frame, header included, into out (at least FRAME_MAX
 * bytes) and returns its length. */
size_t hello_write(const struct hello *h, uint8_t *out);
size_t welcome_write(const struct welcome *w, uint8_t *out);
size_t refused_write(const struct refused *r, uint8_t *out);

/* Reads the first frame of a connection when it is whole: returns its length,
 * 0 if more bytes are needed, RW_ERR_PROTO if it is not a sound HELLO. */
ssize_t hello_read(const uint8_t *data, size_t len, struct hello *ret);
/* The bodies of the answers, without the frame's header; 0 or RW_ERR_PROTO. */
int welcome_decode(const uint8_t *body, size_t len, struct welcome *ret);
int refused_decode(const uint8_t *body, size_t len, struct refused *ret);

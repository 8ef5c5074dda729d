/* SPDX-License-Identifier: MIT */
/*
 * A device's control connection to its relay: keeps itself connected for ever
 * (a fresh dial every 0.4 s for the first 60 s of an outage, then with
 * jittered back-off up to 30 s), dials beside a connection that does not
 * answer at once, pings, receives calls, passes requests. It
 * stops by itself only when another process with the same key took over.
 * Also the one-shot that redeems a code. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/key.h"
#include "crypto/pin.h"
#include "net/loop.h"
#include "wire/code.h"
#include "wire/relay_msg.h"
struct control;
struct redeem;

/* on_down's next_try_ms when it will not dial again by itself. */
#define CONTROL_NEVER UINT64_MAX

/* Everything is copied but key and loop, which must outlive the thing. */
struct control_params {
	uv_loop_t *loop;
	const struct key *key;
	const char *const *relays; /* "host:port" each, as in relayed.h */
	size_t relay_count;
	struct pin relay_pin;
	enum relay_role role;
	const char *name;     /* this device's label */
	uint64_t incarnation; /* of this process, random */
};

struct control_call {
	uint64_t rendezvous;
	struct pin client;
	char addr[RELAY_ADDR_MAX + 1]; /* the client's, as the relay sees it */
	bool has_invite_id;	       /* the client says it is pairing */
	uint8_t invite_id[RELAY_ID_LEN];
};

struct control_ops {
	/* Connected and welcomed; again after each outage. A rig repeats its
	 * live invites from here. Strings are valid during the call. */
	void (*on_up)(void *user, const char *fleet, const char *relay_name,
		      const char *your_addr);
	/* Somebody wants this rig: relayed_start() with RELAYED_ANSWER, or
	 * control_decline(). NULL for a client. */
	void (*on_call)(void *user, const struct control_call *call);
	/* Not connected: once an outage and again whenever the reason
	 * changes. text is a sentence part; CONTROL_NEVER with RW_ERR_REPLACED.
	 * RW_ERR_NOT_ALLOWED (removed there) is tried again all the same, with
	 * back-off. */
	void (*on_down)(void *user, int err, const char *text,
			uint64_t next_try_ms);
};

struct control_invite {
	uint8_t hash[RELAY_SECRET_LEN]; /* SHA-256 of the relay's secret */
	uint8_t invite_id[RELAY_ID_LEN];
	enum relay_role role;
	uint64_t ttl_s; /* what is left by the rig's clock; 0: withdrawn */
	uint16_t uses;
};

/* Starts dialling. Returns 0, RW_ERR_NOMEM, RW_ERR_CRYPTO or RW_ERR_FORMAT
 * for a relay that is no host:port. */
int control_start(const struct control_params *params,
		  const struct control_ops *ops, void *user,
		  struct control **ret);
/* Ends it; no callback comes afterwards (requests end with
 * RW_ERR_CANCELLED within this call). Safe in its callbacks. */
void control_stop(struct control *c);
bool control_is_up(const struct control *c);
struct control_report {
	bool is_up;	   /* and heard of within what a ping may take */
	uint64_t heard_ms; /* ago; UINT64_MAX: never */
	uint64_t rtt_us;   /* of the last ping; 0: unknown */
	uint64_t next_ms;  /* until the next dial; UINT64_MAX: none is due */
};
void control_report(const struct control *c, struct control_report *ret);
/* Down: dial now, and often for the next 60 s. Up: prove within 1.8 s that the
 * relay is still there. After sleep or an address change. */
void control_kick(struct control *c);
/* Up, but the path may be gone, as another connection shows: asks the relay,
 * and soon dials beside the present connection until either answers. Cheap:
 * call it as often as the doubt comes. */
void control_doubt(struct control *c);

/* How a request ended: err 0, or with text a sentence part. Runs from the
 * loop, or with RW_ERR_OFFLINE when the connection is lost before the answer;
 * the request may then have been carried out: all of them may be repeated. */
typedef void control_on_done(void *user, int err, const char *text);

/* Each returns 0, RW_ERR_OFFLINE while not connected, RW_ERR_LIMIT while too
 * many are unanswered, or RW_ERR_NOMEM: then on_done is not called. It may be
 * NULL. */
int control_put_invite(struct control *c, const struct control_invite *invite,
		       control_on_done *on_done, void *user);
/* This rig removed the device. Its own pin: it leaves, and the relay forgets it
 * and hangs up. */
int control_drop_device(struct control *c, const struct pin *pin,
			control_on_done *on_done, void *user);
/* This client may ask for the rig at this relay, too. */
int control_admit(struct control *c, const struct pin *pin, const char *name,
		  control_on_done *on_done, void *user);
/* on_row for each device of the fleet, this one too, then on_done. */
typedef void control_on_row(void *user, const struct relay_row *row);
int control_list(struct control *c, control_on_row *on_row,
		 control_on_done *on_done, void *user);
/* Tells the caller of a rendezvous why it is not answered. */
void control_decline(struct control *c, uint64_t rendezvous, int err,
		     const char *text);
/* A rendezvous whose carrier is dead: the relay is told to close both its
 * legs, now or in the next hello. */
void control_lost(struct control *c, uint64_t rendezvous);

/* Redeems a code at its relay: the key becomes a device of the fleet. */
struct redeem_params {
	uv_loop_t *loop;
	const struct key *key;
	const struct code *code; /* read during the call */
	enum relay_role role;	 /* what this machine wants to be */
	const char *name;
	uint64_t timeout_ms; /* 0: 20 s */
};
/* err 0 and the fleet's name, or err and text: RW_ERR_NO_HOST, RW_ERR_REFUSED,
 * RW_ERR_TIMEOUT, RW_ERR_UNREACHABLE, RW_ERR_PIN (name, port or key of the
 * relay), RW_ERR_NOT_FOUND (no such code), RW_ERR_USED, RW_ERR_EXPIRED,
 * RW_ERR_LIMIT. relay is the address that worked. */
typedef void redeem_on_done(void *user, int err, const char *text,
			    const char *fleet, const char *relay);
/* on_done follows once from the loop; the struct is gone afterwards. Errors
 * as control_start(). */
int relay_redeem(const struct redeem_params *params, redeem_on_done *on_done,
		 void *user, struct redeem **ret);
/* Ends it without a callback. */
void relay_redeem_cancel(struct redeem *r);

/* SPDX-License-Identifier: MIT */
/*
 * The invites of this rig: what a code must show to be let in, how often, and
 * until when by this rig's own clock. Of a code's secrets only hashes are kept.
 * As in devices.h, a change is on disk before its call returns 0. No loop; the
 * time comes in.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/hash.h"
#include "crypto/pin.h"
#include "rig/devices.h"
#include "wire/code.h"

#define INVITE_USES_MAX 64
#define INVITE_TTL_S	(24 * 3600)
#define INVITE_TTL_MAX	(365 * 24 * 3600) /* whatever the settings say */
/* An expired invite can still say so for this long. */
#define INVITE_KEEP_S	(7 * 24 * 3600)
#define INVITE_TEXT_CAP 400

struct invite_use {
	struct pin pin;
	int64_t at;
	bool removed; /* this key was removed: not again */
};

struct invite {
	uint8_t id[CODE_ID_LEN];
	uint8_t rig_hash[HASH_LEN];   /* of the secret shown to the rig */
	uint8_t relay_hash[HASH_LEN]; /* of the one shown to the relay */
	enum device_role role;
	char services[DEVICE_SERVICES_CAP];
	struct pin by; /* the owner's laptop that asked for it; zero: none */
	bool is_withdrawn;	 /* that one was removed: good for nobody */
	int64_t issued, expires; /* seconds since 1970 */
	uint16_t uses;		 /* 1 to INVITE_USES_MAX */
	uint16_t used_count;
	struct invite_use used[INVITE_USES_MAX];
};

struct invites {
	char *path;
	struct invite *rows;
	size_t count, cap;
	size_t max; /* open ones */
	/* Of one that is made; INVITE_TTL_MAX, or set after invites_load(). */
	uint64_t max_ttl_s;
	bool unsaved; /* keys are barred of which the file does not know */
};

/* As devices_load(). */
int invites_load(struct invites *v, const char *path, size_t max,
		 char **ret_err);
void invites_done(struct invites *v);

struct invite_params {
	const char *services; /* NULL or "": for an owner's laptop */
	const struct pin *by; /* the laptop that asks; NULL: made here */
	uint16_t uses;	      /* 0: one */
	uint64_t ttl_s;	      /* 0: INVITE_TTL_S, or less where that is too
			       * much */
	int64_t now;
};

/* Makes an invite and its bits, from which the code is made and which are kept
 * nowhere. RW_ERR_LIMIT: too many are open; RW_ERR_FORMAT: uses, ttl_s or
 * services are out of range; or an error of state_commit(). *ret points to the
 * row until the next change. */
int invites_make(struct invites *v, const struct invite_params *p,
		 uint8_t ret_bits[CODE_BITS_LEN], const struct invite **ret);
/* The invite of that id, or NULL. */
const struct invite *invites_find(const struct invites *v,
				  const uint8_t id[CODE_ID_LEN]);
/* How many are live by this clock and not used up. */
size_t invites_open(const struct invites *v, int64_t now);
/* By this clock; one that stands before the issue time does not count. Never,
 * once it was withdrawn. */
bool invite_is_live(const struct invite *inv, int64_t now);

/* What a key shows that wants to come in. */
struct invite_claim {
	const uint8_t *id;     /* CODE_ID_LEN bytes */
	const uint8_t *secret; /* HASH_LEN bytes */
	const struct pin *pin; /* of the key that shows them */
	int64_t now;
};

/*
 * Judges a claim, and notes on disk that this key has used the invite: 0, *ret
 * as invites_make(). The same key may come again until the invite expires.
 * Else a sentence for the claimant in text, and nothing has changed:
 *   RW_ERR_NOT_FOUND    no such invite, or a wrong secret (alike)
 *   RW_ERR_EXPIRED      by this clock, or withdrawn
 *   RW_ERR_USED         by another key
 *   RW_ERR_NOT_ALLOWED  this key was removed since
 *   an error of state_commit()
 */
int invites_redeem(struct invites *v, const struct invite_claim *c,
		   const struct invite **ret, char text[INVITE_TEXT_CAP]);
/* The key was removed: no invite that it used lets it in again, and those that
 * it asked for are withdrawn. 0, or an error of state_commit(): it is so in
 * memory all the same, and is written with the next change. */
int invites_bar(struct invites *v, const struct pin *pin);

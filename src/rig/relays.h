/* SPDX-License-Identifier: MIT */
/*
 * The relays that this rig has joined, and the name it joined under: the files
 * `relays` and `name`. Written by join, read at the start. No loop, no clock.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"
#include "crypto/pin.h"
#include "wire/code.h"

#define RIG_RELAYS_MAX 8
#define RIG_NAME_CAP   64

struct rig_relay {
	struct pin pin;
	char addr[CODE_RELAYS_MAX][HOSTPORT_CAP];
	size_t addr_count;
	char fleet[64];
	uint8_t invite[CODE_ID_LEN]; /* the code that was joined with */
};

struct rig_relays {
	char *path;
	struct rig_relay rows[RIG_RELAYS_MAX];
	size_t count;
};

/* As devices_load(). */
int relays_load(struct rig_relays *r, const char *path, char **ret_err);
void relays_done(struct rig_relays *r);
/* The row of that key, or NULL; rows move when one is taken out. */
struct rig_relay *relays_find(struct rig_relays *r, const struct pin *pin);
/* Adds a relay, or replaces the one of the same key. RW_ERR_LIMIT, or an error
 * of state_commit(); then nothing has changed. */
int relays_put(struct rig_relays *r, const struct rig_relay *relay);
/* Takes row n out. An error of state_commit(); then nothing has changed. */
int relays_remove(struct rig_relays *r, size_t n);
/* The row that a person means: an address, or the beginning of a fingerprint.
 * RW_ERR_NOT_FOUND; RW_ERR_EXISTS when several are meant. */
int relays_resolve(const struct rig_relays *r, const char *who, size_t *ret);
#define RELAYS_TEXT_CAP 800
/* What an error of relays_resolve() means, as a sentence. */
void relays_say_unknown(const char *who, int err, char text[RELAYS_TEXT_CAP]);
/* What leaving row n means. untold: why the relay could not be told, a sentence
 * part; NULL: it was, and has forgotten this rig. */
void relays_say_left(const struct rig_relays *r, size_t n, const char *untold,
		     char text[RELAYS_TEXT_CAP]);
/* The relay that a rig's code leads to. */
void relays_from_code(const struct code *code, const char *fleet,
		      struct rig_relay *ret);

/* The name that join was told; -ENOENT when there is none, else as
 * devices_load(). */
int rig_name_load(const char *path, char ret[RIG_NAME_CAP], char **ret_err);
/* 0 or an error of state_commit(). */
int rig_name_save(const char *path, const char *name);
/* What a rig is called when nobody said: the machine's name, made fit. */
void rig_name_default(char ret[RIG_NAME_CAP]);

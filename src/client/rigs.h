/* SPDX-License-Identifier: MIT */
/*
 * The rigs this laptop knows: their keys, where they can be found, and what
 * they said about themselves when they last welcomed us. Kept in
 * state/client/rigs. A rig that is only being joined stands here too, marked
 * pending and not yet on disk. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/parse.h"
#include "crypto/pin.h"
#include "wire/code.h"
#include "wire/hello.h"
struct asks;
struct way;

#define RIGS_NAME_CAP 64

struct rigs_row {
	struct list link;
	char name[RIGS_NAME_CAP]; /* unique here, whatever the case */
	struct pin pin;
	struct pin relay_pin;
	char relays[CODE_RELAYS_MAX][HOSTPORT_CAP];
	uint8_t relay_count;
	/* Where it can be reached without a relay, "host:port" joined by ','
	 * as in info.addrs: what its code said, and what worked. */
	char addrs[RIG_INFO_ADDRS_MAX + 1];
	char lan[HOSTPORT_CAP]; /* the host, where it was in a network of ours
				 */
	char fleet[RIGS_NAME_CAP];
	int64_t added, welcomed; /* unix seconds; 0: never */
	struct rig_info info;	 /* as last welcomed */
	bool pending;
	struct way *way; /* this and the next are the daemon's */
	struct asks *asks;
};

struct rigs {
	struct list rows;
	size_t count, max;
	char *path;
};

/* Reads the file at path; none means no rigs. Returns 0, or an error of
 * state_load() with a sentence in *ret_err, to be freed. r needs rigs_done()
 * in both cases. */
int rigs_load(struct rigs *r, const char *path, size_t max, char **ret_err);
void rigs_done(struct rigs *r);
/* Writes all rows that are not pending; 0 or an error of state_commit(), and
 * the old file stands. */
int rigs_save(const struct rigs *r);

/* By name, whatever its case, with or without ".rig", or by pin; NULL when
 * there is none. Pending ones too. */
struct rigs_row *rigs_find(const struct rigs *r, const char *name);
struct rigs_row *rigs_find_pin(const struct rigs *r, const struct pin *pin);
/* The rig a user means: by name or, where name is NULL, the only one. On
 * failure a sentence that suggests what was meant: RW_ERR_NOT_FOUND. */
int rigs_resolve(const struct rigs *r, const char *name, struct rigs_row **ret,
		 char **ret_err);

/* A new pending row named like label, or label-2 and so on where that is
 * taken. NULL when max is reached. */
struct rigs_row *rigs_add(struct rigs *r, const struct pin *pin,
			  const char *label);
/* Takes it out; the caller frees it. */
void rigs_forget(struct rigs *r, struct rigs_row *row);
/* Takes over what a rig says about itself; true when that is news. */
bool rigs_learn(struct rigs_row *row, const struct rig_info *info);
/* Puts a place where it can be reached without a relay to the front of addrs;
 * true when it was not there. */
bool rigs_learn_addr(struct rigs_row *row, const char *at);

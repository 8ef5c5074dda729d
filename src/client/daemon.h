/* SPDX-License-Identifier: MIT */
/*
 * The client's process: one per home and machine, holds the sessions and the
 * forwards, and serves the commands on client.sock. What its files share.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "client/forward.h"
#include "client/rigs.h"
#include "client/way.h"
#include "config/paths.h"
#include "config/settings.h"
#include "core/budget.h"
#include "crypto/key.h"
#include "net/loop.h"
struct directory;
struct local;
struct roam;
struct wake;

struct daemon {
	uv_loop_t loop;
	struct paths paths;
	struct settings settings;
	struct key *key;
	int lock_fd;
	struct budget budget;
	struct way_env env;
	struct rigs rigs;
	bool rigs_unsaved; /* the file lacks what a rig said: the disk was
			    * full. It is written with the next WELCOME. */
	struct forwards forwards;
	struct directory *directory; /* who is online */
	struct local *local;
	struct list looks;  /* client/verbs.c: ls, status */
	struct list joins;  /* client/join.c */
	struct list orders; /* client/orders.c: held forwards */
	char *ssh_config;   /* client/ssh_config.c: these two files */
	char *known_hosts;
	struct wake *wake;
	struct roam *roam;
	struct timer *log_timer;
	uint64_t started;
	uint64_t woke, moved; /* moments, the last time; 0: never */
	uint64_t away_ms;     /* how long it had slept */
	unsigned leavers;     /* ways that are being released */
	bool is_stopping;
	bool is_standby;
};

/* `rigway daemon`: serves until SIGTERM, SIGINT or the verb "stop". A byte is
 * written to ready_fd (-1: none) when the socket is there. On standby it first
 * waits until no other one serves this home. Returns the exit status; what went
 * wrong stands last in the log. */
int daemon_run(int ready_fd, bool standby);

/* Gives a new row of rigs its way. */
void daemon_adopt(struct daemon *d, struct rigs_row *row);
/* Takes a row out of rigs, and frees it with its way a moment later: for a
 * join that failed, and at the end. */
void daemon_disown(struct daemon *d, struct rigs_row *row);
/* Writes rigs, and what ssh reads about them. 0 or an error of rigs_save(). */
int daemon_save_rigs(struct daemon *d);
/* Ends it soon. */
void daemon_stop(struct daemon *d);

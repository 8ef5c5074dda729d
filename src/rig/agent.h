/* SPDX-License-Identifier: MIT */
/*
 * The rig's process, in the foreground: loads what is on disk, keeps a
 * connection to each relay, lets devices in, and ends at SIGTERM or SIGINT. It
 * never ends because a network is late. And the same state opened without it,
 * for the commands.
 */
#pragma once
#include <stdbool.h>

#include "config/paths.h"
#include "config/settings.h"
#include "rig/devices.h"
#include "rig/invites.h"
#include "rig/listening.h"
#include "rig/relays.h"
struct key;

struct agent_params {
	const struct settings *settings;
	struct paths *paths;
	const char *name; /* NULL: the settings', join's, the machine's */
	/* Called once, when nobody else can change what is on disk any more,
	 * which may be long after the start: puts what is kept there into the
	 * settings, and into keep. 0; or the exit status, having said why. */
	int (*on_held)(void *user);
	void *user;
	/* Where to listen at the next start, too; written once this one has
	 * come about. Its listen is NULL: what is kept stays. */
	const struct listening *keep;
	int ready_fd; /* gets a byte when commands are served; or
		       * -1 */
	/* Gets the laptop's code when this rig listens and nobody may come in
	 * yet. NULL: codes are not its business. */
	void (*on_code)(const char *code);
	bool standby; /* while another rig runs here, wait for its end */
};

/* Runs until it is told to stop. Returns the exit status, having said why on
 * the log. */
int agent_run(const struct agent_params *p);

/* What is on disk, held locked: nobody else changes it meanwhile. */
struct agent_state {
	int lock;
	struct key *key;
	struct devices devices;
	struct invites invites;
	struct rig_relays relays;
	char name[RIG_NAME_CAP];
	bool is_joined; /* there is at least one relay */
};

/* How to open it. */
struct agent_open {
	const struct settings *settings;
	struct paths *paths;
	const char *name; /* as agent_params.name */
	bool may_make;	  /* make the key and the folder if need be */
	uint64_t wait_ms; /* for the lock */
};

/* 0; RW_ERR_BUSY: a rig runs; RW_ERR_NOT_FOUND: nothing is there and may_make
 * was false; or another error. text is a sentence, to be freed. */
int agent_state_open(const struct agent_open *o, struct agent_state *ret,
		     char **ret_text);
void agent_state_close(struct agent_state *s);
/* The same for one that is to run, which waits for its turn. 0, or the exit
 * status, having said why on the log. */
int agent_state_hold(const struct agent_params *p, struct agent_state *ret);

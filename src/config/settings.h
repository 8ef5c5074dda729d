/* SPDX-License-Identifier: MIT */
/*
 * The settings of all roles with their values, read from the user's YAML file
 * and overridden by flags, both through the parsers of schema.h. A value out
 * of range never gets in here, so a user of a field need not check it again.
 * The user's file is never written. Any thread; no globals.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config_errors.h"

/* Words in the order in which they were written. */
struct setting_list {
	char **items;
	size_t len;
};

/* An address to listen on, or a name to be reached at. */
struct setting_addr {
	char *host;    /* without brackets; "" means all addresses */
	uint16_t port; /* names: 0, none was given; listen: 0, any free one */
};

struct setting_addrs {
	struct setting_addr *items;
	size_t len;
};

struct settings_relay {
	struct setting_addrs listen; /* empty: port 443, else 7443 */
	struct setting_addrs name;   /* what codes carry; port 0: listen's */
	int max_devices;	     /* in one fleet */
	int max_fleets;
	int max_invites; /* open ones, in one fleet */
	int max_pairs;	 /* splices at once, in one fleet */
	int max_pipes;
	uint64_t max_rate_bytes; /* a second, in one fleet; 0: no limit */
	int max_waiting;	 /* standing wishes of one device */
	int max_connections;
	int max_unproven_per_address; /* an IPv4 address or IPv6 /64 */
	int max_handshakes;	      /* of newcomers, at once */
	int max_newcomers;	      /* that wait for theirs */
	int guesses_per_minute;	      /* from one such address */
	int max_guessers;	      /* such addresses, remembered */
	int max_changes;	      /* to the state, by one device */
	uint64_t max_queued_bytes;    /* to one device */
	uint64_t handshake_timeout_ms;
	uint64_t idle_timeout_ms; /* a pair silent either way */
	uint64_t flush_timeout_ms;
};

struct settings_rig {
	char *name;		     /* "": the host's name */
	struct setting_addrs listen; /* without a relay; empty: nowhere */
	struct setting_addrs public; /* names of it; port 0: listen's */
	int probe_port;		     /* of discovery, UDP; 0: off */
	uint64_t keep_absent_ms;
	uint64_t connect_timeout_ms;
	int max_devices;
	int max_invites;
	uint64_t max_invite_life_ms;
	int max_sessions;
	int dials_per_minute;
	int strangers_per_minute;     /* of keys that show a code */
	int max_calls;		      /* being answered at once */
	int guesses_per_minute;	      /* wrong codes, by relay or by address */
	int max_unproven_per_address; /* an IPv4 address or IPv6 /64 */
	uint64_t handshake_timeout_ms;
	int max_guessers; /* such addresses, remembered */
	int probes_per_minute;
	int sshd_port;	       /* 0: found by itself */
	char *sshd_config;     /* sshd's own configuration */
	char *authorized_keys; /* "": where sshd looks */
};

/* When the laptop's process starts by itself. */
enum login_when {
	LOGIN_AUTO, /* while forwards are kept, but not under a RIGWAY_HOME */
	LOGIN_YES,  /* there, too */
	LOGIN_NO,
};

struct settings_client {
	uint64_t wait_ms; /* how long a connection waits for its rig */
	uint64_t keep_absent_ms;
	char *bind; /* where forwards listen unless told */
	int max_forwards;
	int max_rigs;
	int max_waiting;    /* for one forwarded port */
	int max_requests;   /* to one rig */
	int paths;	    /* enum way_paths of client/way.h */
	int start_at_login; /* enum login_when */
};

struct settings_session {
	uint64_t budget_bytes; /* lent to all peers by one process */
	uint64_t floor_bytes;
	uint64_t window_max_bytes;
	uint64_t send_max_bytes;
	uint64_t in_flight_min_bytes;
	int max_streams;
	int carriers_max;
	uint64_t ping_interval_ms;
	uint64_t ping_timeout_ms;
};

struct settings_log {
	int level; /* enum log_level of base/log.h */
	int lines_per_minute;
};

struct settings {
	struct settings_relay relay;
	struct settings_rig rig;
	struct settings_client client;
	struct settings_session session;
	struct settings_log log;
};

#define SETTINGS_FILE_MAX  (1024 * 1024) /* bytes */
#define SETTINGS_DEPTH_MAX 8		 /* lists and sections in each other */

/* Sets every default. */
void settings_init(struct settings *ret);
/* Frees what the values hold; s may be zeroed memory, or done already. */
void settings_done(struct settings *s);

/*
 * Reads the file at path over the defaults; ret is initialised by this call
 * and needs settings_done() only when it returned 0. A file that does not
 * exist means the defaults. Returns 0, or on failure with at least one line
 * in errs:
 *   RW_ERR_FORMAT  the file is wrong; errs has all its mistakes
 *   RW_ERR_LIMIT   it is larger than SETTINGS_FILE_MAX
 *   a negative errno  it could not be read
 */
int settings_load(const char *path, struct settings *ret,
		  struct config_errors *errs);
/* The same for a file in memory; name stands before each error. */
int settings_parse(const char *name, const char *text, size_t len,
		   struct settings *ret, struct config_errors *errs);

/*
 * Sets one setting from text, as a flag does: key is "relay.listen", a list is
 * separated by commas and replaces what was there. Returns 0 or RW_ERR_FORMAT
 * with a sentence in *ret_err, to be freed, and s unchanged.
 */
int settings_set(struct settings *s, const char *key, const char *text,
		 char **ret_err);
/* Adds what a repeated flag says to *list, a list as settings_set() takes it;
 * NULL at first. To be freed. */
void settings_list_add(char **list, const char *item);
/* A setting as text that settings_set() reads back; NULL for an unknown key. To
 * be freed. */
char *settings_get(const struct settings *s, const char *key);
/* What no single row can judge: how settings bound each other. Runs within
 * settings_load(); call it again after the last settings_set(). Returns as
 * settings_set(). */
int settings_check(const struct settings *s, char **ret_err);

/* Prints each setting with help, range and value, as YAML that can be read as
 * a configuration file. */
void settings_show(const struct settings *s, FILE *to);

/* SPDX-License-Identifier: MIT */
/*
 * What this machine's sshd_config(5) says about where sshd listens, which host
 * keys it has, and where it looks for the keys of users. What cannot be read
 * counts as not there: then sshd's own defaults hold. Blocking; small files.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"

#define SSHD_PORTS_MAX	  8
#define SSHD_LISTEN_MAX	  16
#define SSHD_KEYS_MAX	  8
#define SSHD_PATH_CAP	  512
#define SSHD_INCLUDES_MAX 64 /* files read, all levels together */
#define SSHD_FILE_MAX	  (256 * 1024)

struct sshd_config {
	uint16_t ports[SSHD_PORTS_MAX];
	size_t port_count;
	/* As written; port 0: all of ports. */
	struct hostport listen[SSHD_LISTEN_MAX];
	size_t listen_count;
	char keys[SSHD_KEYS_MAX][SSHD_PATH_CAP]; /* private halves */
	size_t key_count;
	char authorized[SSHD_PATH_CAP]; /* AuthorizedKeysFile's first, or "" */
	size_t files;			/* how many were read */
};

/* Reads the file and what it includes, and fills in the defaults. */
void sshd_config_read(const char *path, struct sshd_config *ret);
/* Adds what one text says, without the defaults. dir is where relative names
 * in Include lie. */
void sshd_config_parse(const char *text, const char *dir,
		       struct sshd_config *c);

/* Where to try for sshd from this machine itself, wildcards as loopback:
 * returns how many were written. */
size_t sshd_config_addrs(const struct sshd_config *c,
			 struct hostport ret[SSHD_LISTEN_MAX]);
/* The public host keys, "type base64" a line; cut at whole lines. Returns the
 * length. */
size_t sshd_config_host_keys(const struct sshd_config *c, char *ret,
			     size_t cap);
/* The file for the keys of user, with sshd's %h, %u and %% replaced. False
 * when it does not fit or has other % words. */
bool sshd_config_authorized(const struct sshd_config *c, const char *home,
			    const char *user, char ret[SSHD_PATH_CAP]);

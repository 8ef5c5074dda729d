/* SPDX-License-Identifier: MIT */
/*
 * What makes plain ssh, scp, rsync, sftp, git and editors know each rig as
 * NAME.rig: a block of ssh_config(5) and a known_hosts file of its own, both
 * written from what the rigs said about themselves, and one Include line in
 * the user's own file. Text that came from a rig is checked before ssh reads
 * it. Blocking; any thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "client/rigs.h"

struct ssh_config_params {
	const char *self;	 /* path of the rigway program */
	const char *home;	 /* RIGWAY_HOME, absolute, or NULL */
	const char *known_hosts; /* the file that ssh_config_refresh() writes */
};

/* What the commands work on, read from this machine's state. */
struct ssh_config_files {
	struct rigs rigs;
	char *config; /* the block's place, once it is installed */
	char *known_hosts;
	char *error; /* a sentence when something failed */
};

/* A negative error with f->error; f needs ssh_config_close() in both cases. */
int ssh_config_open(struct ssh_config_files *f);
void ssh_config_close(struct ssh_config_files *f);

/* text with each '%' doubled, for options in which ssh expands tokens. To be
 * freed. */
char *ssh_config_percent(const char *text);
/* The block for all rigs. 0 or RW_ERR_NOMEM. */
int ssh_config_write(const struct rigs *rigs, const struct ssh_config_params *p,
		     struct buf *out);
/* The value of ProxyCommand for %h and %p. To be freed. */
char *ssh_config_proxy(const struct ssh_config_params *p);
/* The account ssh uses on the rig, or NULL where it is not known or not one
 * that may stand in a file of ssh. */
const char *ssh_config_user(const struct rigs_row *row);

/* Writes known_hosts and, where it exists (`--install` made it), config, if
 * they are not what they should be. -errno, RW_ERR_NOMEM. */
int ssh_config_refresh(const struct rigs *rigs, const char *config,
		       const char *known_hosts);

/* Whether ssh can be told of a file there: else an Include would at best do
 * nothing, and at worst keep ssh from starting at all. */
bool ssh_config_can_include(const char *path);
/* Adds, as the first line of the ssh configuration `text`, an Include of path
 * unless it stands there; or takes it out wherever it stands. The rest stays
 * byte for byte. Returns whether out differs from the text; RW_ERR_NOMEM. */
int ssh_config_include(const char *text, size_t len, const char *path,
		       struct buf *out);
int ssh_config_exclude(const char *text, size_t len, const char *path,
		       struct buf *out);
/* The same on a file, atomically: a link is followed, also one that leads
 * nowhere yet, the mode stays; a file that does not exist is made (0600, its
 * folder 0700). 1 if the file was changed, 0 if not, RW_ERR_LIMIT (over 4 MiB),
 * -errno. */
int ssh_config_install(const char *file, const char *path, bool install);

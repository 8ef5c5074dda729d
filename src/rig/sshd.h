/* SPDX-License-Identifier: MIT */
/*
 * This machine's sshd: where it listens (looked up in its configuration and
 * proven by its banner), its host keys, and where it wants users' keys. Looked
 * at again whenever somebody calls, since it may have been started later or
 * moved. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "net/loop.h"

#include "rig/sshd_config.h"
struct settings;
struct sshd;

/* Looks at once. settings is borrowed. */
struct sshd *sshd_new(uv_loop_t *loop, const struct settings *settings);
void sshd_free(struct sshd *s);
/* Looks again, unless it was done just now. */
void sshd_look(struct sshd *s);

/* The port that answered as sshd last time; else the one in the settings; else
 * 0. */
uint16_t sshd_port(const struct sshd *s);
/* Where to try, the likeliest first; returns how many. */
size_t sshd_addrs(const struct sshd *s, struct hostport ret[SSHD_LISTEN_MAX]);
/* As sshd_config_host_keys(), read now. */
size_t sshd_host_keys(const struct sshd *s, char *ret, size_t cap);
/* The file for the keys of the user that the rig runs as. False when there is
 * no telling. */
bool sshd_authorized(const struct sshd *s, char ret[SSHD_PATH_CAP]);

/* SPDX-License-Identifier: MIT */
/*
 * The door that is a port here: listens, and sends each connection through a
 * rig. The port stays open while the rig is away. Kept forwards stand in
 * state/client/forwards and come back with the daemon. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "client/target.h"
#include "net/loop.h"
struct rigs;
struct rigs_row;
struct listener;
struct settings_client;

/* A kept forward whose port is taken tries again this often. */
#define FORWARD_RETRY_MS 5000

struct forwards {
	uv_loop_t *loop;
	const struct settings_client *settings;
	struct rigs *rigs;
	char *path;
	struct list rows;
	size_t count;
};

struct forward {
	struct list link;
	struct forwards *all;
	struct rigs_row *rig;
	struct target_spec spec; /* bind as it was typed; "": the setting */
	bool kept;		 /* in the file */
	bool held; /* by `forward --foreground`, or not answered yet */
	struct listener *listener; /* NULL: text says why, retry runs */
	struct timer *retry;
	char text[200];
	struct list conns;
	size_t conn_count;
	int waiting_count; /* of them: for the rig */
	uint64_t conn_total;
	uint64_t log_us; /* when a failure was last logged */
	/* What the rig's side said: moments (net/moment.h), 0: never. */
	uint64_t worked, failed;
	char failure[200];
};

/* Reads the file and opens every port in it; a port that cannot be opened is
 * tried again for ever. Errors as state_load(), with *ret_err. */
int forwards_load(struct forwards *f, char **ret_err);
/* Closes the ports and resets the connections. */
void forwards_close(struct forwards *f);
/* After forwards_close(), when the loop has run. */
void forwards_done(struct forwards *f);

struct forward_opened {
	struct forward *fw;
	bool is_new; /* else the very same one was there already */
};
/*
 * Opens a forward, which is not on disk yet. On failure a sentence in *ret_err,
 * to be freed:
 *   RW_ERR_EXISTS, -EADDRINUSE, -EACCES, RW_ERR_LIMIT, -errno
 */
int forward_open(struct forwards *f, struct rigs_row *rig,
		 const struct target_spec *spec, struct forward_opened *ret,
		 char **ret_err);
/* Marks it to be kept; forwards_save() writes. */
void forward_keep(struct forward *fw);
/* Closes the port. Connections go on, or are reset if cut is set. */
void forward_close(struct forward *fw, bool cut);
/* 0 or an error of state_commit(). */
int forwards_save(const struct forwards *f);

/* Where it listens. */
const char *forward_bind(const struct forward *fw);
/* The next forward after `after` (NULL: the first) of that rig (NULL: any)
 * that listens at this port and, unless bind is "", at this address. */
struct forward *forward_next(const struct forwards *f, struct forward *after,
			     const struct rigs_row *rig, const char *bind,
			     uint16_t port);

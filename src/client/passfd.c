/* SPDX-License-Identifier: MIT */
#include "client/passfd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fdlimit.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/passage.h"
#include "client/rigs.h"
#include "client/way.h"
#include "net/local.h"

struct door {
	struct passage conn;
	struct local_req *req; /* NULL once the asker left */
	struct way *way;
	struct target target;
};

static void on_gone(struct local_req *r, void *user)
{
	struct door *door = user;

	(void)r;
	door->req = NULL;
}

static void on_connected(struct passage *c)
{
	struct door *door = container_of(c, struct door, conn);

	if (door->req != NULL)
		local_reply_json(door->req,
				 json_pack("{s:s}", "event", "connected"));
}

static void on_done(struct passage *c, int err, const char *text)
{
	struct door *door = container_of(c, struct door, conn);
	const char *rig = way_row(door->way)->name;
	char *words =
		err == 0 ? NULL
			 : xasprintf("%s %s: %s", rig, door->target.to, text);

	if (err != 0)
		log_debug("%s", words);
	if (door->req != NULL)
		local_end(door->req, err == 0, err == 0 ? 0 : 1, words);
	free(words);
	free(door);
}

static const struct passage_ops passage_ops = {
	.on_connected = on_connected,
	.on_done = on_done,
};

void passfd_start(struct way *way, const struct target *target,
		  uint64_t wait_ms, struct local_req *r)
{
	struct door *door;
	struct passage_params p = {
		.way = way,
		.target = target,
		.wait_ms = wait_ms,
		.ops = &passage_ops,
	};
	char why[FDLIMIT_TEXT_CAP];
	int fds[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		local_end(r, false, 1, fdlimit_text(-errno, why));
		return;
	}
	err = local_send_fd(r, fds[1], json_pack("{s:s}", "event", "opened"));
	close(fds[1]);
	if (err < 0) {
		close(fds[0]);
		local_end(r, false, 1, fdlimit_text(err, why));
		return;
	}
	door = xcalloc(1, sizeof(*door));
	door->req = r;
	door->way = way;
	door->target = *target;
	local_set_gone(r, on_gone, door);
	p.fd = fds[0];
	passage_start(&door->conn, &p);
}

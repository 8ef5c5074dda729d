/* SPDX-License-Identifier: MIT */
/*
 * Listening sockets. Accepted connections are handed over as plain fds
 * (non-blocking, close-on-exec). When the process is out of fds, what waits is
 * accepted and reset by means of a spare fd, and accepting rests for 100 ms,
 * rather than spinning. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct listener;

/* peer's family is AF_UNIX on a unix listener; a v4-mapped v6 address is given
 * as v4. fd is the callee's. listener_close() is fine inside. */
typedef void listener_on_accept(void *user, int fd,
				const struct sockaddr_storage *peer);

struct listener_at {
	/* A number, "localhost" (127.0.0.1, and ::1 where that is possible), or
	 * NULL, "" or "*" for every address, v6 and v4 together. */
	const char *host;
	uint16_t port; /* 0: any free one */
};
/*
 * Listens there. Returns 0 and sets *ret, else -EADDRINUSE,
 * -EACCES, -EADDRNOTAVAIL, another -errno, or RW_ERR_NO_HOST (host is none of
 * these).
 */
int listener_open(uv_loop_t *loop, const struct listener_at *at,
		  listener_on_accept *on_accept, void *user,
		  struct listener **ret);
/* A unix socket for this user alone. A file left behind by a dead process is
 * replaced; RW_ERR_BUSY when somebody listens there, RW_ERR_LIMIT when the path
 * is too long (107 bytes), RW_ERR_EXISTS when it is no socket, -errno. The file
 * is removed by listener_close(). */
int listener_open_unix(uv_loop_t *loop, const char *path,
		       listener_on_accept *on_accept, void *user,
		       struct listener **ret);
/* The port that was bound; 0 on a unix listener. */
uint16_t listener_port(const struct listener *l);
/* Whose connections are accepted even when fds are out: give() closes a fd that
 * was kept for this and returns true; false: the one that waits is reset. */
void listener_set_reserve(struct listener *l, bool (*give)(void *user));
/* All that wait are accepted in one turn, as on_accept costs next to nothing:
 * what comes in a rush is not lost in a full queue. */
void listener_set_greedy(struct listener *l);
/* Stops and goes on accepting: new connections wait in the backlog. */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* No on_accept any more; the address is free at once. NULL is fine. */
void listener_close(struct listener *l);

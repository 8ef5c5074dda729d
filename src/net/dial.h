/* SPDX-License-Identifier: MIT */
/*
 * Connects to a host and port: resolves the name, then tries its addresses by
 * happy eyeballs (RFC 8305: v6 first, families alternating, the next one after
 * 250 ms or at once when one fails; the first that answers wins). Numeric
 * addresses need no resolver. Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct dial;

/* How far it came, for words like "the name", "the port", "the key". */
enum dial_stage {
	DIAL_RESOLVING,	 /* the name has no address, or no answer yet */
	DIAL_CONNECTING, /* there are addresses; none accepted */
	DIAL_DONE,	 /* connected */
};

struct dial_params {
	const char *host; /* name or number, no brackets; copied */
	uint16_t port;
	uint64_t timeout_ms; /* for all of it; 0: 15 s */
	/* The peer will prove by its key who it is, so an old address does no
	 * harm: when name servers are silent, what the name meant before in
	 * this process is tried after 200 ms. For relays, not for targets. */
	bool peer_is_proven;
	/* Asked for each address just before connecting, v4-mapped v6 already
	 * made v4; NULL allows all. */
	bool (*allow)(const struct sockaddr *addr, void *user);
	/* Once, from the loop, unless cancelled; the dial is freed on return.
	 * err 0: fd is a connected, non-blocking socket, the callee's to close.
	 * Else fd is -1 and err is what says most about the failures:
	 *   RW_ERR_REFUSED      a machine answered: nobody listens there
	 *   RW_ERR_TIMEOUT      no answer in time
	 *   RW_ERR_UNREACHABLE  no route, network down, host down
	 *   RW_ERR_NOT_ALLOWED  allow() refused every address
	 *   RW_ERR_NO_HOST      the name has no address (or is over 255 bytes)
	 * (at DIAL_RESOLVING, TIMEOUT and UNREACHABLE speak of name servers)
	 *   or -errno (-EMFILE, ...) */
	void (*on_done)(void *user, int err, int fd, enum dial_stage stage);
	void *user;
};

/* Returns 0 and sets *ret; RW_ERR_NOMEM. Everything else comes in on_done,
 * never from inside this call. */
int dial_start(uv_loop_t *loop, const struct dial_params *p, struct dial **ret);
/* on_done never runs; the memory comes back from the loop. Not after or
 * inside on_done. NULL is fine. */
void dial_cancel(struct dial *d);

/* How far it is, for whoever loses patience first. */
enum dial_stage dial_stage(const struct dial *d);
/* An address has accepted, and on_done is only not called yet. */
bool dial_is_answered(const struct dial *d);

/* What the end of a connection just now tells of large packets on its path, as
 * a sentence part (docs/decisions/012); NULL: nothing. *ret_is_news: it is
 * sure, what is dialled from now on sends small ones, and nobody was told so.
 */
const char *dial_narrow_text(uv_loop_t *loop, bool *ret_is_news);

/* A connection to a unix socket, non-blocking, without a loop. *ret_fd is the
 * caller's. RW_ERR_REFUSED: nobody listens; RW_ERR_NOT_FOUND: no such file;
 * RW_ERR_BUSY: its backlog is full; RW_ERR_LIMIT: the path is too long;
 * -errno. */
int dial_unix(const char *path, int *ret_fd);

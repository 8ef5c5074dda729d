/* SPDX-License-Identifier: MIT */
/*
 * What net/ keeps for each loop, behind loop->data: the list of everything that
 * must end before the loop does, calls put off to the end of the turn, the
 * memory that every read on the loop shares, the timer that takes buffers
 * from connections that idle, and whether the process was stopped for a while.
 * For files in net/ only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/list.h"
#include "net/narrow.h"
#include "net/piece.h"

/* One read takes so much; more waits for the next turn, so that a bulk
 * connection does not keep the others waiting. */
#define LOOP_READ_LEN  (512 * 1024)
#define LOOP_READ_FEW  (64 * 1024) /* while somebody types */
#define LOOP_PLAIN_LEN (128 * 1024)

/* Embedded in what lives on a loop. on_shut closes it for good; it runs from
 * loop_run_close() only, with the item already out of the list. */
struct loop_item {
	struct list link;
	void (*on_shut)(struct loop_item *item);
};

/* A call put off to the end of the turn, after the events, before waiting. */
struct deferred {
	struct list link;
	void (*on_turn)(struct deferred *d);
};

/* Something with buffers to give back. on_idle runs when no loop_warm() came
 * for one to two seconds; it is out of the list then. */
struct warm {
	struct list link;
	bool touched;
	void (*on_idle)(struct warm *w);
};

/* A half-closed socket is looked at every few seconds: see net/pump.c. */
struct watched {
	struct list link;
	void (*on_look)(struct watched *w);
};

struct loop_local {
	uv_loop_t *loop;
	struct list conns; /* loop_items whose end calls their owners */
	struct list items; /* the others: their owners are gone by then */
	struct list last;  /* turn and sweep: the others' ends may need them */
	struct list deferred;
	struct list warm;
	struct list watched;
	struct pieces pieces;	      /* bulk, by turns */
	struct list resolving, known; /* net/resolve.c */
	size_t known_count;
	struct flusher *turn; /* runs the deferred calls */
	struct timer *sweep;  /* runs while is_used, or watched has any */
	uint64_t sweeps;
	/* Since memory was given back: whether any was warm, and how many
	 * sweeps found one that stayed so. */
	bool is_used;
	unsigned busy_sweeps;
	uint64_t trim_pause; /* sweeps that give none back, as the last took
				so many milliseconds */
	uint8_t *read_mem;   /* LOOP_READ_LEN: ciphertext of one read */
	uint8_t *plain_mem;  /* LOOP_PLAIN_LEN: its plaintext */
	bool is_closing;
	struct narrow narrow;
	/* loop_on_shortage(); NULL, 0 before the first. */
	void (*on_shortage)(void *user, int err);
	void *shortage_user;
	uint64_t shortage_us;
	/* Late: see loop_after_poll(). */
	bool is_polling; /* between the turn's prepare and its check */
	bool is_late;
	bool was_late;	    /* already when the poll began */
	uint64_t poll_us;   /* when the poll began */
	int64_t wait_us;    /* how long it was to be at most; < 0: no limit */
	uint64_t polled_us; /* when it had ended */
};

/* A turn that takes so much longer than it was to is late. */
#define LOOP_LATE_US 100000

/* Made at the first call. Ends the process when memory is out. */
struct loop_local *loop_local(uv_loop_t *loop);

void loop_item_add(struct loop_local *ll, struct loop_item *item,
		   void (*on_shut)(struct loop_item *item));
void loop_conn_add(struct loop_local *ll, struct loop_item *item,
		   void (*on_shut)(struct loop_item *item));
/* d was list_init()ed; a second call before it ran changes nothing. list_del()
 * takes it back. */
void loop_defer(struct loop_local *ll, struct deferred *d);
void loop_warm(struct loop_local *ll, struct warm *w);
void loop_watch(struct loop_local *ll, struct watched *w);
/* For ll->sweep. */
void loop_on_sweep(void *user);
/* Before the loop waits, and after it waited and read what was there: each
 * flusher says so. They set is_late. */
void loop_before_poll(struct loop_local *ll);
void loop_after_poll(struct loop_local *ll);
/* accept(2) or socket(2) failed with err: if for want of fds or memory, it is
 * told. */
void loop_shortage(struct loop_local *ll, int err);

/* A socket as libuv's stream, whatever its kind. */
union sock {
	uv_handle_t handle;
	uv_stream_t stream;
	uv_tcp_t tcp;
	uv_pipe_t pipe;
};

/* Sets close-on-exec, and TCP_NODELAY and keepalive on TCP. A libuv code where
 * fd is no socket. */
int sock_prepare(int fd, bool *ret_is_tcp);
/* Prepares fd and takes it (also on failure). s is initialised in either case
 * and must be closed. */
int sock_open(uv_loop_t *loop, union sock *s, int fd);
/* Keepalive of TCP: first probe after idle_s; harmless elsewhere. */
void sock_keepalive(int fd, unsigned idle_s);
/* As sock_prepare() left it. */
void sock_keepalive_usual(int fd);
/* Before connect() to addr, or listen() at it: if that is loopback, TCP takes
 * what it can, whatever the system's congestion control. Those who pace (bbr)
 * arm timers all the time for a path that there is not; and what has once begun
 * to pace goes on with any other algorithm. Accepted sockets inherit it. */
void sock_near(int fd, const struct sockaddr *addr);
/* How many bytes TCP takes beyond what the other end has room for. */
void sock_unsent_max(int fd, int bytes);
/* What UV_EOF really is: 0, or the error that waits in the socket. After a
 * short read, libuv takes POLLHUP for the end without asking further; a reset
 * looks like that, too. */
int sock_eof_error(int fd);
bool sock_is_tcp(const union sock *s);
int sock_fd(const union sock *s);

/* SPDX-License-Identifier: MIT */
/*
 * What splicer.c (the turns of all pairs), splice.c (the life of a pair),
 * splice_half.c (moving bytes one way), splice_gather.c (how much they wait
 * for) and splice_pipe.c (the pipes they are lent) share. Not for others.
 */
#pragma once
#include <stdbool.h>

#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"
#include "relay/splice.h"

/* What a pipe must hold to be worth lending: 16 slots of a small pipe fill up
 * with as many short segments. */
#define PIPE_LEN   ((size_t)1024 * 1024)
#define BUFFER_LEN ((size_t)256 * 1024) /* of splicer.buffer */

struct pipe {
	struct list link; /* in splicer.idle */
	int out, in;	  /* read end, write end */
};

/* A socket of a pair. The flags are what the edges said and no call has
 * denied since. */
struct side {
	struct splice *owner;
	int fd;
	bool can_read, can_write;
	bool has_hup; /* an end is on its way: a short read is not the last */
	bool is_broken;
};

/* One direction: bytes from side `from` to the other one. Bytes that were
 * taken and not passed on are in the pipe or in rest, never in both; nothing
 * more is read until both are empty (so a pipe whose slots are full of short
 * segments cannot make us spin). */
struct half {
	uint8_t from;
	bool has_ended; /* the source will give no more */
	bool is_shut;	/* and all of it was passed on, and the end too */
	int streak;	/* > 0: big reads in a row; < 0: small ones */
	bool is_bulk;
	bool is_gathering;  /* while so, the timer looks after what waits */
	uint8_t lates;	    /* how often in this span it did not get enough */
	uint8_t rests;	    /* spans to go without gathering, */
	uint8_t rests_next; /* and after the next time that it was of no use */
	struct pipe *pipe;
	size_t in_pipe;
	struct buf rest;
	uint64_t bytes, last_us;
	uint64_t span_bytes, span_us; /* both, when this span began */
};

enum splice_queue { QUEUE_NONE, QUEUE_FRESH, QUEUE_OLD, QUEUE_PARKED };

struct splice {
	struct list link;   /* in splicer.all, or in splicer.ended */
	struct list queue;  /* in splicer.fresh, old or parked */
	struct list gather; /* in splicer.gathering, while a half is */
	enum splice_queue queued;
	struct splicer *splicer;
	struct splice_group *group;
	struct side side[2];
	struct half half[2];  /* half[i] takes from side[i] */
	uint64_t lately_us;   /* since then, both ways, */
	uint64_t lately;      /* so many bytes */
	uint64_t flush_by_us; /* 0: neither side has ended */
	bool has_ended;
	int err;
	splice_on_end *on_end;
	void *user;
};

struct splicer {
	struct splicer_params params;
	uv_poll_t poll;
	int epoll;
	struct flusher *turn;
	struct timer *tick;
	/* fresh: woken while idle, served first, once; old: still have bytes,
	 * were fresh a moment ago (RFC 8290, 4.2), or are bulk. */
	struct list fresh, old;
	struct list parked; /* have bytes, and their owner no credit */
	struct timer *unpark;
	struct list gathering;
	struct timer *gather; /* runs while any are */
	struct list all, ended;
	struct list idle; /* pipes */
	struct splicer_count count;
	uint64_t no_pipe_until_us;
	uint8_t *buffer;
};

void pipe_close(struct splicer *sp, struct pipe *p);
/* Gives h one, if there is one to be had. */
bool pipe_borrow(struct splicer *sp, struct splice_group *g, struct half *h);
void pipe_return(struct splicer *sp, struct splice_group *g, struct half *h);

/* Moves a quantum from one side to the other. Returns the bytes taken; *more
 * is set when there may be more at once. */
size_t half_run(struct splice *s, struct half *h, bool *more);

/*
 * A direction that has moved much at a high rate is woken for 768 KiB
 * instead of each batch of its sender's (SO_RCVLOWAT): that takes about a
 * millisecond then, and being woken costs time. What is less goes when it has
 * waited for 1 to 2 ms, and who has that often, or pauses, gathers no more.
 *
 * gather_judge() comes after bytes were taken; may: nobody types. True when h
 * has just ceased to gather, so that what its socket holds must be taken.
 */
bool gather_judge(struct splice *s, struct half *h, bool may);
/* The timer's. */
void gather_on_time(void *user);

/* From now on both sides have flush_ms to pass on what is left. */
void splice_begin_end(struct splice *s, int err);
/* Closes both sockets; on_end comes with the next turn. */
void splice_end(struct splice *s, int err);
/* Queues a pair that was idle. */
void splice_wake(struct splice *s);
/* Its turn. Returns the bytes moved. */
size_t splice_run(struct splice *s);

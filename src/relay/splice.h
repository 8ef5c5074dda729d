/* SPDX-License-Identifier: MIT */
/*
 * Joins two sockets raw, both ways: what one sends, the other gets. It never
 * looks at a byte. Bulk goes through a pipe by splice(2), without a copy;
 * small traffic, and all of it when no full-size pipe is to be had, through
 * one shared buffer by recv and send. One edge-triggered epoll set, nested in
 * the loop, watches all sockets; a bounded number of bytes is moved for a pair
 * before the next has its turn, and a pair that was idle and has no bulk comes
 * first. What is bulk at a high rate may wait for more, about 2 ms. Loop
 * thread only. SIGPIPE is ignored in the whole process from splicer_new() on.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/loop.h"

struct splicer;
struct splice;

struct splicer_params {
	uv_loop_t *loop;
	size_t max_pipes;    /* lent at once; 0: recv and send only */
	uint64_t silence_ms; /* a pair silent this long, either way, ends */
	uint64_t flush_ms;   /* how long one side may outlive the other */
};

/* What pairs of one owner (a fleet) use together; zeroed by its owner, who
 * keeps it longer than its pairs. One owner gets at most half of all pipes,
 * and moves at most `rate` bytes a second (0: no limit), which the owner of the
 * group sets. */
struct splice_group {
	uint64_t bytes;
	uint32_t pairs, pipes;
	uint64_t rate;
	int64_t credit;	    /* bytes it may move now; below 0 after a quantum */
	uint64_t credit_us; /* when that was so */
};

/* 0; -errno of epoll or a libuv code; RW_ERR_NOMEM. */
int splicer_new(const struct splicer_params *params, struct splicer **ret);
/* Cuts what is left, without on_end; the memory comes back from the loop. */
void splicer_free(struct splicer *sp);

struct splice_end {
	int err; /* 0: one side ended and all its bytes were passed on */
	uint64_t bytes[2]; /* taken from a and from b */
};
/* Both sockets are closed; the struct is gone on return. */
typedef void splice_on_end(void *user, const struct splice_end *end);

/* One socket and what was read from it already: it goes to the other side
 * before anything else. Both are taken by splice_start(), also on failure. */
struct splice_side {
	int fd;
	struct buf *first; /* emptied; NULL: none */
};

struct splice_params {
	struct splice_side side[2]; /* a and b */
	struct splice_group *group;
	splice_on_end *on_end;
	void *user;
};

/* Joins a and b until one ends. on_end follows once, from the loop. 0, -errno,
 * RW_ERR_NOMEM (both sockets are closed then). */
int splice_start(struct splicer *sp, const struct splice_params *params,
		 struct splice **ret);
/* Closes both at once, without a flush; on_end follows with err. */
void splice_cut(struct splice *s, int err);
/* Ends it in at most flush_ms, so that what its ends have to say to each other
 * still arrives. */
void splice_cut_soon(struct splice *s, int err);
/* The machine slept: silence counts anew from now. */
void splicer_woke(struct splicer *sp);
/* Bytes taken from a (0) or b (1) so far. */
uint64_t splice_bytes(const struct splice *s, int side);
/* When the last of them came, by loop_now_us(), or the machine woke up since;
 * 0: none has come. */
uint64_t splice_heard_us(const struct splice *s, int side);
/* The kernel's round trip to a or b; 0: unknown, or s has ended. */
uint64_t splice_rtt_us(const struct splice *s, int side);
/* Pairs, and pipes lent now and made so far. */
struct splicer_count {
	size_t pairs, pipes_lent, pipes;
};
struct splicer_count splicer_count(const struct splicer *sp);

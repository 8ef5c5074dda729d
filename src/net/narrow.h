/* SPDX-License-Identifier: MIT */
/*
 * A path on which large packets vanish without a word, as behind a tunnel whose
 * router's "too big" is filtered: whatever is dialled greets well, and dies
 * with its first bulk. When three connections in a row died young with packets
 * missing, what is dialled in the next hour sends small packets and asks for
 * such. To be wrong about it costs little. For files in net/ only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* By loop, in loop_local. */
struct narrow {
	unsigned deaths;   /* in a row, each soon after the one before */
	uint64_t last_us;  /* the last of them; 0: never */
	uint64_t until_us; /* 0: never */
	bool is_told;	   /* narrow_text() gave it as news */
};

/* Bytes of a segment: with all headers, and those of a tunnel or two, below the
 * 1280 that IPv6 asks of every link. */
#define NARROW_SEGMENT	1100
#define NARROW_DEATHS	3
#define NARROW_YOUNG_US 15000000
#define NARROW_SOON_US	30000000
#define NARROW_APART_US 400000 /* at once is the same death */
/* One may be dialled so long before the other ends. */
#define NARROW_BESIDE_US 2000000
#define NARROW_FOR_US	 3600000000
#define NARROW_NEWS_US	 5000000

/* A connection is over that lived so long, some of whose packets were lost. */
void narrow_died(struct narrow *n, uint64_t lived_us, uint64_t now_us);
/* What is dialled now is to use small segments. */
bool narrow_is_on(const struct narrow *n, uint64_t now_us);
/* What a connection that is over now, and those before it, tell of the path: a
 * sentence part; NULL while it is nothing. *ret_is_news: it is sure, and was
 * not told since it is. */
const char *narrow_text(struct narrow *n, uint64_t now_us, bool *ret_is_news);
/* Whether the connected fd was dialled so, and sends small segments. */
bool narrow_is_used(const struct narrow *n, int fd, uint64_t now_us);
/* On a socket that is not connected yet; leads it out of this machine. */
void narrow_apply(const struct narrow *n, int fd, const struct sockaddr *to,
		  uint64_t now_us);

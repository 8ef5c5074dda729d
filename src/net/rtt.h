/* SPDX-License-Identifier: MIT */
/* What the system has measured on a TCP socket. One file a system. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* The smoothed round trip to the other end, in microseconds; 0 where it is not
 * known. */
uint64_t sock_rtt_us(int fd);
/* Everything that was sent has arrived at the other end's system, so the path
 * was there both ways; whether a program has read it is another matter. False
 * where it is not known. */
bool sock_is_acked(int fd);
/* How long ago the other end's system acknowledged anything, in milliseconds;
 * UINT64_MAX where it is not known. */
uint64_t sock_silence_ms(int fd);
/* What got lost, in a direction in which no more than SOCK_PASSED bytes ever
 * came through: where more did, large packets pass, and it was an outage. */
#define SOCK_PASSED 16384
/* Lost packets of fewer bytes, on average, say nothing of large ones. */
#define SOCK_LARGE 512
enum sock_loss {
	/* Nothing, as far as is known. */
	SOCK_LOST_NONE,
	/* Something, to or from here; it may have come since. */
	SOCK_LOST_ONCE,
	/* What was sent, again and again, is not acknowledged. */
	SOCK_LOST_OURS,
};
enum sock_loss sock_loss(int fd);

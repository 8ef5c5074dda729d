/* SPDX-License-Identifier: MIT */
/* What the system has measured on a TCP socket. One file a system. */
#pragma once
#include <stdint.h>

/* The smoothed round trip to the other end, in microseconds; 0 where it is not
 * known. */
uint64_t sock_rtt_us(int fd);

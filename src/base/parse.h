/* SPDX-License-Identifier: MIT */
/*
 * Values that people type: the same parsers serve arguments and files. The
 * whole text must be the value: no spaces around it, nothing behind it.
 */
#pragma once
#include <stdint.h>

/* Longer host names crash some resolvers and name no host. */
#define HOST_MAX 255
/* "host:port" or "[v6]:port" with its NUL. */
#define HOSTPORT_CAP 262

struct hostport {
	char host[HOST_MAX + 1]; /* without brackets */
	uint16_t port;		 /* 1 to 65535 */
};

/* Decimal from min to max, no sign, no leading zero (which people read as
 * octal or not). RW_ERR_FORMAT, or RW_ERR_LIMIT when out of the range. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* 1 to 65535; RW_ERR_FORMAT or RW_ERR_LIMIT. */
int parse_port(const char *text, uint16_t *ret);
/* "host:port", "1.2.3.4:port", "[v6]:port", and, where default_port is not 0,
 * "host", "v6" and "[v6]" alone. The host is not empty and holds no blank,
 * control character, '/', '@' or non-ASCII byte. RW_ERR_FORMAT, or
 * RW_ERR_LIMIT for a host over HOST_MAX or a port out of range. */
int parse_hostport(const char *text, uint16_t default_port,
		   struct hostport *ret);
/* "250ms", "90s", "15m", "24h", "7d", "2w" and sums in falling order
 * ("1h30m"); "0". A bare number has no unit and is refused. At most 1000
 * years. RW_ERR_FORMAT or RW_ERR_LIMIT. */
int parse_duration(const char *text, uint64_t *ret_ms);
/* "65536", "64KiB", "16MiB", "2GiB", also K, M, G, T alone (powers of 1024).
 * RW_ERR_FORMAT or RW_ERR_LIMIT. */
int parse_bytes(const char *text, uint64_t *ret);

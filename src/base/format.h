/* SPDX-License-Identifier: MIT */
/*
 * Values as people read them. Each call fills out, ends it with a NUL, and
 * returns it; FORMAT_CAP is always enough where nothing else is said.
 */
#pragma once
#include <stdint.h>

#include "base/parse.h"

#define FORMAT_CAP 40

/* The two largest units: "250ms", "45s", "1h30m", "7d". parse_duration() reads
 * it back. */
char *format_duration(uint64_t ms, char out[static FORMAT_CAP]);
/* "0 B", "999 B", "1.5 KiB", "16 MiB", "2.3 GiB". */
char *format_bytes(uint64_t bytes, char out[static FORMAT_CAP]);
/* Seconds since 1970 as local time with its offset: "2026-05-04 13:37:00
 * +0200". */
char *format_time(int64_t unix_s, char out[static FORMAT_CAP]);
/* The same in UTC as RFC 3339, for JSON: "2026-05-04T11:37:00Z". */
char *format_time_utc(int64_t unix_s, char out[static FORMAT_CAP]);
/* "host:port", with brackets around a v6 address. out has HOSTPORT_CAP. */
char *format_hostport(const char *host, uint16_t port,
		      char out[static HOSTPORT_CAP]);

/* SPDX-License-Identifier: MIT */
#include "base/format.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

char *format_duration(uint64_t ms, char out[static FORMAT_CAP])
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
		{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
		{ "s", 1000 },	   { "ms", 1 },
	};
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && ms < units[i].ms)
		i++;
	uint64_t first = ms / units[i].ms;
	uint64_t second = 0;

	/* "45s" and not "45s120ms": nobody wants it that exact. */
	if (i < 3)
		second = ms % units[i].ms / units[i + 1].ms;
	if (second > 0)
		snprintf(out, FORMAT_CAP, "%" PRIu64 "%s%" PRIu64 "%s", first,
			 units[i].name, second, units[i + 1].name);
	else if (ms == 0)
		snprintf(out, FORMAT_CAP, "0s");
	else
		snprintf(out, FORMAT_CAP, "%" PRIu64 "%s", first,
			 units[i].name);
	return out;
}

char *format_bytes(uint64_t bytes, char out[static FORMAT_CAP])
{
	static const char *const units[] = { "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(out, FORMAT_CAP, "%" PRIu64 " B", bytes);
		return out;
	}
	/* In tenths; rounding must not show "1024 KiB". */
	double v = (double)bytes / 1024;

	while (v >= 1023.95 && i + 1 < ARRAY_LEN(units)) {
		v /= 1024;
		i++;
	}
	snprintf(out, FORMAT_CAP, v < 99.95 ? "%.1f %s" : "%.0f %s", v,
		 units[i]);
	/* "16 MiB", not "16.0 MiB". */
	char *zero = strstr(out, ".0 ");

	if (zero != NULL)
		memmove(zero, zero + 2, strlen(zero + 2) + 1);
	return out;
}

/* Years that strftime() cannot do are shown as the bare number. */
char *format_time(int64_t unix_s, char out[static FORMAT_CAP])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL ||
	    strftime(out, FORMAT_CAP, "%Y-%m-%d %H:%M:%S %z", &tm) == 0)
		snprintf(out, FORMAT_CAP, "%" PRId64, unix_s);
	return out;
}

char *format_time_utc(int64_t unix_s, char out[static FORMAT_CAP])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, FORMAT_CAP, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(out, FORMAT_CAP, "%" PRId64, unix_s);
	return out;
}

char *format_hostport(const char *host, uint16_t port,
		      char out[static HOSTPORT_CAP])
{
	bool is_v6 = strchr(host, ':') != NULL;

	snprintf(out, HOSTPORT_CAP, is_v6 ? "[%.253s]:%u" : "%.255s:%u", host,
		 (unsigned)port);
	return out;
}

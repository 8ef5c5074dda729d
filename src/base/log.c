/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* The one mutable global of the program, with the counts below. */
static struct {
	enum log_level level;
	char prefix[32];
	log_sink *sink; /* NULL: stderr */
	void *user;
} sink = { .level = LOG_LEVEL_INFO };

/* What others have caused in this minute. */
static struct {
	atomic_uint limit; /* 0: none */
	atomic_uint lines, left_out;
	atomic_llong minute;
} flood;

static void log_line(enum log_level level, const char *text);

/* A new minute begins. */
static void flood_over(void)
{
	unsigned left_out = atomic_exchange(&flood.left_out, 0);
	char text[96];

	atomic_store(&flood.lines, 0);
	if (left_out == 0)
		return;
	snprintf(text, sizeof(text),
		 "%u messages were left out (log.lines_per_minute)", left_out);
	log_line(LOG_LEVEL_WARN, text);
}

void log_set_limit(unsigned lines_per_minute)
{
	flood_over();
	atomic_store(&flood.limit, lines_per_minute);
}

/* Whether the line may be written. What was asked for (debug) and what somebody
 * must see (error) always may. */
static bool flood_has_room(enum log_level level)
{
	unsigned limit = atomic_load(&flood.limit);
	struct timespec now;

	if (limit == 0 || (level != LOG_LEVEL_WARN && level != LOG_LEVEL_INFO))
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (atomic_exchange(&flood.minute, now.tv_sec / 60) != now.tv_sec / 60)
		flood_over();
	if (atomic_fetch_add(&flood.lines, 1) < limit)
		return true;
	atomic_fetch_add(&flood.left_out, 1);
	return false;
}

bool log_is_on(enum log_level level)
{
	return level <= sink.level;
}

void log_set_level(enum log_level level)
{
	sink.level = level;
}

void log_set_prefix(const char *prefix)
{
	str_copy(sink.prefix, sizeof(sink.prefix),
		 prefix != NULL ? prefix : "");
}

void log_set_sink(log_sink *to, void *user)
{
	sink.sink = to;
	sink.user = user;
}

int log_level_parse(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcasecmp(text, level_names[i]) != 0)
			continue;
		*ret = (enum log_level)i;
		return 0;
	}
	return RW_ERR_FORMAT;
}

/* Copies text with control characters as \xNN; returns the length. */
static size_t log_escape(char *out, size_t cap, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; *text != '\0' && n + 5 < cap; text++) {
		uint8_t c = (uint8_t)*text;

		if (c >= ' ' && c != 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = digits[c >> 4];
		out[n++] = digits[c & 15];
	}
	out[n] = '\0';
	return n;
}

/* "2026-05-04 13:37:00.123 rig warn: ", in local time. */
static size_t log_head(char *out, size_t cap, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	int n = snprintf(out, cap, "%s.%03ld %s%s%s: ", when,
			 now.tv_nsec / 1000000, sink.prefix,
			 sink.prefix[0] != '\0' ? " " : "", level_names[level]);

	return n > 0 ? MIN((size_t)n, cap - 1) : 0;
}

static void log_line(enum log_level level, const char *text)
{
	char line[LOG_LINE_MAX + 128];

	if (sink.sink != NULL) {
		log_escape(line, sizeof(line), text);
		sink.sink(level, line, sink.user);
		return;
	}
	size_t n = log_head(line, 128, level);

	n += log_escape(line + n, sizeof(line) - n, text);
	line[n++] = '\n';
	/* One write a line, so that lines of processes do not mix; when stderr
	 * is gone there is nobody left to tell. */
	ssize_t written = write(STDERR_FILENO, line, n);

	(void)written;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	int saved = errno;
	va_list ap;

	if (flood_has_room(level)) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		log_line(level, text);
	}
	errno = saved;
}

/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
	[LOG_LEVEL_TRACE] = "trace",
};

/* The one mutable global of the program. */
static struct {
	enum log_level level;
	char prefix[32];
	log_sink *sink; /* NULL: stderr */
	void *user;
} sink = { .level = LOG_LEVEL_INFO };

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

const char *log_level_name(enum log_level level)
{
	return level_names[level];
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

void log_at(enum log_level level, const char *fmt, ...)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX + 128];
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (sink.sink != NULL) {
		log_escape(line, sizeof(line), text);
		sink.sink(level, line, sink.user);
		errno = saved;
		return;
	}
	size_t n = log_head(line, 128, level);

	n += log_escape(line + n, sizeof(line) - n, text);
	line[n++] = '\n';
	/* One write a line, so that lines of processes do not mix; when stderr
	 * is gone there is nobody left to tell. */
	ssize_t written = write(STDERR_FILENO, line, n);

	(void)written;
	errno = saved;
}

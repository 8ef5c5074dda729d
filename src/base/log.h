/* SPDX-License-Identifier: MIT */
/*
 * The log: one line a call, to stderr with the time, or to a sink that was set.
 * Control characters are escaped, so that a peer's text cannot forge lines.
 * Layers up to carrier log at debug only. Settings are made before
 * threads start; log_at() itself may be called from any thread.
 */
#pragma once
#include <stdbool.h>

enum log_level {
	LOG_LEVEL_ERROR, /* it does not work, and someone must act */
	LOG_LEVEL_WARN,	 /* it works, but not as wanted */
	LOG_LEVEL_INFO,	 /* what happened; the default */
	LOG_LEVEL_DEBUG, /* why it happened */
};

/* A line longer than this is cut. */
#define LOG_LINE_MAX 2048

#define log_error(...) log_if(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_if(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_if(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_if(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* The arguments are not evaluated when the level is off. */
#define log_if(level, ...)                                                     \
	(log_is_on(level) ? log_at(level, __VA_ARGS__) : (void)0)

bool log_is_on(enum log_level level);
/* fmt without the newline. */
__attribute__((format(printf, 2, 3))) void log_at(enum log_level level,
						  const char *fmt, ...);
void log_set_level(enum log_level level);
/* So many lines of warn and info in a minute, since others cause them; how many
 * were left out is said when the minute is over and when this is called. 0: no
 * limit. */
void log_set_limit(unsigned lines_per_minute);
/* Before each line: "rig", "relay"; copied, at most 31 characters; NULL for
 * none. */
void log_set_prefix(const char *prefix);
/* "debug" and so on, any case; 0 or RW_ERR_FORMAT. */
int log_level_parse(const char *text, enum log_level *ret);
/* Where lines go instead of stderr, without time, level and newline; NULL for
 * stderr again. */
typedef void log_sink(enum log_level level, const char *line, void *user);
void log_set_sink(log_sink *sink, void *user);

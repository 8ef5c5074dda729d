/* SPDX-License-Identifier: MIT */
/*
 * State files: text that a person can read, written whole and atomically.
 *
 *	# rigway devices 1
 *	key=3b9c... name=desk added=1767225600
 *	key=90aa... name="my laptop" added=1767225601
 *
 * The first line names kind and version. Each further line is a row of
 * key=value fields with one space between them; a value that holds anything
 * but A-Z a-z 0-9 . _ : / @ + - stands in double quotes with \" \\ \n \t \r
 * and \xHH escapes. Lines that start with # and empty lines are skipped. An
 * unknown version, an unknown key, a key twice in a row and a cut last line are
 * errors that name file and line: state is never guessed. Any thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define STATE_LINE_MAX	 16384 /* bytes in a line */
#define STATE_FIELDS_MAX 32    /* fields in a row */
#define STATE_FILE_MAX	 (256u * 1024 * 1024)

/* What a file holds. */
struct state_format {
	const char *kind;	 /* "devices" */
	int version;		 /* the only one that is read */
	size_t max_rows;	 /* more is an error */
	const char *const *keys; /* all there are, NULL at the end */
};

struct state_field {
	const char *key, *value; /* values may hold no NUL */
};

/* A row while on_row runs; gone afterwards. */
struct state_row {
	const struct state_format *format;
	const char *file;
	unsigned line;
	const char *text; /* where the line begins */
	struct state_field fields[STATE_FIELDS_MAX];
	size_t len;
	char *error; /* set by the calls below; the first one stays */
};

/* Takes a row. Returns 0 to go on; anything else stops the reading and is what
 * state_load() returns. */
typedef int (*state_on_row)(void *user, struct state_row *row);

/*
 * Reads the file at path, a row at a time. Returns 0; -ENOENT when there is no
 * file (no sentence then); or with "FILE:LINE: error: TEXT" in *ret_err, to be
 * freed:
 *   RW_ERR_FORMAT  the file is wrong
 *   what on_row returned
 *   a negative errno
 * Rows before the error were given to on_row.
 */
int state_load(const char *path, const struct state_format *format,
	       state_on_row on_row, void *user, char **ret_err);
/* A file in memory, and what complaints call it. */
struct state_text {
	const char *name, *text;
	size_t len;
};
/* The same for one. */
int state_parse(const struct state_text *from,
		const struct state_format *format, state_on_row on_row,
		void *user, char **ret_err);

/* The value of a key, or NULL where the row has none. Valid during on_row. */
const char *state_get(const struct state_row *row, const char *key);
/*
 * A value that must be there. Return 0 and set *ret, or RW_ERR_FORMAT with the
 * sentence in the row, which on_row then returns: it is what the user reads.
 */
int state_str(struct state_row *row, const char *key, const char **ret);
int state_int(struct state_row *row, const char *key, int64_t min, int64_t max,
	      int64_t *ret);
/* Seconds since 1970, up to the year 9999: a life may be added to it. */
#define STATE_TIME_MAX 253402300799
int state_time(struct state_row *row, const char *key, int64_t *ret);
/* true as yes, false as no; one that is not there is false. */
int state_bool(struct state_row *row, const char *key, bool *ret);
/* Refuses a row: "FILE:LINE: error: 'KEY' TEXT". Returns RW_ERR_FORMAT. */
int state_refuse(struct state_row *row, const char *key, const char *text);

/*
 * Writes a file in memory, then to disk at once. A failure on the way is kept
 * and returned by state_commit(), so the calls between need no check.
 */
struct state_writer {
	const struct state_format *format;
	struct buf text;
	size_t rows;
	size_t fields;	   /* in the last row */
	size_t line_start; /* of the last row, in text */
	int err;	   /* the first failure */
};

void state_begin(struct state_writer *w, const struct state_format *format);
void state_add_row(struct state_writer *w);
/* Adds a field to the row; a value of NULL adds nothing. The key must be one
 * of the format's. */
void state_add_str(struct state_writer *w, const char *key, const char *value);
void state_add_int(struct state_writer *w, const char *key, int64_t value);
/* Adds key=yes, or nothing for false. */
void state_add_bool(struct state_writer *w, const char *key, bool value);
/*
 * Puts the file in the place of the old one (mode 0600, on disk on return) and
 * ends w. On failure the old file stands as it was: -ENOSPC on a full disk,
 * another errno, or RW_ERR_LIMIT when there are more rows, or a longer line,
 * than state_load() would take.
 */
int state_commit(struct state_writer *w, const char *path);
/* Ends w without writing. */
void state_drop(struct state_writer *w);

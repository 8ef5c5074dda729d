/* SPDX-License-Identifier: MIT */
/*
 * All that is wrong with a configuration file, in the order in which it was
 * found, so that a person mends it in one go. A zeroed struct is empty.
 */
#pragma once
#include <stddef.h>
#include <stdio.h>

#define CONFIG_ERRORS_MAX 64

struct config_errors {
	char **items; /* "FILE:LINE:COLUMN: error: TEXT" each */
	size_t len;
	size_t dropped; /* beyond CONFIG_ERRORS_MAX */
};

/* Line and column count from 1; line 0 leaves both out. */
__attribute__((format(printf, 5, 6))) void
config_errors_add(struct config_errors *e, const char *file, size_t line,
		  size_t column, const char *fmt, ...);
/* Prints one error a line; returns how many there are. */
size_t config_errors_print(const struct config_errors *e, FILE *to);
/* Frees all; e is empty afterwards. */
void config_errors_done(struct config_errors *e);

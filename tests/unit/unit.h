/* SPDX-License-Identifier: MIT */
/* What each unit test includes first: cmocka, which wants these before it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Debian 12's cmocka reports a skipped test as "not ok # SKIP", which readers
 * of TAP take for a failure. So a test that lacks something says so and ends.
 */
#undef skip
#define skip()                                                                 \
	do {                                                                   \
		print_message("# skipped: not possible here\n");               \
		return;                                                        \
	} while (0)

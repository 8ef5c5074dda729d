/* SPDX-License-Identifier: MIT */
/*
 * Checks for a programmer's mistakes (never for what a peer or a user sent),
 * and the few macros everybody needs.
 */
#pragma once
#include <stddef.h>

/* Prints the place and aborts. */
_Noreturn void check_failed(const char *what, const char *file, int line);

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Both arguments may be evaluated twice. <sys/param.h> (through <uv.h>) has
 * the same ones. */
#undef MIN
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* From a pointer to a member to the struct around it. */
#define container_of(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

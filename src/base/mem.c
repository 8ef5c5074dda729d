/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_checked(void *p, size_t size)
{
	if (p != NULL)
		return p;
	fprintf(stderr, "rigway: out of memory (%zu more bytes wanted)\n",
		size);
	abort();
}

/* malloc(0) may return NULL, which is no failure: ask for one byte. */
void *xmalloc(size_t size)
{
	return mem_checked(malloc(size > 0 ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		count = size = 1;
	return mem_checked(calloc(count, size), size);
}

void *xrealloc(void *old, size_t size)
{
	return mem_checked(realloc(old, size > 0 ? size : 1), size);
}

char *xstrdup(const char *s)
{
	return mem_checked(strdup(s), strlen(s));
}

char *xasprintf(const char *fmt, ...)
{
	char *ret = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&ret, fmt, ap);
	va_end(ap);
	return mem_checked(n >= 0 ? ret : NULL, strlen(fmt));
}

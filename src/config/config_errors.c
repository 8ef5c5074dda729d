/* SPDX-License-Identifier: MIT */
#include "config/config_errors.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"

void config_errors_add(struct config_errors *e, const char *file, size_t line,
		       size_t column, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (e->len == CONFIG_ERRORS_MAX) {
		e->dropped++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (e->items == NULL)
		e->items = xcalloc(CONFIG_ERRORS_MAX, sizeof(e->items[0]));
	e->items[e->len++] = line > 0 ? xasprintf("%s:%zu:%zu: error: %s", file,
						  line, column, text)
				      : xasprintf("%s: error: %s", file, text);
}

size_t config_errors_print(const struct config_errors *e, FILE *to)
{
	for (size_t i = 0; i < e->len; i++)
		fprintf(to, "%s\n", e->items[i]);
	if (e->dropped > 0)
		fprintf(to, "and %zu more\n", e->dropped);
	return e->len + e->dropped;
}

void config_errors_done(struct config_errors *e)
{
	for (size_t i = 0; i < e->len; i++)
		free(e->items[i]);
	free(e->items);
	*e = (struct config_errors){ 0 };
}

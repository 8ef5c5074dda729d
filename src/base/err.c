/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

struct err_row {
	int number;
	const char *name, *text;
};

static const struct err_row ours[] = {
#define RW_ERR_ROW(name, number, text) { number, #name, text },
	RW_ERRORS(RW_ERR_ROW)
#undef RW_ERR_ROW
};

/* libuv's numbers, which the layers below net do not include: UV_EAI_* are
 * fixed at -3000 to -3014, and the rest has no errno. */
static const struct err_row libuv[] = {
	{ -3000, "ADDRFAMILY", "the name has no address of this kind" },
	{ -3001, "AGAIN", "the name server does not answer" },
	{ -3002, "BADFLAGS", "bad flags for the name look-up" },
	{ -3003, "CANCELED", "the name look-up was cancelled" },
	{ -3004, "FAIL", "the name server failed" },
	{ -3005, "FAMILY", "this kind of address is not supported" },
	{ -3006, "MEMORY", "out of memory" },
	{ -3007, "NODATA", "the name has no address" },
	{ -3008, "NONAME", "no such host" },
	{ -3009, "OVERFLOW", "the name is too long" },
	{ -3010, "SERVICE", "no such port name" },
	{ -3011, "SOCKTYPE", "this kind of socket is not supported" },
	{ -3013, "BADHINTS", "bad hints for the name look-up" },
	{ -3014, "PROTOCOL", "the name server broke its protocol" },
	{ -4094, "UNKNOWN", "an unknown error of the system" },
	{ -4095, "EOF", "the other side closed the connection" },
};

static const struct err_row *err_find(const struct err_row *rows, size_t count,
				      int err)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].number == err)
			return &rows[i];
	return NULL;
}

const char *err_text(int err)
{
	static _Thread_local char unknown[40];
	const struct err_row *r = err_find(ours, ARRAY_LEN(ours), err);

	if (r == NULL)
		r = err_find(libuv, ARRAY_LEN(libuv), err);
	if (r != NULL)
		return r->text;
	if (err == 0)
		return "no error";
	/* strerrordesc_np() neither allocates nor translates. */
	const char *text =
		err < 0 && err > -3000 ? strerrordesc_np(-err) : NULL;

	if (text != NULL)
		return text;
	snprintf(unknown, sizeof(unknown), "error %d", err);
	return unknown;
}

const char *err_name(int err)
{
	const struct err_row *r = err_find(ours, ARRAY_LEN(ours), err);

	return r != NULL ? r->name : "OTHER";
}

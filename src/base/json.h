/* SPDX-License-Identifier: MIT */
/*
 * Writes JSON (RFC 8259) piece by piece into a buf: commas and escapes are
 * placed here, the nesting is checked. Text that is not UTF-8 becomes U+FFFD.
 *
 *	json_init(&j, &out);
 *	json_obj_begin(&j);
 *	json_key(&j, "rigs");
 *	json_arr_begin(&j);
 *	...
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define JSON_DEPTH_MAX 32

struct json {
	struct buf *out; /* borrowed */
	int err;	 /* RW_ERR_NOMEM once, then nothing is written */
	uint8_t depth;
	bool after_key;	   /* the next value belongs to a key */
	uint32_t is_obj;   /* bit n: level n is an object */
	uint32_t has_item; /* bit n: level n needs a comma */
};

void json_init(struct json *j, struct buf *out);
void json_obj_begin(struct json *j);
void json_obj_end(struct json *j);
void json_arr_begin(struct json *j);
void json_arr_end(struct json *j);
void json_key(struct json *j, const char *key);
/* NULL becomes null. */
void json_str(struct json *j, const char *s);
void json_strn(struct json *j, const char *s, size_t len);
void json_int(struct json *j, int64_t v);
void json_uint(struct json *j, uint64_t v);
/* Infinity and NaN become null. */
void json_double(struct json *j, double v);
void json_bool(struct json *j, bool v);
/* Not json_null(): that is a name of jansson's, which would call ours. */
void json_put_null(struct json *j);
/* Checks that everything begun has ended; 0 or RW_ERR_NOMEM. */
int json_end(struct json *j);

/* Key and value in one call. */
void json_key_str(struct json *j, const char *key, const char *s);
void json_key_int(struct json *j, const char *key, int64_t v);
void json_key_uint(struct json *j, const char *key, uint64_t v);
void json_key_bool(struct json *j, const char *key, bool v);

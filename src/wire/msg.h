/* SPDX-License-Identifier: MIT */
/*
 * Messages as a run of fields, from a const table: tag (1 byte), length (2,
 * big endian), value. Tags that the reader does not know are skipped, so that
 * versions mix. Nothing is allocated. Not thread bound.
 *
 *	struct hello { uint64_t present; uint8_t id[16]; char name[64]; };
 *	static const struct msg_field hello_fields[] = {
 *		MSG_FIXED(HELLO_ID, struct hello, id, true),
 *		MSG_STR(HELLO_NAME, struct hello, name, false),
 *	};
 *	static const struct msg_schema hello_schema =
 *		MSG_SCHEMA(struct hello, hello_fields);
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

#define MSG_TAG_MAX 63 /* known tags are 1 to this; 0 is never sent */

enum msg_type {
	MSG_TYPE_U8,
	MSG_TYPE_U16,
	MSG_TYPE_U32,
	MSG_TYPE_U64,
	MSG_TYPE_FIXED, /* exactly max bytes, an array in the struct */
	MSG_TYPE_BYTES, /* 0 to max bytes, a struct msg_view */
	MSG_TYPE_STR,	/* 0 to max bytes of clean UTF-8 and a NUL */
};

/* Bytes elsewhere: when decoded, inside the input, and valid as long as it. */
struct msg_view {
	const uint8_t *data; /* may be NULL when len is 0 */
	size_t len;
};

struct msg_field {
	uint8_t tag;
	enum msg_type type;
	bool must;    /* always sent; its absence is an error */
	uint16_t max; /* bytes of the value */
	size_t off;   /* of the member in the struct */
};

struct msg_schema {
	const struct msg_field *fields;
	size_t count;
	size_t size;	    /* of the struct */
	size_t off_present; /* of its uint64_t present */
};

/* Rows. Types and sizes come from the member. */
#define MSG_U8(tag, st, member, must)                                          \
	{                                                                      \
		(tag), MSG_TYPE_U8, (must), MSG_SIZE(st, member, 1),           \
			offsetof(st, member)                                   \
	}
#define MSG_U16(tag, st, member, must)                                         \
	{                                                                      \
		(tag), MSG_TYPE_U16, (must), MSG_SIZE(st, member, 2),          \
			offsetof(st, member)                                   \
	}
#define MSG_U32(tag, st, member, must)                                         \
	{                                                                      \
		(tag), MSG_TYPE_U32, (must), MSG_SIZE(st, member, 4),          \
			offsetof(st, member)                                   \
	}
#define MSG_U64(tag, st, member, must)                                         \
	{                                                                      \
		(tag), MSG_TYPE_U64, (must), MSG_SIZE(st, member, 8),          \
			offsetof(st, member)                                   \
	}
#define MSG_FIXED(tag, st, member, must)                                       \
	{                                                                      \
		(tag), MSG_TYPE_FIXED, (must), sizeof(((st *)0)->member),      \
			offsetof(st, member)                                   \
	}
#define MSG_BYTES(tag, st, member, max, must)                                  \
	{                                                                      \
		(tag), MSG_TYPE_BYTES, (must), (max),                          \
			MSG_SIZE(st, member, sizeof(struct msg_view)) * 0 +    \
				offsetof(st, member)                           \
	}
#define MSG_STR(tag, st, member, must)                                         \
	{                                                                      \
		(tag), MSG_TYPE_STR, (must), sizeof(((st *)0)->member) - 1,    \
			offsetof(st, member)                                   \
	}
/* n, and a compile error unless the member has that many bytes. */
#define MSG_SIZE(st, member, n)                                                \
	((n) / (sizeof(char[sizeof(((st *)0)->member) == (n) ? 1 : -1])))

#define MSG_SCHEMA(st, rows)                                                   \
	{                                                                      \
		.fields = (rows), .count = ARRAY_LEN(rows),                    \
		.size = sizeof(st), .off_present = offsetof(st, present)       \
	}

/* The present mask: after decoding, which fields came; before encoding, which
 * optional ones to send (a must field is always sent). */
#define MSG_BIT(tag)	 (UINT64_C(1) << (tag))
#define MSG_HAS(st, tag) (((st)->present & MSG_BIT(tag)) != 0)

/* Writes st's fields in the order of the table. Returns the number of bytes;
 * RW_ERR_LIMIT when they do not fit into cap or a view is longer than its row
 * allows; RW_ERR_FORMAT when a string is not ended or not clean. */
int msg_encode(const struct msg_schema *s, const void *st, uint8_t *out,
	       size_t cap);
/* Reads a whole message. 0, or RW_ERR_PROTO: a cut or doubled field, a wrong
 * length, an unclean string, a missing must field, tag 0. On success ret is
 * filled, with absent members 0; else it is left alone. */
int msg_decode(const struct msg_schema *s, const uint8_t *in, size_t len,
	       void *ret);

/* SPDX-License-Identifier: MIT */
#include "wire/msg.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/str.h"

static uint64_t msg_present(const struct msg_schema *s, const void *st)
{
	uint64_t present;

	memcpy(&present, (const char *)st + s->off_present, sizeof(present));
	return present;
}

/* Whether len bytes can be this field's value. */
static bool msg_len_fits(const struct msg_field *f, size_t len)
{
	if (f->type == MSG_TYPE_BYTES || f->type == MSG_TYPE_STR)
		return len <= f->max;
	return len == f->max;
}

/* Appends the value of f, whose member is at. */
static int msg_put_value(const struct msg_field *f, const void *at,
			 struct writer *w)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	struct msg_view view;
	size_t len;

	switch (f->type) {
	case MSG_TYPE_U16:
		memcpy(&v16, at, sizeof(v16));
		writer_u16(w, v16);
		return 0;
	case MSG_TYPE_U32:
		memcpy(&v32, at, sizeof(v32));
		writer_u32(w, v32);
		return 0;
	case MSG_TYPE_U64:
		memcpy(&v64, at, sizeof(v64));
		writer_u64(w, v64);
		return 0;
	case MSG_TYPE_U8:
	case MSG_TYPE_FIXED: writer_bytes(w, at, f->max); return 0;
	case MSG_TYPE_BYTES:
		memcpy(&view, at, sizeof(view));
		if (view.len > f->max)
			return RW_ERR_LIMIT;
		writer_bytes(w, view.data, view.len);
		return 0;
	case MSG_TYPE_STR:
		len = strnlen(at, (size_t)f->max + 1);
		if (len > f->max || !str_is_clean(at, len))
			return RW_ERR_FORMAT;
		writer_bytes(w, at, len);
		return 0;
	}
	CHECK(false);
	return RW_ERR_FORMAT;
}

int msg_encode(const struct msg_schema *s, const void *st, uint8_t *out,
	       size_t cap)
{
	uint64_t present = msg_present(s, st);
	struct writer w;

	writer_init(&w, out, MIN(cap, (size_t)INT32_MAX));
	for (size_t i = 0; i < s->count; i++) {
		const struct msg_field *f = &s->fields[i];

		CHECK(f->tag >= 1 && f->tag <= MSG_TAG_MAX);
		if (!f->must && (present & MSG_BIT(f->tag)) == 0)
			continue;
		writer_u8(&w, f->tag);
		uint8_t *len_at = writer_take(&w, 2);
		uint8_t *value_at = w.at;
		int err = msg_put_value(f, (const char *)st + f->off, &w);

		if (err != 0)
			return err;
		if (w.failed)
			return RW_ERR_LIMIT;
		put_be16(len_at, (uint16_t)(w.at - value_at));
	}
	return (int)(w.at - out);
}

static const struct msg_field *msg_find(const struct msg_schema *s, uint8_t tag)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->fields[i].tag == tag)
			return &s->fields[i];
	return NULL;
}

/* One field of the input. */
struct msg_item {
	const struct msg_field *field; /* NULL: not known here */
	const uint8_t *value;
	uint16_t len;
};

/* Reads and judges the next field. */
static int msg_next(const struct msg_schema *s, struct reader *r,
		    struct msg_item *ret)
{
	uint8_t tag = reader_u8(r);
	uint16_t len = reader_u16(r);
	const uint8_t *value = reader_bytes(r, len);
	const struct msg_field *f = msg_find(s, tag);

	if (r->failed || tag == 0)
		return RW_ERR_PROTO;
	if (f != NULL && !msg_len_fits(f, len))
		return RW_ERR_PROTO;
	if (f != NULL && f->type == MSG_TYPE_STR &&
	    !str_is_clean((const char *)value, len))
		return RW_ERR_PROTO;
	*ret = (struct msg_item){ .field = f, .value = value, .len = len };
	return 0;
}

/* Judges the whole message and tells which fields it has. */
static int msg_check(const struct msg_schema *s, const uint8_t *in, size_t len,
		     uint64_t *ret_present)
{
	uint64_t present = 0;
	struct reader r;

	reader_init(&r, in, len);
	while (r.left > 0) {
		struct msg_item item;
		int err = msg_next(s, &r, &item);

		if (err != 0)
			return err;
		if (item.field == NULL)
			continue;
		if (present & MSG_BIT(item.field->tag))
			return RW_ERR_PROTO;
		present |= MSG_BIT(item.field->tag);
	}
	for (size_t i = 0; i < s->count; i++)
		if (s->fields[i].must &&
		    (present & MSG_BIT(s->fields[i].tag)) == 0)
			return RW_ERR_PROTO;
	*ret_present = present;
	return 0;
}

/* Fills the member at from a judged field. */
static void msg_store(const struct msg_item *item, void *at)
{
	struct msg_view view = { item->value, item->len };
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (item->field->type) {
	case MSG_TYPE_U16:
		v16 = get_be16(item->value);
		memcpy(at, &v16, sizeof(v16));
		return;
	case MSG_TYPE_U32:
		v32 = get_be32(item->value);
		memcpy(at, &v32, sizeof(v32));
		return;
	case MSG_TYPE_U64:
		v64 = get_be64(item->value);
		memcpy(at, &v64, sizeof(v64));
		return;
	case MSG_TYPE_BYTES: memcpy(at, &view, sizeof(view)); return;
	case MSG_TYPE_U8:
	case MSG_TYPE_FIXED:
	case MSG_TYPE_STR:
		/* The struct was zeroed: a string ends by itself. */
		memcpy(at, item->value, item->len);
		return;
	}
	CHECK(false);
}

int msg_decode(const struct msg_schema *s, const uint8_t *in, size_t len,
	       void *ret)
{
	uint64_t present = 0;
	struct reader r;
	/* Twice over the input, so that ret is untouched unless all is well. */
	int err = msg_check(s, in, len, &present);

	if (err != 0)
		return err;
	memset(ret, 0, s->size);
	memcpy((char *)ret + s->off_present, &present, sizeof(present));
	reader_init(&r, in, len);
	while (r.left > 0) {
		struct msg_item item;

		err = msg_next(s, &r, &item);
		CHECK(err == 0);
		if (item.field != NULL)
			msg_store(&item, (char *)ret + item.field->off);
	}
	return 0;
}

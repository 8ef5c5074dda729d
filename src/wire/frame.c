/* SPDX-License-Identifier: MIT */
#include "wire/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"

#define REASON_BASE (-20000)

/* Which id a frame's stream field may hold. */
enum frame_scope {
	SCOPE_CARRIER, /* zero: the frame is about the carrier */
	SCOPE_ANY,     /* zero is the control stream */
	SCOPE_STREAM,  /* nonzero */
};

/* The shape of each frame type: PROTOCOL.md, section 3.2, row for row. */
static const struct frame_rule {
	uint16_t min, max;
	uint8_t flags; /* flags that may be set */
	enum frame_scope scope;
} rules[FRAME_TYPES] = {
	[FRAME_HELLO] = { 8, 1024, 0, SCOPE_CARRIER },
	[FRAME_WELCOME] = { 8, FRAME_MAX_PAYLOAD, 0, SCOPE_CARRIER },
	[FRAME_REFUSED] = { 2, 2 + 400, 0, SCOPE_CARRIER },
	[FRAME_PING] = { 8, 8, FRAME_FLAG_MARK, SCOPE_CARRIER },
	[FRAME_PONG] = { 8, 8, FRAME_FLAG_MARK, SCOPE_CARRIER },
	[FRAME_READ] = { 8, 8, FRAME_FLAG_MARK, SCOPE_CARRIER },
	[FRAME_STREAMS] = { 4, 4, FRAME_FLAG_MARK, SCOPE_CARRIER },
	[FRAME_LIVE] = { 4, 4 + 4 * FRAME_LIVE_MAX, FRAME_FLAG_MARK,
			 SCOPE_CARRIER },
	[FRAME_WANTS] = { 8, 8, FRAME_FLAG_MARK, SCOPE_CARRIER },
	[FRAME_LEAVE] = { 0, 0, FRAME_FLAG_MARK, SCOPE_CARRIER },
	[FRAME_OPEN] = { 6, 5 + 300, FRAME_FLAG_MARK, SCOPE_STREAM },
	[FRAME_DATA] = { 9, FRAME_MAX_PAYLOAD, FRAME_FLAG_MARK, SCOPE_ANY },
	[FRAME_FIN] = { 8, 8, FRAME_FLAG_MARK, SCOPE_STREAM },
	[FRAME_STATE] = { 24, 24, FRAME_FLAG_MARK | FRAME_FLAG_CONNECTED,
			  SCOPE_ANY },
	[FRAME_ASK] = { 0, 0, FRAME_FLAG_MARK, SCOPE_ANY },
	[FRAME_RESET] = { 2, 2 + 200, FRAME_FLAG_MARK, SCOPE_STREAM },
	[FRAME_END] = { 2, 2, FRAME_FLAG_MARK, SCOPE_STREAM },
	[FRAME_GONE] = { 0, 0, FRAME_FLAG_MARK, SCOPE_STREAM },
	[FRAME_DGRAM] = { DGRAM_HDR_LEN, FRAME_MAX_PAYLOAD, FRAME_FLAG_MARK,
			  SCOPE_STREAM },
};

static bool frame_is_valid(const struct frame *f)
{
	if (f->type >= FRAME_TYPES ||
	    rules[f->type].max + rules[f->type].flags == 0)
		return false;
	const struct frame_rule *r = &rules[f->type];

	if (f->len < r->min || f->len > r->max || (f->flags & ~r->flags) != 0)
		return false;
	return r->scope == SCOPE_ANY ||
	       (f->stream != 0) == (r->scope == SCOPE_STREAM);
}

ssize_t frame_decode(const uint8_t *data, size_t len, struct frame *ret)
{
	if (len < FRAME_HDR_LEN)
		return 0;
	const struct frame f = {
		.type = data[0],
		.flags = data[1],
		.len = get_be16(data + 2),
		.stream = get_be32(data + 4),
		.payload = data + FRAME_HDR_LEN,
	};

	/* Judge the header before waiting for the payload: a peer that
	 * announces nonsense must not make us hold it first. */
	if (!frame_is_valid(&f))
		return RW_ERR_PROTO;
	if (len - FRAME_HDR_LEN < f.len)
		return 0;
	*ret = f;
	return FRAME_HDR_LEN + f.len;
}

bool frame_type_bounds(uint8_t type, size_t *min, size_t *max)
{
	if (type >= FRAME_TYPES || rules[type].flags + rules[type].max == 0)
		return false;
	*min = rules[type].min;
	*max = rules[type].max;
	return true;
}

void frame_header(uint8_t *out, uint8_t type, uint8_t flags, size_t len,
		  uint32_t stream)
{
	CHECK(len <= FRAME_MAX_PAYLOAD);
	out[0] = type;
	out[1] = flags;
	put_be16(out + 2, (uint16_t)len);
	put_be32(out + 4, stream);
}

size_t frame_put_u64(uint8_t *out, enum frame_type type, uint32_t stream,
		     uint64_t v)
{
	frame_header(out, (uint8_t)type, 0, 8, stream);
	put_be64(out + FRAME_HDR_LEN, v);
	return FRAME_HDR_LEN + 8;
}

size_t frame_put_streams(uint8_t *out, uint32_t highest)
{
	frame_header(out, FRAME_STREAMS, 0, 4, 0);
	put_be32(out + FRAME_HDR_LEN, highest);
	return FRAME_HDR_LEN + 4;
}

size_t frame_put_live(uint8_t *out, uint32_t newest, const uint32_t *live,
		      size_t count)
{
	CHECK(count <= FRAME_LIVE_MAX);
	frame_header(out, FRAME_LIVE, 0, 4 + 4 * count, 0);
	put_be32(out + 8, newest);
	for (size_t i = 0; i < count; i++)
		put_be32(out + 12 + 4 * i, live[i]);
	return 12 + 4 * count;
}

size_t frame_put_empty(uint8_t *out, enum frame_type type, uint32_t stream)
{
	frame_header(out, (uint8_t)type, 0, 0, stream);
	return FRAME_HDR_LEN;
}

size_t frame_put_open(uint8_t *out, uint32_t stream, uint32_t limit,
		      uint8_t kind, const char *target)
{
	size_t n = strlen(target);

	frame_header(out, FRAME_OPEN, 0, 5 + n, stream);
	put_be32(out + 8, limit);
	out[12] = kind;
	memcpy(out + 13, target, n);
	return 13 + n;
}

size_t frame_put_state(uint8_t *out, uint32_t stream,
		       const struct frame_state *state)
{
	frame_header(out, FRAME_STATE,
		     state->connected ? FRAME_FLAG_CONNECTED : 0, 24, stream);
	put_be64(out + 8, state->received);
	put_be64(out + 16, state->consumed);
	put_be64(out + 24, state->limit);
	return FRAME_HDR_LEN + 24;
}

size_t frame_put_reset(uint8_t *out, uint32_t stream, uint16_t code,
		       const char *text)
{
	size_t n = frame_put_text(out + 10, text, 200);

	frame_header(out, FRAME_RESET, 0, 2 + n, stream);
	put_be16(out + 8, code);
	return 10 + n;
}

size_t frame_put_text(uint8_t *out, const char *text, size_t max)
{
	size_t left = strlen(text), done = 0;

	while (left > 0) {
		size_t n = str_utf8_len(text, left);
		bool clean = n > 0 && str_is_clean(text, n);

		n = MAX(n, 1);
		if (done + (clean ? n : 1) > max)
			break;
		if (clean)
			memcpy(out + done, text, n);
		else
			out[done] = '?';
		done += clean ? n : 1;
		text += n;
		left -= n;
	}
	return done;
}

size_t frame_put_end(uint8_t *out, uint32_t stream, uint16_t code)
{
	frame_header(out, FRAME_END, 0, 2, stream);
	put_be16(out + 8, code);
	return FRAME_HDR_LEN + 2;
}

size_t frame_put_dgram(uint8_t *out, uint32_t flow, const struct dgram_piece *p)
{
	CHECK(p->len <= DGRAM_PIECE_MAX);
	frame_header(out, FRAME_DGRAM, 0, DGRAM_HDR_LEN + p->len, flow);
	put_be32(out + 8, p->number);
	put_be16(out + 12, p->length);
	put_be16(out + 14, p->offset);
	if (p->len > 0)
		memcpy(out + 16, p->data, p->len);
	return FRAME_HDR_LEN + DGRAM_HDR_LEN + p->len;
}

int dgram_decode(const struct frame *f, struct dgram_piece *ret)
{
	const struct dgram_piece p = {
		.number = get_be32(f->payload),
		.length = get_be16(f->payload + 4),
		.offset = get_be16(f->payload + 6),
		.data = f->payload + DGRAM_HDR_LEN,
		.len = (size_t)f->len - DGRAM_HDR_LEN,
	};

	if (p.length > DGRAM_MAX || p.offset + p.len > p.length)
		return RW_ERR_PROTO;
	if (p.len == 0 && p.length != 0)
		return RW_ERR_PROTO;
	*ret = p;
	return 0;
}

uint16_t reason_to_wire(int err)
{
	if (err == 0)
		return 0;
	if (err < REASON_BASE && err >= RW_ERR_EOF)
		return (uint16_t)(REASON_BASE - err);
	return (uint16_t)(REASON_BASE - RW_ERR_IO);
}

int reason_from_wire(uint16_t code)
{
	if (code == 0)
		return 0;
	return code <= REASON_BASE - RW_ERR_EOF ? REASON_BASE - code
						: RW_ERR_REFUSED;
}

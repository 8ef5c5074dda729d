/* SPDX-License-Identifier: MIT */
#include "wire/relay_msg.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/str.h"

static const struct msg_field hello_fields[] = {
	MSG_U16(R_TAG_VERSION_MIN, struct relay_hello, version_min, true),
	MSG_U16(R_TAG_VERSION_MAX, struct relay_hello, version_max, true),
	MSG_U8(R_TAG_PURPOSE, struct relay_hello, purpose, true),
	MSG_U8(R_TAG_ROLE, struct relay_hello, role, true),
	MSG_STR(R_TAG_NAME, struct relay_hello, name, false),
	MSG_U64(R_TAG_INCARNATION, struct relay_hello, incarnation, false),
	MSG_FIXED(R_TAG_SECRET, struct relay_hello, secret, false),
	MSG_FIXED(R_TAG_RIG, struct relay_hello, rig, false),
	MSG_FIXED(R_TAG_INVITE_ID, struct relay_hello, invite_id, false),
	MSG_U8(R_TAG_WAIT, struct relay_hello, wait, false),
	MSG_U64(R_TAG_RENDEZVOUS, struct relay_hello, rendezvous, false),
	MSG_BYTES(R_TAG_LOST, struct relay_hello, lost, 8 * RELAY_LOST_MAX,
		  false),
};

static const struct msg_field welcome_fields[] = {
	MSG_U16(R_TAG_VERSION, struct relay_welcome, version, true),
	MSG_STR(R_TAG_NAME, struct relay_welcome, name, true),
	MSG_STR(R_TAG_FLEET, struct relay_welcome, fleet, true),
	MSG_STR(R_TAG_ADDR, struct relay_welcome, addr, true),
	MSG_U64(R_TAG_INCARNATION, struct relay_welcome, incarnation, true),
};

static const struct msg_field refused_fields[] = {
	MSG_U16(R_TAG_CODE, struct relay_refused, code, true),
	MSG_STR(R_TAG_TEXT, struct relay_refused, text, true),
	MSG_U64(R_TAG_REF, struct relay_refused, ref, false),
};

static const struct msg_field call_fields[] = {
	MSG_U64(R_TAG_RENDEZVOUS, struct relay_call, rendezvous, true),
	MSG_FIXED(R_TAG_CLIENT, struct relay_call, client, true),
	MSG_STR(R_TAG_ADDR, struct relay_call, addr, true),
	MSG_FIXED(R_TAG_INVITE_ID, struct relay_call, invite_id, false),
};

static const struct msg_field ready_fields[] = {
	MSG_STR(R_TAG_ADDR, struct relay_ready, addr, true),
};

static const struct msg_field waiting_fields[] = {
	MSG_U64(R_TAG_SINCE, struct relay_waiting, since, true),
	MSG_U8(R_TAG_ONLINE, struct relay_waiting, online, true),
};

static const struct msg_field row_fields[] = {
	MSG_FIXED(R_TAG_PIN, struct relay_row, pin, true),
	MSG_U8(R_TAG_ROLE, struct relay_row, role, true),
	MSG_STR(R_TAG_NAME, struct relay_row, name, true),
	MSG_U8(R_TAG_ONLINE, struct relay_row, online, true),
	MSG_STR(R_TAG_ADDR, struct relay_row, addr, true),
	MSG_U64(R_TAG_SINCE, struct relay_row, since, true),
};

static const struct msg_field number_fields[] = {
	MSG_U64(R_TAG_NUMBER, struct relay_number, number, true),
};

static const struct msg_field invite_fields[] = {
	MSG_U64(R_TAG_REF, struct relay_invite, ref, true),
	MSG_FIXED(R_TAG_HASH, struct relay_invite, hash, true),
	MSG_FIXED(R_TAG_INVITE_ID, struct relay_invite, invite_id, true),
	MSG_U8(R_TAG_ROLE, struct relay_invite, role, true),
	MSG_U64(R_TAG_TTL, struct relay_invite, ttl, true),
	MSG_U16(R_TAG_USES, struct relay_invite, uses, true),
};

static const struct msg_field drop_fields[] = {
	MSG_U64(R_TAG_REF, struct relay_drop, ref, true),
	MSG_FIXED(R_TAG_PIN, struct relay_drop, pin, true),
};

static const struct msg_field decline_fields[] = {
	MSG_U64(R_TAG_RENDEZVOUS, struct relay_decline, rendezvous, true),
	MSG_U16(R_TAG_CODE, struct relay_decline, code, true),
	MSG_STR(R_TAG_TEXT, struct relay_decline, text, true),
};

static const struct msg_field lost_fields[] = {
	MSG_BYTES(R_TAG_LOST, struct relay_lost, lost, 8 * RELAY_LOST_MAX,
		  true),
};

static const struct msg_field admit_fields[] = {
	MSG_U64(R_TAG_REF, struct relay_admit, ref, true),
	MSG_FIXED(R_TAG_PIN, struct relay_admit, pin, true),
	MSG_STR(R_TAG_NAME, struct relay_admit, name, true),
};

static const struct msg_schema
	hello = MSG_SCHEMA(struct relay_hello, hello_fields),
	welcome = MSG_SCHEMA(struct relay_welcome, welcome_fields),
	refused = MSG_SCHEMA(struct relay_refused, refused_fields),
	call = MSG_SCHEMA(struct relay_call, call_fields),
	ready = MSG_SCHEMA(struct relay_ready, ready_fields),
	waiting = MSG_SCHEMA(struct relay_waiting, waiting_fields),
	row = MSG_SCHEMA(struct relay_row, row_fields),
	end = MSG_SCHEMA(struct relay_number, number_fields),
	ping = MSG_SCHEMA(struct relay_number, number_fields),
	pong = MSG_SCHEMA(struct relay_number, number_fields),
	invite = MSG_SCHEMA(struct relay_invite, invite_fields),
	done = MSG_SCHEMA(struct relay_number, number_fields),
	drop = MSG_SCHEMA(struct relay_drop, drop_fields),
	list = MSG_SCHEMA(struct relay_number, number_fields),
	decline = MSG_SCHEMA(struct relay_decline, decline_fields),
	lost = MSG_SCHEMA(struct relay_lost, lost_fields),
	admit = MSG_SCHEMA(struct relay_admit, admit_fields);

/* The shape of each type: PROTOCOL.md, section 10.2, row for row. */
static const struct relay_rule {
	const struct msg_schema *schema;
	uint8_t from; /* a set of enum relay_side */
} rules[] = {
	[R_HELLO - R_HELLO] = { &hello, RELAY_SIDE_DEVICE },
	[R_WELCOME - R_HELLO] = { &welcome, RELAY_SIDE_RELAY },
	[R_REFUSED - R_HELLO] = { &refused, RELAY_SIDE_RELAY },
	[R_CALL - R_HELLO] = { &call, RELAY_SIDE_RELAY },
	[R_READY - R_HELLO] = { &ready, RELAY_SIDE_RELAY },
	[R_WAITING - R_HELLO] = { &waiting, RELAY_SIDE_RELAY },
	[R_ROW - R_HELLO] = { &row, RELAY_SIDE_RELAY },
	[R_END - R_HELLO] = { &end, RELAY_SIDE_RELAY },
	[R_PING - R_HELLO] = { &ping, RELAY_SIDE_DEVICE | RELAY_SIDE_RELAY },
	[R_PONG - R_HELLO] = { &pong, RELAY_SIDE_DEVICE | RELAY_SIDE_RELAY },
	[R_INVITE - R_HELLO] = { &invite, RELAY_SIDE_DEVICE },
	[R_DONE - R_HELLO] = { &done, RELAY_SIDE_RELAY },
	[R_DROP - R_HELLO] = { &drop, RELAY_SIDE_DEVICE },
	[R_LIST - R_HELLO] = { &list, RELAY_SIDE_DEVICE },
	[R_DECLINE - R_HELLO] = { &decline, RELAY_SIDE_DEVICE },
	[R_LOST - R_HELLO] = { &lost, RELAY_SIDE_DEVICE },
	[R_ADMIT - R_HELLO] = { &admit, RELAY_SIDE_DEVICE },
};

static const struct relay_rule *rule_of(uint8_t type)
{
	if (type < R_HELLO || type - R_HELLO >= (int)ARRAY_LEN(rules))
		return NULL;
	return &rules[type - R_HELLO];
}

/* What the fields' types cannot say. */
static bool is_sound(const struct relay_msg *m)
{
	bool has_role =
		m->type == R_HELLO || m->type == R_ROW || m->type == R_INVITE;
	uint8_t role = m->type == R_HELLO ? m->hello.role
		       : m->type == R_ROW ? m->row.role
					  : m->invite.role;
	const struct relay_hello *h = &m->hello;

	if (has_role && role != RELAY_RIG && role != RELAY_CLIENT)
		return false;
	if (m->type == R_LOST)
		return m->lost.lost.len % 8 == 0;
	if (m->type != R_HELLO)
		return true;
	if (h->version_min > h->version_max || h->lost.len % 8 != 0)
		return false;
	switch (h->purpose) {
	case RELAY_CONTROL: return MSG_HAS(h, R_TAG_INCARNATION);
	case RELAY_WISH: return MSG_HAS(h, R_TAG_RIG);
	case RELAY_ANSWER: return MSG_HAS(h, R_TAG_RENDEZVOUS);
	case RELAY_REDEEM: return MSG_HAS(h, R_TAG_SECRET);
	case RELAY_LIST: return true;
	default: return false;
	}
}

ssize_t relay_msg_read(const uint8_t *data, size_t len, enum relay_side from,
		       struct relay_msg *ret)
{
	if (len < RELAY_HDR_LEN)
		return 0;

	const struct relay_rule *r = rule_of(data[0]);
	size_t body = get_be16(data + 2);
	struct relay_msg m = { .type = data[0] };

	if (r == NULL || (r->from & from) == 0 || data[1] != 0 ||
	    get_be32(data + 4) != 0 || body > RELAY_BODY_MAX)
		return RW_ERR_PROTO;
	if (len - RELAY_HDR_LEN < body)
		return 0;
	if (msg_decode(r->schema, data + RELAY_HDR_LEN, body, &m.hello) < 0 ||
	    !is_sound(&m))
		return RW_ERR_PROTO;
	*ret = m;
	return (ssize_t)(RELAY_HDR_LEN + body);
}

size_t relay_msg_write(const struct relay_msg *m,
		       uint8_t out[static RELAY_FRAME_MAX])
{
	const struct relay_rule *r = rule_of(m->type);
	int n;

	CHECK(r != NULL);
	n = msg_encode(r->schema, &m->hello, out + RELAY_HDR_LEN,
		       RELAY_BODY_MAX);
	CHECK(n >= 0);
	out[0] = m->type;
	out[1] = 0;
	put_be16(out + 2, (uint16_t)n);
	put_be32(out + 4, 0);
	return RELAY_HDR_LEN + (size_t)n;
}

void relay_text_copy(char *dst, size_t cap, const char *src)
{
	str_copy(dst, cap, src);
	if (str_is_clean(dst, strlen(dst)))
		return;
	for (char *p = dst; *p != '\0'; p++)
		if (*p < ' ' || *p > '~') /* also where a cut split UTF-8 */
			*p = '?';
}

/* Ours count down from -20000; an errno is nothing another machine knows. */
#define CODE_BASE 20000

uint16_t relay_code(int err)
{
	if (err >= -CODE_BASE || err < -CODE_BASE - 999)
		err = err == -ENOSPC ? RW_ERR_LIMIT : RW_ERR_REFUSED;
	return (uint16_t)(-err - CODE_BASE);
}

int relay_code_err(uint16_t code)
{
	int err = -CODE_BASE - code;

	if (code == 0 || strcmp(err_name(err), "OTHER") == 0)
		return RW_ERR_REFUSED;
	return err;
}

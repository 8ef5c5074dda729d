/* SPDX-License-Identifier: MIT */
#include "wire/request.h"

#include "base/bytes.h"
#include "base/err.h"
#include "wire/frame.h"

static const struct msg_field q_invite_fields[] = {
	MSG_U64(1, struct q_invite, ttl_s, true),
	MSG_U16(2, struct q_invite, uses, true),
	MSG_STR(3, struct q_invite, services, true),
};

static const struct msg_field a_invite_fields[] = {
	MSG_STR(1, struct a_invite, code, true),
	MSG_STR(2, struct a_invite, note, true),
};

static const struct msg_field a_device_fields[] = {
	MSG_FIXED(1, struct a_device, pin, true),
	MSG_STR(2, struct a_device, name, true),
	MSG_U8(3, struct a_device, role, true),
	MSG_U8(4, struct a_device, online, true),
	MSG_U64(5, struct a_device, admitted, true),
	MSG_U64(6, struct a_device, last, true),
	MSG_STR(7, struct a_device, services, true),
};

static const struct msg_field q_remove_fields[] = {
	MSG_STR(1, struct q_remove, who, true),
};

static const struct msg_field q_authorize_fields[] = {
	MSG_BYTES(1, struct q_authorize, key, REQUEST_KEY_MAX, true),
};

static const struct msg_field a_text_fields[] = {
	MSG_STR(1, struct a_text, text, true),
	MSG_U16(2, struct a_text, code, true),
};

static const struct msg_schema q_invite_schema =
	MSG_SCHEMA(struct q_invite, q_invite_fields);
static const struct msg_schema a_invite_schema =
	MSG_SCHEMA(struct a_invite, a_invite_fields);
static const struct msg_schema a_device_schema =
	MSG_SCHEMA(struct a_device, a_device_fields);
static const struct msg_schema q_remove_schema =
	MSG_SCHEMA(struct q_remove, q_remove_fields);
static const struct msg_schema q_authorize_schema =
	MSG_SCHEMA(struct q_authorize, q_authorize_fields);
static const struct msg_schema a_text_schema =
	MSG_SCHEMA(struct a_text, a_text_fields);

/* PROTOCOL.md, section 11, row for row. NULL: the body is empty. */
static const struct request_rule {
	uint8_t type;
	const struct msg_schema *schema;
} rules[] = {
	{ Q_INVITE, &q_invite_schema },
	{ A_INVITE, &a_invite_schema },
	{ Q_DEVICES, NULL },
	{ A_DEVICE, &a_device_schema },
	{ Q_REMOVE, &q_remove_schema },
	{ Q_AUTHORIZE, &q_authorize_schema },
	{ A_DONE, &a_text_schema },
	{ A_ERROR, &a_text_schema },
};

static const struct request_rule *request_rule(uint8_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].type == type)
			return &rules[i];
	return NULL;
}

/* Every member of the union begins at the same place. */
static void *request_body(struct request *r)
{
	return &r->q_invite;
}

ssize_t request_read(const uint8_t *data, size_t len, struct request *ret)
{
	if (len < REQUEST_HDR_LEN)
		return 0;

	const uint8_t flags = data[1];
	const size_t body_len = get_be16(data + 2);
	const struct request_rule *rule = request_rule(data[0]);

	/* The header is judged before its body is waited for. */
	if (data[0] < 0x80 || flags != 0 || body_len > REQUEST_BODY_MAX)
		return RW_ERR_PROTO;
	if (len - REQUEST_HDR_LEN < body_len)
		return 0;

	struct request r = { .type = data[0],
			     .known = rule != NULL,
			     .number = get_be32(data + 4) };

	if (rule != NULL && rule->schema != NULL &&
	    msg_decode(rule->schema, data + REQUEST_HDR_LEN, body_len,
		       request_body(&r)) != 0)
		return RW_ERR_PROTO;
	*ret = r;
	return (ssize_t)(REQUEST_HDR_LEN + body_len);
}

ssize_t request_write(const struct request *r, uint8_t *out, size_t cap)
{
	const struct request_rule *rule = request_rule(r->type);
	int n = 0;

	CHECK(rule != NULL);
	if (cap < REQUEST_HDR_LEN)
		return RW_ERR_LIMIT;
	if (rule->schema != NULL)
		n = msg_encode(rule->schema, &r->q_invite,
			       out + REQUEST_HDR_LEN, cap - REQUEST_HDR_LEN);
	if (n < 0)
		return n;
	out[0] = r->type;
	out[1] = 0;
	put_be16(out + 2, (uint16_t)n);
	put_be32(out + 4, r->number);
	return REQUEST_HDR_LEN + n;
}

int request_err(uint16_t code)
{
	int err = reason_from_wire(code);

	return err != 0 ? err : RW_ERR_REFUSED;
}

uint16_t request_code(int err)
{
	return reason_to_wire(err);
}

/* SPDX-License-Identifier: MIT */
#include "wire/hello.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/frame.h"
#include "wire/msg.h"

/* Tags of PROTOCOL.md, section 4. A number is never given to another field. */
enum hello_tag {
	HELLO_VERSION_MIN = 1,
	HELLO_VERSION_MAX,
	HELLO_SESSION,
	HELLO_INCARNATION,
	HELLO_WELCOMED_BY,
	HELLO_CARRIER,
	HELLO_LIVE,
	HELLO_FLOOR,
	HELLO_MAX_STREAMS,
	HELLO_NAME,
	HELLO_INVITE_ID,
	HELLO_SECRET,
	HELLO_WAITING,
};

struct hello_body {
	uint64_t present;
	uint16_t version_min, version_max;
	uint8_t session[SESSION_ID_LEN];
	uint64_t incarnation, welcomed_by;
	uint32_t carrier;
	struct msg_view live;
	uint32_t floor, max_streams;
	char name[HELLO_NAME_MAX + 1];
	uint8_t invite_id[INVITE_ID_LEN];
	uint8_t secret[INVITE_SECRET_LEN];
	struct msg_view waiting;
};

static const struct msg_field hello_fields[] = {
	MSG_U16(HELLO_VERSION_MIN, struct hello_body, version_min, true),
	MSG_U16(HELLO_VERSION_MAX, struct hello_body, version_max, true),
	MSG_FIXED(HELLO_SESSION, struct hello_body, session, true),
	MSG_U64(HELLO_INCARNATION, struct hello_body, incarnation, true),
	MSG_U64(HELLO_WELCOMED_BY, struct hello_body, welcomed_by, true),
	MSG_U32(HELLO_CARRIER, struct hello_body, carrier, true),
	MSG_BYTES(HELLO_LIVE, struct hello_body, live, 4 * HELLO_CARRIERS,
		  true),
	MSG_U32(HELLO_FLOOR, struct hello_body, floor, true),
	MSG_U32(HELLO_MAX_STREAMS, struct hello_body, max_streams, true),
	MSG_STR(HELLO_NAME, struct hello_body, name, false),
	MSG_FIXED(HELLO_INVITE_ID, struct hello_body, invite_id, false),
	MSG_FIXED(HELLO_SECRET, struct hello_body, secret, false),
	MSG_BYTES(HELLO_WAITING, struct hello_body, waiting, 4 * HELLO_CARRIERS,
		  false),
};
static const struct msg_schema hello_schema =
	MSG_SCHEMA(struct hello_body, hello_fields);

enum welcome_tag {
	WELCOME_VERSION = 1,
	WELCOME_INCARNATION,
	WELCOME_FRESH,
	WELCOME_FLOOR,
	WELCOME_MAX_STREAMS,
	WELCOME_KEEP,
	WELCOME_NAME,
	WELCOME_USER,
	WELCOME_HOST,
	WELCOME_SSHD_PORT,
	WELCOME_PROGRAM,
	WELCOME_ROLE,
	WELCOME_HOST_KEYS,
	WELCOME_ADDRS,
	WELCOME_PROBE_PORT,
	WELCOME_RELAYS,
};

/* Field 16, filled: for each relay its pin, a count, and texts with a length
 * of two bytes. */
#define RELAYS_MAX                                                             \
	(RIG_INFO_RELAYS *                                                     \
	 (PIN_LEN + 1 + RIG_INFO_RELAY_AT * (2 + HOSTPORT_CAP - 1)))

struct welcome_body {
	uint64_t present;
	uint16_t version;
	uint64_t incarnation;
	uint8_t fresh;
	uint32_t floor, max_streams, keep_s;
	char name[HELLO_NAME_MAX + 1];
	char user[64];
	char host[256];
	uint16_t sshd_port;
	char program[32];
	char role[8];
	struct msg_view host_keys; /* lines, so not a clean string */
	char addrs[RIG_INFO_ADDRS_MAX + 1];
	uint16_t probe_port;
	struct msg_view relays;
};

static const struct msg_field welcome_fields[] = {
	MSG_U16(WELCOME_VERSION, struct welcome_body, version, true),
	MSG_U64(WELCOME_INCARNATION, struct welcome_body, incarnation, true),
	MSG_U8(WELCOME_FRESH, struct welcome_body, fresh, true),
	MSG_U32(WELCOME_FLOOR, struct welcome_body, floor, true),
	MSG_U32(WELCOME_MAX_STREAMS, struct welcome_body, max_streams, true),
	MSG_U32(WELCOME_KEEP, struct welcome_body, keep_s, true),
	MSG_STR(WELCOME_NAME, struct welcome_body, name, true),
	MSG_STR(WELCOME_USER, struct welcome_body, user, true),
	MSG_STR(WELCOME_HOST, struct welcome_body, host, true),
	MSG_U16(WELCOME_SSHD_PORT, struct welcome_body, sshd_port, true),
	MSG_STR(WELCOME_PROGRAM, struct welcome_body, program, true),
	MSG_STR(WELCOME_ROLE, struct welcome_body, role, true),
	MSG_BYTES(WELCOME_HOST_KEYS, struct welcome_body, host_keys,
		  RIG_INFO_KEYS_MAX, true),
	MSG_STR(WELCOME_ADDRS, struct welcome_body, addrs, true),
	MSG_U16(WELCOME_PROBE_PORT, struct welcome_body, probe_port, true),
	MSG_BYTES(WELCOME_RELAYS, struct welcome_body, relays, RELAYS_MAX,
		  true),
};
static const struct msg_schema welcome_schema =
	MSG_SCHEMA(struct welcome_body, welcome_fields);

/* Writes the header before a body that msg_encode() has put in its place. */
static size_t finish(uint8_t *out, enum frame_type type, int body)
{
	CHECK(body > 0);
	frame_header(out, (uint8_t)type, 0, (size_t)body, 0);
	return FRAME_HDR_LEN + (size_t)body;
}

/* Numbers of carriers, as in `live` and `waiting`. */
static void put_numbers(const uint32_t *numbers, size_t count, uint8_t *out)
{
	CHECK(count <= HELLO_CARRIERS);
	for (size_t i = 0; i < count; i++)
		put_be32(out + 4 * i, numbers[i]);
}

static uint8_t get_numbers(const struct msg_view *view, uint32_t *ret)
{
	for (size_t i = 0; i < view->len / 4; i++)
		ret[i] = get_be32(view->data + 4 * i);
	return (uint8_t)(view->len / 4);
}

size_t hello_write(const struct hello *h, uint8_t *out)
{
	uint8_t live[4 * HELLO_CARRIERS], waiting[4 * HELLO_CARRIERS];
	struct hello_body b = {
		.version_min = h->version_min,
		.version_max = h->version_max,
		.incarnation = h->incarnation,
		.welcomed_by = h->welcomed_by,
		.carrier = h->carrier,
		.live = { live, 4u * h->live_count },
		.waiting = { waiting, 4u * h->waiting_count },
		.floor = h->floor,
		.max_streams = h->max_streams,
		.present = MSG_BIT(HELLO_NAME),
	};

	put_numbers(h->live, h->live_count, live);
	put_numbers(h->waiting, h->waiting_count, waiting);
	if (h->waiting_count > 0)
		b.present |= MSG_BIT(HELLO_WAITING);
	memcpy(b.session, h->session, sizeof(b.session));
	memcpy(b.name, h->extra.name, sizeof(b.name));
	if (h->extra.redeems) {
		b.present |= MSG_BIT(HELLO_INVITE_ID) | MSG_BIT(HELLO_SECRET);
		memcpy(b.invite_id, h->extra.invite_id, sizeof(b.invite_id));
		memcpy(b.secret, h->extra.secret, sizeof(b.secret));
	}
	return finish(out, FRAME_HELLO,
		      msg_encode(&hello_schema, &b, out + FRAME_HDR_LEN,
				 FRAME_MAX_PAYLOAD));
}

static int hello_decode(const struct frame *f, struct hello *ret)
{
	struct hello_body b;

	if (msg_decode(&hello_schema, f->payload, f->len, &b) < 0)
		return RW_ERR_PROTO;
	if (b.live.len % 4 != 0 || b.waiting.len % 4 != 0 ||
	    b.version_min > b.version_max || b.carrier == 0 ||
	    b.incarnation == 0)
		return RW_ERR_PROTO;
	if (MSG_HAS(&b, HELLO_INVITE_ID) != MSG_HAS(&b, HELLO_SECRET))
		return RW_ERR_PROTO;

	struct hello h = {
		.version_min = b.version_min,
		.version_max = b.version_max,
		.incarnation = b.incarnation,
		.welcomed_by = b.welcomed_by,
		.carrier = b.carrier,
		.floor = b.floor,
		.max_streams = b.max_streams,
		.extra.redeems = MSG_HAS(&b, HELLO_SECRET),
	};
	h.live_count = get_numbers(&b.live, h.live);
	h.waiting_count = get_numbers(&b.waiting, h.waiting);
	memcpy(h.session, b.session, sizeof(h.session));
	memcpy(h.extra.name, b.name, sizeof(h.extra.name));
	memcpy(h.extra.invite_id, b.invite_id, sizeof(b.invite_id));
	memcpy(h.extra.secret, b.secret, sizeof(b.secret));
	*ret = h;
	return 0;
}

ssize_t hello_read(const uint8_t *data, size_t len, struct hello *ret)
{
	struct frame f;

	/* A stranger who starts with anything else is not kept waiting for
	 * the rest of it. */
	if (len > 0 && data[0] != FRAME_HELLO)
		return RW_ERR_PROTO;
	ssize_t n = frame_decode(data, len, &f);

	if (n <= 0)
		return n;
	return hello_decode(&f, ret) < 0 ? RW_ERR_PROTO : n;
}

static size_t relays_put(const struct rig_info *info,
			 uint8_t out[static RELAYS_MAX])
{
	struct writer w;

	CHECK(info->relay_count <= RIG_INFO_RELAYS);
	writer_init(&w, out, RELAYS_MAX);
	for (size_t i = 0; i < info->relay_count; i++) {
		const struct rig_relay_info *r = &info->relays[i];

		CHECK(r->count >= 1 && r->count <= RIG_INFO_RELAY_AT);
		writer_bytes(&w, r->pin.b, PIN_LEN);
		writer_u8(&w, r->count);
		for (size_t j = 0; j < r->count; j++) {
			writer_u16(&w, (uint16_t)strlen(r->at[j]));
			writer_bytes(&w, r->at[j], strlen(r->at[j]));
		}
	}
	CHECK(!w.failed);
	return (size_t)(w.at - out);
}

static bool hostport_get(struct reader *r, char out[HOSTPORT_CAP])
{
	const size_t len = reader_u16(r);
	const uint8_t *text = reader_bytes(r, len);
	struct hostport hp;

	if (text == NULL || len >= HOSTPORT_CAP ||
	    memchr(text, '\0', len) != NULL)
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return parse_hostport(out, 0, &hp) == 0;
}

static bool relays_get(const struct msg_view *v, struct rig_info *info)
{
	struct reader r;

	if (v->len == 0)
		return true;
	reader_init(&r, v->data, v->len);
	while (r.left > 0) {
		struct rig_relay_info *relay;

		if (info->relay_count == RIG_INFO_RELAYS)
			return false;
		relay = &info->relays[info->relay_count++];
		reader_copy(&r, relay->pin.b, PIN_LEN);
		relay->count = reader_u8(&r);
		if (r.failed || relay->count < 1 ||
		    relay->count > RIG_INFO_RELAY_AT)
			return false;
		for (size_t i = 0; i < relay->count; i++)
			if (!hostport_get(&r, relay->at[i]))
				return false;
	}
	return true;
}

/* "host:port" joined by ',', or nothing. */
static bool addrs_are_sound(const char *text)
{
	struct hostport hp;
	char one[HOSTPORT_CAP];

	while (*text != '\0') {
		const size_t len = strcspn(text, ",");

		if (len >= sizeof(one))
			return false;
		memcpy(one, text, len);
		one[len] = '\0';
		if (parse_hostport(one, 0, &hp) != 0)
			return false;
		text += len;
		if (*text == ',' && *++text == '\0')
			return false;
	}
	return true;
}

size_t welcome_write(const struct welcome *w, uint8_t *out)
{
	uint8_t relays[RELAYS_MAX];
	struct welcome_body b = {
		.version = w->version,
		.incarnation = w->incarnation,
		.fresh = w->fresh,
		.floor = w->floor,
		.max_streams = w->max_streams,
		.keep_s = w->keep_s,
		.sshd_port = w->info.sshd_port,
		.probe_port = w->info.probe_port,
		.relays = { relays, relays_put(&w->info, relays) },
		.host_keys = { (const uint8_t *)w->info.host_keys,
			       strlen(w->info.host_keys) },
	};

	memcpy(b.name, w->info.name, sizeof(b.name));
	memcpy(b.user, w->info.user, sizeof(b.user));
	memcpy(b.host, w->info.host, sizeof(b.host));
	memcpy(b.program, w->info.version, sizeof(b.program));
	memcpy(b.role, w->info.role, sizeof(b.role));
	memcpy(b.addrs, w->info.addrs, sizeof(b.addrs));
	return finish(out, FRAME_WELCOME,
		      msg_encode(&welcome_schema, &b, out + FRAME_HDR_LEN,
				 FRAME_MAX_PAYLOAD));
}

/* Host keys go into a file that ssh reads: lines of printable ASCII only. */
static bool keys_are_clean(const struct msg_view *v)
{
	for (size_t i = 0; i < v->len; i++)
		if (v->data[i] != '\n' &&
		    (v->data[i] < 0x20 || v->data[i] > 0x7e))
			return false;
	return true;
}

int welcome_decode(const uint8_t *body, size_t len, struct welcome *ret)
{
	struct welcome_body b;

	if (msg_decode(&welcome_schema, body, len, &b) < 0 || b.fresh > 1 ||
	    b.incarnation == 0 || !keys_are_clean(&b.host_keys) ||
	    !addrs_are_sound(b.addrs))
		return RW_ERR_PROTO;
	*ret = (struct welcome){
		.version = b.version,
		.incarnation = b.incarnation,
		.fresh = b.fresh == 1,
		.floor = b.floor,
		.max_streams = b.max_streams,
		.keep_s = b.keep_s,
		.info.sshd_port = b.sshd_port,
		.info.probe_port = b.probe_port,
	};
	if (!relays_get(&b.relays, &ret->info))
		return RW_ERR_PROTO;
	memcpy(ret->info.name, b.name, sizeof(b.name));
	memcpy(ret->info.user, b.user, sizeof(b.user));
	memcpy(ret->info.host, b.host, sizeof(b.host));
	memcpy(ret->info.version, b.program, sizeof(b.program));
	memcpy(ret->info.role, b.role, sizeof(b.role));
	memcpy(ret->info.addrs, b.addrs, sizeof(b.addrs));
	if (b.host_keys.len > 0)
		memcpy(ret->info.host_keys, b.host_keys.data, b.host_keys.len);
	return 0;
}

size_t refused_write(const struct refused *r, uint8_t *out)
{
	size_t n = frame_put_text(out + FRAME_HDR_LEN + 2, r->text,
				  REFUSED_TEXT_MAX);

	frame_header(out, FRAME_REFUSED, 0, 2 + n, 0);
	put_be16(out + FRAME_HDR_LEN, r->code);
	return FRAME_HDR_LEN + 2 + n;
}

int refused_decode(const uint8_t *body, size_t len, struct refused *ret)
{
	if (len < 2 || len - 2 > REFUSED_TEXT_MAX ||
	    !str_is_clean((const char *)body + 2, len - 2))
		return RW_ERR_PROTO;
	ret->code = get_be16(body);
	memcpy(ret->text, body + 2, len - 2);
	ret->text[len - 2] = '\0';
	return 0;
}

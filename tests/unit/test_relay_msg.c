/* SPDX-License-Identifier: MIT */
/* The codec between a device and its relay. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "wire/relay_msg.h"

#define DEVICE RELAY_SIDE_DEVICE
#define RELAY  RELAY_SIDE_RELAY

/* A sound message of each type, with every field. */
static struct relay_msg sample(uint8_t type)
{
	static const uint8_t lost[16] = { 0, 0, 0, 0, 0, 0, 0, 7, 1 };
	struct relay_msg m = { .type = type };

	switch (type) {
	case R_HELLO:
		m.hello.version_min = m.hello.version_max = RELAY_VERSION;
		m.hello.purpose = RELAY_CONTROL;
		m.hello.role = RELAY_RIG;
		strcpy(m.hello.name, "desk");
		m.hello.incarnation = 0x1122334455667788;
		memset(m.hello.secret, 0xaa, sizeof(m.hello.secret));
		memset(&m.hello.rig, 0xbb, sizeof(m.hello.rig));
		memset(m.hello.invite_id, 0xcc, sizeof(m.hello.invite_id));
		m.hello.wait = 1;
		m.hello.rendezvous = 99;
		m.hello.lost = (struct msg_view){ lost, sizeof(lost) };
		for (int tag = R_TAG_NAME; tag <= R_TAG_LOST; tag++)
			m.hello.present |= MSG_BIT(tag);
		break;
	case R_WELCOME:
		m.welcome.version = RELAY_VERSION;
		strcpy(m.welcome.name, "relay.example.org");
		strcpy(m.welcome.fleet, "f-7k2m");
		strcpy(m.welcome.addr, "[2001:db8::1]:4711");
		m.welcome.incarnation = 5;
		break;
	case R_REFUSED:
		m.refused.code = relay_code(RW_ERR_USED);
		strcpy(m.refused.text, "used");
		m.refused.ref = 3;
		m.refused.present = MSG_BIT(R_TAG_REF);
		break;
	case R_CALL:
		m.call.rendezvous = 1;
		memset(m.call.invite_id, 1, sizeof(m.call.invite_id));
		m.call.present = MSG_BIT(R_TAG_INVITE_ID);
		break;
	case R_ROW:
		m.row.role = RELAY_CLIENT;
		m.row.online = 1;
		m.row.since = 1795242148;
		break;
	case R_INVITE:
		m.invite.ref = 1;
		m.invite.role = RELAY_CLIENT;
		m.invite.ttl = 86400;
		m.invite.uses = 1;
		break;
	case R_ADMIT:
		m.admit.ref = 1;
		memset(&m.admit.pin, 0xdd, sizeof(m.admit.pin));
		strcpy(m.admit.name, "laptop");
		break;
	case R_LOST: m.lost.lost = (struct msg_view){ lost, 8 }; break;
	default: m.number.number = 42;
	}
	return m;
}

static enum relay_side sender(uint8_t type)
{
	struct relay_msg m = sample(type), got;
	uint8_t f[RELAY_FRAME_MAX];
	size_t n = relay_msg_write(&m, f);

	return relay_msg_read(f, n, DEVICE, &got) > 0 ? DEVICE : RELAY;
}

static void each_type_comes_back_as_it_went(void **state)
{
	(void)state;
	for (uint8_t type = R_HELLO; type <= R_ADMIT; type++) {
		struct relay_msg m = sample(type), got;
		uint8_t f[RELAY_FRAME_MAX], again[RELAY_FRAME_MAX];
		size_t n = relay_msg_write(&m, f);

		assert_int_equal(relay_msg_read(f, n, sender(type), &got), n);
		assert_int_equal(got.type, type);
		assert_int_equal(relay_msg_write(&got, again), n);
		assert_memory_equal(f, again, n);
	}
}

static void every_prefix_asks_for_more(void **state)
{
	(void)state;
	for (uint8_t type = R_HELLO; type <= R_ADMIT; type++) {
		struct relay_msg m = sample(type), got = { .type = 1 };
		uint8_t f[RELAY_FRAME_MAX];
		size_t n = relay_msg_write(&m, f);

		for (size_t i = 0; i < n; i++)
			assert_int_equal(
				relay_msg_read(f, i, sender(type), &got), 0);
		assert_int_equal(got.type, 1);
	}
}

static void bad_headers_fail_before_the_body_arrives(void **state)
{
	static const uint8_t bad[][RELAY_HDR_LEN] = {
		{ 0x3f, 0, 0, 0, 0, 0, 0, 0 },	     /* no such type */
		{ 0x51, 0, 0, 0, 0, 0, 0, 0 },	     /* none either */
		{ R_HELLO, 1, 0, 9, 0, 0, 0, 0 },    /* a flag */
		{ R_HELLO, 0, 0, 9, 0, 0, 0, 1 },    /* a stream */
		{ R_HELLO, 0, 4, 1, 0, 0, 0, 0 },    /* too long */
		{ R_HELLO, 0, 0xff, 0xff, 0, 0, 0 }, /* much too long */
		{ R_WELCOME, 0, 0, 9, 0, 0, 0, 0 },  /* not a device's */
	};
	struct relay_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(
			relay_msg_read(bad[i], RELAY_HDR_LEN, DEVICE, &m),
			RW_ERR_PROTO);
}

static void each_side_sends_only_its_own(void **state)
{
	static const uint8_t devices[] = { R_HELLO,   R_PING, R_PONG,
					   R_INVITE,  R_DROP, R_LIST,
					   R_DECLINE, R_LOST, R_ADMIT };

	(void)state;
	for (uint8_t type = R_HELLO; type <= R_ADMIT; type++) {
		bool is_devices = memchr(devices, type, sizeof(devices));
		bool is_both = type == R_PING || type == R_PONG;
		struct relay_msg m = sample(type), got;
		uint8_t f[RELAY_FRAME_MAX];
		size_t n = relay_msg_write(&m, f);

		assert_int_equal(relay_msg_read(f, n, DEVICE, &got) > 0,
				 is_devices);
		assert_int_equal(relay_msg_read(f, n, RELAY, &got) > 0,
				 !is_devices || is_both);
	}
}

static int read_hello(const struct relay_msg *m)
{
	struct relay_msg got;
	uint8_t f[RELAY_FRAME_MAX];
	ssize_t n = relay_msg_read(f, relay_msg_write(m, f), DEVICE, &got);

	return n > 0 ? 0 : (int)n;
}

static void a_hello_without_what_its_purpose_needs_is_refused(void **state)
{
	static const struct {
		uint8_t purpose, needs;
	} rows[] = {
		{ RELAY_CONTROL, R_TAG_INCARNATION },
		{ RELAY_WISH, R_TAG_RIG },
		{ RELAY_ANSWER, R_TAG_RENDEZVOUS },
		{ RELAY_REDEEM, R_TAG_SECRET },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct relay_msg m = sample(R_HELLO);

		m.hello.purpose = rows[i].purpose;
		m.hello.present = MSG_BIT(rows[i].needs);
		assert_int_equal(read_hello(&m), 0);
		m.hello.present = 0;
		assert_int_equal(read_hello(&m), RW_ERR_PROTO);
	}
}

static void unsound_hellos_are_refused(void **state)
{
	struct relay_msg m = sample(R_HELLO);

	(void)state;
	m.hello.purpose = 0;
	assert_int_equal(read_hello(&m), RW_ERR_PROTO);
	m.hello.purpose = RELAY_LIST + 1;
	assert_int_equal(read_hello(&m), RW_ERR_PROTO);
	m = sample(R_HELLO);
	m.hello.role = 3;
	assert_int_equal(read_hello(&m), RW_ERR_PROTO);
	m = sample(R_HELLO);
	m.hello.version_min = 2;
	assert_int_equal(read_hello(&m), RW_ERR_PROTO);
	m = sample(R_HELLO);
	m.hello.lost.len = 9; /* no whole numbers */
	assert_int_equal(read_hello(&m), RW_ERR_PROTO);
	m.hello.lost.len = 0;
	assert_int_equal(read_hello(&m), 0);
}

static void errors_travel_and_local_ones_do_not(void **state)
{
	(void)state;
	assert_int_equal(relay_code(RW_ERR_PROTO), 1);
	assert_int_equal(relay_code_err(relay_code(RW_ERR_USED)), RW_ERR_USED);
	assert_int_equal(relay_code_err(relay_code(RW_ERR_EOF)), RW_ERR_EOF);
	assert_int_equal(relay_code_err(relay_code(-EPIPE)), RW_ERR_REFUSED);
	assert_int_equal(relay_code_err(relay_code(-ENOSPC)), RW_ERR_LIMIT);
	assert_int_equal(relay_code_err(0), RW_ERR_REFUSED);
	assert_int_equal(relay_code_err(999), RW_ERR_REFUSED);
	assert_int_equal(relay_code_err(65535), RW_ERR_REFUSED);
}

/* No local text can make a message of ours unsound. */
static void text_is_made_clean_and_cut(void **state)
{
	char out[8];

	(void)state;
	relay_text_copy(out, sizeof(out), "short");
	assert_string_equal(out, "short");
	relay_text_copy(out, sizeof(out), "\x1b[31m");
	assert_string_equal(out, "?[31m");
	/* The cut splits the last one. */
	relay_text_copy(out, sizeof(out), "12345\xe2\x82\xac");
	assert_string_equal(out, "12345??");
	relay_text_copy(out, sizeof(out), "gr\xc3\xbc\xc3\x9f");
	assert_string_equal(out, "gr\xc3\xbc\xc3\x9f");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_comes_back_as_it_went),
		cmocka_unit_test(every_prefix_asks_for_more),
		cmocka_unit_test(bad_headers_fail_before_the_body_arrives),
		cmocka_unit_test(each_side_sends_only_its_own),
		cmocka_unit_test(
			a_hello_without_what_its_purpose_needs_is_refused),
		cmocka_unit_test(unsound_hellos_are_refused),
		cmocka_unit_test(errors_travel_and_local_ones_do_not),
		cmocka_unit_test(text_is_made_clean_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

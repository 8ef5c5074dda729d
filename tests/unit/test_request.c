/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <string.h>

#include "base/err.h"
#include "wire/frame.h"
#include "wire/request.h"

static const char key_line[] = "ssh-ed25519 AAAA comment";

/* One of each, with every field set. */
static struct request sample(uint8_t type)
{
	struct request r = { .type = type, .number = 7 };

	switch (type) {
	case Q_INVITE:
		r.q_invite.ttl_s = 3600;
		r.q_invite.uses = 3;
		strcpy(r.q_invite.services, "ssh,8888");
		break;
	case A_INVITE:
		strcpy(r.a_invite.code, "rw1abc");
		strcpy(r.a_invite.note, "hear");
		break;
	case A_DEVICE:
		memset(r.a_device.pin, 0x5a, PIN_LEN);
		strcpy(r.a_device.name, "laptop");
		r.a_device.role = REQUEST_OWNER;
		r.a_device.online = 1;
		r.a_device.admitted = 1767225600;
		r.a_device.last = 1767225601;
		break;
	case Q_REMOVE: strcpy(r.q_remove.who, "laptop"); break;
	case Q_AUTHORIZE:
		r.q_authorize.key.data = (const uint8_t *)key_line;
		r.q_authorize.key.len = strlen(key_line);
		break;
	case A_DONE:
	case A_ERROR:
		r.text.code = type == A_ERROR ? 7 : 0;
		strcpy(r.text.text, "so it is");
		break;
	default: break;
	}
	return r;
}

static const uint8_t types[] = { Q_INVITE, A_INVITE,	Q_DEVICES, A_DEVICE,
				 Q_REMOVE, Q_AUTHORIZE, A_DONE,	   A_ERROR };

static void every_request_reads_back(void **state)
{
	uint8_t out[REQUEST_MAX], again[REQUEST_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		struct request r = sample(types[i]), back;
		ssize_t n = request_write(&r, out, sizeof(out));

		assert_true(n >= REQUEST_HDR_LEN);
		assert_int_equal(request_read(out, (size_t)n, &back), n);
		assert_true(back.known);
		assert_int_equal(back.type, types[i]);
		assert_int_equal(back.number, 7);
		assert_int_equal(request_write(&back, again, sizeof(again)), n);
		assert_memory_equal(out, again, (size_t)n);
	}
}

static void every_prefix_asks_for_more(void **state)
{
	uint8_t out[REQUEST_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		struct request r = sample(types[i]), back = { .number = 99 };
		ssize_t n = request_write(&r, out, sizeof(out));

		for (size_t len = 0; len < (size_t)n; len++)
			assert_int_equal(request_read(out, len, &back), 0);
		assert_int_equal(back.number, 99);
	}
}

/* A peer that announces nonsense is not waited for. */
static void bad_headers_fail_before_the_body_arrives(void **state)
{
	static const uint8_t bad[][REQUEST_HDR_LEN] = {
		{ 0x11, 0, 0, 0, 0, 0, 0, 1 },		 /* a session's frame */
		{ Q_DEVICES, 1, 0, 0, 0, 0, 0, 1 },	 /* a flag */
		{ Q_INVITE, 0, 0xff, 0xff, 0, 0, 0, 1 }, /* too long */
	};
	struct request r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(request_read(bad[i], REQUEST_HDR_LEN, &r),
				 RW_ERR_PROTO);
}

static void a_newer_request_is_whole_but_not_known(void **state)
{
	static const uint8_t newer[] = { 0x90, 0, 0, 3, 0, 0, 0, 5, 1, 2, 3 };
	struct request r;

	(void)state;
	assert_int_equal(request_read(newer, sizeof(newer) - 1, &r), 0);
	assert_int_equal(request_read(newer, sizeof(newer), &r),
			 (ssize_t)sizeof(newer));
	assert_false(r.known);
	assert_int_equal(r.number, 5);
}

static void a_missing_field_is_an_error(void **state)
{
	static const uint8_t empty[] = { Q_REMOVE, 0, 0, 0, 0, 0, 0, 5 };
	struct request r;

	(void)state;
	assert_int_equal(request_read(empty, sizeof(empty), &r), RW_ERR_PROTO);
}

static void errors_travel_as_reasons(void **state)
{
	(void)state;
	assert_int_equal(request_err(request_code(RW_ERR_NOT_ALLOWED)),
			 RW_ERR_NOT_ALLOWED);
	assert_int_equal(request_err(0), RW_ERR_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_reads_back),
		cmocka_unit_test(every_prefix_asks_for_more),
		cmocka_unit_test(bad_headers_fail_before_the_body_arrives),
		cmocka_unit_test(a_newer_request_is_whole_but_not_known),
		cmocka_unit_test(a_missing_field_is_an_error),
		cmocka_unit_test(errors_travel_as_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

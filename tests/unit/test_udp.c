/* SPDX-License-Identifier: MIT */
/* UDP sockets, and what an address says about how far it reaches. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "net/ifaces.h"
#include "net/loop.h"
#include "net/sockaddr.h"
#include "net/udp.h"

struct heard {
	size_t count, len;
	uint8_t first;
	struct sockaddr_storage from;
};

static void on_datagram(void *user, const uint8_t *data, size_t len,
			const struct sockaddr *from)
{
	struct heard *h = user;

	h->count++;
	h->len = len;
	h->first = len > 0 ? data[0] : 0;
	memcpy(&h->from, from, sizeof(struct sockaddr_in));
}

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_port = htons(port) };

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sa;
}

static struct udp *open_at(uv_loop_t *loop, struct heard *h, uint16_t port)
{
	const struct udp_params p = { .family = AF_INET,
				      .host = "127.0.0.1",
				      .port = port,
				      .on_datagram = on_datagram,
				      .user = h };
	struct udp *u = NULL;

	assert_int_equal(udp_open(loop, &p, &u), 0);
	return u;
}

static void a_datagram_arrives_and_is_answered(void **state)
{
	static const uint8_t big[UDP_LEN_MAX + 1] = { 5 };
	struct heard ha = { 0 }, hb = { 0 };
	uv_loop_t loop;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	struct udp *a = open_at(&loop, &ha, 0), *b = open_at(&loop, &hb, 0);
	struct sockaddr_in to = loopback(udp_port(b));
	struct sockaddr *sa = (struct sockaddr *)&to;

	assert_int_equal(udp_send(a, sa, "hi", 2), 0);
	while (hb.count == 0)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(hb.len, 2);
	assert_int_equal(udp_send(b, (struct sockaddr *)&hb.from, "ho", 2), 0);
	while (ha.count == 0)
		uv_run(&loop, UV_RUN_ONCE);
	/* One too long is dropped, what comes next is not. */
	assert_int_equal(udp_send(a, sa, big, sizeof(big)), 0);
	assert_int_equal(udp_send(a, sa, big, sizeof(big) - 1), 0);
	while (hb.count == 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(hb.count, 2);
	assert_int_equal(hb.len, UDP_LEN_MAX);
	/* A port where nobody is does no harm. */
	to = loopback(1);
	assert_int_equal(udp_send(a, sa, "x", 1), 0);
	udp_close(b);
	loop_run_close(&loop); /* closes the other one */
}

static void a_port_is_shared_only_among_those_who_say_so(void **state)
{
	struct udp_params p = { .family = AF_INET,
				.is_shared = true,
				.on_datagram = on_datagram };
	struct udp *a, *b, *c = NULL;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(udp_open(&loop, &p, &a), 0);
	p.port = udp_port(a);
	assert_int_equal(udp_open(&loop, &p, &b), 0);
	p.is_shared = false;
	assert_int_equal(udp_open(&loop, &p, &c), -EADDRINUSE);
	assert_null(c);
	loop_run_close(&loop);
}

static void an_address_says_how_far_it_reaches(void **state)
{
	static const struct {
		const char *ip;
		enum sockaddr_scope scope;
	} rows[] = {
		{ "127.0.0.1", SOCKADDR_LOOPBACK },
		{ "0.0.0.0", SOCKADDR_ANY },
		{ "169.254.7.8", SOCKADDR_LINK },
		{ "10.1.2.3", SOCKADDR_PRIVATE },
		{ "100.64.0.1", SOCKADDR_PRIVATE },
		{ "100.128.0.1", SOCKADDR_GLOBAL },
		{ "172.31.255.255", SOCKADDR_PRIVATE },
		{ "172.32.0.0", SOCKADDR_GLOBAL },
		{ "192.168.1.5", SOCKADDR_PRIVATE },
		{ "203.0.113.5", SOCKADDR_GLOBAL },
		{ "::1", SOCKADDR_LOOPBACK },
		{ "::", SOCKADDR_ANY },
		{ "::ffff:127.0.0.1", SOCKADDR_LOOPBACK },
		{ "fe80::1", SOCKADDR_LINK },
		{ "fd00::1", SOCKADDR_PRIVATE },
		{ "2001:db8::1", SOCKADDR_GLOBAL },
		{ "::ffff:10.0.0.1", SOCKADDR_PRIVATE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage ss = { 0 };

		if (uv_ip4_addr(rows[i].ip, 1, &v4) == 0)
			memcpy(&ss, &v4, sizeof(v4));
		else if (uv_ip6_addr(rows[i].ip, 1, &v6) == 0)
			memcpy(&ss, &v6, sizeof(v6));
		assert_int_equal(sockaddr_scope((struct sockaddr *)&ss),
				 rows[i].scope);
	}
}

static void this_machine_has_its_loopback(void **state)
{
	static struct iface_addr list[IFACES_MAX];
	size_t left_out, n = ifaces_list(list, &left_out);
	bool found = false;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		const struct sockaddr *sa = (struct sockaddr *)&list[i].addr;

		assert_true(list[i].index > 0 && list[i].name[0] != '\0');
		found = found ||
			(list[i].is_loopback && sa->sa_family == AF_INET &&
			 sockaddr_scope(sa) == SOCKADDR_LOOPBACK);
	}
	if (!found) /* a namespace where nothing is up */
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_datagram_arrives_and_is_answered),
		cmocka_unit_test(a_port_is_shared_only_among_those_who_say_so),
		cmocka_unit_test(an_address_says_how_far_it_reaches),
		cmocka_unit_test(this_machine_has_its_loopback),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}

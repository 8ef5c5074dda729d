/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "rig/policy.h"

static struct device guest(const char *services)
{
	struct device dev = { .role = DEVICE_GUEST };

	strcpy(dev.services, services);
	return dev;
}

static struct target tcp(const char *text)
{
	struct target t;

	assert_int_equal(target_parse(STREAM_TCP, text, &t), 0);
	return t;
}

/* Whether dev may connect to t once it was resolved to addr. */
static bool may(const struct device *dev, const char *t, const char *addr,
		uint16_t sshd_port)
{
	struct target target = tcp(t);
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *in = (void *)&ss;
	struct sockaddr_in6 *in6 = (void *)&ss;

	if (inet_pton(AF_INET, addr, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(target.hp.port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, addr, &in6->sin6_addr), 1);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(target.hp.port);
	}
	return policy_allows_target(dev, &target, sshd_port) &&
	       policy_allows_addr(dev, &target, (const struct sockaddr *)&ss,
				  sshd_port);
}

static void an_owner_reaches_everything(void **state)
{
	const struct device dev = { .role = DEVICE_OWNER };
	struct target t;

	(void)state;
	assert_true(may(&dev, "127.0.0.1:1", "127.0.0.1", 0));
	assert_true(may(&dev, "node2:8888", "10.0.0.7", 0));
	assert_int_equal(target_parse(STREAM_UNIX, "/run/x", &t), 0);
	assert_true(policy_allows_target(&dev, &t, 0));
}

static void a_removed_device_reaches_nothing(void **state)
{
	const struct device dev = { .role = DEVICE_REMOVED };

	(void)state;
	assert_false(may(&dev, "127.0.0.1:1", "127.0.0.1", 0));
}

static void a_guests_port_is_this_machines_alone(void **state)
{
	const struct device dev = guest("ssh,8888");

	(void)state;
	assert_true(may(&dev, "localhost:8888", "127.0.0.1", 0));
	assert_true(may(&dev, "localhost:8888", "::1", 0));
	assert_true(
		may(&dev, "[::ffff:127.0.0.1]:8888", "::ffff:127.0.0.1", 0));
	assert_true(may(&dev, "desk:8888", "127.0.1.1", 0));
	assert_false(may(&dev, "localhost:8889", "127.0.0.1", 0));
	/* A name that leads elsewhere does not lead there. */
	assert_false(may(&dev, "localhost:8888", "10.0.0.7", 0));
	assert_false(may(&dev, "evil.example:8888", "10.0.0.7", 0));
	assert_false(may(&dev, "0.0.0.0:8888", "0.0.0.0", 0));
	assert_false(may(&dev, "[::]:8888", "::", 0));
	assert_false(may(&dev, "[::ffff:10.0.0.7]:8888", "::ffff:10.0.0.7", 0));
}

static void a_guests_ssh_is_sshd_and_nothing_else(void **state)
{
	const struct device dev = guest("ssh");
	struct target t;

	(void)state;
	assert_int_equal(target_parse(STREAM_SERVICE, "ssh", &t), 0);
	assert_true(policy_allows_target(&dev, &t, 0));
	assert_int_equal(target_parse(STREAM_SERVICE, "jupyter", &t), 0);
	assert_false(policy_allows_target(&dev, &t, 0));
	assert_true(may(&dev, "localhost:2222", "127.0.0.1", 2222));
	assert_false(may(&dev, "localhost:22", "127.0.0.1", 2222));
	assert_false(may(&dev, "localhost:22", "127.0.0.1", 0));
	assert_false(may(&dev, "other:2222", "10.0.0.7", 2222));
}

static void a_guests_address_is_compared_in_its_one_form(void **state)
{
	const struct device dev = guest("10.0.0.7:80,[2001:db8::1]:443");

	(void)state;
	assert_true(may(&dev, "10.0.0.7:80", "10.0.0.7", 0));
	assert_true(may(&dev, "name:80", "::ffff:10.0.0.7", 0));
	assert_true(may(&dev, "[2001:db8:0::1]:443", "2001:db8::1", 0));
	assert_false(may(&dev, "10.0.0.8:80", "10.0.0.8", 0));
	assert_false(may(&dev, "10.0.0.7:443", "10.0.0.7", 0));
	assert_false(may(&dev, "[2001:db8::1]:80", "2001:db8::1", 0));
}

static void a_guests_host_is_meant_by_its_name(void **state)
{
	const struct device dev = guest("node2:8888");

	(void)state;
	assert_true(may(&dev, "NODE2:8888", "10.0.0.7", 0));
	assert_false(may(&dev, "10.0.0.7:8888", "10.0.0.7", 0));
	assert_false(may(&dev, "node22:8888", "10.0.0.7", 0));
}

static void a_guests_unix_socket_is_that_path(void **state)
{
	const struct device dev = guest("/run/a.sock");
	struct target t;

	(void)state;
	assert_int_equal(target_parse(STREAM_UNIX, "/run/a.sock", &t), 0);
	assert_true(policy_allows_target(&dev, &t, 0));
	assert_int_equal(target_parse(STREAM_UNIX, "/run/../run/a.sock", &t),
			 0);
	assert_false(policy_allows_target(&dev, &t, 0));
}

static void targets_are_judged_by_their_form(void **state)
{
	static const struct {
		int kind;
		const char *text;
	} bad[] = {
		{ STREAM_TCP, "" },	  { STREAM_TCP, "host" },
		{ STREAM_TCP, "host:0" }, { STREAM_TCP, "host:70000" },
		{ STREAM_TCP, ":80" },	  { STREAM_UNIX, "relative" },
		{ STREAM_UNIX, "" },	  { STREAM_SERVICE, "a b" },
		{ STREAM_SERVICE, "" },	  { 9, "x" },
	};
	struct target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(target_parse((enum stream_kind)bad[i].kind,
					      bad[i].text, &t),
				 RW_ERR_FORMAT);
}

static void services_have_one_form(void **state)
{
	char out[DEVICE_SERVICES_CAP], bad[DEVICE_SERVICES_CAP];

	(void)state;
	assert_int_equal(services_parse("ssh, 8888 node2:80,/run/x", out, bad),
			 0);
	assert_string_equal(out, "ssh,8888,node2:80,/run/x");
	assert_int_equal(services_parse("", out, bad), 0);
	assert_string_equal(out, "");
	assert_int_equal(services_parse("ssh,99999", out, bad), RW_ERR_FORMAT);
	assert_string_equal(bad, "99999");
	assert_int_equal(services_parse("a:b:c", out, bad), RW_ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_owner_reaches_everything),
		cmocka_unit_test(a_removed_device_reaches_nothing),
		cmocka_unit_test(a_guests_port_is_this_machines_alone),
		cmocka_unit_test(a_guests_ssh_is_sshd_and_nothing_else),
		cmocka_unit_test(a_guests_address_is_compared_in_its_one_form),
		cmocka_unit_test(a_guests_host_is_meant_by_its_name),
		cmocka_unit_test(a_guests_unix_socket_is_that_path),
		cmocka_unit_test(targets_are_judged_by_their_form),
		cmocka_unit_test(services_have_one_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

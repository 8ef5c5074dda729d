/* SPDX-License-Identifier: MIT */
/*
 * Dialling by name while name servers misbehave: getaddrinfo() is this file's
 * own, and libuv calls it from its threads.
 */
#include "unit.h"

#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "net/dial.h"
#include "net/listen.h"
#include "net/loop.h"

typedef int resolver(const char *host, const char *service,
		     const struct addrinfo *hints, struct addrinfo **ret);

/* What the next answers are: an EAI code, or 0; and whether they wait until
 * something can be read from the gate. */
static atomic_int answer, is_silent, asked;
static int gate[2];

/* One address in both forms, as some resolvers and /etc/hosts give it. What
 * lies behind the shorter one is not the same twice. */
static int answer_twice(resolver *real, struct addrinfo **ret)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_flags = AI_NUMERICHOST };
	int err = real("::ffff:127.0.0.1", NULL, &hints, ret);

	return err != 0 ? err
			: real("127.0.0.1", NULL, &hints, &(*ret)->ai_next);
}

int getaddrinfo(const char *host, const char *service,
		const struct addrinfo *hints, struct addrinfo **ret)
{
	resolver *real;
	void *sym = dlsym(RTLD_NEXT, "getaddrinfo");

	memcpy(&real, &sym, sizeof(real));
	if (host == NULL || strstr(host, ".test") == NULL ||
	    (hints != NULL && (hints->ai_flags & AI_NUMERICHOST) != 0))
		return real(host, service, hints, ret);
	asked++;
	if (is_silent) {
		struct pollfd p = { .fd = gate[0], .events = POLLIN };

		poll(&p, 1, 20000);
	}
	if (answer != 0)
		return answer;
	if (strcmp(host, "mapped.test") == 0)
		return answer_twice(real, ret);
	return real("127.0.0.1", service, hints, ret);
}

static uv_loop_t loop;
static struct listener *l;

struct result {
	int calls, err, fd;
	enum dial_stage stage;
};

static void on_done(void *user, int err, int fd, enum dial_stage stage)
{
	*(struct result *)user = (struct result){ 1, err, fd, stage };
	if (fd >= 0)
		close(fd);
}

static void on_accept(void *user, int fd, const struct sockaddr_storage *peer)
{
	(void)user;
	(void)peer;
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	answer = is_silent = asked = 0;
	if (pipe(gate) < 0 || loop_init(&loop) < 0)
		return -1;
	return listener_open(&loop, &(struct listener_at){ "127.0.0.1", 0 },
			     on_accept, NULL, &l);
}

static int teardown(void **state)
{
	(void)state;
	if (write(gate[1], "x", 1) != 1)
		return -1;
	listener_close(l);
	loop_run_close(&loop);
	close(gate[0]);
	close(gate[1]);
	return 0;
}

static struct dial *dial_host(struct result *r, const char *host, bool proven)
{
	struct dial_params p = { .host = host,
				 .port = listener_port(l),
				 .peer_is_proven = proven,
				 .on_done = on_done,
				 .user = r };
	struct dial *d;

	*r = (struct result){ 0 };
	assert_int_equal(dial_start(&loop, &p, &d), 0);
	return d;
}

static struct dial *dial(struct result *r, bool proven)
{
	return dial_host(r, "relay.test", proven);
}

static void run(const struct result *r)
{
	while (r->calls == 0)
		uv_run(&loop, UV_RUN_ONCE);
}

static void the_last_answer_bridges_a_silent_name_server(void **state)
{
	struct result r, other;
	struct dial *d;

	(void)state;
	dial(&r, true);
	run(&r);
	assert_int_equal(r.err, 0);
	is_silent = 1;
	/* A target is never reached at an old address; a relay is. */
	d = dial(&other, false);
	dial(&r, true);
	run(&r);
	assert_int_equal(r.err, 0);
	assert_int_equal(r.stage, DIAL_DONE);
	assert_int_equal(other.calls, 0);
	dial_cancel(d);
}

/* Names are remembered for the next time, and no more than 64 of them. */
static void names_that_are_remembered_have_a_limit(void **state)
{
	char host[32];
	struct result r;

	(void)state;
	for (int i = 0; i <= 64; i++) {
		snprintf(host, sizeof(host), "n%d.test", i);
		dial_host(&r, host, true);
		run(&r);
		assert_int_equal(r.err, 0);
	}
	answer = EAI_AGAIN;
	for (int i = 0; i <= 64; i++) {
		snprintf(host, sizeof(host), "n%d.test", i);
		dial_host(&r, host, true);
		run(&r);
		/* The oldest has gone. */
		assert_int_equal(r.err, i == 0 ? RW_ERR_UNREACHABLE : 0);
	}
}

static void without_an_earlier_answer_there_is_none(void **state)
{
	struct dial_params p = { .host = "relay.test",
				 .port = 1,
				 .timeout_ms = 400,
				 .peer_is_proven = true,
				 .on_done = on_done };
	struct result r = { 0 };
	struct dial *d;

	(void)state;
	is_silent = 1;
	p.user = &r;
	assert_int_equal(dial_start(&loop, &p, &d), 0);
	run(&r);
	assert_int_equal(r.err, RW_ERR_TIMEOUT);
	assert_int_equal(r.stage, DIAL_RESOLVING);
}

static void
name_servers_that_fail_are_told_from_names_that_are_not(void **state)
{
	struct result r;

	(void)state;
	answer = EAI_AGAIN;
	dial(&r, true);
	run(&r);
	assert_int_equal(r.err, RW_ERR_UNREACHABLE);
	assert_int_equal(r.stage, DIAL_RESOLVING);
	answer = 0;
	dial(&r, true);
	run(&r);
	assert_int_equal(r.err, 0);
	answer = EAI_AGAIN;
	dial(&r, true);
	run(&r);
	assert_int_equal(r.err, 0); /* bridged at once */
	dial(&r, false);
	run(&r);
	assert_int_equal(r.err, RW_ERR_UNREACHABLE);
	/* A name that was taken away is gone for everybody. */
	answer = EAI_NONAME;
	dial(&r, true);
	run(&r);
	assert_int_equal(r.err, RW_ERR_NO_HOST);
	answer = EAI_AGAIN;
	dial(&r, true);
	run(&r);
	assert_int_equal(r.err, RW_ERR_UNREACHABLE);
}

/* The machine moved while its old name server was asked: the new one is. */
static void a_question_that_went_nowhere_is_asked_again(void **state)
{
	struct result old, r = { 0 };
	uint64_t limit = loop_now_us(&loop) + 60000000;

	(void)state;
	is_silent = 1;
	dial(&old, false);
	while (asked == 0)
		uv_run(&loop, UV_RUN_NOWAIT);
	is_silent = 0;
	while (r.err != 0 || r.calls == 0) {
		struct dial_params p = { .host = "relay.test",
					 .port = listener_port(l),
					 .timeout_ms = 500,
					 .on_done = on_done,
					 .user = &r };
		struct dial *d;

		r.calls = 0;
		assert_int_equal(dial_start(&loop, &p, &d), 0);
		run(&r);
		assert_true(loop_now_us(&loop) < limit);
	}
	assert_int_equal(asked, 2);
	assert_int_equal(old.calls, 0);
}

/* Else a few attempts would hold all of libuv's threads. */
static void a_silent_name_server_is_asked_once(void **state)
{
	struct result r[10];

	(void)state;
	is_silent = 1;
	for (size_t i = 0; i < 10; i++) {
		dial(&r[i], true);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(write(gate[1], "x", 1), 1);
	for (size_t i = 0; i < 10; i++) {
		run(&r[i]);
		assert_int_equal(r[i].err, 0);
	}
	assert_int_equal(asked, 1);
}

static struct sockaddr_storage judged[4];
static int judged_count;

static bool judge(const struct sockaddr *addr, void *user)
{
	(void)user;
	memcpy(&judged[judged_count++], addr,
	       addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					  : sizeof(struct sockaddr_in6));
	return false;
}

/* The rule sees the plain address, once: not what it would not know as v6, and
 * no second attempt at the same. */
static void a_v4_address_in_both_forms_is_one(void **state)
{
	struct result r = { 0 };
	const struct dial_params p = { .host = "mapped.test",
				       .port = listener_port(l),
				       .allow = judge,
				       .on_done = on_done,
				       .user = &r };
	struct dial *d;

	(void)state;
	judged_count = 0;
	assert_int_equal(dial_start(&loop, &p, &d), 0);
	run(&r);
	assert_int_equal(r.err, RW_ERR_NOT_ALLOWED);
	assert_int_equal(judged_count, 1);
	assert_int_equal(judged[0].ss_family, AF_INET);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_last_answer_bridges_a_silent_name_server),
		T(names_that_are_remembered_have_a_limit),
		T(without_an_earlier_answer_there_is_none),
		T(name_servers_that_fail_are_told_from_names_that_are_not),
		T(a_question_that_went_nowhere_is_asked_again),
		T(a_silent_name_server_is_asked_once),
		T(a_v4_address_in_both_forms_is_one),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Dialling and listening. Everything happens on loopback. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "net/dial.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/loop_local.h"
#include "net/sockaddr.h"

static uv_loop_t loop;

struct result {
	int calls, err, fd;
	enum dial_stage stage;
	int asked;	 /* times allow() ran */
	int deny_family; /* what allow() refuses; -1: all */
	char first[80];	 /* the first address that was asked for */
};

static void on_done(void *user, int err, int fd, enum dial_stage stage)
{
	struct result *r = user;

	r->calls++;
	r->err = err;
	r->fd = fd;
	r->stage = stage;
}

static bool allow(const struct sockaddr *addr, void *user)
{
	struct result *r = user;

	if (r->asked++ == 0)
		sockaddr_text(addr, r->first, sizeof(r->first));
	return r->deny_family != -1 && addr->sa_family != r->deny_family;
}

static void run_until_done(struct result *r)
{
	uint64_t limit = loop_now_us(NULL) + 30000000;

	while (r->calls == 0) {
		uv_run(&loop, UV_RUN_ONCE);
		assert_true(loop_now_us(NULL) < limit);
	}
	assert_int_equal(r->calls, 1);
}

static struct result dial(const char *host, uint16_t port, struct dial_params p)
{
	static struct result r;
	struct dial *d;

	if (p.user == NULL) {
		memset(&r, 0, sizeof(r));
		p.user = &r;
	} else {
		r = *(struct result *)p.user;
		p.user = &r;
	}
	p.host = host;
	p.port = port;
	p.on_done = on_done;
	assert_int_equal(dial_start(&loop, &p, &d), 0);
	assert_int_equal(r.calls, 0);
	run_until_done(&r);
	return r;
}

static int accepted;
static char accepted_from[80];

static void on_accept(void *user, int fd, const struct sockaddr_storage *peer)
{
	(void)user;
	sockaddr_text((const struct sockaddr *)peer, accepted_from,
		      sizeof(accepted_from));
	accepted++;
	close(fd);
}

static struct listener *listener(const char *host)
{
	struct listener *l;

	accepted = 0;
	assert_int_equal(listener_open(&loop, &(struct listener_at){ host, 0 },
				       on_accept, NULL, &l),
			 0);
	assert_true(listener_port(l) != 0);
	return l;
}

/* A port at which nobody listens: bound, so that nobody else comes along. */
static uint16_t closed_port(int *fd)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&sa, &len), 0);
	return ntohs(sa.sin_port);
}

static int loop_setup(void **state)
{
	(void)state;
	return loop_init(&loop);
}

static int loop_teardown(void **state)
{
	(void)state;
	loop_run_close(&loop);
	return 0;
}

static void a_listener_is_reached_by_number_and_by_name(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost",
					     "::ffff:127.0.0.1" };
	struct listener *l = listener("localhost");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct result r = dial(hosts[i], listener_port(l),
				       (struct dial_params){ 0 });

		assert_int_equal(r.err, 0);
		assert_int_equal(r.stage, DIAL_DONE);
		assert_true(r.fd >= 0);
		close(r.fd);
	}
	while (accepted < 3)
		uv_run(&loop, UV_RUN_ONCE);
	listener_close(l);
}

static void a_v4_client_of_a_listener_for_all_is_named_as_v4(void **state)
{
	struct listener *l = listener("*");
	struct result r =
		dial("127.0.0.1", listener_port(l), (struct dial_params){ 0 });

	(void)state;
	assert_int_equal(r.err, 0);
	close(r.fd);
	while (accepted < 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_memory_equal(accepted_from, "127.0.0.1:", 10);
	listener_close(l);
}

static void congestion(int fd, char ret[16])
{
	socklen_t len = 15;

	memset(ret, 0, 16);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, ret, &len),
			 0);
}

static char accepted_congestion[16];

static void on_accept_look(void *user, int fd,
			   const struct sockaddr_storage *peer)
{
	congestion(fd, accepted_congestion);
	on_accept(user, fd, peer);
}

/* There is no path between two programs of one machine: nothing paces there.
 * Who listens for all keeps what the system has set for the network. */
static void loopback_is_not_paced(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "*" };
	char systems[16], got[16];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	congestion(fd, systems);
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct listener *l;

		accepted = 0;
		assert_int_equal(
			listener_open(&loop,
				      &(struct listener_at){ hosts[i], 0 },
				      on_accept_look, NULL, &l),
			0);
		struct result r = dial("127.0.0.1", listener_port(l),
				       (struct dial_params){ 0 });

		while (accepted == 0)
			uv_run(&loop, UV_RUN_ONCE);
		congestion(r.fd, got);
		assert_string_equal(got, "reno");
		assert_string_equal(accepted_congestion,
				    i < 2 ? "reno" : systems);
		close(r.fd);
		listener_close(l);
	}
}

static void nobody_listening_is_refused(void **state)
{
	int fd;
	struct result r =
		dial("127.0.0.1", closed_port(&fd), (struct dial_params){ 0 });

	(void)state;
	assert_int_equal(r.err, RW_ERR_REFUSED);
	assert_int_equal(r.stage, DIAL_CONNECTING);
	assert_int_equal(r.fd, -1);
	close(fd);
}

static void a_name_without_address_is_no_host(void **state)
{
	char longest[400];
	struct result r;

	(void)state;
	/* RFC 6761: invalid never resolves. Without any name server the
	 * resolver says "try again", which is not the name's fault. */
	r = dial("no-such-host.invalid", 80, (struct dial_params){ 0 });
	assert_true(r.err == RW_ERR_NO_HOST || r.err == RW_ERR_UNREACHABLE);
	assert_int_equal(r.stage, DIAL_RESOLVING);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	r = dial(longest, 80, (struct dial_params){ 0 });
	assert_int_equal(r.err, RW_ERR_NO_HOST);
	r = dial("", 80, (struct dial_params){ 0 });
	assert_int_equal(r.err, RW_ERR_NO_HOST);
}

/* A listener whose backlog is full drops what comes: no answer. */
static void no_answer_is_a_timeout(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	int l = socket(AF_INET, SOCK_STREAM, 0), fill[8];
	struct result r;

	(void)state;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(l, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(l, 0), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sa, &len), 0);
	for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)&sa, sizeof(sa));
	}
	r = dial("127.0.0.1", ntohs(sa.sin_port),
		 (struct dial_params){ .timeout_ms = 300 });
	assert_int_equal(r.err, RW_ERR_TIMEOUT);
	assert_int_equal(r.stage, DIAL_CONNECTING);
	for (size_t i = 0; i < ARRAY_LEN(fill); i++)
		close(fill[i]);
	close(l);
}

static void each_address_is_asked_for_just_before(void **state)
{
	struct listener *l = listener("127.0.0.1");
	struct result deny = { .deny_family = -1 };
	struct result r =
		dial("127.0.0.1", listener_port(l),
		     (struct dial_params){ .allow = allow, .user = &deny });

	(void)state;
	assert_int_equal(r.err, RW_ERR_NOT_ALLOWED);
	assert_int_equal(r.asked, 1);
	/* However it is written: the rule sees the plain address. */
	r = dial("::ffff:127.0.0.1", listener_port(l),
		 (struct dial_params){ .allow = allow, .user = &deny });
	assert_int_equal(r.err, RW_ERR_NOT_ALLOWED);
	assert_memory_equal(r.first, "127.0.0.1:", 10);
	for (int i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(accepted, 0);
	listener_close(l);
}

/* "localhost" has two addresses; only one of them answers. */
static void the_address_that_answers_wins(void **state)
{
	struct listener *l = listener("127.0.0.1");
	struct result r =
		dial("localhost", listener_port(l), (struct dial_params){ 0 });

	(void)state;
	assert_int_equal(r.err, 0);
	close(r.fd);
	listener_close(l);
}

/* The first address of "localhost" is silent; the other is tried after 250 ms
 * (RFC 8305), not after the whole time. */
static void a_silent_address_does_not_hold_up_the_next(void **state)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct listener *l = listener("127.0.0.1");
	int deaf = socket(AF_INET6, SOCK_STREAM, 0), fill[8];
	struct result watch = { .deny_family = AF_UNIX };
	struct dial_params p = { .allow = allow, .user = &watch };
	uint64_t began;
	struct result r;

	(void)state;
	sa.sin6_port = htons(listener_port(l));
	if (deaf < 0 || bind(deaf, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		listener_close(l);
		skip();
		return;
	}
	assert_int_equal(listen(deaf, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
		fill[i] = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)&sa, sizeof(sa));
	}
	began = loop_now_us(NULL);
	r = dial("localhost", listener_port(l), p);
	assert_int_equal(r.err, 0);
	if (r.asked > 1) { /* "localhost" is both here */
		assert_memory_equal(r.first, "[::1]:", 6);
		assert_true(loop_now_us(NULL) - began >= 240000);
	}
	close(r.fd);
	for (size_t i = 0; i < ARRAY_LEN(fill); i++)
		close(fill[i]);
	close(deaf);
	listener_close(l);
}

/* Many dials to one name ask once, and each gets the answer. */
static void dials_to_one_name_share_the_answer(void **state)
{
	struct listener *l = listener("localhost");
	struct result r[20] = { 0 };
	struct dial *d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		struct dial_params p = { .host = "localhost",
					 .port = listener_port(l),
					 .peer_is_proven = i % 2 == 0,
					 .on_done = on_done,
					 .user = &r[i] };

		assert_int_equal(dial_start(&loop, &p, &d), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		run_until_done(&r[i]);
		assert_int_equal(r[i].err, 0);
		close(r[i].fd);
	}
	listener_close(l);
}

static void a_cancelled_dial_says_nothing(void **state)
{
	struct result r = { 0 };
	struct dial_params p = {
		.host = "localhost", .port = 9, .on_done = on_done, .user = &r
	};
	struct dial *d;

	(void)state;
	for (int turns = 0; turns < 2; turns++) {
		assert_int_equal(dial_start(&loop, &p, &d), 0);
		for (int i = 0; i < turns; i++)
			uv_run(&loop, UV_RUN_NOWAIT);
		if (r.calls == 0)
			dial_cancel(d);
		r.calls = 0;
		uv_run(&loop, UV_RUN_DEFAULT);
		assert_int_equal(r.calls, 0);
	}
	dial_cancel(NULL);
	/* One that is left to the end of the loop, while it resolves. */
	p.host = "no-such-host.invalid";
	assert_int_equal(dial_start(&loop, &p, &d), 0);
	uv_run(&loop, UV_RUN_NOWAIT);
}

/* Gives up a dial in the turn that began it. */
struct regret {
	struct deferred later;
	struct dial *dial;
};

static void on_regret(struct deferred *later)
{
	dial_cancel(container_of(later, struct regret, later)->dial);
}

/* Whoever gives up before it is connected may be too late for the kernel. */
static void a_cancelled_dial_is_no_end_of_file(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	struct result r = { 0 };
	struct regret regret = { .later.on_turn = on_regret };
	struct dial_params p = { .host = "127.0.0.1",
				 .on_done = on_done,
				 .user = &r };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), got;
	char c;

	(void)state;
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	p.port = ntohs(at.sin_port);
	list_init(&regret.later.link);
	assert_int_equal(dial_start(&loop, &p, &regret.dial), 0);
	loop_defer(loop_local(&loop), &regret.later);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(r.calls, 0);
	got = accept(fd, NULL, NULL);
	assert_true(got >= 0);
	assert_int_equal(recv(got, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(got);
	close(fd);
}

static void a_taken_port_is_in_use(void **state)
{
	struct listener *l = listener("127.0.0.1"), *m;

	(void)state;
	assert_int_equal(listener_open(&loop,
				       &(struct listener_at){
					       "127.0.0.1", listener_port(l) },
				       on_accept, NULL, &m),
			 -EADDRINUSE);
	assert_int_equal(listener_open(&loop,
				       &(struct listener_at){ "not a host", 0 },
				       on_accept, NULL, &m),
			 RW_ERR_NO_HOST);
	assert_int_equal(listener_open(&loop,
				       &(struct listener_at){ "192.0.2.1", 0 },
				       on_accept, NULL, &m),
			 -EADDRNOTAVAIL);
	listener_close(l);
	listener_close(NULL);
}

static void a_closed_listener_frees_its_port_at_once(void **state)
{
	struct listener *l = listener("127.0.0.1"), *m;
	uint16_t port = listener_port(l);

	(void)state;
	listener_close(l);
	assert_int_equal(
		listener_open(&loop, &(struct listener_at){ "127.0.0.1", port },
			      on_accept, NULL, &m),
		0);
	listener_close(m);
}

static struct listener *closing;

static void close_inside(void *user, int fd,
			 const struct sockaddr_storage *peer)
{
	on_accept(user, fd, peer);
	listener_close(closing);
}

static void closing_inside_on_accept_is_fine(void **state)
{
	struct result r;

	(void)state;
	accepted = 0;
	assert_int_equal(listener_open(&loop,
				       &(struct listener_at){ "127.0.0.1", 0 },
				       close_inside, NULL, &closing),
			 0);
	r = dial("127.0.0.1", listener_port(closing),
		 (struct dial_params){ 0 });
	assert_int_equal(r.err, 0);
	close(r.fd);
	while (accepted == 0)
		uv_run(&loop, UV_RUN_ONCE);
}

static void a_paused_listener_leaves_them_waiting(void **state)
{
	struct listener *l = listener("127.0.0.1");
	struct result r;

	(void)state;
	listener_pause(l);
	r = dial("127.0.0.1", listener_port(l), (struct dial_params){ 0 });
	assert_int_equal(r.err, 0);
	for (int i = 0; i < 5; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(accepted, 0);
	listener_resume(l);
	while (accepted == 0)
		uv_run(&loop, UV_RUN_ONCE);
	close(r.fd);
	listener_close(l);
}

static int shortages;

static void on_shortage(void *user, int err)
{
	(void)user;
	assert_int_equal(err, -EMFILE);
	shortages++;
}

/* The kernel tells each socket's error once. */
static bool was_reset(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 &&
	       getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 &&
	       err == ECONNRESET;
}

/* Takes every fd that a low limit leaves; how many. old is for the end. */
static int hold_fds(int last, int held[64], struct rlimit *old)
{
	struct rlimit low;
	int n = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, old), 0);
	low = *old;
	low.rlim_cur = (rlim_t)last + 8;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < 64 && (held[n] = dup(last)) >= 0)
		n++;
	assert_true(n < 64);
	return n;
}

/* It neither spins nor dies, says so once, and serves again when there are
 * fds. */
static void without_fds_it_rests(void **state)
{
	struct listener *l = listener("127.0.0.1");
	struct rlimit old;
	int held[64], n, turns = 0;
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int client[8];
	uint64_t began;

	(void)state;
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons(listener_port(l));
	for (size_t i = 0; i < ARRAY_LEN(client); i++)
		client[i] = socket(AF_INET, SOCK_STREAM, 0);
	n = hold_fds(client[7], held, &old);
	for (size_t i = 0; i < ARRAY_LEN(client); i++)
		assert_int_equal(
			connect(client[i], (struct sockaddr *)&sa, sizeof(sa)),
			0);
	shortages = 0;
	loop_on_shortage(&loop, on_shortage, NULL);
	began = loop_now_us(NULL);
	while (!was_reset(client[1])) {
		uv_run(&loop, UV_RUN_ONCE);
		turns++;
	}
	/* Between the first and the second it rested, for 0.1 s. */
	assert_true(turns < 20);
	assert_true(loop_now_us(NULL) >= began + 50000);
	assert_int_equal(shortages, 1);
	assert_int_equal(accepted, 0);
	/* Neither left in silence nor ended cleanly. */
	assert_true(was_reset(client[0]));
	while (n > 0)
		close(held[--n]);
	setrlimit(RLIMIT_NOFILE, &old);
	while (accepted < 2)
		uv_run(&loop, UV_RUN_ONCE);
	for (size_t i = 0; i < ARRAY_LEN(client); i++)
		close(client[i]);
	listener_close(l);
}

static void unix_sockets_are_private_and_replace_only_the_dead(void **state)
{
	char dir[] = "/tmp/rigway-dial-XXXXXX", path[64], file[64];
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct listener *l, *m;
	struct stat st;
	char longest[200];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(file, sizeof(file), "%s/f", dir);
	/* One that a dead process left. */
	strcpy(sa.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	assert_int_equal(dial_unix(path, &fd), RW_ERR_REFUSED);
	assert_int_equal(listener_open_unix(&loop, path, on_accept, NULL, &l),
			 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(listener_open_unix(&loop, path, on_accept, NULL, &m),
			 RW_ERR_BUSY);
	accepted = 0;
	assert_int_equal(dial_unix(path, &fd), 0);
	close(fd);
	while (accepted < 1)
		uv_run(&loop, UV_RUN_ONCE);
	assert_string_equal(accepted_from, "unix");
	listener_close(l);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(dial_unix(path, &fd), RW_ERR_NOT_FOUND);
	fd = open(file, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(listener_open_unix(&loop, file, on_accept, NULL, &m),
			 RW_ERR_EXISTS);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(
		listener_open_unix(&loop, longest, on_accept, NULL, &m),
		RW_ERR_LIMIT);
	assert_int_equal(dial_unix(longest, &fd), RW_ERR_LIMIT);
	unlink(file);
	rmdir(dir);
}

#define T(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_listener_is_reached_by_number_and_by_name),
		T(a_v4_client_of_a_listener_for_all_is_named_as_v4),
		T(loopback_is_not_paced),
		T(nobody_listening_is_refused),
		T(a_name_without_address_is_no_host),
		T(no_answer_is_a_timeout),
		T(each_address_is_asked_for_just_before),
		T(the_address_that_answers_wins),
		T(a_silent_address_does_not_hold_up_the_next),
		T(dials_to_one_name_share_the_answer),
		T(a_cancelled_dial_says_nothing),
		T(a_taken_port_is_in_use),
		T(a_cancelled_dial_is_no_end_of_file),
		T(a_closed_listener_frees_its_port_at_once),
		T(closing_inside_on_accept_is_fine),
		T(a_paused_listener_leaves_them_waiting),
		T(without_fds_it_rests),
		T(unix_sockets_are_private_and_replace_only_the_dead),
	};

	return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}

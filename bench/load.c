/* SPDX-License-Identifier: MIT */
/*
 * The load of the bench: a service, and the clients that measure the way to
 * it. It knows nothing of what stands between: a client is given the port to
 * connect to, and the service's own port for the figures only the service has.
 * Loopback only. Over 500 lines: one program without the libraries it measures.
 *
 *   load serve PORT
 *   load bulk up|down|both STREAMS PORT SERVICE SECONDS WARMUP MAX_BYTES
 *   load conns AT_A_TIME PORT SECONDS
 *   load echo SIZE PORT SECONDS
 *   load keys EVERY_MS PORT SECONDS
 *   load idle STREAMS PORT
 *   load start PORT SECONDS PROGRAM [ARGUMENT...]
 *   load count PORT
 *
 * A connection's first byte says what the service does with it: 'E' echoes
 * (that byte too), 'U' swallows, 'D' sends without end, 'Q' answers with the
 * bytes swallowed so far and the number of open bulk connections.
 *
 * bulk counts at the receiving end, so that what lies in queues on the way
 * is not taken for delivered. It prints "begin", then "end BYTES SECONDS", and
 * keeps the bytes flowing until its stdin ends: whoever runs it can look at
 * the processes on the way at both moments. SERVICE 0: the service is on
 * another machine, and what is sent is counted there: count answers each line
 * on stdin with the bytes swallowed so far and the time in nanoseconds.
 *
 * echo waits for each answer before it asks again; keys does not, as a person
 * who types does not. idle says "begin" when one byte went through each of its
 * connections, and keeps them until its stdin ends. start listens on PORT and
 * runs the program again and again: from before it is started until a byte of
 * its stdin arrives.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNK = 256 * 1024, /* one read or write of a bulk stream */
	EVENTS = 64,
	SLOTS_MAX = 64,
	ERRORS_MAX = 50, /* failed connections before conns gives up */
	KEYS_MAX = 4096,
	KEY_SIZE = 32,
	SILENCE_MS = 10000, /* nothing at all for so long: the way is dead */
};

/* One connection at the service, or one stream of bulk. */
struct conn {
	int fd;
	char mode; /* 0 until the first byte was read */
};

/* What 'Q' answers. */
struct counters {
	uint64_t swallowed;
	uint64_t open;
};

static _Atomic uint64_t swallowed;
static _Atomic uint64_t open_bulk;

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void die_plain(const char *what)
{
	fprintf(stderr, "load: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double seconds_since(uint64_t start_ns)
{
	return (double)(now_ns() - start_ns) / 1e9;
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void set_nonblocking(int fd)
{
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		die("fcntl");
}

static void set_nodelay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void watch(int ep, int op, int fd, uint32_t events, void *ptr)
{
	struct epoll_event ev = { .events = events, .data.ptr = ptr };

	if (epoll_ctl(ep, op, fd, &ev) < 0)
		die("epoll_ctl");
}

/* A blocking connection, its first byte sent. */
static int dial(int port, char mode)
{
	struct sockaddr_in sa = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("connect");
	set_nodelay(fd);
	if (write(fd, &mode, 1) != 1)
		die("write");
	return fd;
}

static void limit_silence(int fd)
{
	struct timeval limit = { .tv_sec = SILENCE_MS / 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/* A blocking connection to an echo that has answered once. */
static int dial_echo(int port)
{
	int fd = dial(port, 'E');
	char first;

	limit_silence(fd);
	if (recv(fd, &first, 1, MSG_WAITALL) != 1)
		die("the first byte did not come back");
	return fd;
}

static int listen_at(int port, int flags)
{
	struct sockaddr_in sa = loopback(port);
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, 1024) < 0)
		die("listen");
	return fd;
}

/* ---- the service ---- */

static void conn_close(struct conn *c)
{
	if (c->mode == 'U' || c->mode == 'D')
		atomic_fetch_sub(&open_bulk, 1);
	close(c->fd);
	free(c);
}

/* One read or write of a bulk connection; false when it has ended. */
static bool bulk_serve(struct conn *c, int events, char *buf)
{
	ssize_t n;

	if (c->mode == 'U') {
		n = read(c->fd, buf, CHUNK);
		if (n > 0)
			atomic_fetch_add(&swallowed, (uint64_t)n);
		return n > 0 || (n < 0 && errno == EAGAIN);
	}
	if (events & (POLLRDHUP | POLLHUP | POLLERR))
		return false;
	n = write(c->fd, buf, CHUNK);
	return n >= 0 || errno == EAGAIN;
}

/* Each bulk connection has a thread, as two programs that somebody copies
 * with would have; so the service never makes an echo wait behind bulk by
 * itself, and bulk competes for the cores as it would in life. */
static void *bulk_main(void *arg)
{
	struct conn *c = arg;
	char *buf = malloc(CHUNK);
	struct pollfd pfd = {
		.fd = c->fd,
		.events = c->mode == 'U' ? POLLIN : POLLOUT | POLLRDHUP,
	};

	if (buf == NULL)
		die("malloc");
	memset(buf, 'd', CHUNK);
	while (poll(&pfd, 1, -1) > 0 && bulk_serve(c, pfd.revents, buf))
		continue;
	free(buf);
	conn_close(c);
	return NULL;
}

static void bulk_start(struct conn *c)
{
	pthread_t thread;

	atomic_fetch_add(&open_bulk, 1);
	if (pthread_create(&thread, NULL, bulk_main, c) != 0)
		die_plain("no thread");
	pthread_detach(thread);
}

static void answer_query(struct conn *c)
{
	struct counters now = {
		.swallowed = atomic_load(&swallowed),
		.open = atomic_load(&open_bulk),
	};

	if (write(c->fd, &now, sizeof(now)) != sizeof(now))
		fprintf(stderr, "load: short answer\n");
	conn_close(c);
}

/* The first byte: stays here to echo, is answered, or moves to bulk. */
static void first_byte(int ep, struct conn *c)
{
	if (c->mode == 'Q') {
		answer_query(c);
	} else if (c->mode == 'U' || c->mode == 'D') {
		epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
		bulk_start(c);
	}
}

static void echo_serve(int ep, struct conn *c)
{
	char buf[4096];
	bool first = c->mode == 0;
	ssize_t n = read(c->fd, buf, first ? 1 : sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn_close(c);
		return;
	}
	if (first)
		c->mode = buf[0];
	if (c->mode == 'E') {
		if (write(c->fd, buf, (size_t)n) != n)
			conn_close(c);
	} else {
		first_byte(ep, c);
	}
}

static void serve_accept(int ep, int lfd)
{
	for (;;) {
		int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct conn *c;

		if (fd < 0)
			return;
		set_nodelay(fd);
		c = calloc(1, sizeof(*c));
		if (c == NULL)
			die("calloc");
		c->fd = fd;
		watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
	}
}

static _Noreturn void cmd_serve(int port)
{
	struct epoll_event ev[EVENTS];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int lfd = listen_at(port, SOCK_NONBLOCK);

	if (ep < 0)
		die("epoll_create1");
	watch(ep, EPOLL_CTL_ADD, lfd, EPOLLIN, NULL);
	puts("ready");
	for (;;) {
		int n = epoll_wait(ep, ev, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				serve_accept(ep, lfd);
			else
				echo_serve(ep, ev[i].data.ptr);
		}
	}
}

/* ---- bulk ---- */

static struct counters query(int service)
{
	struct counters c = { 0 };
	int fd = dial(service, 'Q');

	if (recv(fd, &c, sizeof(c), MSG_WAITALL) != sizeof(c))
		die_plain("the service gave no answer");
	close(fd);
	return c;
}

struct bulk {
	struct conn streams[SLOTS_MAX];
	int n;
	int ep;
	int service;
	uint64_t received; /* by the down streams */
	uint64_t sent;	   /* into the up streams; may still be on the way */
	char *buf;
};

static void bulk_move(struct bulk *b, struct conn *c)
{
	ssize_t n = c->mode == 'U' ? write(c->fd, b->buf, CHUNK)
				   : read(c->fd, b->buf, CHUNK);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die(c->mode == 'U' ? "up stream broke" : "down stream broke");
	if (c->mode == 'U')
		b->sent += (uint64_t)n;
	else
		b->received += (uint64_t)n;
}

/* Runs the streams for so long, or until so many bytes, or until stdin ends. */
static void bulk_run(struct bulk *b, double seconds, uint64_t max_bytes)
{
	uint64_t start = now_ns();
	uint64_t before = b->sent + b->received;
	struct epoll_event ev[EVENTS];

	for (;;) {
		double left_ms = (seconds - seconds_since(start)) * 1000;
		int n = epoll_wait(b->ep, ev, EVENTS,
				   left_ms < SILENCE_MS ? (int)left_ms + 1
							: SILENCE_MS);

		if (n == 0 && left_ms >= SILENCE_MS)
			die_plain("nothing moved for 10 s");
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				return;
			bulk_move(b, ev[i].data.ptr);
		}
		if (seconds_since(start) >= seconds ||
		    b->sent + b->received - before >= max_bytes)
			return;
	}
}

static uint64_t bulk_delivered(const struct bulk *b)
{
	return b->received +
	       (b->service != 0 ? query(b->service).swallowed : 0);
}

static void bulk_open(struct bulk *b, const char *dir, int port)
{
	for (int i = 0; i < b->n; i++) {
		struct conn *c = &b->streams[i];
		bool up = strcmp(dir, "up") == 0 ||
			  (strcmp(dir, "both") == 0 && i % 2 == 0);

		c->mode = up ? 'U' : 'D';
		c->fd = dial(port, c->mode);
		set_nonblocking(c->fd);
		watch(b->ep, EPOLL_CTL_ADD, c->fd, up ? EPOLLOUT : EPOLLIN, c);
	}
}

static int cmd_bulk(char **argv)
{
	struct bulk b = { .n = atoi(argv[1]), .service = atoi(argv[3]) };
	double seconds = atof(argv[4]), warmup = atof(argv[5]);
	uint64_t max_bytes = strtoull(argv[6], NULL, 10);
	uint64_t first, last, start;
	double took;

	if (b.n < 1 || b.n > SLOTS_MAX)
		die_plain("streams out of range");
	b.ep = epoll_create1(EPOLL_CLOEXEC);
	b.buf = malloc(CHUNK);
	if (b.ep < 0 || b.buf == NULL)
		die("bulk");
	memset(b.buf, 'u', CHUNK);
	bulk_open(&b, argv[0], atoi(argv[2]));

	bulk_run(&b, warmup, UINT64_MAX);
	puts("begin");
	first = bulk_delivered(&b);
	start = now_ns();
	bulk_run(&b, seconds, max_bytes);
	last = bulk_delivered(&b);
	took = seconds_since(start);
	printf("end %llu %.6f\n", (unsigned long long)(last - first), took);

	struct epoll_event ev = { .events = EPOLLIN | EPOLLHUP };

	/* A file or /dev/null cannot be watched: it has ended already. */
	if (epoll_ctl(b.ep, EPOLL_CTL_ADD, STDIN_FILENO, &ev) == 0)
		bulk_run(&b, 60, UINT64_MAX);
	for (int i = 0; i < b.n; i++)
		close(b.streams[i].fd);
	return 0;
}

/* ---- new connections ---- */

struct slot {
	int fd;
	bool is_sent;
	uint64_t start_ns;
};

static void slot_open(struct slot *s, int ep, int port)
{
	struct sockaddr_in sa = loopback(port);

	s->start_ns = now_ns();
	s->is_sent = false;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		die("socket");
	if (connect(s->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 &&
	    errno != EINPROGRESS)
		die("connect");
	watch(ep, EPOLL_CTL_ADD, s->fd, EPOLLOUT, s);
}

/* 1 when the byte came back, 0 when there is more to wait for, -1 on error. */
static int slot_step(struct slot *s, int ep)
{
	char byte = 'E';
	ssize_t n;

	if (!s->is_sent) {
		if (write(s->fd, &byte, 1) != 1)
			return -1;
		s->is_sent = true;
		watch(ep, EPOLL_CTL_MOD, s->fd, EPOLLIN, s);
		return 0;
	}
	n = read(s->fd, &byte, 1);
	if (n < 0 && errno == EAGAIN)
		return 0;
	return n == 1 ? 1 : -1;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The times taken, in nanoseconds, and how many of them there are. */
struct times {
	uint64_t *ns;
	size_t n, room;
};

static void times_add(struct times *t, uint64_t ns)
{
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 4096;
		t->ns = realloc(t->ns, t->room * sizeof(*t->ns));
		if (t->ns == NULL)
			die("realloc");
	}
	t->ns[t->n++] = ns;
}

static double times_percentile_us(struct times *t, double part)
{
	if (t->n == 0)
		die_plain("not one went through");
	qsort(t->ns, t->n, sizeof(*t->ns), by_value);
	return (double)t->ns[(size_t)((double)(t->n - 1) * part)] / 1e3;
}

static void times_print(struct times *t, double seconds, int errors)
{
	double p50 = times_percentile_us(t, 0.5);

	printf("%zu %.6f %.1f %.1f %d\n", t->n, seconds, p50,
	       times_percentile_us(t, 0.99), errors);
}

static int cmd_conns(int at_a_time, int port, double seconds)
{
	struct slot slots[SLOTS_MAX];
	struct epoll_event ev[EVENTS];
	struct times t = { 0 };
	int ep = epoll_create1(EPOLL_CLOEXEC), errors = 0;
	uint64_t start = now_ns();
	double took;

	if (at_a_time < 1 || at_a_time > SLOTS_MAX)
		die_plain("connections at a time out of range");
	for (int i = 0; i < at_a_time; i++)
		slot_open(&slots[i], ep, port);
	while (seconds_since(start) < seconds) {
		int n = epoll_wait(ep, ev, EVENTS, SILENCE_MS);

		if (n == 0)
			die_plain("no connection went through for 10 s");
		for (int i = 0; i < n; i++) {
			struct slot *s = ev[i].data.ptr;
			int done = slot_step(s, ep);

			if (done == 0)
				continue;
			if (done > 0)
				times_add(&t, now_ns() - s->start_ns);
			else if (++errors > ERRORS_MAX)
				die("too many connections failed");
			close(s->fd);
			slot_open(s, ep, port);
		}
	}
	took = seconds_since(start);
	times_print(&t, took, errors);
	return 0;
}

/* ---- echo ---- */

static int cmd_echo(int size, int port, double seconds)
{
	char out[4096], in[4096];
	struct times t = { 0 };
	uint64_t start;
	double took;
	int fd;

	if (size < 1 || (size_t)size > sizeof(out))
		die_plain("size out of range");
	memset(out, 'e', sizeof(out));
	fd = dial_echo(port);
	start = now_ns();
	while (seconds_since(start) < seconds) {
		uint64_t sent = now_ns();

		if (write(fd, out, (size_t)size) != size)
			die("echo write");
		if (recv(fd, in, (size_t)size, MSG_WAITALL) != size)
			die("echo read");
		if (memcmp(in, out, (size_t)size) != 0)
			die_plain("the echo differs");
		times_add(&t, now_ns() - sent);
	}
	took = seconds_since(start);
	times_print(&t, took, 0);
	return 0;
}

/* ---- keys ---- */

/* Keystrokes that have not come back yet, and what they all took. */
struct keys {
	uint64_t sent_ns[KEYS_MAX]; /* a ring */
	size_t sent, back;
	size_t part; /* of the next to come back */
	struct times took;
};

static void keys_read(struct keys *k, int fd)
{
	char in[4096];
	ssize_t n = recv(fd, in, sizeof(in), MSG_DONTWAIT);

	if (n <= 0)
		die("keys read");
	k->part += (size_t)n;
	for (; k->part >= KEY_SIZE; k->part -= KEY_SIZE, k->back++)
		times_add(&k->took, now_ns() - k->sent_ns[k->back % KEYS_MAX]);
}

static void keys_write(struct keys *k, int fd)
{
	static const char key[KEY_SIZE];

	if (k->sent - k->back == KEYS_MAX)
		die_plain("too many keystrokes have not come back");
	k->sent_ns[k->sent++ % KEYS_MAX] = now_ns();
	if (write(fd, key, sizeof(key)) != sizeof(key))
		die("keys write");
}

/* Types for so long, then waits for all that has not come back. */
static int cmd_keys(int every_ms, int port, double seconds)
{
	static struct keys k;
	int fd = dial_echo(port);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t start = now_ns();

	for (;;) {
		double now_ms = seconds_since(start) * 1000;
		double due_ms = (double)k.sent * every_ms;
		bool typing = due_ms < seconds * 1000;

		if (!typing && k.back == k.sent)
			break;
		if (typing && now_ms >= due_ms) {
			keys_write(&k, fd);
			continue;
		}
		int n = poll(&pfd, 1,
			     typing ? (int)(due_ms - now_ms) + 1 : SILENCE_MS);

		if (n > 0)
			keys_read(&k, fd);
		else if (n == 0 && !typing)
			die_plain("keystrokes did not come back");
	}
	times_print(&k.took, seconds_since(start), 0);
	return 0;
}

/* ---- idle, and the start of a program ---- */

static int cmd_idle(int streams, int port)
{
	for (int i = 0; i < streams; i++)
		dial_echo(port);
	puts("begin");
	while (getchar() != EOF)
		continue;
	return 0;
}

/* Its stdin is ours to write; what it says goes to our stderr. */
static pid_t spawn(char **argv, int *ret_stdin)
{
	posix_spawn_file_actions_t fa;
	int in[2], err;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0)
		die("pipe2");
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, in[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&fa, STDERR_FILENO, STDOUT_FILENO);
	err = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	if (err != 0) {
		errno = err;
		die(argv[0]);
	}
	posix_spawn_file_actions_destroy(&fa);
	close(in[0]);
	*ret_stdin = in[1];
	return pid;
}

static uint64_t start_once(int lfd, char **argv)
{
	uint64_t start = now_ns(), took;
	char byte = 'E';
	int in, fd, status;
	pid_t pid = spawn(argv, &in);

	if (write(in, &byte, 1) != 1)
		die("write");
	fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 || recv(fd, &byte, 1, MSG_WAITALL) != 1)
		die("the program sent nothing");
	took = now_ns() - start;
	close(in);
	close(fd);
	waitpid(pid, &status, 0);
	return took;
}

static int cmd_start(int port, double seconds, char **argv)
{
	struct times t = { 0 };
	int lfd = listen_at(port, 0);
	uint64_t start = now_ns();

	limit_silence(lfd);
	do
		times_add(&t, start_once(lfd, argv));
	while (seconds_since(start) < seconds);
	times_print(&t, seconds_since(start), 0);
	return 0;
}

static int cmd_count(int port)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin) != NULL)
		printf("%llu %llu\n", (unsigned long long)query(port).swallowed,
		       (unsigned long long)now_ns());
	return 0;
}

int main(int argc, char **argv)
{
	const char *cmd = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strcmp(cmd, "serve") == 0 && argc == 3)
		cmd_serve(atoi(argv[2]));
	if (strcmp(cmd, "bulk") == 0 && argc == 9)
		return cmd_bulk(argv + 2);
	if (strcmp(cmd, "conns") == 0 && argc == 5)
		return cmd_conns(atoi(argv[2]), atoi(argv[3]), atof(argv[4]));
	if (strcmp(cmd, "echo") == 0 && argc == 5)
		return cmd_echo(atoi(argv[2]), atoi(argv[3]), atof(argv[4]));
	if (strcmp(cmd, "keys") == 0 && argc == 5)
		return cmd_keys(atoi(argv[2]), atoi(argv[3]), atof(argv[4]));
	if (strcmp(cmd, "idle") == 0 && argc == 4)
		return cmd_idle(atoi(argv[2]), atoi(argv[3]));
	if (strcmp(cmd, "start") == 0 && argc >= 5)
		return cmd_start(atoi(argv[2]), atof(argv[3]), argv + 4);
	if (strcmp(cmd, "count") == 0 && argc == 3)
		return cmd_count(atoi(argv[2]));
	fputs("usage: load serve PORT\n"
	      "       load bulk up|down|both STREAMS PORT SERVICE SECONDS "
	      "WARMUP MAX_BYTES\n"
	      "       load conns AT_A_TIME PORT SECONDS\n"
	      "       load echo SIZE PORT SECONDS\n"
	      "       load keys EVERY_MS PORT SECONDS\n"
	      "       load idle STREAMS PORT\n"
	      "       load start PORT SECONDS PROGRAM [ARGUMENT...]\n"
	      "       load count PORT\n",
	      stderr);
	return 2;
}

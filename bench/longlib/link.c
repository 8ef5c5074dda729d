/* SPDX-License-Identifier: MIT */
/*
 * A long way: joins two network namespaces by a TUN device in each, and passes
 * what comes out of one to the other a while later, less what is lost, no
 * faster than the line, and as far as the queue before it has room; the same in
 * both directions.
 *
 *   link NAMESPACE NAMESPACE      both devices are called "far"
 *
 * Prints "ready". A line "DELAY_MS LOSS_PERCENT MBIT QUEUE_BYTES" on stdin says
 * what the way is like from now on, and is answered by "set". It ends with its
 * stdin.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
	PACKETS_MAX = 4096, /* under way in one direction */
	PACKET_MAX = 2048,
	AT_A_TIME = 64,
};

struct packet {
	int64_t due_ns;
	ssize_t len;
	char bytes[PACKET_MAX];
};

struct direction {
	struct packet *packets; /* a ring */
	unsigned first, end;
	int64_t free_ns; /* the line has sent all it was given */
	int from, to;
};

struct way {
	double delay_ms, loss, mbit, queue;
};

static void die(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int device(const char *ns_path)
{
	struct ifreq req = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int ns = open(ns_path, O_RDONLY | O_CLOEXEC), fd;

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		die(ns_path);
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die("/dev/net/tun");
	snprintf(req.ifr_name, sizeof(req.ifr_name), "far");
	if (ioctl(fd, TUNSETIFF, &req) < 0)
		die("TUNSETIFF");
	return fd;
}

/* Takes one packet in; 0 when there is none. */
static ssize_t take(struct direction *d, const struct way *w)
{
	struct packet *p = &d->packets[d->end % PACKETS_MAX];
	int64_t now;

	p->len = read(d->from, p->bytes, sizeof(p->bytes));
	if (p->len <= 0)
		return 0;
	now = now_ns();
	if (d->free_ns < now)
		d->free_ns = now;
	/* What waits for the line, in bytes: 8000 ns a byte at 1 Mbit/s. */
	if ((double)(d->free_ns - now) * w->mbit / 8000 > w->queue ||
	    d->end - d->first == PACKETS_MAX - 1)
		return p->len;
	d->free_ns += (int64_t)((double)p->len * 8000 / w->mbit);
	if (drand48() * 100 < w->loss)
		return p->len;
	p->due_ns = d->free_ns + (int64_t)(w->delay_ms * 1e6);
	d->end++;
	return p->len;
}

/* Hands out what has arrived; returns when the next does. */
static int64_t hand_out(struct direction *d)
{
	while (d->first != d->end) {
		struct packet *p = &d->packets[d->first % PACKETS_MAX];

		if (p->due_ns > now_ns())
			return p->due_ns;
		/* A device that is down loses it, as any cable does. */
		if (write(d->to, p->bytes, (size_t)p->len) < 0 &&
		    errno != EAGAIN && errno != EIO && errno != EINVAL)
			die("write");
		d->first++;
	}
	return INT64_MAX;
}

static void change(struct way *w)
{
	char line[128];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		exit(0);
	line[n] = '\0';
	if (sscanf(line, "%lf %lf %lf %lf", &w->delay_ms, &w->loss, &w->mbit,
		   &w->queue) != 4)
		exit(2);
	puts("set");
}

int main(int argc, char **argv)
{
	struct way way = { .mbit = 1000, .queue = 1e6 };
	struct direction dirs[2];
	struct pollfd pfds[3] = { { .fd = STDIN_FILENO, .events = POLLIN } };

	if (argc != 3) {
		fputs("usage: link NAMESPACE NAMESPACE\n", stderr);
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 20000UL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	srand48(getpid());
	memset(dirs, 0, sizeof(dirs));
	dirs[0].from = dirs[1].to = device(argv[1]);
	dirs[1].from = dirs[0].to = device(argv[2]);
	for (int i = 0; i < 2; i++) {
		dirs[i].packets = malloc(sizeof(struct packet) * PACKETS_MAX);
		if (dirs[i].packets == NULL)
			die("malloc");
		pfds[1 + i] =
			(struct pollfd){ .fd = dirs[i].from, .events = POLLIN };
	}
	puts("ready");
	for (;;) {
		int64_t a = hand_out(&dirs[0]), b = hand_out(&dirs[1]);
		int64_t next = a < b ? a : b, wait = next - now_ns();
		struct timespec ts = { 0, 0 };

		if (next != INT64_MAX && wait > 0) {
			ts.tv_sec = wait / 1000000000;
			ts.tv_nsec = wait % 1000000000;
		}
		if (ppoll(pfds, 3, next == INT64_MAX ? NULL : &ts, NULL) < 0 &&
		    errno != EINTR)
			die("ppoll");
		if (pfds[0].revents != 0)
			change(&way);
		for (int i = 0; i < 2; i++)
			for (int n = 0;
			     pfds[1 + i].revents != 0 && n < AT_A_TIME &&
			     take(&dirs[i], &way) > 0;
			     n++)
				continue;
	}
}

/* SPDX-License-Identifier: MIT */
#include "net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/dial.h"
#include "net/loop.h"
#include "net/loop_local.h"
#include "net/reset.h"
#include "net/sockaddr.h"

/* All of a relay's devices come at once when it starts again; the kernel takes
 * no more than net.core.somaxconn. */
#define LISTEN_BACKLOG	 4096
#define LISTEN_SOCKS_MAX 2   /* "localhost" has two */
#define LISTEN_REST_MS	 100 /* when fds are out */
/* Accepted in one turn; the rest waits its turn behind other events. */
#define LISTEN_BATCH 64

struct door {
	uv_poll_t poll;
	struct listener *l;
	int fd;
};

struct listener {
	struct loop_local *ll;
	struct loop_item item;
	struct door doors[LISTEN_SOCKS_MAX];
	size_t door_count;
	size_t handles; /* not closed yet */
	int spare;	/* closed to accept and close what cannot be served */
	struct timer *rest;
	listener_on_accept *on_accept;
	bool (*give)(void *user); /* NULL: has no reserve */
	void *user;
	uint16_t port;
	bool is_paused, is_resting, is_closed;
	bool is_greedy;
	bool is_inside; /* on_accept runs: memory must stay */
	char *path;	/* of a unix socket; NULL else */
	dev_t dev;
	ino_t ino; /* of the file we made: nobody else's is removed */
};

/* -- accepting */

static void listener_apply(struct listener *l);

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Fds are out: the one that waits is told so by a reset, which is better than
 * silence and than an end that looks clean, and the loop is not woken for it
 * again and again. */
static void listener_rest(struct listener *l, struct door *door, int err)
{
	int fd;

	if (l->spare >= 0) {
		close(l->spare);
		fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			reset_close(fd);
		l->spare = spare_open();
	}
	l->is_resting = true;
	listener_apply(l);
	timer_start(l->rest, LISTEN_REST_MS);
	loop_shortage(l->ll, err);
}

static void listener_on_rested(void *user)
{
	struct listener *l = user;

	l->is_resting = false;
	if (l->spare < 0)
		l->spare = spare_open();
	listener_apply(l);
}

/* Accepting failed. Whether to go on at once. */
static bool listener_is_short(struct listener *l, struct door *door, int err)
{
	if (l->give == NULL || !l->give(l->user)) {
		listener_rest(l, door, err);
		return false;
	}
	loop_shortage(l->ll, err);
	return true;
}

/* Accepts one. False when there is nothing more to do in this turn. */
static bool listener_accept(struct listener *l, struct door *door)
{
	struct sockaddr_storage peer = { 0 };
	struct sockaddr_in v4;
	socklen_t len = sizeof(peer);
	int fd = accept4(door->fd, (struct sockaddr *)&peer, &len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		if (l->path != NULL)
			peer.ss_family = AF_UNIX;
		/* A v4 client of a socket that listens for both is one. */
		if (sockaddr_unmap((struct sockaddr *)&peer, &v4)) {
			memset(&peer, 0, sizeof(peer));
			memcpy(&peer, &v4, sizeof(v4));
		}
		l->on_accept(l->user, fd, &peer);
		return !l->is_closed && !l->is_paused;
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: return listener_is_short(l, door, -errno);
	case EAGAIN: return false;
	/* The connection died in the backlog, or a network error of its
	 * (accept(2)) is reported here. */
	default: return true;
	}
}

static void listener_maybe_free(struct listener *l)
{
	if (!l->is_closed || l->handles > 0 || l->is_inside)
		return;
	free(l->path);
	free(l);
}

static void listener_on_readable(uv_poll_t *poll, int status, int events)
{
	struct door *door = poll->data;
	struct listener *l = door->l;
	const int most = l->is_greedy ? LISTEN_BACKLOG : LISTEN_BATCH;

	(void)status; /* accept4() tells more exactly */
	(void)events;
	l->is_inside = true;
	for (int i = 0; i < most; i++)
		if (!listener_accept(l, door))
			break;
	l->is_inside = false;
	listener_maybe_free(l);
}

/* Polls, or does not: the one place that decides. */
static void listener_apply(struct listener *l)
{
	bool on = !l->is_paused && !l->is_resting && !l->is_closed;

	for (size_t i = 0; i < l->door_count; i++) {
		if (on)
			uv_poll_start(&l->doors[i].poll, UV_READABLE,
				      listener_on_readable);
		else if (!l->is_closed)
			uv_poll_stop(&l->doors[i].poll);
	}
}

void listener_pause(struct listener *l)
{
	l->is_paused = true;
	listener_apply(l);
}

void listener_resume(struct listener *l)
{
	l->is_paused = false;
	listener_apply(l);
}

/* -- the end */

static void door_on_closed(uv_handle_t *h)
{
	struct door *door = h->data;
	struct listener *l = door->l;

	l->handles--;
	listener_maybe_free(l);
}

static void listener_unlink(struct listener *l)
{
	struct stat st;

	if (l->path != NULL && l->ino != 0 && lstat(l->path, &st) == 0 &&
	    st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
}

static void listener_stop(struct listener *l)
{
	l->is_closed = true;
	listener_unlink(l);
	for (size_t i = 0; i < l->door_count; i++) {
		uv_close((uv_handle_t *)&l->doors[i].poll, door_on_closed);
		close(l->doors[i].fd);
	}
	if (l->spare >= 0)
		close(l->spare);
	timer_free(l->rest);
	list_del(&l->item.link);
	listener_maybe_free(l);
}

static void listener_shut(struct loop_item *item)
{
	listener_stop(container_of(item, struct listener, item));
}

void listener_close(struct listener *l)
{
	if (l != NULL)
		listener_stop(l);
}

/* -- opening */

static struct listener *listener_new(uv_loop_t *loop,
				     listener_on_accept *on_accept, void *user)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->ll = loop_local(loop);
	l->on_accept = on_accept;
	l->user = user;
	l->rest = timer_new(loop, listener_on_rested, l);
	l->spare = spare_open();
	loop_item_add(l->ll, &l->item, listener_shut);
	return l;
}

/* Takes fd, bound, and listens. 0 or -errno. */
static int listener_add(struct listener *l, int fd)
{
	struct door *door = &l->doors[l->door_count];
	int r = 0;

	if (listen(fd, LISTEN_BACKLOG) < 0)
		r = -errno;
	if (r == 0)
		r = uv_poll_init(l->ll->loop, &door->poll, fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	door->poll.data = door;
	door->l = l;
	door->fd = fd;
	l->door_count++;
	l->handles++;
	return 0;
}

static uint16_t sock_port(int fd)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in v4;
	socklen_t len = sizeof(ss);

	(void)getsockname(fd, (struct sockaddr *)&ss, &len);
	/* The port lies at the same place in both families. */
	memcpy(&v4, &ss, sizeof(v4));
	return ntohs(v4.sin_port);
}

/* Binds one more address at l->port, and notes the port if it was 0. */
static int listener_bind(struct listener *l, struct sockaddr_storage ss)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ss;
	socklen_t len = ss.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						 : sizeof(struct sockaddr_in);
	int on = 1, off = 0, err, r;
	int fd = socket(ss.ss_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	v4->sin_port = htons(l->port);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ss.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off,
				 sizeof(off));
	sock_near(fd, (const struct sockaddr *)&ss);
	if (bind(fd, (const struct sockaddr *)&ss, len) < 0) {
		err = errno;
		close(fd);
		return -err;
	}
	r = listener_add(l, fd);
	if (r == 0 && l->port == 0)
		l->port = sock_port(fd);
	return r;
}

static struct sockaddr_storage addr_v4(uint32_t ip)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct sockaddr_storage ss = { 0 };

	sa.sin_addr.s_addr = htonl(ip);
	memcpy(&ss, &sa, sizeof(sa));
	return ss;
}

static struct sockaddr_storage addr_v6(struct in6_addr ip)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = ip };
	struct sockaddr_storage ss = { 0 };

	memcpy(&ss, &sa, sizeof(sa));
	return ss;
}

/* Every address: one socket for both families, or v4 where there is no v6. */
static int listener_bind_any(struct listener *l)
{
	struct in6_addr any = IN6ADDR_ANY_INIT;
	int r = listener_bind(l, addr_v6(any));

	if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
		r = listener_bind(l, addr_v4(INADDR_ANY));
	return r;
}

static int listener_bind_localhost(struct listener *l)
{
	struct in6_addr lo = IN6ADDR_LOOPBACK_INIT;
	int r = listener_bind(l, addr_v4(INADDR_LOOPBACK));

	if (r == 0)
		(void)listener_bind(l, addr_v6(lo));
	return r;
}

static int listener_bind_number(struct listener *l, const char *host)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	struct sockaddr_storage ss = { 0 };
	struct addrinfo *list = NULL;

	if (strlen(host) > HOST_MAX ||
	    getaddrinfo(host, NULL, &hints, &list) != 0)
		return RW_ERR_NO_HOST;
	memcpy(&ss, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return listener_bind(l, ss);
}

int listener_open(uv_loop_t *loop, const struct listener_at *at,
		  listener_on_accept *on_accept, void *user,
		  struct listener **ret)
{
	const char *host = at->host;
	struct listener *l = listener_new(loop, on_accept, user);
	int r;

	l->port = at->port;
	if (host == NULL || *host == '\0' || strcmp(host, "*") == 0)
		r = listener_bind_any(l);
	else if (strcmp(host, "localhost") == 0)
		r = listener_bind_localhost(l);
	else
		r = listener_bind_number(l, host);
	if (r < 0) {
		listener_stop(l);
		return r;
	}
	listener_apply(l);
	*ret = l;
	return 0;
}

/* Makes way for a new socket file: removes what a dead process left. */
static int path_clear(const char *path)
{
	struct stat st;
	int fd, r;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return RW_ERR_EXISTS;
	r = dial_unix(path, &fd);
	if (r == 0)
		close(fd);
	if (r == 0 || r == RW_ERR_BUSY)
		return RW_ERR_BUSY;
	if (r != RW_ERR_REFUSED)
		return r == RW_ERR_NOT_FOUND ? 0 : r;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* The file is never anybody else's, not even for a moment. */
static int path_bind(int fd, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t old;
	int r;

	if (!str_copy(sa.sun_path, sizeof(sa.sun_path), path))
		return RW_ERR_LIMIT;
	old = umask(0177);
	r = bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	return r;
}

int listener_open_unix(uv_loop_t *loop, const char *path,
		       listener_on_accept *on_accept, void *user,
		       struct listener **ret)
{
	struct sockaddr_un sa;
	struct listener *l;
	struct stat st;
	int fd, r;

	if (strlen(path) >= sizeof(sa.sun_path))
		return RW_ERR_LIMIT;
	r = path_clear(path);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = path_bind(fd, path);
	if (r < 0) {
		close(fd);
		return r;
	}
	l = listener_new(loop, on_accept, user);
	l->path = xstrdup(path);
	if (lstat(path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	r = listener_add(l, fd);
	if (r < 0) {
		listener_stop(l);
		return r;
	}
	listener_apply(l);
	*ret = l;
	return 0;
}

void listener_set_reserve(struct listener *l, bool (*give)(void *user))
{
	l->give = give;
}

void listener_set_greedy(struct listener *l)
{
	l->is_greedy = true;
}

uint16_t listener_port(const struct listener *l)
{
	return l->port;
}

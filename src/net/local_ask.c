/* SPDX-License-Identifier: MIT */
/* The asking side of net/local.h: blocking, for commands without a loop. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/dial.h"
#include "net/local.h"

/* A line that no server of ours sends: it is not one of ours. */
#define ASK_LINE_MAX (LOCAL_LINE_MAX + 1)
#define ASK_PEEK_LEN 4096

static int ask_check_peer(int fd)
{
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	return cred.uid == geteuid() ? 0 : RW_ERR_PERM;
}

pid_t local_peer(int fd)
{
	struct ucred cred = { .pid = 0 };
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return 0;
	return cred.pid;
}

int local_connect(const char *path)
{
	int fd, r = dial_unix(path, &fd);

	if (r < 0)
		return r;
	r = ask_check_peer(fd);
	if (r == 0 && fcntl(fd, F_SETFL, 0) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static int ask_send(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? 0
								     : -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int local_ask(int fd, const json_t *msg)
{
	char *text = json_dumps(msg, JSON_COMPACT);
	size_t len;
	int r;

	if (text == NULL)
		return RW_ERR_NOMEM;
	len = strlen(text);
	if (len >= LOCAL_LINE_MAX) {
		free(text);
		return RW_ERR_LIMIT;
	}
	text[len] = '\n'; /* over the NUL */
	r = ask_send(fd, text, len + 1);
	free(text);
	return r;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for bytes until the deadline; negative: for ever. */
static int ask_wait(int fd, int64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		int r;

		if (deadline >= 0 && left < 0)
			left = 0;
		r = poll(&p, 1, (int)left);
		if (r > 0)
			return 0;
		if (r == 0)
			return RW_ERR_TIMEOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* Keeps the last fd that came; any other is closed. */
static void ask_keep_fds(struct msghdr *msg, int *fd)
{
	struct cmsghdr *cm;

	for (cm = CMSG_FIRSTHDR(msg); cm != NULL; cm = CMSG_NXTHDR(msg, cm)) {
		size_t count;
		int got;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			memcpy(&got, CMSG_DATA(cm) + i * sizeof(int),
			       sizeof(got));
			if (*fd >= 0)
				close(*fd);
			*fd = got;
		}
	}
}

/* Takes exactly n bytes (or fewer) that were seen to be there. */
static ssize_t ask_take(int sock, void *out, size_t n, int *fd)
{
	union {
		struct cmsghdr align;
		char mem[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { out, n };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.mem,
		.msg_controllen = sizeof(control.mem),
	};
	ssize_t got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);

	if (got >= 0)
		ask_keep_fds(&msg, fd);
	return got;
}

/* Appends the next bytes of the line. 1 when it is whole. */
static int ask_more(int sock, struct buf *line, int *fd)
{
	char seen[ASK_PEEK_LEN];
	ssize_t n = recv(sock, seen, sizeof(seen), MSG_PEEK);
	const char *end;
	uint8_t *room;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return RW_ERR_GONE;
	end = memchr(seen, '\n', (size_t)n);
	if (end != NULL)
		n = end - seen + 1;
	if (line->len + (size_t)n > ASK_LINE_MAX)
		return RW_ERR_FORMAT;
	room = buf_reserve(line, (size_t)n);
	if (room == NULL)
		return RW_ERR_NOMEM;
	n = ask_take(sock, room, (size_t)n, fd);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	buf_commit(line, (size_t)n);
	return n > 0 && room[n - 1] == '\n';
}

static int ask_read_line(int sock, int timeout_ms, struct buf *line, int *fd)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int r;

	do {
		r = ask_wait(sock, deadline);
		if (r == 0)
			r = ask_more(sock, line, fd);
	} while (r == 0);
	if (r == -ECONNRESET)
		return RW_ERR_GONE;
	return r < 0 ? r : 0;
}

int local_next(int fd, int timeout_ms, json_t **ret, int *ret_fd)
{
	struct buf line = { 0 };
	json_error_t err;
	json_t *obj = NULL;
	int got = -1;
	int r = ask_read_line(fd, timeout_ms, &line, &got);

	if (r == 0) {
		obj = json_loadb((const char *)line.data + line.off, line.len,
				 JSON_REJECT_DUPLICATES, &err);
		if (!json_is_object(obj))
			r = RW_ERR_FORMAT;
	}
	buf_done(&line);
	if ((r < 0 || ret_fd == NULL) && got >= 0) {
		close(got);
		got = -1;
	}
	if (r < 0) {
		json_decref(obj);
		return r;
	}
	*ret = obj;
	if (ret_fd != NULL)
		*ret_fd = got;
	return json_object_get(obj, "ok") != NULL;
}

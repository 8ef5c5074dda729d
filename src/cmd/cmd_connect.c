/* SPDX-License-Identifier: MIT */
/*
 * Joins stdin and stdout to a port at the rig. ssh starts this for every
 * connection, so it does little before it asks the daemon.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "net/local.h"

#define COPY_LEN 131072

struct copy {
	int sock;
	char *data; /* COPY_LEN; not the thread's to get: malloc would make an
		     * arena for it */
};

/* Writes all of it; false when nobody reads any more. */
static bool write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* -1: error; 0: the end; else bytes. */
static ssize_t read_some(int fd, char *data)
{
	ssize_t n;

	do
		n = read(fd, data, COPY_LEN);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The way there: the end of stdin is the end of this direction only. */
static void *copy_stdin(void *arg)
{
	const struct copy *copy = arg;
	ssize_t n;

	while ((n = read_some(STDIN_FILENO, copy->data)) > 0)
		if (!write_all(copy->sock, copy->data, (size_t)n))
			break;
	if (n == 0)
		shutdown(copy->sock, SHUT_WR);
	return NULL;
}

/* The way back; false when stdout does not take it. */
static bool copy_stdout(const struct copy *copy)
{
	bool ok = true;
	ssize_t n;

	while (ok && (n = read_some(copy->sock, copy->data)) > 0)
		ok = write_all(STDOUT_FILENO, copy->data, (size_t)n);
	close(STDOUT_FILENO); /* whoever reads there sees the end now */
	return ok;
}

/* Reads lines up to the last one, or up to `connected` if that is enough.
 * Prints what went wrong. */
static int read_verdict(int control, bool until_connected)
{
	for (;;) {
		json_t *line;
		const char *text, *event;
		int err = local_next(control, -1, &line, NULL), status;

		if (err < 0)
			return talk_lost(control, err);
		event = json_string_value(json_object_get(line, "event"));
		if (err == 0 && until_connected && event != NULL &&
		    strcmp(event, "connected") == 0) {
			json_decref(line);
			return EXIT_DONE;
		}
		if (err == 1) {
			text = json_string_value(
				json_object_get(line, "error"));
			status = (int)json_integer_value(
				json_object_get(line, "exit"));
			if (text != NULL)
				fprintf(stderr, "rigway: %s\n", text);
			json_decref(line);
			return status;
		}
		json_decref(line);
	}
}

static int copy_both(int control, int sock)
{
	struct copy there = { .sock = sock, .data = xmalloc(COPY_LEN) };
	struct copy back = { .sock = sock, .data = xmalloc(COPY_LEN) };
	pthread_t thread;

	if (pthread_create(&thread, NULL, copy_stdin, &there) != 0) {
		fprintf(stderr, "rigway: cannot start a thread\n");
		free(there.data);
		free(back.data);
		return EXIT_FAILED;
	}
	if (!copy_stdout(&back)) {
		fprintf(stderr, "rigway: cannot write to standard output\n");
		_exit(EXIT_FAILED);
	}
	/* The thread may sit in read(stdin) for ever: nobody waits for it, and
	 * nothing of stdio's is unwritten. */
	_exit(read_verdict(control, false));
}

/* Hands sock to ssh over our stdout (ProxyUseFdpass). */
static int pass_fd(int sock)
{
	union {
		struct cmsghdr hdr;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	char byte = '\0';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &sock, sizeof(sock));
	if (sendmsg(STDOUT_FILENO, &msg, 0) == 1)
		return EXIT_DONE;
	fprintf(stderr, "rigway: cannot hand the connection over: %s\n",
		strerror(errno));
	return EXIT_FAILED;
}

/* ssh goes on as soon as we exit; a child stays until the far end has
 * answered, so that a refusal is told in words. */
static int hand_over(int control, int sock)
{
	int status = pass_fd(sock);

	if (status != EXIT_DONE)
		return status;
	close(sock);
	if (fork() != 0)
		_exit(EXIT_DONE);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	read_verdict(control, true);
	_exit(EXIT_DONE);
}

/* The first line brings the socket; or there is only a last one. */
static int ask(int control, const char *rig, const char *target, int *ret_sock)
{
	json_t *msg = json_pack("{s:s, s:s?, s:s}", "do", "connect", "rig", rig,
				"target", target);
	json_t *line;
	const char *text;
	int err = local_ask(control, msg), status;

	json_decref(msg);
	if (err == 0)
		err = local_next(control, -1, &line, ret_sock);
	if (err < 0)
		return talk_lost(control, err);
	text = json_string_value(json_object_get(line, "error"));
	status = (int)json_integer_value(json_object_get(line, "exit"));
	if (err == 1 && text != NULL)
		fprintf(stderr, "rigway: %s\n", text);
	json_decref(line);
	if (err == 1 || *ret_sock < 0)
		return status != 0 ? status : EXIT_FAILED;
	return EXIT_DONE;
}

static int run(const char *rig, const char *target, bool fdpass)
{
	int control = talk_connect(true), sock = -1, status;

	if (control < 0)
		return EXIT_FAILED;
	status = ask(control, rig, target, &sock);
	if (status == EXIT_DONE)
		status = fdpass ? hand_over(control, sock)
				: copy_both(control, sock);
	close(control);
	return status;
}

int cmd_connect(int argc, char **argv)
{
	static const struct option options[] = {
		{ "fdpass", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	bool fdpass = false;
	struct stat st;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'f')
			return command_misuse("connect");
		fdpass = true;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return command_misuse("connect");
	if (fdpass &&
	    (fstat(STDOUT_FILENO, &st) < 0 || !S_ISSOCK(st.st_mode))) {
		fprintf(stderr, "rigway: --fdpass is for ssh with "
				"ProxyUseFdpass yes\n");
		return EXIT_MISUSE;
	}
	return run(argc - optind == 2 ? argv[optind] : NULL, argv[argc - 1],
		   fdpass);
}

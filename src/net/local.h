/* SPDX-License-Identifier: MIT */
/*
 * The local control socket between the commands and the process that serves
 * them: one JSON object a line, one request at a time, any number of answer
 * lines, and a last one {"ok":true} or {"ok":false,"error":TEXT,"exit":STATUS}.
 * Only processes of the same user are heard (SO_PEERCRED). The server side runs
 * on the loop; the client side blocks, for commands without a loop.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

struct local;
struct local_req;

#define LOCAL_LINE_MAX	(64 * 1024) /* a request, a single answer's line */
#define LOCAL_CONNS_MAX 256	    /* more are told so and closed */
/* Fds put by for askers: when the process is out of them, one asker fewer than
 * this is served, and the others are told why they are not. */
#define LOCAL_RESERVE	5
#define LOCAL_QUEUE_MAX (1024 * 1024) /* unread answers; then it is dropped */

/* A request came; msg is an object, borrowed until the call returns. r lives
 * until local_end() (which may be called in here) or until its on_gone ran. */
typedef void local_on_request(struct local_req *r, json_t *msg, void *user);

/* Serves at path, mode 0600. Errors of listener_open_unix(). */
int local_serve(uv_loop_t *loop, const char *path, local_on_request *on_request,
		void *user, struct local **ret);
/* Open requests end without a last line and without on_gone; what local_end()
 * has queued is still sent. NULL is fine. */
void local_free(struct local *srv);

/* user is stored; on_gone (may be NULL) runs once, from the loop, if the asker
 * leaves before local_end(); r is freed on return, unasked. Without on_gone
 * set, r stays valid until local_end() and its answers go nowhere. */
void local_set_gone(struct local_req *r,
		    void (*on_gone)(struct local_req *r, void *user),
		    void *user);
/* One answer line; the reference is stolen. RW_ERR_LIMIT over LOCAL_LINE_MAX;
 * RW_ERR_GONE when nobody reads any more. */
int local_reply_json(struct local_req *r, json_t *obj);
/* The same, with a duplicate of fd attached (SCM_RIGHTS); the caller keeps fd.
 * json may be NULL: {}. */
int local_send_fd(struct local_req *r, int fd, json_t *obj);
/* The last line, and r is gone. exit_status goes with ok false; text is the
 * error in words (NULL: none). */
void local_end(struct local_req *r, bool ok, int exit_status, const char *text);
/* The same with more members in the last line; extra is stolen. */
void local_end_json(struct local_req *r, bool ok, int exit_status,
		    const char *text, json_t *extra);

/* Lines that may be more than are to wait here unread: each is made when there
 * is room for it, from the loop, and what changed meanwhile is told as it is.
 */
struct local_source {
	/* The next line, stolen; NULL: there is none. */
	json_t *(*next)(void *user);
	/* More members for the last line, stolen; may be NULL. */
	json_t *(*last)(void *user);
	/* Runs once, whatever happened: user may be freed. */
	void (*done)(void *user);
};
/* As local_end() with ok, after all of the source's lines: r is not the
 * caller's any more, nor is user, which done() gives back. */
void local_end_lines(struct local_req *r, const struct local_source *source,
		     void *user);
/* The same with the lines of an array, which is stolen. */
void local_end_array(struct local_req *r, json_t *lines);

/* -- the commands' side: blocking, returns a fd to close(). RW_ERR_REFUSED or
 * RW_ERR_NOT_FOUND when no such process runs, RW_ERR_PERM when another user
 * serves there, -errno. */
int local_connect(const char *path);
/* The process that serves there; 0 where the system does not tell. */
pid_t local_peer(int fd);
/* Sends one request; msg is borrowed. RW_ERR_LIMIT, -errno. That the server
 * closed meanwhile is told by local_next(), behind what it said. */
int local_ask(int fd, const json_t *msg);
/* Waits for the next line, at most timeout_ms (-1: for ever). *ret is the
 * caller's to json_decref(); *ret_fd (ret_fd may be NULL) is a passed fd or -1.
 * 1 for the last line ("ok" is in it), 0 for one before it. RW_ERR_GONE: the
 * server went away; RW_ERR_TIMEOUT; RW_ERR_FORMAT; -errno. Reads from fd only
 * what belongs to the line. */
int local_next(int fd, int timeout_ms, json_t **ret, int *ret_fd);

/* SPDX-License-Identifier: MIT */
/*
 * The commands' side of client.sock: finds the daemon, starts it where it does
 * not run, asks, and gathers the answer. Blocking; for commands, which have no
 * loop. Says on stderr what went wrong.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>

/* What a daemon says that finds another one running: whoever started it talks
 * to that one. */
#define TALK_OTHER "another rigway serves this home already"

/* Connects to the daemon, which is started if start is set. Returns a fd, or a
 * negative error that was printed (RW_ERR_NOT_FOUND, silently, where it does
 * not run and start is not set). */
int talk_connect(bool start);
/* An answer line, borrowed; fd is one that came along, or -1. Nonzero ends the
 * asking and is the exit status. */
typedef int talk_on_line(void *user, json_t *line, int fd);
/* Sends msg, which is stolen, on a new connection, calls on_line (may be NULL)
 * for each line but the last, and returns the exit status of the last one,
 * whose error is printed. A process that ends before its first answer is
 * replaced and asked again, once. */
int talk(json_t *msg, talk_on_line *on_line, void *user);
/* The same for a question that is answered at once or within a few seconds: a
 * process that is silent for so long is told of, and the status is 1. */
int talk_within(int timeout_ms, json_t *msg, talk_on_line *on_line, void *user);
#define TALK_LOOK_MS 6000 /* the longest look: relays 3 s, rigs 2 s */
/* The same on an open connection that talk_connect() made; fd stays open. */
int talk_on(int fd, json_t *msg, talk_on_line *on_line, void *user);
/* Says that fd's process closed it without a last line, and what to do; err is
 * local_next()'s. Returns the exit status. */
int talk_lost(int fd, int err);
/* A talk_on_line that puts the lines' objects into the json array *user. */
int talk_gather(void *user, json_t *line, int fd);

/* SPDX-License-Identifier: MIT */
/*
 * What cmd_demo.c (the command: watches, or checks), demo_stage.c (stands up
 * and clears away), demo_ssh.c (the plain ssh beside it) and demo_ticker.c (an
 * open stream that counts) share. Blocking, in the command's one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cmd/demo_parts.h"

#define JUPYTER "/usr/bin/jupyter-notebook"

/* One line that counts: the stream under test, and ssh's beside it. */
struct ticker {
	int fd; /* -1: not there, or dead */
	unsigned count;
	bool broken; /* a number was missing or doubled */
	char part[16];
	size_t part_len;
};

struct demo {
	char dir[64]; /* everything lies here, and goes with it */
	char home[3][96];
	char log[96];
	pid_t relay, rig, laptop, jupyter, service, sshd, ssh;
	struct demo_net net;  /* all three reach the relay through it */
	struct demo_net wire; /* ssh reaches its sshd through it */
	int relay_port, service_port, page_port;
	int local_page, local_ticker, ssh_port;
	char token[33];
	struct ticker ours, theirs;
	bool has_jupyter, as_json;
	unsigned cut_at; /* the line at which --check killed the relay */
};

enum { RELAY, RIG, LAPTOP };

/* cmd_demo.c */
/* Whether Ctrl-C or SIGTERM came, which the demo only notes. */
bool demo_is_interrupted(void);
/* One line about what is done. */
void demo_say(const char *text);

/* demo_stage.c */
bool demo_stand_up(struct demo *d);
/* Ends all of it and removes what it wrote. */
void demo_clear(struct demo *d);
/* Starts the relay; ret_code gets the first rig's code at its very first
 * start, and may be NULL later. */
bool demo_start_relay(struct demo *d, char *ret_code, size_t cap);
/* Says what went wrong and shows the end of the log. Returns false. */
__attribute__((format(printf, 2, 3))) bool demo_failed(struct demo *d,
						       const char *fmt, ...);

/* demo_ssh.c: a plain ssh -L beside it, for comparison, where an sshd is
 * installed. Without one nothing happens. */
void demo_start_ssh(struct demo *d);

/* demo_ticker.c */
void ticker_open(struct ticker *t, int port);
/* Counts what has come. */
void ticker_read(struct ticker *t);
/* Until it has counted to `to`; false if it died, broke, or took too long. */
bool ticker_wait(struct ticker *t, unsigned to, int ms);

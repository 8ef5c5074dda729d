/* SPDX-License-Identifier: MIT */
/*
 * What `rigway demo` is built from, a file a noun: processes with a home of
 * their own, ports of this machine, a network that can be cut, a service that
 * counts. Blocking. All of it ends with the demo, also when the demo is killed.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* -- demo_process.c */

struct demo_spawn {
	const char *home;	 /* RIGWAY_HOME of the process */
	const char *log;	 /* stderr, and stdout unless out is given */
	int *out;		 /* NULL, or a pipe from its stdout, to close */
	const char *const *argv; /* ends with NULL; argv[0] NULL: rigway */
};
/* The process's id, or -1. It is killed if the demo dies first. */
pid_t demo_spawn(const struct demo_spawn *p);
/* As fork(), for a part of the demo that runs a loop of its own: killed if the
 * demo dies first, and in a group of its own, out of Ctrl-C's reach. */
pid_t demo_fork(void);
/* Ends it: SIGCONT, SIGTERM, and SIGKILL after 3 s. Harmless for pid <= 0. */
void demo_end(pid_t *pid);
/* Runs rigway to its end; its stdout goes to out (cut at cap), which may be
 * NULL. True for exit 0. */
bool demo_run(const char *home, const char *log, const char *const *argv,
	      char *out, size_t cap);
/* Whether a byte comes before the end and in time. */
bool demo_byte(int fd, int ms);
/* Reads a line from fd within ms; false if none came. What does not fit into
 * cap is dropped. */
bool demo_line(int fd, char *out, size_t cap, int ms);
/* Cuts all but the last line off; returns text. */
char *demo_last_line(char *text);
/* The time on a clock that nobody sets. */
int64_t demo_now_ms(void);

/* -- demo_port.c: all on 127.0.0.1 */

/* A free port, or -1. */
int demo_port(void);
/* Each a socket, to be closed, or -1. */
int demo_connect(int port);
int demo_listen(int port);
/* Waits until something accepts; false if nothing did in time. */
bool demo_wait_port(int port, int ms);
/* GETs path; returns the HTTP status (0: none) and the first of the body. */
int demo_get(int port, const char *path, char *body, size_t cap);

/* -- demo_net.c */

/* The network between the laptop, the rig and the relay: a process that joins
 * 127.0.0.1:port, which it chooses, with another port. */
struct demo_net {
	pid_t pid;
	int control;
	int port;
};
bool demo_net_start(struct demo_net *n, int to);
/* Existing connections fall silent for good, with no word to either side, as
 * when an address changes; new ones work. */
void demo_net_roam(struct demo_net *n);

/* -- demo_service.c */

/* A service: to each connection it writes "1\n2\n3\n..." ten times a second;
 * where the first bytes are an HTTP request, it answers with a small page.
 * Its process's id, or -1. */
pid_t demo_serve(int port);

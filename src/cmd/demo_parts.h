/* SPDX-License-Identifier: MIT */
/*
 * What `rigway demo` is built from: processes with a home of their own, a
 * network that can be cut, a service that counts, and blocking fetches. All of
 * it ends with the demo, also when the demo is killed.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* From now on Ctrl-C and SIGTERM are only noted. */
void demo_catch_signals(void);
bool demo_is_interrupted(void);
/* One line about what is done. */
void demo_say(const char *text);

/* A free port on 127.0.0.1, or -1. */
int demo_port(void);

struct demo_spawn {
	const char *home;	 /* RIGWAY_HOME of the process */
	const char *log;	 /* stderr, and stdout unless out is given */
	int *out;		 /* NULL, or a pipe from its stdout */
	const char *const *argv; /* ends with NULL; argv[0] NULL: rigway */
};
/* The process's id, or -1. It is killed if the demo dies first. */
pid_t demo_spawn(const struct demo_spawn *p);
/* Ends it: SIGCONT, SIGTERM, and SIGKILL after 3 s. Harmless for pid <= 0. */
void demo_end(pid_t *pid);
/* Runs rigway to its end; its stdout goes to out (cut at cap), which may be
 * NULL. True for exit 0. */
bool demo_run(const char *home, const char *log, const char *const *argv,
	      char *out, size_t cap);
/* Cuts all but the last line off; returns text. */
char *demo_last_line(char *text);
/* Whether a byte comes before the end and in time. */
bool demo_byte(int fd, int ms);
/* Reads a line from fd within ms; false if none came. */
bool demo_line(int fd, char *out, size_t cap, int ms);
/* Waits until something accepts on 127.0.0.1:port. */
bool demo_wait_port(int port, int ms);
int demo_connect(int port);

/* GETs path; returns the HTTP status (0: none) and the first of the body. */
int demo_get(int port, const char *path, char *body, size_t cap);

/* The network between the laptop, the rig and the relay: a process that joins
 * 127.0.0.1:from with 127.0.0.1:to. */
struct demo_net {
	pid_t pid;
	int control;
	int port;
};
bool demo_net_start(struct demo_net *n, int to);
/* Existing connections fall silent for good, with no word to either side, as
 * when an address changes; new ones work. */
void demo_net_roam(struct demo_net *n);

/* A service: to each connection it writes "1\n2\n3\n..." ten times a second;
 * where the first bytes are an HTTP request, it answers with a small page. */
pid_t demo_serve(int port);

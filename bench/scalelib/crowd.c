/* SPDX-License-Identifier: MIT */
/*
 * The load of bench/relay-scale: rigs and laptops for one relay.
 *
 *   RIGWAY_HOME=DIR crowd RIGS SESSIONS FLEETS PORT PROCESSES
 *
 * Makes the keys, and the relay's own and its book in DIR, where no relay runs
 * yet; says "ready". Then it reads words on stdin: "rigs" starts the rigs,
 * "sessions" the laptops. Ten times a second it prints
 *
 *   SECONDS RIGS SESSIONS WELCOMES DIALS
 *
 * by CLOCK_MONOTONIC: rigs that are connected now, sessions that are live now,
 * how often a rig was welcomed, and connections begun, so far. The end of stdin
 * ends it. Rig n and, if it has one, its laptop live in process n % PROCESSES
 * and in fleet n % FLEETS.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdlimit.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/paths.h"
#include "config/settings.h"
#include "crowd.h"
#include "relay/book.h"

#define PROCESSES_MAX 64
#define TICK_MS	      100

/* Shared by all processes. */
struct board {
	_Atomic bool rigs_on, sessions_on; /* what the parent was told */
	struct score {
		_Atomic uint64_t rigs, sessions, welcomes, dials;
	} score[PROCESSES_MAX];
};

static struct {
	unsigned rigs, sessions, fleets, processes;
	int port;
} opt;
static struct key **rig_keys, **laptop_keys, *relay_key;
static struct board *board;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "crowd: %s\n", what);
	exit(1);
}

/* -- keys and the relay's book */

static struct key **make_keys(unsigned n)
{
	struct key **keys = xcalloc(n + 1, sizeof(*keys));

	for (unsigned i = 0; i < n; i++)
		if (key_generate(&keys[i]) != 0)
			die("cannot make a key");
	return keys;
}

static void admit(struct book *b, struct fleet *f, const struct key *k,
		  enum relay_role role)
{
	const struct redeem_try t = {
		.pin = *key_pin(k),
		.role = role,
		.name = "crowd",
		.now = 1,
	};
	bool is_new;

	if (book_admit(b, f, &t, &is_new) == NULL)
		die("out of memory");
}

static void fill_book(struct book *b)
{
	struct fleet **fleets = xcalloc(opt.fleets, sizeof(struct fleet *));
	char text[BOOK_TEXT_CAP];

	for (unsigned i = 0; i < opt.fleets; i++)
		if (book_add_fleet(b, 1, &fleets[i], text) != 0)
			die(text);
	for (unsigned i = 0; i < opt.rigs; i++)
		admit(b, fleets[i % opt.fleets], rig_keys[i], RELAY_RIG);
	for (unsigned i = 0; i < opt.sessions; i++)
		admit(b, fleets[i % opt.fleets], laptop_keys[i], RELAY_CLIENT);
	if (book_save_devices(b) != 0)
		die("cannot write the relay's book");
	free(fleets);
}

static void make_relay(void)
{
	const struct book_limits limits = { 1024, 4096, 256 };
	struct book *b;
	struct paths p;
	char *dir, *path, *err;

	if (paths_init(&p) != 0)
		die("RIGWAY_HOME is not set");
	dir = paths_state(&p, "relay", NULL);
	path = paths_state(&p, "relay", "key");
	if (dir == NULL || path == NULL)
		die(paths_error(&p));
	if (key_load_or_make(path, paths_machine(&p), false, &relay_key) != 0)
		die("cannot make the relay's key");
	if (book_open(dir, &limits, &b, &err) != 0)
		die("cannot open the relay's book");
	fill_book(b);
	book_free(b);
	free(dir);
	free(path);
	paths_done(&p);
}

/* -- one process of rigs and laptops */

struct worker {
	struct world world;
	unsigned index;
	struct score *score;
	struct timer *tick;
	struct rig **rigs;
	struct laptop **laptops;
	unsigned rig_count, laptop_count;
};

static void world_init(struct world *w)
{
	struct settings all;
	const struct settings_session *s = &all.session;

	settings_init(&all);
	w->port = opt.port;
	w->relay = *key_pin(relay_key);
	w->limits = (struct session_limits){
		.max_streams = (uint32_t)s->max_streams,
		.send_max = (uint32_t)s->send_max_bytes,
		.carriers_max = (uint32_t)s->carriers_max,
		.in_flight_min = (uint32_t)s->in_flight_min_bytes,
		.keep_s = (uint32_t)(all.client.keep_absent_ms / 1000),
		.ping_interval_us = s->ping_interval_ms * 1000,
		.ping_timeout_us = s->ping_timeout_ms * 1000,
	};
	budget_init(&w->budget, s->budget_bytes, (uint32_t)s->floor_bytes,
		    (uint32_t)s->window_max_bytes);
	settings_done(&all);
	if (loop_init(&w->loop) != 0 || driver_new(&w->loop, &w->driver) != 0)
		die("no loop");
}

static void start_rigs(struct worker *w)
{
	w->rigs = xcalloc(opt.rigs / opt.processes + 1, sizeof(struct rig *));
	for (unsigned i = w->index; i < opt.rigs; i += opt.processes)
		w->rigs[w->rig_count++] = rig_start(&w->world, rig_keys[i], i);
}

static void start_laptops(struct worker *w)
{
	w->laptops = xcalloc(opt.sessions / opt.processes + 1,
			     sizeof(struct laptop *));
	for (unsigned i = w->index; i < opt.sessions; i += opt.processes)
		w->laptops[w->laptop_count++] = laptop_start(
			&w->world, laptop_keys[i], i, key_pin(rig_keys[i]));
}

static void on_tick(void *user)
{
	struct worker *w = user;
	uint64_t rigs = 0, sessions = 0, welcomes = 0;

	if (atomic_load(&board->rigs_on) && w->rigs == NULL)
		start_rigs(w);
	if (atomic_load(&board->sessions_on) && w->laptops == NULL)
		start_laptops(w);
	for (unsigned i = 0; i < w->rig_count; i++) {
		rigs += rig_is_up(w->rigs[i]);
		welcomes += rig_welcomes(w->rigs[i]);
	}
	for (unsigned i = 0; i < w->laptop_count; i++)
		sessions += laptop_is_up(w->laptops[i]);
	atomic_store(&w->score->rigs, rigs);
	atomic_store(&w->score->sessions, sessions);
	atomic_store(&w->score->welcomes, welcomes);
	atomic_store(&w->score->dials, source_dials());
	timer_start(w->tick, TICK_MS);
}

static _Noreturn void run_worker(unsigned index)
{
	struct worker w = { .index = index, .score = &board->score[index] };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* In life each of them has a processor of its own: the relay first. */
	if (nice(4) == -1)
		errno = 0;
	world_init(&w.world);
	w.tick = timer_new(&w.world.loop, on_tick, &w);
	timer_start(w.tick, 0);
	uv_run(&w.world.loop, UV_RUN_DEFAULT);
	_exit(1); /* it never ends by itself */
}

/* -- the parent */

static void print_scores(void)
{
	uint64_t n[4] = { 0 };

	for (unsigned i = 0; i < opt.processes; i++) {
		n[0] += atomic_load(&board->score[i].rigs);
		n[1] += atomic_load(&board->score[i].sessions);
		n[2] += atomic_load(&board->score[i].welcomes);
		n[3] += atomic_load(&board->score[i].dials);
	}
	printf("%.3f %llu %llu %llu %llu\n", (double)loop_now_us(NULL) / 1e6,
	       (unsigned long long)n[0], (unsigned long long)n[1],
	       (unsigned long long)n[2], (unsigned long long)n[3]);
}

/* False at the end of stdin. */
static bool take_words(void)
{
	char words[256];
	ssize_t n = read(STDIN_FILENO, words, sizeof(words) - 1);

	if (n <= 0)
		return false;
	words[n] = '\0';
	if (strstr(words, "rigs") != NULL)
		atomic_store(&board->rigs_on, true);
	if (strstr(words, "sessions") != NULL)
		atomic_store(&board->sessions_on, true);
	return true;
}

static void run_parent(const pid_t *pids)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	puts("ready");
	while (poll(&in, 1, TICK_MS) == 0 || take_words())
		print_scores();
	for (unsigned i = 0; i < opt.processes; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end != '\0' || n < least || n > most)
		die("a number is out of range");
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	pid_t pids[PROCESSES_MAX];

	if (argc != 6)
		die("usage: crowd RIGS SESSIONS FLEETS PORT PROCESSES");
	opt.rigs = number(argv[1], 1, 1 << 19);
	opt.sessions = number(argv[2], 0, opt.rigs);
	opt.fleets = number(argv[3], 1, 1024);
	opt.port = (int)number(argv[4], 1, 65535);
	opt.processes = number(argv[5], 1, PROCESSES_MAX);
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(LOG_LEVEL_ERROR);
	fdlimit_raise();
	rig_keys = make_keys(opt.rigs);
	laptop_keys = make_keys(opt.sessions);
	make_relay();
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		die("no shared memory");
	for (unsigned i = 0; i < opt.processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("cannot fork");
		if (pids[i] == 0)
			run_worker(i);
	}
	run_parent(pids);
	return 0;
}

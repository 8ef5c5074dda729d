/* SPDX-License-Identifier: MIT */
/*
 * What the rest of the tree needs of libuv's loop beyond libuv itself: timers
 * that close themselves, signals, one call per turn for everything that is to
 * be written, the clock, and an orderly end. Loop thread only, but for
 * loop_now_us(). loop->data belongs to this module: never set it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct timer;
struct flusher;

/* uv_loop_init() with loop->data cleared first, which libuv leaves as it is:
 * begin every loop with this. 0 or a libuv code. */
int loop_init(uv_loop_t *loop);
/* Monotonic microseconds, read now (not the loop's cached time). loop may be
 * NULL; the epoch is arbitrary but one for all loops of the machine. */
uint64_t loop_now_us(const uv_loop_t *loop);

/*
 * A one-shot timer, stopped at first. Ends the process when memory is out.
 * When the process was stopped or very busy for a while, what waits in the
 * sockets is read before timers fire and flushers run: whoever waits for a sign
 * of life sees it before his deadline, which has passed meanwhile.
 */
struct timer *timer_new(uv_loop_t *loop, void (*on_fire)(void *user),
			void *user);
/* Fires once, ms from now; a running timer starts anew. */
void timer_start(struct timer *t, uint64_t ms);
/* The same at the next whole second of the machine's clock, 1 to 1000 ms from
 * now: for what is looked at about once a second, so that all of it, in all
 * processes, costs one wake-up. */
void timer_start_second(struct timer *t);
void timer_stop(struct timer *t);
bool timer_is_running(const struct timer *t);
/* It never fires again; the memory comes back from the loop. NULL is fine, and
 * so is a call from on_fire. */
void timer_free(struct timer *t);
/* The timer alone does not keep uv_run() going. */
void timer_unref(struct timer *t);

/* Calls on_signal from the loop at each signum until loop_run_close(). It does
 * not keep uv_run() going. 0 or a libuv code. */
int signal_watch(uv_loop_t *loop, int signum,
		 void (*on_signal)(void *user, int signum), void *user);

/* on_shortage runs when this loop cannot take or make a connection
 * because fds or memory are out (err: -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM), but
 * not again within LOOP_SHORTAGE_MS. */
#define LOOP_SHORTAGE_MS 60000
void loop_on_shortage(uv_loop_t *loop, void (*on_shortage)(void *user, int err),
		      void *user);

/* on_flush runs once per turn of the loop after flusher_mark(): after the
 * events of the turn, before the loop waits. Marks made inside on_flush count
 * for the next turn, which then comes without waiting. */
struct flusher *flusher_new(uv_loop_t *loop, void (*on_flush)(void *user),
			    void *user);
void flusher_mark(struct flusher *f);
/* As timer_free(). */
void flusher_free(struct flusher *f);

/*
 * Ends a loop: chans and pumps that are left end with RW_ERR_CANCELLED (their
 * on_closed and on_done run and may free timers and the like); then everything
 * else that is left is closed without a word, and its owner must not touch it
 * any more; uv_loop_close() comes last. It waits at most 2 s for a resolver
 * that does not answer. Not from inside a callback.
 */
void loop_run_close(uv_loop_t *loop);
/* Whether a loop ended while name servers kept a thread of libuv's waiting:
 * exit() would wait for it, _exit() does not. */
bool loop_left_behind(void);

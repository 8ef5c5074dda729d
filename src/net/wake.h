/* SPDX-License-Identifier: MIT */
/*
 * Notices that the machine slept, or that the process was stopped: the clock
 * that goes on in sleep has jumped against the one that does not, or a tick of
 * one second came two seconds late. Connections may be dead then without a
 * word, and must be asked. One timer; everything that wants to know hangs on
 * the one wake of its process. Loop thread only.
 */
#pragma once
#include <stdint.h>
#include <uv.h>

struct wake;

/* A tick, and how far it or the clocks must be off. */
#define WAKE_TICK_MS 1000
#define WAKE_LATE_MS 2000

struct wake_params {
	uv_loop_t *loop;
	/* Microseconds: a clock that stands still in sleep, and one that does
	 * not. NULL: the system's. Tests pass their own. */
	uint64_t (*awake_us)(void);
	uint64_t (*always_us)(void);
	uint64_t tick_ms; /* 0: WAKE_TICK_MS */
	/* From the loop, at the first tick afterwards; away_ms is about how
	 * long it lasted. */
	void (*on_wake)(void *user, uint64_t away_ms);
	void *user;
};

/* Ends the process when memory is out. It does not keep uv_run() going. */
struct wake *wake_new(const struct wake_params *params);
/* Somebody is about to be told how things are: looks at once, rather than at
 * the next tick. on_wake may run inside. */
void wake_look(struct wake *w);
/* on_wake runs no more; fine inside of it. NULL is fine. */
void wake_free(struct wake *w);

/* The system's clock that goes on in sleep: CLOCK_BOOTTIME. Where there is
 * none, 0 for ever, and only late ticks tell. One file a system. */
uint64_t wake_always_us(void);

/* SPDX-License-Identifier: MIT */
/*
 * When something happened, so that how long ago it was stays true whatever the
 * wall clock is set to: microseconds of the clock that goes on in sleep and
 * that nobody sets (wake.h), of loop_now_us() where there is none. A moment is
 * told as the wall clock has it when somebody asks, never stored so. Any
 * thread.
 */
#pragma once
#include <stdint.h>

/* Never 0, which stands for "never". */
uint64_t moment_now(void);
/* For people: unix seconds, as the wall clock reads now; 0 for 0. */
int64_t moment_unix(uint64_t moment);
/* The same, with what both clocks read in microseconds. Never less than 1. */
int64_t moment_unix_at(uint64_t moment, uint64_t now, int64_t wall_us);
/* From one to the other, in whole seconds; 0 if to is the earlier one. */
uint64_t moment_span_s(uint64_t from, uint64_t to);

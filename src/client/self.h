/* SPDX-License-Identifier: MIT */
/*
 * Where this very program lies, and time that goes on while the machine
 * sleeps: what each system tells in its own way (self_linux.c).
 */
#pragma once
#include <stdint.h>

/* The absolute path of this program, to be freed; NULL when unknown. */
char *self_path(void);
/* RIGWAY_HOME as an absolute path, to be freed; NULL when it is not set. */
char *self_home(void);
/* Milliseconds that also pass in sleep. */
uint64_t self_awake_ms(void);

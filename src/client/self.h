/* SPDX-License-Identifier: MIT */
/*
 * Where this very program lies: what each system tells in its own way
 * (self_linux.c).
 */
#pragma once

/* The absolute path of this program, to be freed; NULL when unknown. */
char *self_path(void);
/* RIGWAY_HOME as an absolute path, to be freed; NULL when it is not set. */
char *self_home(void);

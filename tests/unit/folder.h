/* SPDX-License-Identifier: MIT */
/* A folder of a test's own: to run in, or to be taken away. */
#pragma once
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A test's setup and teardown: it runs in a fresh folder. */
static inline int in_new_folder(void **state)
{
	static char path[64];

	strcpy(path, "/tmp/rigway-test-XXXXXX");
	*state = mkdtemp(path);
	return *state == NULL ? -1 : chdir(path);
}

static inline int remove_folder(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", (char *)*state);
	return chdir("/") != 0 ? -1 : system(command);
}

/* One that can be taken away, so that nothing can be written. */
struct folder {
	char dir[64];
	char gone[72];
};

static inline int folder_init(struct folder *f)
{
	strcpy(f->dir, "/tmp/rigway-test-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	snprintf(f->gone, sizeof(f->gone), "%s.gone", f->dir);
	return 0;
}

static inline void folder_lose(const struct folder *f)
{
	assert_int_equal(rename(f->dir, f->gone), 0);
}

static inline void folder_find(const struct folder *f)
{
	assert_int_equal(rename(f->gone, f->dir), 0);
}

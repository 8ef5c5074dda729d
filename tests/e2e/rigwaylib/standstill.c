/* SPDX-License-Identifier: MIT */
/* Preloaded into a program, makes its clock stand still as it does while a
 * machine sleeps: CLOCK_MONOTONIC goes back by the nanoseconds that the file
 * STANDSTILL holds, CLOCK_BOOTTIME does not. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *slept_ns;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("STANDSTILL");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = MAP_FAILED;

	if (fd >= 0) {
		p = mmap(NULL, sizeof(*slept_ns), PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (p != MAP_FAILED)
		slept_ns = p;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	static int (*real)(clockid_t, struct timespec *);
	int64_t ns;
	int r;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	r = real(id, ret);
	if (r != 0 || slept_ns == NULL ||
	    (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE &&
	     id != CLOCK_MONOTONIC_RAW))
		return r;
	ns = (int64_t)ret->tv_sec * 1000000000 + ret->tv_nsec - *slept_ns;
	ret->tv_sec = ns / 1000000000;
	ret->tv_nsec = ns % 1000000000;
	return 0;
}

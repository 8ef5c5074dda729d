/* SPDX-License-Identifier: MIT */
#include "client/self.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

char *self_path(void)
{
	static const char gone[] = " (deleted)";
	char path[PATH_MAX + sizeof(gone)];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	size_t len, tail = sizeof(gone) - 1;

	if (n < 0)
		return NULL;
	path[n] = '\0';
	len = (size_t)n;
	/* A program that was updated while it runs has its successor there. */
	if (len > tail && strcmp(path + len - tail, gone) == 0)
		path[len - tail] = '\0';
	return xstrdup(path);
}

char *self_home(void)
{
	const char *home = getenv("RIGWAY_HOME");
	char cwd[PATH_MAX];

	if (home == NULL || home[0] == '\0')
		return NULL;
	if (home[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return xstrdup(home);
	return xasprintf("%s/%s", cwd, home);
}

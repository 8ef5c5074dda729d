/* SPDX-License-Identifier: MIT */
#include "base/fdlimit.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/log.h"

void fdlimit_raise(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

size_t fdlimit_now(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_NOFILE, &l) < 0 ? SIZE_MAX : (size_t)l.rlim_cur;
}

const char *fdlimit_text(int err, char out[FDLIMIT_TEXT_CAP])
{
	struct rlimit l = { 0 };

	(void)getrlimit(RLIMIT_NOFILE, &l);
	if (err == -EMFILE)
		snprintf(out, FDLIMIT_TEXT_CAP,
			 "%llu files and sockets are open, the limit: close "
			 "some, or raise it where this is started (ulimit -Hn, "
			 "LimitNOFILE= in systemd's unit)",
			 (unsigned long long)l.rlim_cur);
	else if (err == -ENFILE)
		snprintf(out, FDLIMIT_TEXT_CAP,
			 "the whole system's limit of open files is reached; "
			 "raise it with sysctl fs.file-max");
	else
		snprintf(out, FDLIMIT_TEXT_CAP, "%s", err_text(err));
	return out;
}

void fdlimit_warn(void *user, int err)
{
	char text[FDLIMIT_TEXT_CAP];

	(void)user;
	log_warn("new connections are turned away: %s",
		 fdlimit_text(err, text));
}

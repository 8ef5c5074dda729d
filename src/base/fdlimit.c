/* SPDX-License-Identifier: MIT */
#include "base/fdlimit.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"

void fdlimit_raise(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

void fdlimit_warn(void *user, int err)
{
	struct rlimit l = { 0 };

	(void)user;
	(void)getrlimit(RLIMIT_NOFILE, &l);
	if (err == -EMFILE)
		log_warn("%llu files and sockets are open, the limit: new "
			 "connections are turned away; raise it where this is "
			 "started (ulimit -Hn, LimitNOFILE= in systemd's unit)",
			 (unsigned long long)l.rlim_cur);
	else if (err == -ENFILE)
		log_warn("the whole system's limit of open files is reached: "
			 "new connections are turned away; raise it with "
			 "sysctl fs.file-max");
	else
		log_warn("no memory for a new connection (%s): it is turned "
			 "away",
			 strerror(-err));
}

/* SPDX-License-Identifier: MIT */
/* Hidden: the commands start it by themselves (client/talk.c). */
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/err.h"
#include "base/parse.h"
#include "client/daemon.h"
#include "client/talk.h"
#include "cmd/cmd.h"

static int stop(void)
{
	int fd = talk_connect(false), status;

	if (fd == RW_ERR_NOT_FOUND)
		return EXIT_DONE; /* it does not run */
	if (fd < 0)
		return EXIT_FAILED;
	status = talk_on(fd, json_pack("{s:s}", "do", "stop"), NULL, NULL);
	close(fd);
	return status;
}

int cmd_daemon(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ready-fd", required_argument, NULL, 'r' },
		{ "stop", no_argument, NULL, 's' },
		{ "standby", no_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t fd = 0;
	bool standby = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			return stop();
		if (c == 'b') {
			standby = true;
			continue;
		}
		if (c != 'r' || parse_u64(optarg, 1, 1024, &fd) < 0)
			return command_misuse("daemon");
	}
	if (optind < argc)
		return command_misuse("daemon");
	return daemon_run(fd != 0 ? (int)fd : -1, standby);
}

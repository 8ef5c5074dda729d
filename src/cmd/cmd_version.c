/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

int cmd_version(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--json") == 0) {
		printf("{\"version\":\"%s\",\"protocol\":1}\n", RIGWAY_VERSION);
		return EXIT_DONE;
	}
	if (argc > 1) {
		fprintf(stderr, "rigway: version does not take '%s'\n",
			argv[argc - 1]);
		return command_misuse(argv[0]);
	}
	printf("rigway %s\n", RIGWAY_VERSION);
	return EXIT_DONE;
}

/* SPDX-License-Identifier: MIT */
#include "cmd/join_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"

int join_fail(const char *text)
{
	fprintf(stderr, "rigway join: %s\n", text);
	return EXIT_FAILED;
}

int join_fail_free(char *text)
{
	int status = join_fail(text);

	free(text);
	return status;
}

bool join_ask_yes(const char *question)
{
	char line[64];

	fprintf(stderr, "%s [y/N] ", question);
	return fgets(line, sizeof(line), stdin) != NULL &&
	       (line[0] == 'y' || line[0] == 'Y');
}

bool join_is_terminal(void)
{
	return isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0;
}

/* SPDX-License-Identifier: MIT */
#include "cmd/setup.h"

#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

int setup_init(struct setup *s, const char *who)
{
	struct config_errors errs = { 0 };

	memset(s, 0, sizeof(*s));
	if (paths_init(&s->paths) != 0) {
		fprintf(stderr, "%s: %s\n", who, paths_error(&s->paths));
		return EXIT_FAILED;
	}
	if (settings_load(paths_config_file(&s->paths), &s->settings, &errs) ==
	    0)
		return 0;
	memset(&s->settings, 0, sizeof(s->settings)); /* nothing to free */
	config_errors_print(&errs, stderr);
	config_errors_done(&errs);
	return EXIT_FAILED;
}

void setup_done(struct setup *s)
{
	settings_done(&s->settings);
	paths_done(&s->paths);
}

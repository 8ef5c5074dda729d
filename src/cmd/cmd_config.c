/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "config/paths.h"
#include "config/settings.h"

/* Without FILE: the one that every command reads. */
static int check(const char *file, struct paths *p)
{
	const char *path = file != NULL ? file : paths_config_file(p);
	size_t errors;

	if (access(path, R_OK) != 0) {
		if (file != NULL) {
			fprintf(stderr, "rigway: cannot read %s\n", path);
			return EXIT_FAILED;
		}
		printf("%s: not there; the defaults hold\n", path);
		return EXIT_DONE;
	}
	errors = settings_file_check(path, stderr);
	if (errors > 0) {
		fprintf(stderr,
			"rigway: %zu mistake%s in %s; nothing of it is "
			"used until they are mended\n",
			errors, errors == 1 ? "" : "s", path);
		return EXIT_FAILED;
	}
	printf("%s: good\n", path);
	return EXIT_DONE;
}

static int show(struct paths *p)
{
	struct settings s;
	struct config_errors errs = { 0 };
	int err = settings_load(paths_config_file(p), &s, &errs);

	if (err < 0) {
		config_errors_print(&errs, stderr);
		config_errors_done(&errs);
		return EXIT_FAILED;
	}
	settings_show(&s, stdout);
	settings_done(&s);
	return EXIT_DONE;
}

int cmd_config(int argc, char **argv)
{
	struct paths p;
	int status;

	for (int i = 1; i < argc; i++)
		if (argv[i][0] == '-') {
			fprintf(stderr,
				"rigway config: there is no option "
				"'%s'\n",
				argv[i]);
			return command_misuse(argv[0]);
		}
	if (argc < 2 || argc > 3 ||
	    (strcmp(argv[1], "check") != 0 &&
	     (strcmp(argv[1], "show") != 0 || argc > 2)))
		return command_misuse(argv[0]);
	if (paths_init(&p) < 0) {
		fprintf(stderr, "rigway: %s\n", paths_error(&p));
		paths_done(&p);
		return EXIT_FAILED;
	}
	status = strcmp(argv[1], "show") == 0
			 ? show(&p)
			 : check(argc == 3 ? argv[2] : NULL, &p);
	paths_done(&p);
	return status;
}

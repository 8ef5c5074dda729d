/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/show.h"
#include "config/paths.h"
#include "config/schema.h"
#include "config/settings.h"

static void show_verdict(const char *path, const struct config_errors *errs,
			 bool is_there)
{
	json_t *mistakes = json_array();

	for (size_t i = 0; i < errs->len; i++)
		json_array_append_new(mistakes, json_string(errs->items[i]));
	show_json_free(json_pack("{s:s, s:b, s:b, s:o}", "file", path, "there",
				 (int)is_there, "good", errs->len == 0,
				 "mistakes", mistakes));
}

static void say_verdict(const char *path, const struct config_errors *errs,
			bool is_there)
{
	size_t n = errs->len + errs->dropped;

	if (!is_there)
		printf("%s: not there; the defaults hold\n", path);
	else if (n == 0)
		printf("%s: good\n", path);
	else
		fprintf(stderr,
			"rigway: %zu mistake%s in %s; nothing of it is "
			"used until they are mended\n",
			n, n == 1 ? "" : "s", path);
}

/* Without FILE: the one that every command reads. */
static int check(const char *file, struct paths *p, bool as_json)
{
	const char *path = file != NULL ? file : paths_config_file(p);
	struct config_errors errs = { 0 };
	struct settings s;
	const bool is_there = access(path, R_OK) == 0;
	int status;

	if (!is_there && file != NULL)
		config_errors_add(&errs, path, 0, 0, "cannot be read");
	else if (is_there && settings_load(path, &s, &errs) == 0)
		settings_done(&s);
	status = errs.len > 0 ? EXIT_FAILED : EXIT_DONE;
	config_errors_print(&errs, stderr);
	if (as_json)
		show_verdict(path, &errs, is_there);
	else if (is_there || file == NULL)
		say_verdict(path, &errs, is_there);
	config_errors_done(&errs);
	return status;
}

/* By their full names, as the file would say them. */
static void show_settings(const struct settings *s)
{
	size_t len;
	const struct setting *rows = schema_rows(&len);
	json_t *all = json_object();

	for (size_t i = 0; i < len; i++) {
		char *text = settings_get(s, rows[i].name);

		json_object_set_new(all, rows[i].name, json_string(text));
		free(text);
	}
	show_json_free(json_pack("{s:o}", "settings", all));
}

static int show(struct paths *p, bool as_json)
{
	struct settings s;
	struct config_errors errs = { 0 };
	int err = settings_load(paths_config_file(p), &s, &errs);

	if (err < 0) {
		config_errors_print(&errs, stderr);
		config_errors_done(&errs);
		return EXIT_FAILED;
	}
	if (as_json)
		show_settings(&s);
	else
		settings_show(&s, stdout);
	settings_done(&s);
	return EXIT_DONE;
}

int cmd_config(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	const char *verb, *file;
	struct paths p;
	bool as_json = false;
	int status, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return command_misuse("config");
		as_json = true;
	}
	verb = optind < argc ? argv[optind++] : "";
	file = optind < argc ? argv[optind++] : NULL;
	if (optind < argc || (strcmp(verb, "check") != 0 &&
			      (strcmp(verb, "show") != 0 || file != NULL)))
		return command_misuse("config");
	if (paths_init(&p) < 0) {
		fprintf(stderr, "rigway: %s\n", paths_error(&p));
		status = EXIT_FAILED;
	} else {
		status = strcmp(verb, "show") == 0 ? show(&p, as_json)
						   : check(file, &p, as_json);
	}
	paths_done(&p);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "client/rigs.h"
#include "client/ssh_config.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "cmd/show.h"

static const char *online_word(const json_t *rig)
{
	const json_t *online = json_object_get(rig, "online");

	return json_is_true(online)    ? "yes"
	       : json_is_false(online) ? "no"
				       : "unknown";
}

static const char *rtt_text(const json_t *rig, char out[static FORMAT_CAP])
{
	const json_t *rtt = json_object_get(rig, "rtt_ms");

	if (!json_is_number(rtt))
		return "-";
	snprintf(out, FORMAT_CAP, "%.1f ms", json_number_value(rtt));
	return out;
}

static void print_table(const json_t *rigs)
{
	char rtt[FORMAT_CAP];
	int name_w = 4, path_w = 4;
	size_t i;
	json_t *rig;

	json_array_foreach(rigs, i, rig)
	{
		int n = (int)strlen(show_text(rig, "name", ""));
		int p = (int)strlen(show_text(rig, "path", "-"));

		name_w = n > name_w ? n : name_w;
		path_w = p > path_w ? p : path_w;
	}
	printf("%-*s  ONLINE   %-*s  %-9s  SINCE\n", name_w, "NAME", path_w,
	       "PATH", "RTT");
	json_array_foreach(rigs, i, rig)
	{
		const char *note = show_text(rig, "note", NULL);

		printf("%-*s  %-7s  %-*s  %-9s  %s%s%s%s\n", name_w,
		       show_text(rig, "name", ""), online_word(rig), path_w,
		       show_text(rig, "path", "-"), rtt_text(rig, rtt),
		       show_text(rig, "since", "-"), note != NULL ? "  (" : "",
		       note != NULL ? note : "", note != NULL ? ")" : "");
	}
}

/* Only the members named `key` of the gathered lines. */
static json_t *pick(const json_t *lines, const char *key)
{
	json_t *out = json_array(), *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		json_t *o = json_object_get(line, key);

		if (o != NULL)
			json_array_append(out, o);
	}
	return out;
}

/* For the shells' completion: from this machine's state, whoever runs. */
static int print_names(void)
{
	struct ssh_config_files files;
	int err = ssh_config_open(&files);

	if (err < 0)
		fprintf(stderr, "rigway: %s\n", files.error);
	else
		list_for_each (it, &files.rigs.rows)
			puts(container_of(it, struct rigs_row, link)->name);
	ssh_config_close(&files);
	return err < 0 ? EXIT_FAILED : EXIT_DONE;
}

int cmd_ls(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "names", no_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 },
	};
	json_t *lines, *rigs, *all;
	int as_json = 0, only_names = 0, status, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return command_misuse("ls");
		as_json |= c == 'j';
		only_names |= c == 'n';
	}
	if (optind < argc)
		return command_misuse("ls");
	if (only_names)
		return print_names();
	lines = json_array();
	status = talk_within(TALK_LOOK_MS, json_pack("{s:s}", "do", "ls"),
			     talk_gather, lines);
	rigs = pick(lines, "rig");
	if (status == 0 && as_json) {
		all = json_pack("{s:O}", "rigs", rigs);
		show_json(all);
		json_decref(all);
	} else if (status == 0 && json_array_size(rigs) == 0) {
		fprintf(stderr, "no rigs yet; type 'rigway join CODE' with the "
				"code that the rig printed\n");
	} else if (status == 0) {
		print_table(rigs);
	}
	json_decref(rigs);
	json_decref(lines);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/talk.h"
#include "client/target.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "cmd/show.h"

static int unforward(const char *rig, const char *spec, json_t *gone)
{
	return talk(json_pack("{s:s, s:s?, s:s}", "do", "unforward", "rig", rig,
			      "spec", spec),
		    talk_gather, gone);
}

static void print_gone(const json_t *gone)
{
	size_t i;
	json_t *line;

	json_array_foreach(gone, i, line)
	{
		json_t *fw = json_object_get(line, "forward");

		fprintf(stderr, "closed %s -> %s %s\n",
			json_string_value(json_object_get(fw, "listen")),
			json_string_value(json_object_get(fw, "rig")),
			json_string_value(json_object_get(fw, "target")));
	}
}

/* Whether the first of two words or more names the rig. */
static bool has_rig(int count, char **words)
{
	struct target_spec spec;
	char *text;

	if (count < 2)
		return false;
	if (target_parse_spec(words[0], &spec, &text) == 0)
		return false;
	free(text);
	return true;
}

int cmd_unforward(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	const char *rig = NULL;
	int as_json = 0, status = 0, c;
	json_t *gone;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return command_misuse("unforward");
		as_json = 1;
	}
	if (optind >= argc)
		return command_misuse("unforward");
	if (has_rig(argc - optind, argv + optind))
		rig = argv[optind++];
	gone = json_array();
	for (; optind < argc; optind++) {
		int one = unforward(rig, argv[optind], gone);

		status = one > status ? one : status;
	}
	if (as_json) {
		show_json_free(json_pack("{s:O}", "closed", gone));
	} else {
		print_gone(gone);
	}
	json_decref(gone);
	if (status == 0)
		login_after_unforward();
	return status;
}

/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "client/talk.h"
#include "cmd/cmd.h"
#include "cmd/show.h"

/* The answer's row goes to rows; a rig that there is not gives none. */
static int reconnect(const char *rig, json_t *rows, bool as_json)
{
	size_t before = json_array_size(rows);
	int status =
		talk(json_pack("{s:s, s:s?}", "do", "reconnect", "rig", rig),
		     talk_gather, rows);

	if (json_array_size(rows) == before)
		json_array_append_new(rows, json_pack("{s:s, s:b}", "rig", rig,
						      "connected", 0));
	if (status == 0 && !as_json)
		fprintf(stderr, "%s: connected\n", rig);
	return status;
}

/* The names of all rigs, as an array of strings. */
static int on_rig(void *user, json_t *line, int fd)
{
	json_t *rig = json_object_get(line, "rig");

	(void)fd;
	if (rig != NULL)
		json_array_append(user, json_object_get(rig, "name"));
	return 0;
}

static int reconnect_all(const json_t *names, bool as_json)
{
	json_t *rows = json_array(), *name;
	int status = 0;
	size_t i;

	json_array_foreach(names, i, name)
	{
		int one = reconnect(json_string_value(name), rows, as_json);

		status = one > status ? one : status;
	}
	if (as_json)
		show_json_free(json_pack("{s:O}", "rigs", rows));
	else if (json_array_size(names) == 0)
		fprintf(stderr, "no rigs yet; type 'rigway join CODE' with the "
				"code that the rig printed\n");
	json_decref(rows);
	return status;
}

int cmd_reconnect(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	json_t *names;
	bool as_json = false;
	int status = 0, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return command_misuse("reconnect");
		as_json = true;
	}
	names = json_array();
	for (; optind < argc; optind++)
		json_array_append_new(names, json_string(argv[optind]));
	if (json_array_size(names) == 0)
		status = talk(json_pack("{s:s}", "do", "rigs"), on_rig, names);
	if (status == 0)
		status = reconnect_all(names, as_json);
	json_decref(names);
	return status;
}

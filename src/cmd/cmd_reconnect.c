/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "client/talk.h"
#include "cmd/cmd.h"

static int reconnect(const char *rig)
{
	int status =
		talk(json_pack("{s:s, s:s?}", "do", "reconnect", "rig", rig),
		     NULL, NULL);

	if (status == 0)
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

int cmd_reconnect(int argc, char **argv)
{
	static const struct option options[] = { { NULL, 0, NULL, 0 } };
	json_t *names;
	int status = 0;
	size_t i;
	json_t *name;

	if (getopt_long(argc, argv, "", options, NULL) != -1)
		return command_misuse("reconnect");
	names = json_array();
	for (; optind < argc; optind++)
		json_array_append_new(names, json_string(argv[optind]));
	if (json_array_size(names) == 0)
		status = talk(json_pack("{s:s}", "do", "rigs"), on_rig, names);
	if (status == 0 && json_array_size(names) == 0)
		fprintf(stderr, "no rigs yet; type 'rigway join CODE' with the "
				"code that the rig printed\n");
	json_array_foreach(names, i, name)
	{
		int one = reconnect(json_string_value(name));

		status = one > status ? one : status;
	}
	json_decref(names);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "base/parse.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "cmd/show.h"

struct invite_command {
	uint64_t ttl_ms, uses;
	json_t *codes; /* with --json */
};

static int on_line(void *user, json_t *line, int fd)
{
	struct invite_command *cmd = user;
	const char *code = json_string_value(json_object_get(line, "code"));
	const char *note = json_string_value(json_object_get(line, "note"));

	(void)fd;
	if (code == NULL)
		return 0;
	if (note != NULL && note[0] != '\0')
		fprintf(stderr, "rigway: %s\n", note);
	if (cmd->codes != NULL)
		json_array_append(cmd->codes, line);
	else
		printf("%s\n", code);
	return 0;
}

static int invite(struct invite_command *cmd, const char *rig)
{
	return talk(json_pack("{s:s, s:s?, s:I, s:I}", "do", "invite", "rig",
			      rig, "ttl", (json_int_t)(cmd->ttl_ms / 1000),
			      "uses", (json_int_t)cmd->uses),
		    on_line, cmd);
}

static bool says(const char *what)
{
	fprintf(stderr, "rigway invite: '%s' is not %s\n", optarg, what);
	return false;
}

static bool read_option(struct invite_command *cmd, int c)
{
	switch (c) {
	case 'e':
		return (parse_duration(optarg, &cmd->ttl_ms) == 0 &&
			cmd->ttl_ms >= 1000) ||
		       says("a time of 1s or more, such as 90s, 2h or 7d");
	case 'u':
		return parse_u64(optarg, 1, 65535, &cmd->uses) == 0 ||
		       says("a number of machines, 1 or more");
	case 'j':
		cmd->codes = cmd->codes != NULL ? cmd->codes : json_array();
		return true;
	default: return false;
	}
}

int cmd_invite(int argc, char **argv)
{
	static const struct option options[] = {
		{ "expires", required_argument, NULL, 'e' },
		{ "uses", required_argument, NULL, 'u' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct invite_command cmd = { .ttl_ms = 0 };
	int status = 0, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!read_option(&cmd, c))
			return command_misuse("invite");
	if (optind == argc)
		status = invite(&cmd, NULL);
	for (; optind < argc; optind++) {
		int one = invite(&cmd, argv[optind]);

		status = one > status ? one : status;
	}
	if (cmd.codes != NULL)
		show_json_free(json_pack("{s:o}", "codes", cmd.codes));
	return status;
}

/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "client/talk.h"
#include "client/target.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "cmd/show.h"

struct forward_command {
	bool foreground, as_json;
	json_t *forwards; /* with --json: gathered, printed at the end */
};

static void warn_open_to_all(const json_t *fw)
{
	const char *bind = show_text(fw, "bind", "");

	if (strncmp(bind, "127.", 4) != 0 && strcmp(bind, "::1") != 0 &&
	    strcmp(bind, "localhost") != 0)
		fprintf(stderr,
			"rigway: everybody who can reach this machine "
			"at %s can use this port\n",
			show_text(fw, "listen", ""));
}

static int on_line(void *user, json_t *line, int fd)
{
	struct forward_command *cmd = user;
	json_t *fw = json_object_get(line, "forward");

	const char *note = show_text(line, "note", NULL);

	(void)fd;
	if (note != NULL)
		fprintf(stderr, "rigway: %s\n", note);
	if (fw == NULL)
		return 0;
	warn_open_to_all(fw);
	if (cmd->as_json && !cmd->foreground) {
		json_array_append(cmd->forwards, fw);
		return 0;
	}
	if (cmd->as_json)
		show_json(fw);
	else
		printf("%s -> %s %s\n", show_text(fw, "listen", ""),
		       show_text(fw, "rig", ""), show_text(fw, "target", ""));
	fflush(stdout);
	return 0;
}

/* Ctrl-C is how --foreground ends; the daemon sees the socket close. */
static void on_signal(int signum)
{
	(void)signum;
	_exit(EXIT_DONE);
}

/* Whether the word is a SPEC; a rig's name never is one. */
static bool is_spec(const char *word)
{
	struct target_spec spec;
	char *text;

	if (target_parse_spec(word, &spec, &text) == 0)
		return true;
	free(text);
	return false;
}

/* A rig's name alone, rather than a SPEC that was mistyped. */
static bool names_no_port(const char *word)
{
	return !is_spec(word) && str_is_name(word) &&
	       word[strspn(word, "0123456789")] != '\0';
}

static json_t *request(const struct forward_command *cmd, int argc, char **argv)
{
	json_t *specs = json_array();
	const char *rig = NULL;
	int i = 0;

	if (argc > 1 && !is_spec(argv[0]))
		rig = argv[i++];
	for (; i < argc; i++)
		json_array_append_new(specs, json_string(argv[i]));
	return json_pack("{s:s, s:s?, s:o, s:b}", "do", "forward", "rig", rig,
			 "specs", specs, "hold", (int)cmd->foreground);
}

static int take_options(struct forward_command *cmd, int argc, char **argv)
{
	static const struct option options[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			cmd->foreground = true;
		else if (c == 'j')
			cmd->as_json = true;
		else
			return command_misuse("forward");
	}
	if (optind >= argc)
		return command_misuse("forward");
	if (argc - optind == 1 && names_no_port(argv[optind])) {
		fprintf(stderr,
			"rigway: which port? For example: rigway forward %s "
			"8888\n",
			argv[optind]);
		return command_misuse("forward");
	}
	return 0;
}

int cmd_forward(int argc, char **argv)
{
	struct forward_command cmd = { .forwards = NULL };
	json_t *all;
	int status = take_options(&cmd, argc, argv);

	if (status != 0)
		return status;
	if (cmd.foreground) {
		signal(SIGINT, on_signal);
		signal(SIGTERM, on_signal);
	}
	cmd.forwards = json_array();
	status = talk(request(&cmd, argc - optind, argv + optind), on_line,
		      &cmd);
	all = json_pack("{s:o}", "forwards", cmd.forwards);
	if (status == 0 && cmd.as_json && !cmd.foreground)
		show_json(all);
	json_decref(all);
	if (status == 0 && !cmd.foreground)
		login_after_forward();
	return status;
}

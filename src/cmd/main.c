/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "net/loop.h"

static void usage(FILE *to)
{
	fputs("usage: rigway COMMAND [ARGUMENT...]\n"
	      "\n"
	      "Reach your own GPU machine from anywhere, as if it stood under "
	      "your desk.\n"
	      "\n",
	      to);
	for (const struct command *c = commands; c->name != NULL; c++)
		if (c->help != NULL)
			fprintf(to, "  %-11s %s\n", c->name, c->help);
	fputs("\n"
	      "First use: 'rigway relay' on a public machine, 'rigway join "
	      "CODE' with the code it\n"
	      "prints on the GPU machine, and 'rigway join CODE' with that "
	      "one's on the laptop.\n"
	      "Each command has --help. RIGWAY_HOME=DIR keeps all files in "
	      "DIR.\n",
	      to);
}

static void command_usage(const struct command *c, FILE *to)
{
	fprintf(to, "usage: rigway %s%s%s\n", c->name, c->args[0] ? " " : "",
		c->args);
	if (c->help != NULL)
		fprintf(to, "\n%s\n", c->help);
	if (c->options->name != NULL)
		fputc('\n', to);
	for (const struct command_option *o = c->options; o->name != NULL;
	     o++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s%s%s", o->name,
			 o->value != NULL ? " " : "",
			 o->value != NULL ? o->value : "");
		fprintf(to, "  %-22s %s\n", left, o->help);
	}
	if (c->more != NULL)
		fprintf(to, "\n%s", c->more);
}

int command_misuse(const char *name)
{
	const char *blank = strchr(name, ' ');
	const struct command *c =
		command_find(blank != NULL ? blank + 1 : name);

	CHECK(c != NULL);
	fprintf(stderr,
		"usage: rigway %s%s%s\n('rigway %s --help' says more)\n",
		c->name, c->args[0] ? " " : "", c->args, c->name);
	return EXIT_MISUSE;
}

/* "possibilities are", for a word that is no command. */
static int no_command(const char *word)
{
	const char *names[64];
	size_t n = 0;

	for (const struct command *c = commands; c->name != NULL; c++)
		if (c->help != NULL && n < ARRAY_LEN(names))
			names[n++] = c->name;
	const char *near = str_near(word, names, n);

	fprintf(stderr, "rigway: there is no command '%s'", word);
	if (near != NULL)
		fprintf(stderr, "; did you mean '%s'?", near);
	fputs("\n'rigway --help' lists the commands\n", stderr);
	return EXIT_MISUSE;
}

/* --help among the command's own words; behind "--", and behind the rig's
 * name of ssh, words belong to others. */
static bool asks_help(int argc, char **argv)
{
	bool is_ssh = strcmp(argv[0], "ssh") == 0;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 ||
		    (strcmp(argv[i], "-h") == 0 && !is_ssh))
			return true;
		if (is_ssh)
			return false;
	}
	return false;
}

static int run(int argc, char **argv)
{
	static char called[64];
	const struct command *c;

	if (argc < 2) {
		usage(stderr);
		return EXIT_MISUSE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		c = argc > 2 ? command_find(argv[2]) : NULL;
		if (argc > 2 && c == NULL)
			return no_command(argv[2]);
		if (c != NULL)
			command_usage(c, stdout);
		else
			usage(stdout);
		return EXIT_DONE;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	c = command_find(argv[1]);
	if (c == NULL)
		return no_command(argv[1]);
	if (asks_help(argc - 1, argv + 1)) {
		command_usage(c, stdout);
		return EXIT_DONE;
	}
	/* What getopt_long() complains of begins with it. */
	snprintf(called, sizeof(called), "rigway %s", c->name);
	argv[1] = called;
	return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status;

	signal(SIGPIPE, SIG_IGN);
	status = run(argc, argv);
	/* A full disk or a closed pipe behind stdout is a failure too. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("rigway: cannot write the output");
		status = status == EXIT_DONE ? EXIT_FAILED : status;
	}
	if (loop_left_behind())
		_exit(status);
	return status;
}

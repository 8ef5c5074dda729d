/* SPDX-License-Identifier: MIT */
/*
 * The commands, one file each, and the one table that knows them all: usage,
 * --help, completion and the lints of the manual read the same rows. A command
 * gets its own words (argv[0] is "rigway NAME") and returns the exit status.
 */
#pragma once

#define EXIT_DONE   0
#define EXIT_FAILED 1 /* it was understood and could not be done */
#define EXIT_MISUSE 2 /* it was not understood */

/* An option of a command, as --help and completion show it. */
struct command_option {
	const char *name;  /* without the dashes */
	const char *value; /* what it takes, or NULL */
	const char *help;
};

struct command {
	const char *name;
	const char *args;
	const char *help; /* one line, plain words */
	int (*run)(int argc, char **argv);
	const char *const *verbs;	      /* second words, or NULL */
	const struct command_option *options; /* ends with a NULL name */
	const char *more; /* for its own --help: examples, notes; or NULL */
};

/* Ends with a NULL name. Hidden ones have no help. */
extern const struct command commands[];
const struct command *command_find(const char *name);
/* Prints how a command is used, to stderr, after a misuse; name is the
 * command's, or its argv[0] ("rigway NAME"). Returns EXIT_MISUSE. */
int command_misuse(const char *name);

int cmd_relay(int argc, char **argv);
int cmd_rig(int argc, char **argv);
int cmd_join(int argc, char **argv);
int cmd_invite(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_forward(int argc, char **argv);
int cmd_unforward(int argc, char **argv);
int cmd_reconnect(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_ssh(int argc, char **argv);
int cmd_ssh_config(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_completion(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_daemon(int argc, char **argv);
int cmd_supervise(int argc, char **argv);

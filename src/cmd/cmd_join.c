/* SPDX-License-Identifier: MIT */
/* rigway join: takes a code, and makes this machine a laptop that knows the
 * rig of it (cmd/join_client.c), or a rig (cmd/join_rig.c). */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/join_parts.h"

enum {
	OPT_NAME = 256,
	OPT_NO_START,
	OPT_NO_INSTALL,
	OPT_AUTHORIZE,
	OPT_NO_AUTHORIZE,
	OPT_JSON
};

static const struct option options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "no-start", no_argument, NULL, OPT_NO_START },
	{ "no-install", no_argument, NULL, OPT_NO_INSTALL },
	{ "authorize-key", no_argument, NULL, OPT_AUTHORIZE },
	{ "no-authorize-key", no_argument, NULL, OPT_NO_AUTHORIZE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ NULL, 0, NULL, 0 },
};

static int misuse(const char *text, const char *word)
{
	fprintf(stderr, "rigway join: '%s' %s\n", word, text);
	return command_misuse("join");
}

static int take_option(struct join *j, int opt, char **argv)
{
	switch (opt) {
	case OPT_NAME:
		if (!str_is_name(optarg))
			return misuse("is not a name: 1 to 63 letters, "
				      "digits, '.', '_' and '-'",
				      optarg);
		j->name = optarg;
		return 0;
	case OPT_JSON: j->is_json = true; return 0;
	case OPT_NO_START: j->no_start = true; return 0;
	case OPT_NO_INSTALL: j->no_install = true; return 0;
	case OPT_AUTHORIZE: j->authorize = AUTHORIZE_YES; return 0;
	case OPT_NO_AUTHORIZE: j->authorize = AUTHORIZE_NO; return 0;
	case ':': return misuse("wants a value", argv[optind - 1]);
	default:
		return misuse("is no option of this command", argv[optind - 1]);
	}
}

/* On a terminal: lines, until they make a code. Else: all there is. */
static void read_code(struct buf *ret)
{
	const bool is_tty = isatty(STDIN_FILENO) != 0;
	char line[1024];
	struct code code;

	if (is_tty)
		fprintf(stderr, "Paste the code, then press Enter: ");
	while (ret->len < CODE_INPUT_MAX &&
	       fgets(line, sizeof(line), stdin) != NULL) {
		size_t len = strlen(line);

		buf_append(ret, line, MIN(len, CODE_INPUT_MAX - ret->len));
		if (is_tty && code_parse(buf_text(ret), ret->len, &code) !=
				      RW_ERR_TRUNCATED)
			break;
	}
	mem_wipe(line, sizeof(line));
	code_wipe(&code);
}

static int parse_code(struct join *j)
{
	int err = code_parse(buf_text(&j->text), j->text.len, &j->code);

	switch (err) {
	case 0: return 0;
	case RW_ERR_VERSION:
		return join_fail(
			"this code was made by a newer rigway: update the "
			"one on this machine");
	case RW_ERR_TRUNCATED:
		return join_fail(
			"the end of the code is missing: copy all of it");
	case RW_ERR_MANGLED:
		return join_fail(
			"some characters of the code are wrong: copy it "
			"again");
	case RW_ERR_LIMIT: return join_fail("this is too long to be a code");
	default:
		return join_fail(
			"this is not a code: one begins with rw1, and is "
			"printed by rigway relay (for a rig), rigway join "
			"or rigway rig invite (for a laptop)");
	}
}

static int read_args(struct join *j, int argc, char **argv)
{
	int opt, status = 0;

	opterr = 0;
	optind = 1;
	while (status == 0 &&
	       (opt = getopt_long(argc, argv, ":", options, NULL)) != -1)
		status = take_option(j, opt, argv);
	if (status != 0)
		return status;
	if (optind == argc ||
	    (optind + 1 == argc && strcmp(argv[optind], "-") == 0))
		read_code(&j->text);
	for (int i = optind; i < argc && strcmp(argv[optind], "-") != 0; i++)
		if (j->text.len < CODE_INPUT_MAX)
			buf_printf(&j->text, "%s ", argv[i]);
	if (buf_text(&j->text)[strspn(buf_text(&j->text), " \t\r\n")] == '\0') {
		fprintf(stderr, "rigway join: there is no code\n");
		return command_misuse("join");
	}
	return parse_code(j);
}

int cmd_join(int argc, char **argv)
{
	struct join j = { 0 };
	int status = read_args(&j, argc, argv);

	if (status == 0) {
		status = setup_init(&j.setup, "rigway join");
		if (status == 0)
			status = j.code.kind == CODE_RIG ? join_rig(&j)
							 : join_client(&j);
		setup_done(&j.setup);
	}
	code_wipe(&j.code);
	buf_done(&j.text);
	return status;
}

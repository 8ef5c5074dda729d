/* SPDX-License-Identifier: MIT */
/* rigway join: takes a code, and makes this machine a laptop that knows the
 * rig of it, or a rig (cmd/join_rig.c). */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "cmd/join_parts.h"
#include "cmd/show.h"
#include "crypto/key.h"
#include "wire/request.h"

int join_fail(const char *text)
{
	fprintf(stderr, "rigway join: %s\n", text);
	return EXIT_FAILED;
}

int join_fail_free(char *text)
{
	int status = join_fail(text);

	free(text);
	return status;
}

bool join_ask_yes(const char *question)
{
	char line[64];

	fprintf(stderr, "%s [y/N] ", question);
	return fgets(line, sizeof(line), stdin) != NULL &&
	       (line[0] == 'y' || line[0] == 'Y');
}

bool join_is_terminal(void)
{
	return isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0;
}

/* -- arguments and the code ------------------------------------------------ */

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

/* -- a laptop -------------------------------------------------------------- */

static bool is_own_code(struct join *j)
{
	char *path = paths_state(&j->setup.paths, "rig", "key");
	struct key *key = NULL;
	bool own = path != NULL && access(path, F_OK) == 0 &&
		   key_load(path, &key) == 0 &&
		   pin_eq(key_pin(key), &j->code.rig_pin);

	key_free(key);
	free(path);
	return own;
}

struct joined {
	char rig[64], role[16];
	bool is_new;
};

static int on_line(void *user, json_t *line, int fd)
{
	struct joined *jd = user;
	const char *rig = "", *role = "";
	int is_new = 0;

	(void)fd;
	json_unpack(line, "{s?s, s?s, s?b}", "rig", &rig, "role", &role, "new",
		    &is_new);
	str_copy(jd->rig, sizeof(jd->rig), rig);
	str_copy(jd->role, sizeof(jd->role), role);
	jd->is_new = is_new != 0;
	return 0;
}

/* The ssh public key that ssh itself would offer first, or NULL. */
static char *find_public_key(char **ret_path)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa",
					     "id_ed25519_sk", "id_ecdsa_sk" };
	const char *home = getenv("HOME");

	for (size_t i = 0; home != NULL && i < ARRAY_LEN(names); i++) {
		char *path = xasprintf("%s/.ssh/%s.pub", home, names[i]);
		struct buf b;

		buf_init(&b);
		if (file_read(path, REQUEST_KEY_MAX, &b) == 0 && b.len > 0) {
			char *text = xstrdup(buf_text(&b));

			text[strcspn(text, "\r\n")] = '\0';
			buf_done(&b);
			*ret_path = path;
			return text;
		}
		buf_done(&b);
		free(path);
	}
	return NULL;
}

/* The offer to let this laptop's ssh key in. That it fails is said, and is no
 * failure of the join. */
static void offer_key(struct join *j, const struct joined *jd)
{
	char *path = NULL, *key, *question;
	bool yes = j->authorize == AUTHORIZE_YES;

	if (j->authorize == AUTHORIZE_NO ||
	    (j->authorize == AUTHORIZE_ASK &&
	     (!join_is_terminal() || !jd->is_new ||
	      strcmp(jd->role, "owner") != 0)))
		return;
	key = find_public_key(&path);
	if (key == NULL) {
		if (yes)
			fprintf(stderr, "rigway join: there is no ssh public "
					"key in ~/.ssh: make one with "
					"ssh-keygen, and repeat this\n");
		return;
	}
	if (!yes) {
		question = xasprintf("Let this laptop's ssh key (%s) in on "
				     "%s, so that ssh asks for no password?",
				     path, jd->rig);
		yes = join_ask_yes(question);
		free(question);
	}
	if (yes && talk(json_pack("{s:s, s:s, s:s}", "do", "authorize", "rig",
				  jd->rig, "key", key),
			NULL, NULL) == 0)
		fprintf(stderr, "rigway join: %s accepts the key %s now\n",
			jd->rig, path);
	free(key);
	free(path);
}

static int join_client(struct join *j)
{
	struct joined jd = { 0 };
	json_t *msg;
	int status;

	if (j->no_start)
		fprintf(stderr, "rigway join: note: --no-start is for rigs\n");
	if (is_own_code(j))
		return join_fail(
			"this code lets a laptop reach this very machine: "
			"type it on the laptop");
	if (j->code.relay_count > 0)
		fprintf(stderr,
			"rigway join: asking the relay %s, and %s ...\n",
			j->code.relay[0], j->code.rig_name);
	else
		fprintf(stderr, "rigway join: asking %s at %s ...\n",
			j->code.rig_name, j->code.addr[0]);
	msg = json_pack("{s:s, s:s, s:s*}", "do", "join", "code",
			buf_text(&j->text), "name", j->name);
	status = talk(msg, on_line, &jd);
	if (status != 0)
		return status;
	offer_key(j, &jd);
	if (j->is_json) {
		show_json_free(json_pack("{s:s, s:s, s:b}", "role", "laptop",
					 "rig", jd.rig, "new", (int)jd.is_new));
		return EXIT_DONE;
	}
	printf("%s is ready: rigway ls, rigway ssh %s, rigway forward %s "
	       "8888\n",
	       jd.rig, jd.rig, jd.rig);
	return EXIT_DONE;
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

/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/str.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "cmd/rig_parts.h"
#include "cmd/show.h"
#include "rig/agent.h"

/* -- arguments ------------------------------------------------------------- */

enum {
	OPT_NAME = 256,
	OPT_LISTEN,
	OPT_NO_LISTEN,
	OPT_PUBLIC,
	OPT_LEVEL,
	OPT_GUEST,
	OPT_USES,
	OPT_EXPIRES,
	OPT_JSON,
	OPT_STANDBY,
	OPT_READY
};

static const struct option options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "no-listen", no_argument, NULL, OPT_NO_LISTEN },
	{ "public", required_argument, NULL, OPT_PUBLIC },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
	{ "guest", required_argument, NULL, OPT_GUEST },
	{ "uses", required_argument, NULL, OPT_USES },
	{ "expires", required_argument, NULL, OPT_EXPIRES },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "standby", no_argument, NULL, OPT_STANDBY },
	{ "ready-fd", required_argument, NULL, OPT_READY },
	{ NULL, 0, NULL, 0 },
};

static void add_guest(struct rig_typed *a, const char *text)
{
	buf_printf(&a->guest, "%s%s", a->guest.len > 0 ? "," : "", text);
	a->is_guest = true;
}

static int take_option(struct rig_typed *a, int opt)
{
	switch (opt) {
	case OPT_NAME:
		if (!str_is_name(optarg))
			return rig_misuse("is not a name: 1 to 63 letters, "
					  "digits, '.', '_' and '-'",
					  optarg);
		a->name = optarg;
		return 0;
	case OPT_LISTEN: settings_list_add(&a->listen, optarg); return 0;
	case OPT_NO_LISTEN: a->no_listen = true; return 0;
	case OPT_PUBLIC: settings_list_add(&a->public, optarg); return 0;
	case OPT_LEVEL: a->log_level = optarg; return 0;
	case OPT_GUEST: add_guest(a, optarg); return 0;
	case OPT_JSON: a->is_json = true; return 0;
	case OPT_STANDBY: a->standby = true; return 0;
	case OPT_USES:
		if (parse_u64(optarg, 1, INVITE_USES_MAX, &a->uses) != 0)
			return rig_misuse("is not a number from 1 to 64",
					  optarg);
		return 0;
	case OPT_EXPIRES:
		if (parse_duration(optarg, &a->expires_ms) != 0 ||
		    a->expires_ms < 1000 ||
		    a->expires_ms > (uint64_t)INVITE_TTL_MAX * 1000)
			return rig_misuse(
				"is not a time from 1s to 365d, such as "
				"90s, 2h or 7d",
				optarg);
		return 0;
	case OPT_READY:
		if (parse_u64(optarg, 3, 1023, &a->ready_fd) != 0)
			return rig_misuse("is not a file descriptor", optarg);
		return 0;
	default: return command_misuse("rig");
	}
}

static int take_verb(struct rig_typed *a, const char *word)
{
	static const char *const verbs[] = { "invite",	"devices",  "status",
					     "remove",	"relays",   "leave",
					     "install", "uninstall" };

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(word, verbs[i]) == 0)
			a->verb = verbs[i];
	if (a->verb == NULL) {
		const char *near = str_near(word, verbs, ARRAY_LEN(verbs));

		fprintf(stderr, "rigway rig: there is no '%s'%s%s%s\n", word,
			near != NULL ? "; did you mean '" : "",
			near != NULL ? near : "", near != NULL ? "'?" : "");
		return command_misuse("rig");
	}
	if (strstr(a->verb, "install") != NULL)
		return rig_misuse("comes first: 'rigway rig install'", a->verb);
	return 0;
}

/* The one word behind a verb; asks with `missing` where there is none. */
static int take_who(struct rig_typed *a, int argc, char **argv,
		    const char *missing)
{
	if (argc > 1)
		return rig_misuse("is one word too many", argv[1]);
	if (argc == 0 || argv[0][0] == '\0') {
		rig_fail(missing);
		return command_misuse("rig");
	}
	a->who = argv[0];
	return 0;
}

/* The words that are no options: a verb, and what it is about. */
static int take_words(struct rig_typed *a, int argc, char **argv)
{
	int status = argc > 0 ? take_verb(a, argv[0]) : 0;

	if (argc == 0 || status != 0)
		return status;
	argc--;
	argv++;
	if (strcmp(a->verb, "remove") == 0)
		return take_who(a, argc, argv,
				"whom? 'rigway rig devices' lists names and "
				"fingerprints");
	if (strcmp(a->verb, "leave") == 0)
		return take_who(a, argc, argv,
				"which relay? 'rigway rig relays' lists them");
	/* --guest ssh 8888 */
	for (int i = 0; i < argc; i++) {
		if (!a->is_guest)
			return rig_misuse("is one word too many", argv[i]);
		add_guest(a, argv[i]);
	}
	return 0;
}

/* An option that its verb does not know is a mistake, not noise. */
static int check_args(const struct rig_typed *a)
{
	const bool invites = a->verb != NULL && strcmp(a->verb, "invite") == 0;

	if ((a->is_guest || a->uses > 0 || a->expires_ms > 0) && !invites)
		return rig_misuse("belong to 'rigway rig invite'",
				  "--guest, --uses and --expires");
	if ((a->name != NULL || a->standby) && a->verb != NULL)
		return rig_misuse("belong to 'rigway rig' alone",
				  "--name and --standby");
	const bool listens = a->listen != NULL || a->public != NULL;

	if ((listens || a->no_listen) && a->verb != NULL)
		return rig_misuse(
			"belong to 'rigway rig' alone; codes say what it "
			"was started with",
			"--listen, --no-listen and --public");
	if (listens && a->no_listen)
		return rig_misuse("says the opposite of --listen and --public",
				  "--no-listen");
	return 0;
}

static int read_args(struct rig_typed *a, int argc, char **argv)
{
	int opt, status = 0;

	opterr = 0;
	optind = 1;
	while (status == 0 &&
	       (opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == ':')
			status = rig_misuse("wants a value", argv[optind - 1]);
		else if (opt == '?')
			status = rig_misuse("is no option of this command",
					    argv[optind - 1]);
		else
			status = take_option(a, opt);
	}
	if (status == 0)
		status = take_words(a, argc - optind, argv + optind);
	return status != 0 ? status : check_args(a);
}

/* -- running --------------------------------------------------------------- */

/* The one thing that goes to stdout. */
static void say_first(const char *code, bool as_json)
{
	fputs("The laptop's code; it works once, for 24 hours. On the laptop "
	      "type:\n  rigway join CODE\n",
	      stderr);
	show_code(code, as_json, true);
}

static void say_first_code(const char *code)
{
	say_first(code, false);
}

static void say_first_code_json(const char *code)
{
	say_first(code, true);
}

static int set_log(const struct setup *s, const struct rig_typed *a)
{
	enum log_level level = (enum log_level)s->settings.log.level;

	if (a->log_level != NULL && log_level_parse(a->log_level, &level) != 0)
		return rig_misuse("is not error, warn, info or debug",
				  a->log_level);
	log_set_level(level);
	log_set_limit((unsigned)s->settings.log.lines_per_minute);
	log_set_prefix("rig");
	return 0;
}

/* What the agent asks for once it holds the state. */
struct start {
	struct setup *s;
	const struct rig_typed *a;
	struct listening keep;
};

static int on_held(void *user)
{
	struct start *t = user;

	return rig_listen_held(t->s, t->a, &t->keep);
}

static int run_agent(struct setup *s, struct rig_typed *a)
{
	struct start t = { .s = s, .a = a };
	const struct agent_params p = {
		.settings = &s->settings,
		.paths = &s->paths,
		.name = a->name,
		.on_held = on_held,
		.user = &t,
		.keep = &t.keep,
		.ready_fd = a->ready_fd > 0 ? (int)a->ready_fd : -1,
		/* In the background stdout is a log, where no code belongs. */
		.on_code = a->ready_fd > 0 || a->standby ? NULL
			   : a->is_json			 ? say_first_code_json
							 : say_first_code,
		.standby = a->standby,
	};
	int status = rig_listen_typed(s, a);

	if (status == 0)
		status = set_log(s, a);
	if (status == 0)
		status = agent_run(&p);
	listening_done(&t.keep);
	return status;
}

static int run_verb(struct setup *s, struct rig_typed *a)
{
	/* Codes carry where the rig listens. */
	int status = rig_listen_kept(s);

	if (status != 0)
		return status;
	if (strcmp(a->verb, "invite") == 0)
		return rig_invite(s, a);
	if (strcmp(a->verb, "devices") == 0)
		return rig_devices(s, a);
	if (strcmp(a->verb, "status") == 0)
		return rig_status(s, a);
	if (strcmp(a->verb, "relays") == 0)
		return rig_relays(s, a);
	if (strcmp(a->verb, "leave") == 0)
		return rig_leave(s, a);
	return rig_remove(s, a);
}

int cmd_rig(int argc, char **argv)
{
	struct rig_typed a = { 0 };
	struct setup s;
	int status;

	if (boot_is_meant(argc, argv) > 0)
		return boot_command("rig", argc, argv);
	status = read_args(&a, argc, argv);

	if (status == 0) {
		status = setup_init(&s, "rigway rig");
		if (status == 0)
			status = a.verb == NULL ? run_agent(&s, &a)
						: run_verb(&s, &a);
		setup_done(&s);
	}
	buf_done(&a.guest);
	free(a.listen);
	free(a.public);
	return status;
}

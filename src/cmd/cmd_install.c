/* SPDX-License-Identifier: MIT */
/* rigway rig|relay install|uninstall: what was typed, and what is printed. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "cmd/setup.h"
#include "cmd/show.h"

#define ARGS_MAX 16 /* that are kept for the service */

struct install {
	const char *role;
	char who[32]; /* "rigway rig install" */
	bool removes, is_user, is_system, as_json, print;
	const char *by;
	char *kept[ARGS_MAX + 1]; /* "--name=desk" */
	size_t kept_count;
};

enum { OPT_USER = 256, OPT_SYSTEM, OPT_BY, OPT_JSON, OPT_PRINT, OPT_KEPT };

static const struct option options[] = {
	{ "user", no_argument, NULL, OPT_USER },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "by", required_argument, NULL, OPT_BY },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "print", no_argument, NULL, OPT_PRINT },
	{ "name", required_argument, NULL, OPT_KEPT },
	{ "listen", required_argument, NULL, OPT_KEPT },
	{ "public", required_argument, NULL, OPT_KEPT },
	{ "log-level", required_argument, NULL, OPT_KEPT },
	{ NULL, 0, NULL, 0 },
};

int boot_is_meant(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-')
			return strcmp(argv[i], "install") == 0 ||
					       strcmp(argv[i], "uninstall") == 0
				       ? i
				       : 0;
	return 0;
}

/* -- arguments ------------------------------------------------------------- */

static int misuse(const struct install *in, const char *text, const char *word)
{
	fprintf(stderr, "%s: '%s' %s\n", in->who, word, text);
	return command_misuse(in->role);
}

static int take_by(struct install *in)
{
	for (size_t i = 0; boot_ways[i] != NULL; i++)
		if (strcmp(boot_ways[i]->name, optarg) == 0)
			in->by = boot_ways[i]->name;
	return in->by != NULL ? 0
			      : misuse(in, "is not systemd, cron or supervisor",
				       optarg);
}

static int take_kept(struct install *in, const char *name)
{
	if (in->removes)
		return misuse(in, "belongs to install", name);
	if (strcmp(name, "public") == 0 && strcmp(in->role, "rig") != 0)
		return misuse(in, "belongs to rigway rig", "--public");
	if (strcmp(name, "name") == 0 && strcmp(in->role, "rig") == 0 &&
	    !str_is_name(optarg))
		return misuse(in,
			      "is not a name: 1 to 63 letters, digits, '.', "
			      "'_' and '-'",
			      optarg);
	if (in->kept_count == ARGS_MAX)
		return misuse(in, "is one too many", optarg);
	in->kept[in->kept_count++] = xasprintf("--%s=%s", name, optarg);
	return 0;
}

static int take_option(struct install *in, int opt, int at, char **argv)
{
	switch (opt) {
	case OPT_USER: in->is_user = true; return 0;
	case OPT_SYSTEM: in->is_system = true; return 0;
	case OPT_JSON: in->as_json = true; return 0;
	case OPT_PRINT: in->print = true; return 0;
	case OPT_BY: return take_by(in);
	case OPT_KEPT: return take_kept(in, options[at].name);
	case ':': return misuse(in, "wants a value", argv[optind - 1]);
	default:
		return misuse(in, "is no option of this command",
			      argv[optind - 1]);
	}
}

static int read_args(struct install *in, int argc, char **argv)
{
	int opt, at = 0, status = 0;

	opterr = 0;
	optind = 1;
	while (status == 0 &&
	       (opt = getopt_long(argc, argv, ":", options, &at)) != -1)
		status = take_option(in, opt, at, argv);
	if (status == 0 && optind < argc)
		status = misuse(in, "is one word too many", argv[optind]);
	if (status == 0 && in->is_user && in->is_system)
		status =
			misuse(in, "and --system exclude each other", "--user");
	if (status == 0 && in->removes && (in->by != NULL || in->print))
		status = misuse(in, "belong to install", "--by and --print");
	return status;
}

/* -- what is printed ------------------------------------------------------- */

static void print_list(const json_t *report, const char *key, const char *label)
{
	const json_t *all = json_object_get(report, key), *item;
	size_t i;

	json_array_foreach(all, i, item)
		printf("  %-10s %s\n", label, json_string_value(item));
}

static const char *what_it_is(const json_t *report)
{
	const char *by = show_text(report, "by", "");

	if (strcmp(by, "systemd") != 0)
		return strcmp(by, "cron") == 0 ? "started by cron at boot"
					       : "kept by a supervisor";
	return strcmp(show_text(report, "level", ""), "system") == 0
		       ? "a service of the system"
		       : "a service of this user";
}

static void print_installed(const char *who, const json_t *report)
{
	const json_t *running = json_object_get(report, "running");

	printf("%s: %s, %s (user %s)\n", who, show_text(report, "name", ""),
	       what_it_is(report), show_text(report, "user", ""));
	print_list(report, "wrote", "wrote");
	if (json_array_size(json_object_get(report, "wrote")) == 0)
		printf("  %-10s nothing: it was there already\n", "wrote");
	printf("  %-10s %s\n", "at boot",
	       json_is_true(json_object_get(report, "at_boot")) ? "yes" : "no");
	if (running != NULL)
		printf("  %-10s %s\n", "now",
		       json_is_true(running) ? "running"
					     : "not running: see the log");
	if (show_text(report, "log", NULL) != NULL)
		printf("  %-10s %s\n", "log", show_text(report, "log", ""));
	print_list(report, "notes", "note");
	printf("  %-10s rigway %s uninstall\n", "to undo",
	       show_text(report, "role", ""));
}

static void print_removed(const struct install *in, const json_t *report)
{
	if (json_array_size(json_object_get(report, "removed")) == 0) {
		fprintf(stderr, "%s: nothing was installed\n", in->who);
		return;
	}
	printf("%s: %s does not start by itself any more; its keys and state "
	       "stay\n",
	       in->who, show_text(report, "name", ""));
	print_list(report, "removed", "removed");
}

/* -- the whole ------------------------------------------------------------- */

static int fail(const struct install *in, char *text)
{
	fprintf(stderr, "%s: %s\n", in->who, text != NULL ? text : "failed");
	free(text);
	return EXIT_FAILED;
}

static bool listens(const struct install *in, const struct setup *s)
{
	bool yes = s->settings.rig.listen.len > 0;

	for (size_t i = 0; i < in->kept_count; i++)
		yes |= str_has_prefix(in->kept[i], "--listen=");
	return yes;
}

/* What rigway itself can know before systemd tries for ever. */
static int check_sense(const struct install *in, const struct setup *s,
		       const struct boot_job *job)
{
	char *path;
	bool joined = listens(in, s);

	if (in->removes || in->print || strcmp(in->role, "rig") != 0)
		return 0;
	path = xasprintf("%s/relays", job->state);
	joined |= access(path, F_OK) == 0;
	free(path);
	path = xasprintf("%s/listen", job->state);
	joined |= access(path, F_OK) == 0;
	free(path);
	if (joined)
		return 0;
	fprintf(stderr,
		"%s: this machine is no rig yet: rigway join CODE, with a "
		"code from rigway relay invite, or rigway rig install "
		"--listen PORT\n",
		in->who);
	return EXIT_FAILED;
}

static int do_install(const struct install *in, const struct boot_job *job)
{
	json_t *report = NULL;
	char *text = NULL;

	if (in->print) {
		text = boot_unit(job, 0);
		fputs(text, stdout);
		free(text);
		return EXIT_DONE;
	}
	if (boot_install(job, in->by, &report, &text) != 0)
		return fail(in, text);
	if (in->as_json)
		show_json(report);
	else
		print_installed(in->who, report);
	if (strcmp(in->role, "relay") == 0 && !in->as_json)
		printf("  %-10s %srigway relay invite\n", "codes",
		       job->is_own && getenv("SUDO_UID") != NULL ? "sudo "
								 : "");
	const bool failed = json_is_false(json_object_get(report, "running")) &&
			    !job->is_other;

	json_decref(report);
	return failed ? EXIT_FAILED : EXIT_DONE;
}

static int do_uninstall(const struct install *in, const struct boot_job *job)
{
	char *unit = xasprintf("/etc/systemd/system/%s.service", job->name);
	const bool is_roots = geteuid() != 0 && access(unit, F_OK) == 0;
	json_t *report = NULL;
	char *text = NULL;

	free(unit);
	if (boot_uninstall(job, &report, &text) != 0)
		return fail(in, text);
	if (in->as_json)
		show_json(report);
	else
		print_removed(in, report);
	const bool none =
		json_array_size(json_object_get(report, "removed")) == 0;

	json_decref(report);
	if (!none || !is_roots)
		return EXIT_DONE;
	fprintf(stderr,
		"%s: it is a service of the system, which only root may "
		"remove: sudo rigway %s uninstall\n",
		in->who, in->role);
	return EXIT_FAILED;
}

static int run(struct install *in)
{
	struct boot_job job = { .role = NULL };
	struct setup s;
	struct boot_params p = {
		.role = in->role,
		.level = geteuid() == 0 && !in->is_user ? BOOT_SYSTEM
							: BOOT_USER,
		.args = (const char **)(uintptr_t)in->kept,
		.paths = &s.paths,
	};
	int status = setup_init(&s, in->who);

	if (status == 0 && in->is_system && geteuid() != 0 && !in->print) {
		fprintf(stderr,
			"%s: only root may make a service of the system: sudo "
			"rigway %s %s --system; or leave --system out\n",
			in->who, in->role,
			in->removes ? "uninstall" : "install");
		status = EXIT_FAILED;
	}
	if (in->is_system)
		p.level = BOOT_SYSTEM;
	p.may_be_new = strcmp(in->role, "relay") == 0 ||
		       (status == 0 && listens(in, &s));
	if (status == 0)
		status = boot_init(&job, &p);
	if (status == 0)
		status = check_sense(in, &s, &job);
	if (status == 0)
		status = in->removes ? do_uninstall(in, &job)
				     : do_install(in, &job);
	boot_done(&job);
	setup_done(&s);
	return status;
}

static void say_joined(const json_t *report)
{
	const json_t *notes = json_object_get(report, "notes"), *note;
	size_t i;

	fprintf(stderr, "rigway join: the rig is %s now%s; its log: %s\n",
		what_it_is(report),
		json_is_true(json_object_get(report, "at_boot"))
			? ", and starts with the machine"
			: "",
		show_text(report, "log", ""));
	json_array_foreach(notes, i, note) fprintf(
		stderr, "rigway join: note: %s\n", json_string_value(note));
}

bool boot_at_join(struct setup *s, bool no_install)
{
	const struct boot_params p = {
		.role = "rig",
		.level = geteuid() == 0 ? BOOT_SYSTEM : BOOT_USER,
		.paths = &s->paths,
	};
	const char *home = getenv("RIGWAY_HOME");
	struct boot_job job = { .role = NULL };
	json_t *report = NULL;
	char *text = NULL;
	bool done = false;

	if (no_install)
		return false;
	if (home != NULL && home[0] != '\0') {
		fprintf(stderr,
			"rigway join: note: with RIGWAY_HOME set it does not "
			"start by itself after a reboot; if it is to: rigway "
			"rig install\n");
		return false;
	}
	if (boot_init(&job, &p) == 0)
		done = boot_install(&job, NULL, &report, &text) == 0;
	if (done)
		say_joined(report);
	else if (text != NULL)
		fprintf(stderr,
			"rigway join: note: it cannot be made to start with "
			"the machine: %s\n",
			text);
	json_decref(report);
	boot_done(&job);
	free(text);
	return done;
}

int boot_command(const char *role, int argc, char **argv)
{
	struct install in = { .role = role };
	const int at = boot_is_meant(argc, argv);
	int status;

	in.removes = strcmp(argv[at], "uninstall") == 0;
	snprintf(in.who, sizeof(in.who), "rigway %s %s", role, argv[at]);
	/* The verb out of the way of getopt. */
	for (int i = at; i + 1 < argc; i++)
		argv[i] = argv[i + 1];
	status = read_args(&in, argc - 1, argv);
	if (status == 0)
		status = run(&in);
	for (size_t i = 0; i < in.kept_count; i++)
		free(in.kept[i]);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/qr.h"
#include "cmd/setup.h"
#include "cmd/show.h"
#include "rig/admin.h"
#include "rig/agent.h"
#include "rig/issue.h"
#include "rig/places.h"
#include "rig/policy.h"
#include "rig/reach.h"
#include "rig/register.h"
#include "rig/removal.h"

struct args {
	const char *verb; /* NULL: run the agent */
	const char *who;  /* remove */
	const char *name, *log_level;
	char *listen, *public; /* as they were typed, with commas; or NULL */
	struct buf guest;      /* the services as they were typed */
	bool is_guest, is_json;
	uint64_t uses, expires_ms;
	uint64_t ready_fd; /* 0: none */
};

static int fail(const char *text)
{
	fprintf(stderr, "rigway rig: %s\n", text);
	return EXIT_FAILED;
}

static int misuse(const char *text, const char *word)
{
	fprintf(stderr, "rigway rig: '%s' %s\n", word, text);
	return command_misuse("rig");
}

/* -- arguments ------------------------------------------------------------- */

enum {
	OPT_NAME = 256,
	OPT_LISTEN,
	OPT_PUBLIC,
	OPT_LEVEL,
	OPT_GUEST,
	OPT_USES,
	OPT_EXPIRES,
	OPT_JSON,
	OPT_READY
};

static const struct option options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "public", required_argument, NULL, OPT_PUBLIC },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
	{ "guest", required_argument, NULL, OPT_GUEST },
	{ "uses", required_argument, NULL, OPT_USES },
	{ "expires", required_argument, NULL, OPT_EXPIRES },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "ready-fd", required_argument, NULL, OPT_READY },
	{ NULL, 0, NULL, 0 },
};

static void add_guest(struct args *a, const char *text)
{
	buf_printf(&a->guest, "%s%s", a->guest.len > 0 ? "," : "", text);
	a->is_guest = true;
}

static void add_item(char **list, const char *item)
{
	char *more =
		*list != NULL ? xasprintf("%s,%s", *list, item) : xstrdup(item);

	free(*list);
	*list = more;
}

static int take_option(struct args *a, int opt)
{
	switch (opt) {
	case OPT_NAME:
		if (!str_is_name(optarg))
			return misuse("is not a name: 1 to 63 letters, "
				      "digits, '.', '_' and '-'",
				      optarg);
		a->name = optarg;
		return 0;
	case OPT_LISTEN: add_item(&a->listen, optarg); return 0;
	case OPT_PUBLIC: add_item(&a->public, optarg); return 0;
	case OPT_LEVEL: a->log_level = optarg; return 0;
	case OPT_GUEST: add_guest(a, optarg); return 0;
	case OPT_JSON: a->is_json = true; return 0;
	case OPT_USES:
		if (parse_u64(optarg, 1, INVITE_USES_MAX, &a->uses) != 0)
			return misuse("is not a number from 1 to 64", optarg);
		return 0;
	case OPT_EXPIRES:
		if (parse_duration(optarg, &a->expires_ms) != 0 ||
		    a->expires_ms < 1000 ||
		    a->expires_ms > (uint64_t)INVITE_TTL_MAX * 1000)
			return misuse("is not a time from 1s to 30d, such as "
				      "90s, 2h or 7d",
				      optarg);
		return 0;
	case OPT_READY:
		if (parse_u64(optarg, 3, 1023, &a->ready_fd) != 0)
			return misuse("is not a file descriptor", optarg);
		return 0;
	default: return command_misuse("rig");
	}
}

/* The words that are no options: a verb, and what it is about. */
static int take_words(struct args *a, int argc, char **argv)
{
	static const char *const verbs[] = { "invite", "devices", "remove" };

	if (argc == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(argv[0], verbs[i]) == 0)
			a->verb = verbs[i];
	if (a->verb == NULL) {
		const char *near = str_near(argv[0], verbs, ARRAY_LEN(verbs));

		fprintf(stderr, "rigway rig: there is no '%s'%s%s%s\n", argv[0],
			near != NULL ? "; did you mean '" : "",
			near != NULL ? near : "", near != NULL ? "'?" : "");
		return command_misuse("rig");
	}
	argc--;
	argv++;
	if (strcmp(a->verb, "remove") == 0) {
		if (argc > 1)
			return misuse("is one word too many", argv[1]);
		if (argc == 0 || argv[0][0] == '\0') {
			fail("whom? 'rigway rig devices' lists names and "
			     "fingerprints");
			return command_misuse("rig");
		}
		a->who = argv[0];
		return 0;
	}
	/* --guest ssh 8888 */
	for (int i = 0; i < argc; i++) {
		if (!a->is_guest)
			return misuse("is one word too many", argv[i]);
		add_guest(a, argv[i]);
	}
	return 0;
}

/* An option that its verb does not know is a mistake, not noise. */
static int check_args(const struct args *a)
{
	const bool invites = a->verb != NULL && strcmp(a->verb, "invite") == 0;

	if ((a->is_guest || a->uses > 0 || a->expires_ms > 0) && !invites)
		return misuse("belong to 'rigway rig invite'",
			      "--guest, --uses and --expires");
	if (a->is_json && a->verb == NULL)
		return misuse("belongs to invite, devices and remove",
			      "--json");
	if (a->name != NULL && a->verb != NULL)
		return misuse("belongs to 'rigway rig' alone", "--name");
	if ((a->listen != NULL || a->public != NULL) && a->verb != NULL)
		return misuse("belong to 'rigway rig' alone; codes say what it "
			      "was started with",
			      "--listen and --public");
	return 0;
}

static int read_args(struct args *a, int argc, char **argv)
{
	int opt, status = 0;

	opterr = 0;
	optind = 1;
	while (status == 0 &&
	       (opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == ':')
			status = misuse("wants a value", argv[optind - 1]);
		else if (opt == '?')
			status = misuse("is no option of this command",
					argv[optind - 1]);
		else
			status = take_option(a, opt);
	}
	if (status == 0)
		status = take_words(a, argc - optind, argv + optind);
	return status != 0 ? status : check_args(a);
}

/* -- verbs ----------------------------------------------------------------- */

static int reach(struct setup *s, struct rig_reach *ret)
{
	const struct agent_open o = { .settings = &s->settings,
				      .paths = &s->paths };
	char *text = NULL;
	int err = rig_reach(&o, ret, &text);

	if (err != 0)
		fail(text);
	free(text);
	return err;
}

/* The one thing that goes to stdout. */
static void say_first_code(const char *code)
{
	fputs("The laptop's code; it works once, for 24 hours. On the laptop "
	      "type:\n  rigway join CODE\n",
	      stderr);
	puts(code);
	fflush(stdout);
	qr_print(stderr, code);
}

/* What was typed stands above the file. 0, or the exit status. */
static int take_setting(struct setup *s, const char *key, const char *text)
{
	char *err = NULL;

	if (text == NULL || settings_set(&s->settings, key, text, &err) == 0)
		return 0;
	fprintf(stderr, "rigway rig: %s\n", err);
	free(err);
	return EXIT_MISUSE;
}

static int run_agent(struct setup *s, const struct args *a)
{
	const struct agent_params p = {
		.settings = &s->settings,
		.paths = &s->paths,
		.name = a->name,
		.ready_fd = a->ready_fd > 0 ? (int)a->ready_fd : -1,
		/* In the background stdout is a log, where no code belongs. */
		.on_code = a->ready_fd > 0 ? NULL : say_first_code,
	};
	int status = take_setting(s, "rig.listen", a->listen);

	if (status == 0)
		status = take_setting(s, "rig.public", a->public);
	if (status != 0)
		return status;
	if (s->settings.rig.public.len > 0 && s->settings.rig.listen.len == 0)
		return misuse("says how others reach --listen PORT: that is "
			      "missing",
			      "--public");
	enum log_level level = (enum log_level)s->settings.log.level;

	if (a->log_level != NULL && log_level_parse(a->log_level, &level) != 0)
		return misuse("is not error, warn, info or debug",
			      a->log_level);
	log_set_level(level);
	log_set_prefix("rig");
	return agent_run(&p);
}

static void say_note(const char *note)
{
	if (note[0] != '\0')
		fprintf(stderr, "rigway rig: note: %s\n", note);
}

static void print_code(const struct args *a, const char *code)
{
	if (a->is_json)
		show_json_free(json_pack("{s:s}", "code", code));
	else
		printf("%s\n", code);
}

static int invite_running(int fd, const struct args *a, const char *services)
{
	json_t *last = NULL;
	char *text = NULL;
	int err = rig_ask(fd,
			  json_pack("{s:s, s:s, s:I, s:I}", "do", "invite",
				    "guest", services, "uses",
				    (json_int_t)a->uses, "expires_s",
				    (json_int_t)(a->expires_ms / 1000)),
			  NULL, &last, &text);

	if (err != 0) {
		fail(text);
		free(text);
		return EXIT_FAILED;
	}

	say_note(show_text(last, "note", ""));
	print_code(a, show_text(last, "code", ""));
	json_decref(last);
	return EXIT_DONE;
}

/* No rig runs: the code is made here, and the relay told in passing. */
static int invite_state(const struct setup *setup, struct agent_state *s,
			const struct args *a, const char *services)
{
	const struct invite_params p = {
		.services = services,
		.uses = (uint16_t)a->uses,
		.ttl_s = a->expires_ms / 1000,
		.now = (int64_t)time(NULL),
	};
	struct places places;
	struct issued issued;
	char text[INVITE_TEXT_CAP];

	places_find_unbound(&setup->settings.rig, &places);

	const struct issuer by = {
		.relay = s->is_joined ? &s->relays.rows[0] : NULL,
		.places = &places,
		.pin = key_pin(s->key),
		.name = s->name,
	};

	if (issue_make(&s->invites, &by, &p, &issued, text) != 0)
		return fail(text);

	const struct register_params r = { s->key, by.relay, s->name,
					   &issued.invite };

	if (s->is_joined && register_invite(&r, text, sizeof(text)) != 0)
		fprintf(stderr,
			"rigway rig: note: the relay does not know of "
			"this code yet (%s); the rig tells it when it "
			"starts\n",
			text);
	fprintf(stderr, "rigway rig: note: this rig is not running: start it "
			"with rigway rig before the code is used\n");
	print_code(a, issued.code);
	mem_wipe(&issued, sizeof(issued));
	return EXIT_DONE;
}

static int do_invite(struct setup *s, struct args *a)
{
	char services[DEVICE_SERVICES_CAP] = "", bad[DEVICE_SERVICES_CAP];
	struct rig_reach r;
	int err = services_parse(buf_text(&a->guest), services, bad);

	if (err == RW_ERR_LIMIT)
		return fail("the list of services is too long");
	if (err != 0)
		return misuse("is not a service: give a name such as ssh, a "
			      "PORT, HOST:PORT or /PATH",
			      bad);
	if (a->is_guest && services[0] == '\0')
		return misuse("wants the services that the guest may reach",
			      "--guest");
	if (reach(s, &r) != 0)
		return EXIT_FAILED;

	int status = r.fd >= 0 ? invite_running(r.fd, a, services)
			       : invite_state(s, &r.state, a, services);

	rig_reach_close(&r);
	return status;
}

static void gather(void *user, const json_t *row)
{
	json_array_append(user, (json_t *)(uintptr_t)row);
}

/* All devices as an array, or NULL after saying why not. */
static json_t *list_devices(struct setup *s)
{
	json_t *rows = json_array();
	const struct rig_ask_watch watch = { RIG_ASK_MS, gather, rows };
	struct rig_reach r;
	char *text = NULL;
	int err = 0;

	if (reach(s, &r) != 0) {
		json_decref(rows);
		return NULL;
	}
	if (r.fd >= 0)
		err = rig_ask(r.fd, json_pack("{s:s}", "do", "devices"), &watch,
			      NULL, &text);
	for (size_t i = 0; r.fd < 0 && i < r.state.devices.count; i++)
		if (r.state.devices.rows[i].role != DEVICE_REMOVED)
			json_array_append_new(
				rows, admin_device_json(
					      &r.state.devices.rows[i], false));
	rig_reach_close(&r);
	if (err == 0)
		return rows;
	fail(text);
	free(text);
	json_decref(rows);
	return NULL;
}

static void print_device(const json_t *row)
{
	const json_t *services = json_object_get(row, "services"), *item;
	size_t i;

	printf("%-20s  %s  %-5s  %s  %s", show_text(row, "name", ""),
	       show_text(row, "fingerprint", ""), show_text(row, "role", ""),
	       show_text(row, "admitted", ""),
	       json_is_true(json_object_get(row, "online")) ? "connected"
							    : "away");
	json_array_foreach(services, i, item)
		printf("%s%s", i == 0 ? "  " : ",", json_string_value(item));
	putchar('\n');
}

static int do_devices(struct setup *s, struct args *a)
{
	json_t *rows = list_devices(s), *row;
	size_t i;

	if (rows == NULL)
		return EXIT_FAILED;
	if (a->is_json) {
		show_json_free(json_pack("{s:O}", "devices", rows));
	} else if (json_array_size(rows) == 0) {
		fprintf(stderr, "no device may come in yet: rigway rig invite "
				"makes a code for a laptop\n");
	} else {
		printf("%-20s  %-19s  %-5s  %-20s  %s\n", "NAME", "FINGERPRINT",
		       "ROLE", "ADMITTED", "NOW");
		json_array_foreach(rows, i, row) print_device(row);
	}
	json_decref(rows);
	return EXIT_DONE;
}

/* On the files of a rig that rests, in the words of one that runs. */
static int remove_state(struct agent_state *s, const char *who, json_t **ret,
			char **ret_text)
{
	char text[REMOVAL_TEXT_CAP];
	struct device dev;
	int err = removal_write(&s->devices, &s->invites, who,
				(int64_t)time(NULL), &dev, text);

	if (err == 0)
		*ret = admin_removed_json(&dev, text);
	else
		*ret_text = xstrdup(text);
	return err;
}

static int do_remove(struct setup *s, struct args *a)
{
	struct rig_reach r;
	json_t *last = NULL;
	char *text = NULL;
	int err;

	if (reach(s, &r) != 0)
		return EXIT_FAILED;
	if (r.fd >= 0)
		err = rig_ask(
			r.fd,
			json_pack("{s:s, s:s}", "do", "remove", "who", a->who),
			NULL, &last, &text);
	else
		err = remove_state(&r.state, a->who, &last, &text);
	rig_reach_close(&r);
	if (err != 0) {
		fail(text);
	} else if (a->is_json) {
		json_object_del(last, "ok");
		show_json(last);
	} else {
		fprintf(stderr, "rigway rig: %s\n",
			show_text(last, "text", ""));
	}
	free(text);
	json_decref(last);
	return err == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run(struct setup *s, struct args *a)
{
	if (a->verb == NULL)
		return run_agent(s, a);
	if (strcmp(a->verb, "invite") == 0)
		return do_invite(s, a);
	if (strcmp(a->verb, "devices") == 0)
		return do_devices(s, a);
	return do_remove(s, a);
}

int cmd_rig(int argc, char **argv)
{
	struct args a = { 0 };
	struct setup s;
	int status = read_args(&a, argc, argv);

	if (status == 0) {
		status = setup_init(&s, "rigway rig");
		if (status == 0)
			status = run(&s, &a);
		setup_done(&s);
	}
	buf_done(&a.guest);
	free(a.listen);
	free(a.public);
	return status;
}

/* SPDX-License-Identifier: MIT */
/* rigway relay: what was typed, and the relay that runs. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fdlimit.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "cmd/relay_office.h"
#include "cmd/show.h"
#include "net/local.h"
#include "net/loop.h"
#include "relay/relay.h"

/* How long a code works unless --expires says so. */
#define EXPIRES_MS ((uint64_t)24 * 3600 * 1000)

/* -- running -------------------------------------------------------------- */

struct running {
	struct relay *relay;
	uv_loop_t *loop;
	bool is_stopping;
};

static void on_stopped(void *user)
{
	struct running *run = user;

	uv_stop(run->loop);
}

static void on_signal(void *user, int signum)
{
	struct running *run = user;

	if (run->is_stopping) /* asked twice: at once */
		_exit(128 + signum);
	run->is_stopping = true;
	log_info("stopping");
	relay_stop(run->relay, on_stopped, run);
}

/* Whoever sends it to all daemons of a machine means no harm. */
static void on_hangup(void *user, int signum)
{
	(void)user;
	(void)signum;
	log_info("SIGHUP: settings are read at the start only; nothing to do");
}

/* Where codes will lead to, on disk for `relay invite`. */
static void find_place(struct office *o, uint16_t port)
{
	struct desk *d = &o->desk;
	char *path = paths_state(&o->setup.paths, "relay", "place");
	int err;

	if (path == NULL)
		return;
	if (place_find(&o->setup.settings.relay, port, &d->place,
		       &d->no_place) < 0) {
		log_warn("no codes: %s", d->no_place);
		unlink(path); /* what it said before is not true any more */
		free(path);
		return;
	}
	err = place_save(&d->place, path);
	if (err < 0)
		log_warn("cannot write %s: %s", path, err_text(err));
	free(path);
}

static void say_where(struct office *o, const struct relay *r)
{
	char pin[PIN_SHORT_LEN + 1];
	const char *at;

	for (size_t i = 0; (at = relay_listens(r, i)) != NULL; i++)
		log_info("listening on %s", at);
	for (size_t i = 0; i < o->desk.place.count; i++)
		log_info("codes say %s", o->desk.place.at[i]);
	log_info("this relay's key is %s", pin_short(key_pin(o->key), pin));
}

/* The one thing that goes to stdout. */
static int say_first_code(struct office *o, bool as_json)
{
	char *code, *err;

	if (o->desk.place.count == 0) /* find_place() said why */
		return 0;
	if (desk_first_code(&o->desk, &code, &err) != 0)
		return office_fail_free(err);
	if (code == NULL)
		return 0;
	fputs("The first rig's code; it works once, for 24 hours. On the GPU "
	      "machine type:\n  rigway join CODE\n",
	      stderr);
	show_code(code, as_json, true);
	mem_wipe(code, strlen(code));
	free(code);
	return 0;
}

/* The commands' socket, before the ports: whoever sees a port open may ask. */
static int serve_commands(struct office *o, uv_loop_t *loop, struct local **ret)
{
	char *path = paths_socket(&o->setup.paths, "relay");
	int err =
		path != NULL ? desk_serve(&o->desk, loop, path, ret) : -ENOENT;

	if (err < 0)
		fprintf(stderr, "rigway: cannot serve commands at %s: %s\n",
			path != NULL ? path : paths_error(&o->setup.paths),
			err_text(err));
	free(path);
	return err < 0 ? EXIT_FAILED : 0;
}

static int listen_and_run(struct office *o, uv_loop_t *loop, bool as_json)
{
	char host[HOST_MAX + 1] = "relay", *err;
	struct running run = { .loop = loop };
	int status;

	gethostname(host, sizeof(host) - 1);

	const struct relay_params p = {
		.loop = loop,
		.settings = &o->setup.settings.relay,
		.key = o->key,
		.book = o->desk.book,
		.name = o->setup.settings.relay.name.len > 0
				? o->setup.settings.relay.name.items[0].host
				: host,
	};

	if (relay_new(&p, &run.relay, &err) < 0)
		return office_fail_free(err);
	o->desk.relay = run.relay;
	find_place(o, relay_port(run.relay));
	say_where(o, run.relay);
	/* A service's output is kept where others may read it. */
	status = o->standby ? 0 : say_first_code(o, as_json);
	if (status == 0) {
		signal_watch(loop, SIGTERM, on_signal, &run);
		signal_watch(loop, SIGINT, on_signal, &run);
		signal_watch(loop, SIGHUP, on_hangup, &run);
		uv_run(loop, UV_RUN_DEFAULT);
	}
	o->desk.relay = NULL;
	relay_free(run.relay);
	return status;
}

static int run_relay(struct office *o, bool as_json)
{
	struct local *local = NULL;
	uv_loop_t loop;
	int status;

	fdlimit_raise();
	CHECK(loop_init(&loop) == 0);
	loop_on_shortage(&loop, fdlimit_warn, NULL);
	status = serve_commands(o, &loop, &local);
	if (status == 0)
		status = listen_and_run(o, &loop, as_json);
	local_free(local);
	loop_run_close(&loop);
	return status;
}

/* -- arguments ------------------------------------------------------------ */

static int refuse_value(const char *flag)
{
	fprintf(stderr, "rigway: --%s cannot be '%s'\n", flag, optarg);
	return RW_ERR_FORMAT;
}

enum { LISTEN, NAME, FLEET, USES, EXPIRES, LEVEL, JSON, STANDBY };

static int take_option(struct relay_typed *t, int option)
{
	switch (option) {
	case LISTEN: settings_list_add(&t->listen, optarg); return 0;
	case NAME: settings_list_add(&t->name, optarg); return 0;
	case FLEET: t->fleet = optarg; return 0;
	case LEVEL: t->log_level = optarg; return 0;
	case JSON: t->json = true; return 0;
	case STANDBY: t->standby = true; return 0;
	case USES:
		if (parse_u64(optarg, 1, BOOK_USES_MAX, &t->uses) < 0)
			return refuse_value("uses");
		return 0;
	case EXPIRES:
		if (parse_duration(optarg, &t->expires_ms) < 0 ||
		    t->expires_ms < 1000)
			return refuse_value("expires");
		return 0;
	default: return RW_ERR_FORMAT;
	}
}

static int parse_options(int argc, char **argv, struct relay_typed *t)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, LISTEN },
		{ "name", required_argument, NULL, NAME },
		{ "fleet", required_argument, NULL, FLEET },
		{ "uses", required_argument, NULL, USES },
		{ "expires", required_argument, NULL, EXPIRES },
		{ "log-level", required_argument, NULL, LEVEL },
		{ "json", no_argument, NULL, JSON },
		{ "standby", no_argument, NULL, STANDBY },
		{ NULL, 0, NULL, 0 },
	};
	int c, err = 0;

	optind = 0;
	while (err == 0 &&
	       (c = getopt_long(argc, argv, "", options, NULL)) != -1)
		err = take_option(t, c);
	if (optind < argc)
		t->verb = argv[optind++];
	if (optind < argc)
		t->who = argv[optind++];
	return err < 0 || optind < argc ? RW_ERR_FORMAT : 0;
}

/* Which words go together. */
static bool is_sensible(const struct relay_typed *t)
{
	bool invite = t->verb != NULL && strcmp(t->verb, "invite") == 0;
	bool remove = t->verb != NULL && strcmp(t->verb, "remove") == 0;

	if (t->verb == NULL)
		return t->fleet == NULL && t->uses == 1 &&
		       t->expires_ms == EXPIRES_MS;
	if (!invite && !remove && strcmp(t->verb, "devices") != 0) {
		fprintf(stderr,
			"rigway: relay has no '%s'; possibilities are: "
			"invite, devices, remove, install, uninstall\n",
			t->verb);
		return false;
	}
	if (t->listen != NULL || t->name != NULL || t->standby) {
		fprintf(stderr,
			"rigway: --listen, --name and --standby belong to "
			"'rigway relay' itself; codes say what it was started "
			"with\n");
		return false;
	}
	if (remove != (t->who != NULL && t->who[0] != '\0')) {
		if (remove)
			fprintf(stderr, "rigway: whom? 'rigway relay devices' "
					"lists names and fingerprints\n");
		return false;
	}
	return true;
}

int cmd_relay(int argc, char **argv)
{
	struct relay_typed t = { .uses = 1, .expires_ms = EXPIRES_MS };
	struct office o;
	int status;

	if (boot_is_meant(argc, argv) > 0)
		return boot_command("relay", argc, argv);
	if (parse_options(argc, argv, &t) < 0 || !is_sensible(&t)) {
		free(t.listen);
		free(t.name);
		return command_misuse(argv[0]);
	}
	status = boot_become_relay();
	if (status == 0)
		status = office_init(&o, &t);
	else
		o = (struct office){ .lock = -1 };
	if (status == 0 && t.verb == NULL) {
		log_set_prefix("relay");
		status = office_open(&o);
		if (status == 0)
			status = run_relay(&o, t.json);
	} else if (status == 0) {
		status = relay_ask(&o, &t);
	}
	office_done(&o);
	free(t.listen);
	free(t.name);
	return status;
}

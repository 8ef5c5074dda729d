/* SPDX-License-Identifier: MIT */
/* rigway relay: runs a relay, and speaks with the one that runs, or with the
 * files of one that rests. Over 500 lines because both need the same files,
 * flags and words. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/qr.h"
#include "config/paths.h"
#include "config/settings.h"
#include "net/local.h"
#include "net/loop.h"
#include "relay/desk.h"
#include "relay/relay.h"

/* How long a relay that starts or stops is waited for. */
#define START_TRIES  50
#define START_TRY_MS 100

/* What was typed. */
struct typed {
	const char *verb, *who; /* NULL: run it; NULL: nobody */
	char *listen, *name;	/* lists as settings_set() takes them */
	const char *log_level, *fleet;
	uint64_t uses, expires_ms;
	bool json;
};

/* The relay's files, held for as long as the struct. */
struct office {
	struct paths paths;
	struct settings settings;
	int lock;
	struct key *key;
	struct desk desk;
};

static int complain(const char *text)
{
	fprintf(stderr, "rigway: %s\n", text);
	return EXIT_FAILED;
}

static int complain_and_free(char *text)
{
	complain(text);
	free(text);
	return EXIT_FAILED;
}

/* -- files ---------------------------------------------------------------- */

/* Settings from the file, then from the flags. */
static int office_settings(struct office *o, const struct typed *t)
{
	const char *const flags[][2] = {
		{ "relay.listen", t->listen },
		{ "relay.name", t->name },
		{ "log.level", t->log_level },
	};
	struct config_errors errs = { 0 };
	char *err = NULL;

	if (settings_load(paths_config_file(&o->paths), &o->settings, &errs) <
	    0) {
		config_errors_print(&errs, stderr);
		config_errors_done(&errs);
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flags[i][1] != NULL &&
		    settings_set(&o->settings, flags[i][0], flags[i][1], &err) <
			    0) {
			complain_and_free(err);
			return EXIT_MISUSE;
		}
	if (settings_check(&o->settings, &err) < 0)
		return complain_and_free(err);
	log_set_level((enum log_level)o->settings.log.level);
	return 0;
}

static int office_init(struct office *o, const struct typed *t)
{
	memset(o, 0, sizeof(*o));
	o->lock = -1;
	if (paths_init(&o->paths) < 0)
		return complain(paths_error(&o->paths));
	return office_settings(o, t);
}

static void office_done(struct office *o)
{
	if (o->desk.book != NULL)
		book_free(o->desk.book);
	desk_done(&o->desk);
	key_free(o->key);
	settings_done(&o->settings);
	if (o->lock >= 0)
		close(o->lock);
	paths_done(&o->paths);
}

static int explain_key(int err, const char *path)
{
	switch (err) {
	case RW_ERR_KEY_MISSING:
		fprintf(stderr,
			"rigway: the relay's key %s is missing, and "
			"the state beside it was made with it; put it back, or "
			"move the whole folder away to begin anew (every "
			"machine must join again then)\n",
			path);
		break;
	case RW_ERR_OTHER_MACHINE:
		fprintf(stderr,
			"rigway: the key %s was copied from another "
			"machine; each has its own\n",
			path);
		break;
	case RW_ERR_PERM:
		fprintf(stderr,
			"rigway: the key %s can be read by others, or "
			"belongs to another user; 'chmod 600' it if nobody "
			"else could have read it\n",
			path);
		break;
	default:
		fprintf(stderr, "rigway: cannot use the key %s: %s\n", path,
			err_text(err));
	}
	return EXIT_FAILED;
}

/* Lock, key and book. */
static int office_open(struct office *o)
{
	const struct settings_relay *s = &o->settings.relay;
	const struct book_limits limits = {
		.fleets = (size_t)s->max_fleets,
		.devices = (size_t)s->max_devices,
		.invites = (size_t)s->max_invites,
	};
	char *lock = paths_lock(&o->paths, "relay");
	char *dir = paths_state(&o->paths, "relay", NULL);
	char *key = paths_state(&o->paths, "relay", "key"), *text;
	int err, status = 0;

	if (lock == NULL || dir == NULL || key == NULL) {
		status = complain(paths_error(&o->paths));
		goto free_paths;
	}
	err = file_lock(lock, &o->lock);
	if (err < 0) {
		fprintf(stderr, "rigway: %s: %s\n", lock,
			err == RW_ERR_BUSY
				? "a relay already runs with these files"
				: err_text(err));
		status = EXIT_FAILED;
		goto free_paths;
	}
	err = key_load_or_make(key, paths_machine(&o->paths), book_exists(dir),
			       &o->key);
	if (err < 0) {
		status = explain_key(err, key);
		goto free_paths;
	}
	err = book_open(dir, &limits, &o->desk.book, &text);
	if (err < 0)
		status = text != NULL ? complain_and_free(text)
				      : complain(err_text(err));
	o->desk.key = o->key;

free_paths:
	free(lock);
	free(dir);
	free(key);
	return status;
}

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

/* Every device may have several sockets here. */
static void raise_fd_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

/* Where codes will lead to, on disk for `relay invite`. */
static void find_place(struct office *o, uint16_t port)
{
	struct desk *d = &o->desk;
	char *path = paths_state(&o->paths, "relay", "place");
	int err;

	if (path == NULL)
		return;
	if (place_find(&o->settings.relay, port, &d->place, &d->no_place) < 0) {
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
static int say_first_code(struct office *o)
{
	char *code, *err;

	if (o->desk.place.count == 0) /* find_place() said why */
		return 0;
	if (desk_first_code(&o->desk, &code, &err) != 0)
		return complain_and_free(err);
	if (code == NULL)
		return 0;
	fputs("The first rig's code; it works once, for 24 hours. On the GPU "
	      "machine type:\n  rigway join CODE\n",
	      stderr);
	puts(code);
	fflush(stdout);
	qr_print(stderr, code);
	mem_wipe(code, strlen(code));
	free(code);
	return 0;
}

/* The commands' socket, before the ports: whoever sees a port open may ask. */
static int serve_commands(struct office *o, uv_loop_t *loop, struct local **ret)
{
	char *path = paths_socket(&o->paths, "relay");
	int err =
		path != NULL ? desk_serve(&o->desk, loop, path, ret) : -ENOENT;

	if (err < 0)
		fprintf(stderr, "rigway: cannot serve commands at %s: %s\n",
			path != NULL ? path : paths_error(&o->paths),
			err_text(err));
	free(path);
	return err < 0 ? EXIT_FAILED : 0;
}

static int listen_and_run(struct office *o, uv_loop_t *loop)
{
	char host[HOST_MAX + 1] = "relay", *err;
	struct running run = { .loop = loop };
	int status;

	gethostname(host, sizeof(host) - 1);

	const struct relay_params p = {
		.loop = loop,
		.settings = &o->settings.relay,
		.key = o->key,
		.book = o->desk.book,
		.name = o->settings.relay.name.len > 0
				? o->settings.relay.name.items[0].host
				: host,
	};

	if (relay_new(&p, &run.relay, &err) < 0)
		return complain_and_free(err);
	o->desk.relay = run.relay;
	find_place(o, relay_port(run.relay));
	say_where(o, run.relay);
	status = say_first_code(o);
	if (status == 0) {
		signal_watch(loop, SIGTERM, on_signal, &run);
		signal_watch(loop, SIGINT, on_signal, &run);
		uv_run(loop, UV_RUN_DEFAULT);
	}
	o->desk.relay = NULL;
	relay_free(run.relay);
	return status;
}

static int run_relay(struct office *o)
{
	struct local *local = NULL;
	uv_loop_t loop;
	int status;

	raise_fd_limit();
	CHECK(loop_init(&loop) == 0);
	status = serve_commands(o, &loop, &local);
	if (status == 0)
		status = listen_and_run(o, &loop);
	local_free(local);
	loop_run_close(&loop);
	return status;
}

/* -- asking --------------------------------------------------------------- */

static json_t *request_of(const struct typed *t)
{
	json_t *q = json_pack("{s:s}", "do", t->verb);

	if (t->fleet != NULL)
		json_object_set_new(q, "fleet", json_string(t->fleet));
	if (t->who != NULL)
		json_object_set_new(q, "who", json_string(t->who));
	json_object_set_new(q, "uses", json_integer((json_int_t)t->uses));
	json_object_set_new(q, "expires_s",
			    json_integer((json_int_t)(t->expires_ms / 1000)));
	return q;
}

/* Asks the relay that runs. Lines before the last go to "devices" of *ret. */
static int ask_running(int fd, json_t *request, json_t **ret)
{
	json_t *rows = json_array(), *line = NULL;
	int err = local_ask(fd, request);

	while (err == 0) {
		err = local_next(fd, -1, &line, NULL);
		if (err == 0)
			json_array_append_new(rows, line);
	}
	if (err < 0) {
		json_decref(rows);
		fprintf(stderr, "rigway: the relay does not answer: %s\n",
			err_text(err));
		return EXIT_FAILED;
	}
	if (!json_is_true(json_object_get(line, "ok"))) {
		const char *text =
			json_string_value(json_object_get(line, "error"));
		json_t *status = json_object_get(line, "exit");

		complain(text != NULL ? text : "the relay refused");
		err = status != NULL ? (int)json_integer_value(status)
				     : EXIT_FAILED;
		json_decref(rows);
		json_decref(line);
		return err;
	}
	json_object_set_new(line, "devices", rows);
	*ret = line;
	return 0;
}

/* Does it on the files of a relay that rests. */
static int ask_files(struct office *o, json_t *request, json_t **ret)
{
	char *path = paths_state(&o->paths, "relay", "place");
	char *key = paths_state(&o->paths, "relay", "key"), *err = NULL;
	int status;

	if (path == NULL || key == NULL || access(key, F_OK) != 0) {
		free(path);
		free(key);
		return complain("no relay has run here yet; 'rigway relay' "
				"starts one");
	}
	free(key);
	status = office_open(o);
	if (status == 0) {
		if (place_load(path, &o->desk.place, &err) < 0)
			o->desk.no_place =
				err != NULL ? err
					    : xstrdup("it is not known how "
						      "others reach this "
						      "relay; start it once "
						      "with 'rigway "
						      "relay', and --name if "
						      "need be");
		status = desk_do(&o->desk, request, ret, &err);
		if (status != 0)
			complain_and_free(err);
	}
	free(path);
	return status;
}

/* Whether a relay holds the lock: one that starts or stops, and does not
 * answer just now. */
static bool is_locked(struct office *o)
{
	char *lock = paths_lock(&o->paths, "relay");
	int fd = -1, err = lock != NULL ? file_lock(lock, &fd) : 0;

	if (fd >= 0)
		close(fd);
	free(lock);
	return err == RW_ERR_BUSY;
}

/* The relay's socket, or RW_ERR_NOT_FOUND when no relay runs. */
static int connect_relay(struct office *o, const char *path)
{
	for (int tries = 0;; tries++) {
		int fd = local_connect(path);

		if (fd != RW_ERR_REFUSED && fd != RW_ERR_NOT_FOUND)
			return fd;
		if (!is_locked(o))
			return RW_ERR_NOT_FOUND;
		if (tries >= START_TRIES)
			return RW_ERR_BUSY;
		poll(NULL, 0, START_TRY_MS);
	}
}

static int ask(struct office *o, const struct typed *t, json_t **ret)
{
	char *path = paths_socket(&o->paths, "relay");
	json_t *request;
	int fd, status;

	if (path == NULL)
		return complain(paths_error(&o->paths));
	request = request_of(t);
	fd = connect_relay(o, path);
	if (fd >= 0) {
		status = ask_running(fd, request, ret);
		close(fd);
	} else if (fd == RW_ERR_NOT_FOUND) {
		status = ask_files(o, request, ret);
	} else {
		fprintf(stderr, "rigway: %s: %s\n", path,
			fd == RW_ERR_BUSY ? "the relay that runs does not "
					    "answer"
					  : err_text(fd));
		status = EXIT_FAILED;
	}
	json_decref(request);
	free(path);
	return status;
}

/* -- showing -------------------------------------------------------------- */

static const char *text_of(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	return s != NULL ? s : "";
}

static void show_device(const json_t *dev)
{
	int64_t since = json_integer_value(json_object_get(dev, "since"));
	char when[FORMAT_CAP] = "", state[128];

	if (since > 0)
		format_time(since, when);
	if (json_is_true(json_object_get(dev, "online")))
		snprintf(state, sizeof(state), "online since %s, from %s", when,
			 text_of(dev, "addr"));
	else
		snprintf(state, sizeof(state), "away%s%s",
			 since > 0 ? " since " : "", when);
	printf("%-20s %-7s %-10s %s  %s\n", text_of(dev, "name"),
	       strcmp(text_of(dev, "role"), "rig") == 0 ? "rig" : "laptop",
	       text_of(dev, "fleet"), text_of(dev, "fingerprint"), state);
}

static void show_devices(const json_t *reply)
{
	const json_t *rows = json_object_get(reply, "devices"), *row;
	size_t i;

	if (json_array_size(rows) == 0) {
		fputs("No machine has joined yet; 'rigway relay invite' prints "
		      "a code for one.\n",
		      stderr);
		return;
	}
	printf("%-20s %-7s %-10s %-19s  %s\n", "NAME", "ROLE", "GROUP",
	       "FINGERPRINT", "STATE");
	json_array_foreach(rows, i, row) show_device(row);
}

static void show(const struct typed *t, json_t *reply)
{
	if (t->json) {
		json_object_del(reply, "ok");
		json_dumpf(strcmp(t->verb, "devices") == 0
				   ? json_object_get(reply, "devices")
				   : reply,
			   stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
		putchar('\n');
		return;
	}
	if (strcmp(t->verb, "invite") == 0) {
		puts(text_of(reply, "code"));
		qr_print(stderr, text_of(reply, "code"));
	} else if (strcmp(t->verb, "devices") == 0) {
		show_devices(reply);
	} else {
		fprintf(stderr,
			"%s is removed, and its connections through "
			"this relay are cut.\nThe relay only introduces: a rig "
			"that trusts it still does, and direct paths between "
			"the two remain; 'rigway rig remove' on the rig ends "
			"those.\n",
			text_of(reply, "name"));
	}
}

/* -- arguments ------------------------------------------------------------ */

static void add_item(char **list, const char *item)
{
	char *more =
		*list != NULL ? xasprintf("%s,%s", *list, item) : xstrdup(item);

	free(*list);
	*list = more;
}

static int parse_number(const char *flag, const char *text, int err)
{
	if (err < 0)
		fprintf(stderr, "rigway: --%s cannot be '%s'\n", flag, text);
	return err;
}

static int parse_options(int argc, char **argv, struct typed *t)
{
	enum { LISTEN, NAME, FLEET, USES, EXPIRES, LEVEL, JSON };
	static const struct option options[] = {
		{ "listen", required_argument, NULL, LISTEN },
		{ "name", required_argument, NULL, NAME },
		{ "fleet", required_argument, NULL, FLEET },
		{ "uses", required_argument, NULL, USES },
		{ "expires", required_argument, NULL, EXPIRES },
		{ "log-level", required_argument, NULL, LEVEL },
		{ "json", no_argument, NULL, JSON },
		{ NULL, 0, NULL, 0 },
	};
	int c, err = 0;

	optind = 0;
	while (err == 0 &&
	       (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case LISTEN: add_item(&t->listen, optarg); break;
		case NAME: add_item(&t->name, optarg); break;
		case FLEET: t->fleet = optarg; break;
		case LEVEL: t->log_level = optarg; break;
		case JSON: t->json = true; break;
		case USES:
			err = parse_number(
				"uses", optarg,
				parse_u64(optarg, 1, BOOK_USES_MAX, &t->uses));
			break;
		case EXPIRES:
			err = parse_duration(optarg, &t->expires_ms);
			if (err == 0 && t->expires_ms < 1000)
				err = RW_ERR_LIMIT;
			parse_number("expires", optarg, err);
			break;
		default: err = RW_ERR_FORMAT;
		}
	}
	if (optind < argc)
		t->verb = argv[optind++];
	if (optind < argc)
		t->who = argv[optind++];
	return err < 0 || optind < argc ? RW_ERR_FORMAT : 0;
}

/* Which words go together. */
static bool is_sensible(const struct typed *t)
{
	bool invite = t->verb != NULL && strcmp(t->verb, "invite") == 0;
	bool remove = t->verb != NULL && strcmp(t->verb, "remove") == 0;

	if (t->verb == NULL)
		return t->fleet == NULL && !t->json && t->uses == 1 &&
		       t->expires_ms == 24 * 3600 * 1000;
	if (!invite && !remove && strcmp(t->verb, "devices") != 0) {
		fprintf(stderr,
			"rigway: relay has no '%s'; possibilities are: "
			"invite, devices, remove\n",
			t->verb);
		return false;
	}
	if (t->listen != NULL || t->name != NULL) {
		fprintf(stderr,
			"rigway: --listen and --name belong to 'rigway "
			"relay' itself; codes say what it was started with\n");
		return false;
	}
	if (remove != (t->who != NULL)) {
		if (remove)
			fprintf(stderr, "rigway: whom? 'rigway relay devices' "
					"lists names and fingerprints\n");
		return false;
	}
	return true;
}

int cmd_relay(int argc, char **argv)
{
	struct typed t = { .uses = 1, .expires_ms = 24 * 3600 * 1000 };
	struct office o;
	json_t *reply = NULL;
	int status;

	if (parse_options(argc, argv, &t) < 0 || !is_sensible(&t)) {
		free(t.listen);
		free(t.name);
		return command_misuse(argv[0]);
	}
	status = office_init(&o, &t);
	if (status == 0 && t.verb == NULL) {
		log_set_prefix("relay");
		status = office_open(&o);
		if (status == 0)
			status = run_relay(&o);
	} else if (status == 0) {
		status = ask(&o, &t, &reply);
		if (status == 0)
			show(&t, reply);
		json_decref(reply);
	}
	office_done(&o);
	free(t.listen);
	free(t.name);
	return status;
}

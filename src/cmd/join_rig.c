/* SPDX-License-Identifier: MIT */
/* rigway join with a rig's code, on a machine where the rig runs or not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/detach.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/control.h"
#include "client/self.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "cmd/join_parts.h"
#include "cmd/rig_parts.h"
#include "cmd/show.h"
#include "crypto/key.h"
#include "net/loop.h"
#include "rig/issue.h"
#include "rig/places.h"
#include "rig/reach.h"
#include "rig/register.h"

/* The rig keeps trying; this is how long join watches. */
#define WAIT_MS 30000

/* From its start until it answers. */
#define START_MS      5000
#define START_STEP_MS 100

/* -- the relay ------------------------------------------------------------- */

struct redeeming {
	uv_loop_t loop;
	struct redeem *redeem;
	int err;
	char *text; /* why not */
	char fleet[64];
	char relay[HOSTPORT_CAP]; /* the address that worked */
};

static void on_redeemed(void *user, int err, const char *text,
			const char *fleet, const char *relay)
{
	struct redeeming *r = user;

	r->err = err;
	r->redeem = NULL;
	if (err != 0)
		r->text = xstrdup(
			text != NULL && text[0] != '\0' ? text : err_text(err));
	str_copy(r->fleet, sizeof(r->fleet), fleet != NULL ? fleet : "");
	str_copy(r->relay, sizeof(r->relay), relay != NULL ? relay : "");
	uv_stop(&r->loop);
}

/* Makes this key a rig of the relay's fleet. 0, or the exit status. */
static int redeem(struct join *j, const struct key *key, const char *name,
		  struct rig_relay *ret)
{
	struct redeeming r = { .err = RW_ERR_IO };
	const struct redeem_params p = {
		.loop = &r.loop,
		.key = key,
		.code = &j->code,
		.role = RELAY_RIG,
		.name = name,
	};

	fprintf(stderr, "rigway join: asking the relay %s ...\n",
		j->code.relay[0]);
	if (loop_init(&r.loop) != 0)
		return join_fail(err_text(RW_ERR_NOMEM));
	r.err = relay_redeem(&p, on_redeemed, &r, &r.redeem);
	if (r.err == 0)
		uv_run(&r.loop, UV_RUN_DEFAULT);
	else
		r.text = xstrdup(err_text(r.err));
	loop_run_close(&r.loop);
	if (r.err != 0)
		return join_fail_free(r.text);
	relays_from_code(&j->code, r.fleet, ret);
	return 0;
}

/* -- the pieces ------------------------------------------------------------ */

static int save_name(struct join *j)
{
	char *path;
	int err;

	if (j->name == NULL)
		return 0;
	path = paths_state(&j->setup.paths, "rig", "name");
	if (path == NULL)
		return join_fail(paths_error(&j->setup.paths));
	err = rig_name_save(path, j->name);
	if (err != 0)
		fprintf(stderr, "rigway join: %s: %s\n", path, err_text(err));
	free(path);
	return err != 0 ? EXIT_FAILED : 0;
}

static int store_relay(struct agent_state *s, const struct rig_relay *relay)
{
	int err = relays_put(&s->relays, relay);

	if (err == 0)
		return 0;
	if (err == RW_ERR_LIMIT)
		return join_fail(
			"this rig has joined as many relays as it may");
	fprintf(stderr,
		"rigway join: %s: %s; nothing is lost: make room, and "
		"repeat this with the same code\n",
		s->relays.path, err_text(err));
	return EXIT_FAILED;
}

static void print_code(const struct join *j, const char *code)
{
	if (j->is_json) {
		show_json_free(
			json_pack("{s:s, s:s}", "role", "rig", "code", code));
		return;
	}
	fprintf(stderr, "rigway join: now, on the laptop: rigway join with "
			"this code\n");
	printf("%s\n", code);
}

/* The laptop's code while no rig runs. */
static int invite_state(const struct join *j, struct agent_state *s,
			const struct rig_relay *relay)
{
	const struct invite_params p = { .now = (int64_t)time(NULL) };
	struct places places;
	struct issued issued;
	char text[INVITE_TEXT_CAP];

	places_find_unbound(&j->setup.settings.rig, &places);

	const struct issuer by = {
		.relay = relay,
		.places = &places,
		.pin = key_pin(s->key),
		.name = s->name,
	};

	if (issue_make(&s->invites, &by, &p, &issued, text) != 0)
		return join_fail(text);

	const struct register_params r = { s->key, relay, s->name,
					   &issued.invite };

	if (register_tell(&r, text, sizeof(text)) != 0)
		fprintf(stderr,
			"rigway join: note: the relay does not know "
			"of the laptop's code yet (%s); the rig tells "
			"it when it starts\n",
			text);
	fprintf(stderr, "rigway join: start the rig with: rigway rig\n");
	print_code(j, issued.code);
	mem_wipe(&issued, sizeof(issued));
	return EXIT_DONE;
}

static int invite_running(const struct join *j, int fd)
{
	json_t *last = NULL;
	char *text = NULL;

	if (rig_ask(fd, json_pack("{s:s}", "do", "invite"), NULL, &last,
		    &text) != 0)
		return join_fail_free(text);

	const char *note = json_string_value(json_object_get(last, "note"));
	const char *code = json_string_value(json_object_get(last, "code"));

	if (note != NULL && note[0] != '\0')
		fprintf(stderr, "rigway join: note: %s\n", note);
	print_code(j, code != NULL ? code : "");
	json_decref(last);
	return EXIT_DONE;
}

static void say_progress(void *user, const json_t *row)
{
	const char *text = json_string_value(json_object_get(row, "progress"));

	(void)user;
	if (text != NULL)
		fprintf(stderr, "rigway join: not connected yet: %s\n", text);
}

/* Watches until the relay is reached. That it is not is no failure: the rig
 * goes on trying. */
static void watch_running(const struct join *j, int fd)
{
	char pin[PIN_TEXT_LEN + 1], *text = NULL;

	const struct rig_ask_watch watch = { WAIT_MS, say_progress, NULL };

	if (rig_ask(fd,
		    json_pack("{s:s, s:s}", "do", "wait", "key",
			      pin_text(&j->code.relay_pin, pin)),
		    &watch, NULL, &text) == 0) {
		fprintf(stderr, "rigway join: the rig is connected\n");
		return;
	}
	fprintf(stderr,
		"rigway join: the rig runs, but has not reached the "
		"relay yet (%s); it goes on trying\n",
		text);
	free(text);
}

static int connect_running(struct join *j)
{
	const struct agent_open o = { .settings = &j->setup.settings,
				      .paths = &j->setup.paths };
	const struct timespec step = { .tv_nsec = START_STEP_MS * 1000000 };
	struct rig_reach r;
	char *text = NULL;

	/* A service may take a moment until it has the state. */
	for (unsigned ms = 0; ms < START_MS; ms += START_STEP_MS) {
		if (rig_reach(&o, &r, &text) != 0) {
			join_fail_free(text);
			return -1;
		}
		if (r.fd >= 0)
			return r.fd;
		rig_reach_close(&r);
		nanosleep(&step, NULL);
	}
	join_fail("the rig does not start; see its log");
	return -1;
}

/* The laptop's code, where it is needed. */
static int finish_running(const struct join *j, const struct standing *st,
			  int fd)
{
	watch_running(j, fd);
	if (standing_needs_code(st))
		return invite_running(j, fd);
	standing_say_added(j, st);
	return EXIT_DONE;
}

static int finish_started(struct join *j, const struct standing *st)
{
	int fd = connect_running(j), status;

	if (fd < 0)
		return EXIT_FAILED;
	status = finish_running(j, st, fd);
	close(fd);
	return status;
}

static int start_and_finish(struct join *j, const struct standing *st)
{
	static const char *const argv[] = { "rigway", "rig", "--ready-fd",
					    DETACH_READY_WORD, NULL };
	char *self = self_path(), *home = self_home();
	char *log = paths_state(&j->setup.paths, "rig", "log"), *text = NULL;
	const struct detach_params p = {
		.program = self,
		.argv = argv,
		.home = home,
		.log = log,
	};
	int status = EXIT_FAILED;

	if (self == NULL || log == NULL) {
		join_fail(log == NULL ? paths_error(&j->setup.paths)
				      : "this program's own file is not known");
		goto out;
	}
	fprintf(stderr,
		"rigway join: starting the rig in the background "
		"(its log: %s)\n",
		log);
	if (detach_start(&p, &text) != 0) {
		fprintf(stderr,
			"rigway join: it is paired, but the rig does "
			"not start: %s\n",
			text);
		goto out;
	}
	status = finish_started(j, st);
out:
	free(text);
	free(self);
	free(home);
	free(log);
	return status;
}

/* -- the whole ------------------------------------------------------------- */

static int join_stopped(struct join *j, struct agent_state *s)
{
	struct standing st = { 0 };
	struct rig_relay relay;
	int status;

	standing_of_files(j, s, &st);
	if ((status = standing_check(j, &st)) != 0 ||
	    (status = redeem(j, s->key, s->name, &relay)) != 0 ||
	    (status = store_relay(s, &relay)) != 0 ||
	    (status = save_name(j)) != 0)
		return status;
	fprintf(stderr, "rigway join: this machine is the rig %s now\n",
		s->name);
	if (j->no_start && standing_needs_code(&st))
		return invite_state(j, s, &relay);
	if (j->no_start) {
		standing_say_added(j, &st);
		return EXIT_DONE;
	}
	agent_state_close(s); /* the rig wants the lock */
	return boot_at_join(&j->setup, j->no_install)
		       ? finish_started(j, &st)
		       : start_and_finish(j, &st);
}

static int tell_running(int fd, const struct rig_relay *relay)
{
	char pin[PIN_TEXT_LEN + 1], invite[STR_HEX_LEN(CODE_ID_LEN) + 1];
	json_t *addrs = json_array();
	char *text = NULL;

	for (size_t i = 0; i < relay->addr_count; i++)
		json_array_append_new(addrs, json_string(relay->addr[i]));
	str_hex_encode(relay->invite, sizeof(relay->invite), invite);
	if (rig_ask(fd,
		    json_pack("{s:s, s:s, s:s, s:s, s:o}", "do", "join", "key",
			      pin_text(&relay->pin, pin), "fleet", relay->fleet,
			      "invite", invite, "addrs", addrs),
		    NULL, NULL, &text) != 0)
		return join_fail_free(text);
	return 0;
}

static int redeem_running(struct join *j, int fd)
{
	char *path = paths_state(&j->setup.paths, "rig", "key");
	char name[RIG_NAME_CAP];
	struct key *key = NULL;
	struct rig_relay relay;
	int err, status;

	if (path == NULL)
		return join_fail(paths_error(&j->setup.paths));
	err = key_load(path, &key);
	if (err != 0)
		fprintf(stderr, "rigway join: %s: %s\n", path, err_text(err));
	free(path);
	if (err != 0)
		return EXIT_FAILED;
	rig_name_default(name);
	status = redeem(j, key, j->name != NULL ? j->name : name, &relay);
	key_free(key);
	return status != 0 ? status : tell_running(fd, &relay);
}

/* The rig runs: another relay, or the same code once more. */
static int join_running(struct join *j, int fd)
{
	struct standing st = { 0 };
	int status = standing_of_running(j, fd, &st);

	if (status != 0 || (status = standing_check(j, &st)) != 0)
		return status;
	if (!st.is_up || !st.is_same_code)
		status = redeem_running(j, fd);
	if (status != 0 || (status = save_name(j)) != 0)
		return status;
	if (j->name != NULL)
		fprintf(stderr,
			"rigway join: the rig takes the name %s when "
			"it is started the next time\n",
			j->name);
	return finish_running(j, &st, fd);
}

int join_rig(struct join *j)
{
	const struct agent_open o = {
		.settings = &j->setup.settings,
		.paths = &j->setup.paths,
		.name = j->name,
		.may_make = true,
	};
	struct rig_reach r;
	char *text = NULL;
	int status = rig_listen_kept(&j->setup);

	if (status != 0)
		return status;
	if (rig_reach(&o, &r, &text) != 0)
		return join_fail_free(text);
	status = r.fd >= 0 ? join_running(j, r.fd) : join_stopped(j, &r.state);

	rig_reach_close(&r);
	return status;
}

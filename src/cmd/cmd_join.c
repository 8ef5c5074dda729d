/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/detach.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/control.h"
#include "client/self.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "config/paths.h"
#include "config/settings.h"
#include "crypto/key.h"
#include "net/loop.h"
#include "rig/issue.h"
#include "rig/reach.h"
#include "rig/register.h"
#include "wire/code.h"
#include "wire/request.h"

/* The rig keeps trying; this is how long join watches. */
#define WAIT_MS 30000
#define ASK_MS	20000

enum authorize { AUTHORIZE_ASK, AUTHORIZE_YES, AUTHORIZE_NO };

struct join {
	struct paths paths;
	struct settings settings;
	struct buf text; /* the code as it was given */
	struct code code;
	const char *name; /* --name */
	bool no_start;
	enum authorize authorize;
};

static int fail(const char *text)
{
	fprintf(stderr, "rigway join: %s\n", text);
	return EXIT_FAILED;
}

static int fail_free(char *text)
{
	int status = fail(text);

	free(text);
	return status;
}

/* -- arguments and the code ------------------------------------------------ */

enum { OPT_NAME = 256, OPT_NO_START, OPT_AUTHORIZE, OPT_NO_AUTHORIZE };

static const struct option options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "no-start", no_argument, NULL, OPT_NO_START },
	{ "authorize-key", no_argument, NULL, OPT_AUTHORIZE },
	{ "no-authorize-key", no_argument, NULL, OPT_NO_AUTHORIZE },
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
	case OPT_NO_START: j->no_start = true; return 0;
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
		return fail("this code was made by a newer rigway: update the "
			    "one on this machine");
	case RW_ERR_TRUNCATED:
		return fail("the end of the code is missing: copy all of it");
	case RW_ERR_MANGLED:
		return fail("some characters of the code are wrong: copy it "
			    "again");
	case RW_ERR_LIMIT: return fail("this is too long to be a code");
	default:
		return fail("this is not a code: one begins with rw1, and is "
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

/* -- a rig: what it is already --------------------------------------------- */

/* How this machine stands to the relay of the code. */
struct standing {
	bool is_joined;	   /* the relay is on the list */
	bool is_same_code; /* and it was joined with this very code */
	bool is_up;	   /* and it is connected now */
	bool is_other;	   /* a rig, but of other relays */
};

static void code_id(const struct code *code, uint8_t id[CODE_ID_LEN])
{
	struct secret relay, rig;

	code_secrets(code->bits, &relay, &rig, id);
	secret_wipe(&relay);
	secret_wipe(&rig);
}

static void stand_state(const struct join *j, struct agent_state *s,
			struct standing *ret)
{
	const struct rig_relay *relay =
		relays_find(&s->relays, &j->code.relay_pin);
	uint8_t id[CODE_ID_LEN];

	code_id(&j->code, id);
	ret->is_joined = relay != NULL;
	ret->is_other = relay == NULL && s->relays.count > 0;
	ret->is_same_code =
		relay != NULL && memcmp(relay->invite, id, sizeof(id)) == 0;
}

static int stand_running(const struct join *j, int fd, struct standing *ret)
{
	char pin[PIN_TEXT_LEN + 1], id_text[STR_HEX_LEN(CODE_ID_LEN) + 1];
	uint8_t id[CODE_ID_LEN];
	json_t *last = NULL, *relay;
	char *text = NULL;
	size_t i;

	if (rig_ask(fd, json_pack("{s:s}", "do", "status"), ASK_MS, NULL, NULL,
		    &last, &text) != 0)
		return fail_free(text);
	code_id(&j->code, id);
	str_hex_encode(id, sizeof(id), id_text);
	pin_text(&j->code.relay_pin, pin);
	json_array_foreach(json_object_get(last, "relays"), i, relay)
	{
		const char *key = "", *invite = "";
		int up = 0;

		json_unpack(relay, "{s:s, s:s, s:b}", "key", &key, "invite",
			    &invite, "up", &up);
		ret->is_other = true;
		if (strcmp(key, pin) != 0)
			continue;
		ret->is_joined = true;
		ret->is_up = up != 0;
		ret->is_same_code = strcmp(invite, id_text) == 0;
	}
	ret->is_other = ret->is_other && !ret->is_joined;
	json_decref(last);
	return 0;
}

static bool is_laptop(struct join *j)
{
	char *path = paths_state(&j->paths, "client", "rigs");
	struct stat st;
	bool yes = path != NULL && stat(path, &st) == 0;

	free(path);
	return yes;
}

static bool ask_yes(const char *question)
{
	char line[64];

	fprintf(stderr, "%s [y/N] ", question);
	return fgets(line, sizeof(line), stdin) != NULL &&
	       (line[0] == 'y' || line[0] == 'Y');
}

static bool is_terminal(void)
{
	return isatty(STDIN_FILENO) != 0 && isatty(STDERR_FILENO) != 0;
}

/* A rig's code where it does not belong: nothing was used up yet. */
static int check_place(struct join *j, const struct standing *s)
{
	if (s->is_joined && s->is_up && !s->is_same_code)
		return fail("this machine is a rig of that relay already, and "
			    "connected to it: if another machine is to be a "
			    "rig, type this code there; for a laptop's code: "
			    "rigway rig invite");
	if (s->is_joined || s->is_other || j->name != NULL || !is_laptop(j))
		return 0;
	if (is_terminal())
		return ask_yes("This code makes a machine a rig: one that is "
			       "reached. This machine is a laptop that knows "
			       "rigs. Make it a rig as well?")
			       ? 0
			       : EXIT_FAILED;
	return fail("this code is for a GPU machine, and this machine is a "
		    "laptop that knows rigs: type it on the GPU machine; if "
		    "this one is to be a rig as well, add --name NAME");
}

/* -- a rig: the relay ------------------------------------------------------ */

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
		return fail(err_text(RW_ERR_NOMEM));
	r.err = relay_redeem(&p, on_redeemed, &r, &r.redeem);
	if (r.err == 0)
		uv_run(&r.loop, UV_RUN_DEFAULT);
	else
		r.text = xstrdup(err_text(r.err));
	loop_run_close(&r.loop);
	if (r.err != 0)
		return fail_free(r.text);
	relays_from_code(&j->code, r.fleet, ret);
	return 0;
}

/* -- a rig: the pieces ------------------------------------------------------
 */

static int save_name(struct join *j)
{
	char *path = paths_state(&j->paths, "rig", "name");
	int err, status = 0;

	if (j->name == NULL)
		return 0;
	if (path == NULL)
		return fail(paths_error(&j->paths));
	err = rig_name_save(path, j->name);
	if (err != 0) {
		fprintf(stderr, "rigway join: %s: %s\n", path, err_text(err));
		status = EXIT_FAILED;
	}
	free(path);
	return status;
}

static int store_relay(struct agent_state *s, const struct rig_relay *relay)
{
	int err = relays_put(&s->relays, relay);

	if (err == 0)
		return 0;
	if (err == RW_ERR_LIMIT)
		return fail("this rig has joined as many relays as it may");
	fprintf(stderr,
		"rigway join: %s: %s; nothing is lost: make room, and "
		"repeat this with the same code\n",
		s->relays.path, err_text(err));
	return EXIT_FAILED;
}

static void print_code(const char *code)
{
	fprintf(stderr, "rigway join: now, on the laptop: rigway join with "
			"this code\n");
	printf("%s\n", code);
}

/* The laptop's code while no rig runs. */
static int invite_state(struct agent_state *s, const struct rig_relay *relay)
{
	const struct invite_params p = { .now = (int64_t)time(NULL) };
	const struct issuer by = { relay, key_pin(s->key), s->name };
	struct issued issued;
	char text[INVITE_TEXT_CAP];

	if (issue_make(&s->invites, &by, &p, &issued, text) != 0)
		return fail(text);

	const struct register_params r = { s->key, relay, s->name,
					   &issued.invite };

	if (register_invite(&r, text, sizeof(text)) != 0)
		fprintf(stderr,
			"rigway join: note: the relay does not know "
			"of the laptop's code yet (%s); the rig tells "
			"it when it starts\n",
			text);
	fprintf(stderr, "rigway join: start the rig with: rigway rig\n");
	print_code(issued.code);
	mem_wipe(&issued, sizeof(issued));
	return EXIT_DONE;
}

static int invite_running(int fd)
{
	json_t *last = NULL;
	char *text = NULL;

	if (rig_ask(fd, json_pack("{s:s}", "do", "invite"), ASK_MS, NULL, NULL,
		    &last, &text) != 0)
		return fail_free(text);

	const char *note = json_string_value(json_object_get(last, "note"));
	const char *code = json_string_value(json_object_get(last, "code"));

	if (note != NULL && note[0] != '\0')
		fprintf(stderr, "rigway join: note: %s\n", note);
	print_code(code != NULL ? code : "");
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

	if (rig_ask(fd,
		    json_pack("{s:s, s:s}", "do", "wait", "key",
			      pin_text(&j->code.relay_pin, pin)),
		    WAIT_MS, say_progress, NULL, NULL, &text) == 0) {
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
	const struct agent_open o = { .settings = &j->settings,
				      .paths = &j->paths };
	struct rig_reach r;
	char *text = NULL;

	if (rig_reach(&o, &r, &text) != 0) {
		fail_free(text);
		return -1;
	}
	if (r.fd < 0) {
		rig_reach_close(&r);
		fail("the rig ended again; see its log");
	}
	return r.fd;
}

static int start_and_invite(struct join *j)
{
	static const char *const argv[] = { "rigway", "rig", "--ready-fd",
					    DETACH_READY_WORD, NULL };
	char *self = self_path(), *home = self_home();
	char *log = paths_state(&j->paths, "rig", "log"), *text = NULL;
	const struct detach_params p = {
		.program = self,
		.argv = argv,
		.home = home,
		.log = log,
	};
	int status = EXIT_FAILED, fd = -1;

	if (self == NULL || log == NULL) {
		fail(log == NULL ? paths_error(&j->paths)
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
	fd = connect_running(j);
	if (fd < 0)
		goto out;
	watch_running(j, fd);
	status = invite_running(fd);
	close(fd);
out:
	free(text);
	free(self);
	free(home);
	free(log);
	return status;
}

/* -- a rig ------------------------------------------------------------------
 */

static int join_stopped(struct join *j, struct agent_state *s)
{
	struct standing st = { 0 };
	struct rig_relay relay;
	int status;

	stand_state(j, s, &st);
	if ((status = check_place(j, &st)) != 0 ||
	    (status = redeem(j, s->key, s->name, &relay)) != 0 ||
	    (status = store_relay(s, &relay)) != 0 ||
	    (status = save_name(j)) != 0)
		return status;
	fprintf(stderr, "rigway join: this machine is the rig %s now\n",
		s->name);
	if (j->no_start)
		return invite_state(s, &relay);
	agent_state_close(s); /* the rig wants the lock */
	return start_and_invite(j);
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
		    ASK_MS, NULL, NULL, NULL, &text) != 0)
		return fail_free(text);
	return 0;
}

static int redeem_running(struct join *j, int fd)
{
	char *path = paths_state(&j->paths, "rig", "key");
	char name[RIG_NAME_CAP];
	struct key *key = NULL;
	struct rig_relay relay;
	int err, status;

	if (path == NULL)
		return fail(paths_error(&j->paths));
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
	int status = stand_running(j, fd, &st);

	if (status != 0 || (status = check_place(j, &st)) != 0)
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
	watch_running(j, fd);
	return invite_running(fd);
}

static int join_rig(struct join *j)
{
	const struct agent_open o = {
		.settings = &j->settings,
		.paths = &j->paths,
		.name = j->name,
		.may_make = true,
	};
	struct rig_reach r;
	char *text = NULL;

	if (rig_reach(&o, &r, &text) != 0)
		return fail_free(text);

	int status =
		r.fd >= 0 ? join_running(j, r.fd) : join_stopped(j, &r.state);

	rig_reach_close(&r);
	return status;
}

/* -- a laptop ---------------------------------------------------------------
 */

static bool is_own_code(struct join *j)
{
	char *path = paths_state(&j->paths, "rig", "key");
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
	     (!is_terminal() || !jd->is_new || strcmp(jd->role, "owner") != 0)))
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
		yes = ask_yes(question);
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
		return fail("this code lets a laptop reach this very machine: "
			    "type it on the laptop");
	fprintf(stderr, "rigway join: asking the relay %s, and %s ...\n",
		j->code.relay[0], j->code.rig_name);
	msg = json_pack("{s:s, s:s, s:s*}", "do", "join", "code",
			buf_text(&j->text), "name", j->name);
	status = talk(msg, on_line, &jd);
	if (status != 0)
		return status;
	offer_key(j, &jd);
	printf("%s is ready: rigway ls, rigway ssh %s, rigway forward %s "
	       "8888\n",
	       jd.rig, jd.rig, jd.rig);
	return EXIT_DONE;
}

int cmd_join(int argc, char **argv)
{
	struct join j = { 0 };
	struct config_errors errs = { 0 };
	int status = read_args(&j, argc, argv);

	if (status != 0)
		goto out;
	if (paths_init(&j.paths) != 0) {
		status = fail(paths_error(&j.paths));
		goto out_paths;
	}
	if (settings_load(paths_config_file(&j.paths), &j.settings, &errs) !=
	    0) {
		config_errors_print(&errs, stderr);
		config_errors_done(&errs);
		status = EXIT_FAILED;
		goto out_paths;
	}
	status = j.code.kind == CODE_RIG ? join_rig(&j) : join_client(&j);
	settings_done(&j.settings);
out_paths:
	paths_done(&j.paths);
out:
	code_wipe(&j.code);
	buf_done(&j.text);
	return status;
}

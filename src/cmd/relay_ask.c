/* SPDX-License-Identifier: MIT */
/* rigway relay invite, devices, remove: questions to a relay. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"
#include "cmd/cmd.h"
#include "cmd/relay_office.h"
#include "cmd/show.h"
#include "net/local.h"

/* How long a relay that starts or stops is waited for. */
#define START_TRIES  50
#define START_TRY_MS 100
/* What it is asked takes it RELAY_PROVE_MS, or a write to the disk. */
#define ANSWER_MS 6000

/* -- asking --------------------------------------------------------------- */

static json_t *request_of(const struct relay_typed *t)
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

/* It is there, and says nothing. */
static int hangs(int fd)
{
	const long pid = (long)local_peer(fd);
	char waited[FORMAT_CAP];

	fprintf(stderr,
		"rigway: the relay (%ld) has not answered for %s: it was "
		"stopped, or hangs. What it last knew is not shown. 'kill "
		"-CONT %ld' lets a stopped one go on\n",
		pid, format_duration(ANSWER_MS, waited), pid);
	return EXIT_FAILED;
}

/* Asks the relay that runs. Lines before the last go to "devices" of *ret. */
static int ask_running(int fd, json_t *request, json_t **ret)
{
	json_t *rows = json_array(), *line = NULL;
	int err = local_ask(fd, request);

	while (err == 0) {
		err = local_next(fd, ANSWER_MS, &line, NULL);
		if (err == 0)
			json_array_append_new(rows, line);
	}
	if (err < 0) {
		json_decref(rows);
		if (err == RW_ERR_TIMEOUT)
			return hangs(fd);
		fprintf(stderr, "rigway: the relay does not answer: %s\n",
			err_text(err));
		return EXIT_FAILED;
	}
	if (!json_is_true(json_object_get(line, "ok"))) {
		json_t *status = json_object_get(line, "exit");

		office_fail(show_text(line, "error", "the relay refused"));
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
	char *path = paths_state(&o->setup.paths, "relay", "place");
	char *key = paths_state(&o->setup.paths, "relay", "key"), *err = NULL;
	int status;

	if (path == NULL || key == NULL || access(key, F_OK) != 0) {
		free(path);
		free(key);
		return office_fail(
			boot_relay_is_roots()
				? "this machine's relay belongs to root: sudo "
				  "rigway relay ..."
				: "no relay has run here yet; 'rigway relay' "
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
			office_fail_free(err);
	}
	free(path);
	return status;
}

/* Whether a relay holds the lock: one that starts or stops, and does not
 * answer just now. */
static bool is_locked(struct office *o)
{
	char *lock = paths_lock(&o->setup.paths, "relay");
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

static int ask(struct office *o, const struct relay_typed *t, json_t **ret)
{
	char *path = paths_socket_served(&o->setup.paths, "relay");
	json_t *request;
	int fd, status;

	if (path == NULL)
		return office_fail(paths_error(&o->setup.paths));
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

static void show(const struct relay_typed *t, json_t *reply)
{
	if (t->json) {
		json_object_del(reply, "ok");
		show_json(reply);
		return;
	}
	if (strcmp(t->verb, "invite") == 0) {
		show_code(show_text(reply, "code", ""), false, true);
	} else if (strcmp(t->verb, "devices") == 0) {
		relay_devices_show(reply);
	} else {
		fprintf(stderr,
			"%s is removed, and its connections through "
			"this relay are cut.\nThe relay only introduces: a rig "
			"that trusts it still does, and direct paths between "
			"the two remain; 'rigway rig remove' on the rig ends "
			"those.\n",
			show_text(reply, "name", ""));
	}
}

int relay_ask(struct office *o, const struct relay_typed *t)
{
	json_t *reply = NULL;
	int status = ask(o, t, &reply);

	if (status == 0)
		show(t, reply);
	json_decref(reply);
	return status;
}

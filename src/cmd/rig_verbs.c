/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/rig_parts.h"
#include "cmd/show.h"
#include "rig/admin.h"
#include "rig/agent.h"
#include "rig/issue.h"
#include "rig/places.h"
#include "rig/policy.h"
#include "rig/reach.h"
#include "rig/register.h"
#include "rig/removal.h"

static void say_note(const char *note)
{
	if (note[0] != '\0')
		fprintf(stderr, "rigway rig: note: %s\n", note);
}

static int invite_running(int fd, const struct rig_typed *a,
			  const char *services)
{
	json_t *last = NULL;
	char *text = NULL;
	int err = rig_ask(fd,
			  json_pack("{s:s, s:s, s:I, s:I}", "do", "invite",
				    "guest", services, "uses",
				    (json_int_t)a->uses, "expires_s",
				    (json_int_t)(a->expires_ms / 1000)),
			  NULL, &last, &text);

	if (err != 0)
		return rig_fail_free(text);
	say_note(show_text(last, "note", ""));
	show_code(show_text(last, "code", ""), a->is_json, false);
	json_decref(last);
	return EXIT_DONE;
}

/* No rig runs: the code is made here, and the relay told in passing. */
static int invite_state(const struct setup *setup, struct agent_state *s,
			const struct rig_typed *a, const char *services)
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
		return rig_fail(text);

	const struct register_params r = { s->key, by.relay, s->name,
					   &issued.invite };

	if (s->is_joined && register_tell(&r, text, sizeof(text)) != 0)
		fprintf(stderr,
			"rigway rig: note: the relay does not know of "
			"this code yet (%s); the rig tells it when it "
			"starts\n",
			text);
	fprintf(stderr, "rigway rig: note: this rig is not running: start it "
			"with rigway rig before the code is used\n");
	show_code(issued.code, a->is_json, false);
	mem_wipe(&issued, sizeof(issued));
	return EXIT_DONE;
}

int rig_invite(struct setup *s, struct rig_typed *a)
{
	char services[DEVICE_SERVICES_CAP] = "", bad[DEVICE_SERVICES_CAP];
	struct rig_reach r;
	int err = services_parse(buf_text(&a->guest), services, bad);

	if (err == RW_ERR_LIMIT)
		return rig_fail("the list of services is too long");
	if (err != 0)
		return rig_misuse(
			"is not a service: give a name such as ssh, a "
			"PORT, HOST:PORT or /PATH",
			bad);
	if (a->is_guest && services[0] == '\0')
		return rig_misuse("wants the services that the guest may reach",
				  "--guest");
	if (rig_open(s, &r) != 0)
		return EXIT_FAILED;

	int status = r.fd >= 0 ? invite_running(r.fd, a, services)
			       : invite_state(s, &r.state, a, services);

	rig_reach_close(&r);
	return status;
}

static int devices_of_files(struct agent_state *s, const char *who,
			    json_t **ret, char **ret_text)
{
	json_t *rows = json_array();

	(void)who, (void)ret_text;
	for (size_t i = 0; i < s->devices.count; i++)
		if (s->devices.rows[i].role != DEVICE_REMOVED)
			json_array_append_new(
				rows,
				admin_device_json(&s->devices.rows[i], false));
	*ret = json_pack("{s:o}", "devices", rows);
	return 0;
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

int rig_devices(struct setup *s, struct rig_typed *a)
{
	static const struct rig_question q = { .verb = "devices",
					       .rows = "devices",
					       .on_files = devices_of_files };
	json_t *last = rig_answer(s, &q), *rows, *row;
	size_t i;

	if (last == NULL)
		return EXIT_FAILED;
	rows = json_object_get(last, "devices");
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
	json_decref(last);
	return EXIT_DONE;
}

/* On the files of a rig that rests, in the words of one that runs. */
static int remove_files(struct agent_state *s, const char *who, json_t **ret,
			char **ret_text)
{
	char text[REMOVAL_TEXT_CAP];
	const struct removal from = { &s->devices, &s->invites,
				      (int64_t)time(NULL) };
	struct device dev;
	int err = removal_write(&from, who, &dev, text);

	if (err == 0)
		*ret = admin_removed_json(&dev, text);
	else
		*ret_text = xstrdup(text);
	return err;
}

int rig_remove(struct setup *s, struct rig_typed *a)
{
	const struct rig_question q = { .verb = "remove",
					.who = a->who,
					.on_files = remove_files };

	return rig_say_answer(s, &q, a->is_json);
}

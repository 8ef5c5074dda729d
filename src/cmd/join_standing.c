/* SPDX-License-Identifier: MIT */
/* What this machine is already when a rig's code is typed on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/join_parts.h"
#include "cmd/show.h"
#include "rig/reach.h"

static void code_id(const struct code *code, uint8_t id[CODE_ID_LEN])
{
	struct secret relay, rig;

	code_secrets(code->bits, &relay, &rig, id);
	secret_wipe(&relay);
	secret_wipe(&rig);
}

void standing_of_files(const struct join *j, struct agent_state *s,
		       struct standing *ret)
{
	const struct rig_relay *relay =
		relays_find(&s->relays, &j->code.relay_pin);
	uint8_t id[CODE_ID_LEN];

	code_id(&j->code, id);
	ret->is_joined = relay != NULL;
	ret->is_other = relay == NULL && s->relays.count > 0;
	ret->laptops = devices_admitted(&s->devices);
	ret->is_same_code =
		relay != NULL && memcmp(relay->invite, id, sizeof(id)) == 0;
}

int standing_of_running(const struct join *j, int fd, struct standing *ret)
{
	char pin[PIN_TEXT_LEN + 1], id_text[STR_HEX_LEN(CODE_ID_LEN) + 1];
	uint8_t id[CODE_ID_LEN];
	json_t *last = NULL, *relay;
	char *text = NULL;
	size_t i;

	if (rig_ask(fd, json_pack("{s:s}", "do", "status"), NULL, &last,
		    &text) != 0)
		return join_fail_free(text);
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
	ret->laptops =
		(size_t)json_integer_value(json_object_get(last, "devices"));
	json_decref(last);
	return 0;
}

static bool is_laptop(struct join *j)
{
	char *path = paths_state(&j->setup.paths, "client", "rigs");
	struct stat st;
	bool yes = path != NULL && stat(path, &st) == 0;

	free(path);
	return yes;
}

int standing_check(struct join *j, const struct standing *s)
{
	if (s->is_joined && s->is_up && !s->is_same_code)
		return join_fail(
			"this machine is a rig of that relay already, and "
			"connected to it: if another machine is to be a "
			"rig, type this code there; for a laptop's code: "
			"rigway rig invite");
	if (s->is_joined || s->is_other || j->name != NULL || !is_laptop(j))
		return 0;
	if (join_is_terminal())
		return join_ask_yes(
			       "This code makes a machine a rig: one that is "
			       "reached. This machine is a laptop that knows "
			       "rigs. Make it a rig as well?")
			       ? 0
			       : EXIT_FAILED;
	return join_fail(
		"this code is for a GPU machine, and this machine is a "
		"laptop that knows rigs: type it on the GPU machine; if "
		"this one is to be a rig as well, add --name NAME");
}

bool standing_needs_code(const struct standing *s)
{
	return s->is_joined || s->laptops == 0;
}

void standing_say_added(const struct join *j, const struct standing *s)
{
	if (j->is_json) {
		show_json_free(json_pack("{s:s, s:n, s:s, s:I}", "role", "rig",
					 "code", "relay", j->code.relay[0],
					 "laptops", (json_int_t)s->laptops));
		return;
	}
	fprintf(stderr,
		"rigway join: this machine was a rig already, and may now be "
		"reached through the relay %s, too; its %zu laptop%s it by "
		"themselves, and type nothing. A code for a further laptop: "
		"rigway rig invite\n",
		j->code.relay[0], s->laptops,
		s->laptops == 1 ? " learns" : "s learn");
}

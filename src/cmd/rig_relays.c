/* SPDX-License-Identifier: MIT */
/* rigway rig relays, rigway rig leave: the relays that this machine has joined,
 * whether the rig runs or not. */
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/rig_parts.h"
#include "cmd/show.h"
#include "rig/admin.h"
#include "rig/agent.h"
#include "rig/register.h"

/* The relays, as `status` of a running rig has them. */
static int rows_of_files(struct agent_state *s, const char *who, json_t **ret,
			 char **ret_text)
{
	json_t *rows = json_array();

	(void)who, (void)ret_text;
	for (size_t i = 0; i < s->relays.count; i++)
		json_array_append_new(
			rows, admin_relay_json(&s->relays.rows[i], false,
					       "the rig is not running"));
	*ret = json_pack("{s:o}", "relays", rows);
	return 0;
}

static void print_row(const json_t *row)
{
	const json_t *addr;
	size_t i;

	printf("%-28s  %s  %-8s  %s", show_text(row, "addr", ""),
	       show_text(row, "fingerprint", ""), show_text(row, "fleet", ""),
	       json_is_true(json_object_get(row, "up")) ? "connected" : "away");
	if (show_text(row, "text", "")[0] != '\0')
		printf(": %s", show_text(row, "text", ""));
	json_array_foreach(json_object_get(row, "addrs"), i, addr)
	{
		if (i > 0)
			printf("\n  also %s", json_string_value(addr));
	}
	putchar('\n');
}

int rig_relays(struct setup *s, struct rig_typed *a)
{
	static const struct rig_question q = { .verb = "status",
					       .on_files = rows_of_files };
	json_t *last = rig_answer(s, &q), *rows, *row;
	size_t i;

	if (last == NULL)
		return EXIT_FAILED;
	rows = json_object_get(last, "relays");
	if (a->is_json) {
		json_array_foreach(rows, i, row) json_object_del(row, "invite");
		show_json_free(json_pack("{s:O}", "relays", rows));
	} else if (json_array_size(rows) == 0) {
		fprintf(stderr, "this rig has joined no relay: rigway join "
				"CODE, with a code from rigway relay invite "
				"there\n");
	} else {
		printf("%-28s  %-19s  %-8s  %s\n", "RELAY", "FINGERPRINT",
		       "GROUP", "NOW");
		json_array_foreach(rows, i, row) print_row(row);
	}
	json_decref(last);
	return EXIT_DONE;
}

/* Tells the relay, and takes it off the list, told or not. */
static int leave_row(struct agent_state *s, size_t n,
		     char text[RELAYS_TEXT_CAP], bool *ret_told)
{
	struct rig_relays *relays = &s->relays;
	const struct register_params p = { .key = s->key,
					   .relay = &relays->rows[n],
					   .name = s->name };
	char untold[RELAYS_TEXT_CAP];
	const bool told = register_tell(&p, untold, sizeof(untold)) == 0;
	int err;

	relays_say_left(relays, n, told ? NULL : untold, text);
	err = relays_remove(relays, n);
	if (err != 0)
		snprintf(text, RELAYS_TEXT_CAP, "%s: %s", relays->path,
			 err_text(err));
	else
		*ret_told = told;
	return err;
}

static int leave_files(struct agent_state *s, const char *who, json_t **ret,
		       char **ret_text)
{
	char text[RELAYS_TEXT_CAP];
	bool told = false;
	size_t n = 0;
	int err = relays_resolve(&s->relays, who, &n);

	if (err != 0)
		relays_say_unknown(who, err, text);
	else
		err = leave_row(s, n, text, &told);
	if (err == 0)
		*ret = admin_left_json(told, text);
	else
		*ret_text = xstrdup(text);
	return err;
}

int rig_leave(struct setup *s, struct rig_typed *a)
{
	const struct rig_question q = { .verb = "leave",
					.who = a->who,
					.on_files = leave_files };

	return rig_say_answer(s, &q, a->is_json);
}

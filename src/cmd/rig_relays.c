/* SPDX-License-Identifier: MIT */
/* rigway rig relays, rigway rig leave: the relays that this machine has joined,
 * whether the rig runs or not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/rig_parts.h"
#include "cmd/show.h"
#include "rig/admin.h"
#include "rig/reach.h"

/* The rows, as `status` of a running rig has them. */
static int gather(struct rig_reach *r, json_t **ret, char **ret_text)
{
	json_t *last = NULL;
	int err;

	if (r->fd >= 0) {
		err = rig_ask(r->fd, json_pack("{s:s}", "do", "status"), NULL,
			      &last, ret_text);
		if (err == 0)
			*ret = json_incref(json_object_get(last, "relays"));
		json_decref(last);
		return err;
	}
	*ret = json_array();
	for (size_t i = 0; i < r->state.relays.count; i++)
		json_array_append_new(
			*ret, admin_relay_json(&r->state.relays.rows[i], false,
					       "the rig is not running"));
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
	struct rig_reach r;
	json_t *rows = NULL, *row;
	char *text = NULL;
	size_t i;
	int err;

	if (rig_open(s, &r) != 0)
		return EXIT_FAILED;
	err = gather(&r, &rows, &text);
	rig_reach_close(&r);
	if (err != 0)
		return rig_fail_free(text);
	if (a->is_json) {
		json_array_foreach(rows, i, row) json_object_del(row, "invite");
		show_json_free(json_pack("{s:O}", "relays", rows));
	} else if (json_array_size(rows) == 0) {
		fprintf(stderr, "this rig has joined no relay: rigway join "
				"CODE, with a code from rigway relay invite "
				"there\n");
	} else {
		printf("%-28s  %-19s  %-8s  %s\n", "RELAY", "FINGERPRINT",
		       "FLEET", "NOW");
		json_array_foreach(rows, i, row) print_row(row);
	}
	json_decref(rows);
	return EXIT_DONE;
}

static int leave_state(struct rig_relays *relays, const char *who, json_t **ret,
		       char **ret_text)
{
	char text[RELAYS_TEXT_CAP];
	size_t n = 0;
	int err = relays_resolve(relays, who, &n);

	relays_say_left(relays, who, err, n, text);
	if (err == 0 && (err = relays_remove(relays, n)) != 0)
		snprintf(text, sizeof(text), "%s: %s", relays->path,
			 err_text(err));
	if (err == 0)
		*ret = json_pack("{s:s}", "text", text);
	else
		*ret_text = xstrdup(text);
	return err;
}

int rig_leave(struct setup *s, struct rig_typed *a)
{
	struct rig_reach r;
	json_t *last = NULL;
	char *text = NULL;
	int err;

	if (rig_open(s, &r) != 0)
		return EXIT_FAILED;
	if (r.fd >= 0)
		err = rig_ask(
			r.fd,
			json_pack("{s:s, s:s}", "do", "leave", "who", a->who),
			NULL, &last, &text);
	else
		err = leave_state(&r.state.relays, a->who, &last, &text);
	rig_reach_close(&r);
	if (err != 0)
		return rig_fail_free(text);
	return rig_say_done(last, a->is_json);
}

/* SPDX-License-Identifier: MIT */
#include "cmd/rig_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "cmd/show.h"
#include "rig/agent.h"
#include "rig/reach.h"

int rig_fail(const char *text)
{
	fprintf(stderr, "rigway rig: %s\n", text);
	return EXIT_FAILED;
}

int rig_fail_free(char *text)
{
	rig_fail(text != NULL ? text : "failed");
	free(text);
	return EXIT_FAILED;
}

int rig_misuse(const char *text, const char *word)
{
	fprintf(stderr, "rigway rig: '%s' %s\n", word, text);
	return command_misuse("rig");
}

int rig_open(struct setup *s, struct rig_reach *ret)
{
	const struct agent_open o = { .settings = &s->settings,
				      .paths = &s->paths };
	char *text = NULL;
	int err = rig_reach(&o, ret, &text);

	if (err != 0)
		rig_fail_free(text);
	else
		free(text);
	return err;
}

static void gather(void *user, const json_t *row)
{
	json_array_append(user, (json_t *)(uintptr_t)row);
}

static int ask_running(int fd, const struct rig_question *q, json_t **ret,
		       char **ret_text)
{
	json_t *rows = json_array();
	const struct rig_ask_watch watch = { RIG_ASK_MS, gather, rows };
	int err = rig_ask(
		fd, json_pack("{s:s, s:s*}", "do", q->verb, "who", q->who),
		&watch, ret, ret_text);

	if (err == 0 && q->rows != NULL)
		json_object_set(*ret, q->rows, rows);
	json_decref(rows);
	return err;
}

json_t *rig_answer(struct setup *s, const struct rig_question *q)
{
	struct rig_reach r;
	json_t *last = NULL;
	char *text = NULL;
	int err;

	if (rig_open(s, &r) != 0)
		return NULL;
	err = r.fd >= 0 ? ask_running(r.fd, q, &last, &text)
			: q->on_files(&r.state, q->who, &last, &text);
	rig_reach_close(&r);
	if (err == 0)
		return last;
	rig_fail_free(text);
	return NULL;
}

int rig_say_answer(struct setup *s, const struct rig_question *q, bool is_json)
{
	json_t *last = rig_answer(s, q);

	if (last == NULL)
		return EXIT_FAILED;
	if (is_json) {
		json_object_del(last, "ok");
		show_json(last);
	} else {
		fprintf(stderr, "rigway rig: %s\n",
			show_text(last, "text", ""));
	}
	json_decref(last);
	return EXIT_DONE;
}

/* SPDX-License-Identifier: MIT */
#include "rig/reach.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/local.h"

#define STEP_MS 100

int rig_reach(const struct agent_open *o, struct rig_reach *ret,
	      char **ret_text)
{
	struct agent_open open = *o;
	char *path = paths_socket_served(o->paths, "rig");
	int err = RW_ERR_BUSY;

	*ret_text = NULL;
	if (path == NULL) {
		*ret_text = xstrdup(paths_error(o->paths));
		return RW_ERR_IO;
	}
	open.wait_ms = STEP_MS;
	for (unsigned ms = 0; err == RW_ERR_BUSY && ms < RIG_REACH_MS;
	     ms += STEP_MS) {
		free(*ret_text);
		*ret_text = NULL;
		ret->fd = local_connect(path);
		err = ret->fd >= 0
			      ? 0
			      : agent_state_open(&open, &ret->state, ret_text);
	}
	free(path);
	if (err == RW_ERR_BUSY) {
		free(*ret_text);
		*ret_text = xstrdup("a rig runs on this machine but does not "
				    "answer: stop it, and start it anew with "
				    "rigway rig");
	}
	return err;
}

void rig_reach_close(struct rig_reach *r)
{
	if (r->fd >= 0)
		close(r->fd);
	else
		agent_state_close(&r->state);
	r->fd = -1;
	r->state = (struct agent_state){ .lock = -1 };
}

static int judge_last(json_t *line, json_t **ret, char **ret_text)
{
	const char *text;

	if (json_is_true(json_object_get(line, "ok"))) {
		if (ret != NULL)
			*ret = line;
		else
			json_decref(line);
		return 0;
	}
	text = json_string_value(json_object_get(line, "error"));
	*ret_text = xstrdup(text != NULL ? text : "the rig refused");
	json_decref(line);
	return RW_ERR_REFUSED;
}

int rig_ask(int fd, json_t *msg, const struct rig_ask_watch *watch,
	    json_t **ret, char **ret_text)
{
	static const struct rig_ask_watch plain = { RIG_ASK_MS, NULL, NULL };
	int err = local_ask(fd, msg);
	json_t *line;

	*ret_text = NULL;
	json_decref(msg);
	watch = watch != NULL ? watch : &plain;
	while (err >= 0) {
		err = local_next(fd, watch->timeout_ms, &line, NULL);
		if (err < 0)
			break;
		if (err == 1)
			return judge_last(line, ret, ret_text);
		if (watch->on_row != NULL)
			watch->on_row(watch->user, line);
		json_decref(line);
	}
	*ret_text = xasprintf("the running rig: %s", err_text(err));
	return err;
}

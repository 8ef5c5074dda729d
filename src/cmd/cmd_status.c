/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "cmd/show.h"
#include "cmd/status_words.h"

struct gathered {
	json_t *daemon, *rigs, *forwards;
};

static int on_line(void *user, json_t *line, int fd)
{
	struct gathered *g = user;
	json_t *o;

	(void)fd;
	if ((o = json_object_get(line, "rig")) != NULL)
		json_array_append(g->rigs, o);
	else if ((o = json_object_get(line, "forward")) != NULL)
		json_array_append(g->forwards, o);
	else if ((o = json_object_get(line, "daemon")) != NULL)
		json_object_update(g->daemon, o);
	return 0;
}

static void print_all(const struct gathered *g)
{
	const int64_t now = time(NULL);
	struct buf out = { 0 };
	size_t i;
	json_t *o;

	json_array_foreach(g->rigs, i, o) status_words_rig(&out, o, now);
	json_array_foreach(g->forwards, i, o)
		status_words_forward(&out, o, now);
	fputs(buf_text(&out), stdout);
	buf_done(&out);
	printf("this machine: %s, fingerprint %s\n",
	       show_text(g->daemon, "name", "-"),
	       show_text(g->daemon, "fingerprint", "-"));
	if (json_array_size(g->rigs) == 0)
		fprintf(stderr, "no rigs yet; type 'rigway join CODE' with the "
				"code that the rig printed\n");
}

int cmd_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct gathered g;
	int as_json = 0, status, c;
	json_t *all;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c != 'j')
			return command_misuse("status");
		as_json = 1;
	}
	if (optind < argc)
		return command_misuse("status");
	g.daemon = json_object();
	g.rigs = json_array();
	g.forwards = json_array();
	status = talk_within(TALK_LOOK_MS, json_pack("{s:s}", "do", "status"),
			     on_line, &g);
	all = json_pack("{s:o, s:o, s:o}", "daemon", g.daemon, "rigs", g.rigs,
			"forwards", g.forwards);
	if (status == 0 && as_json)
		show_json(all);
	else if (status == 0)
		print_all(&g);
	json_decref(all);
	return status;
}

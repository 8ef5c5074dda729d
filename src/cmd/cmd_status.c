/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "cmd/show.h"

static uint64_t int_of(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static void print_figures(const json_t *rig)
{
	const json_t *rtt = json_object_get(rig, "rtt_ms");
	const json_t *heard = json_object_get(rig, "heard_ms");
	char in[FORMAT_CAP], out[FORMAT_CAP], ago[FORMAT_CAP];

	printf("    path         %s", show_text(rig, "path", "none"));
	if (show_text(rig, "why", NULL) != NULL)
		printf(" (%s)", show_text(rig, "why", ""));
	if (json_is_number(rtt))
		printf(", round trip %.1f ms", json_number_value(rtt));
	printf(", %llu connection%s\n",
	       (unsigned long long)int_of(rig, "carriers"),
	       int_of(rig, "carriers") == 1 ? "" : "s");
	printf("    streams      %llu open; %s here, %s there\n",
	       (unsigned long long)int_of(rig, "streams"),
	       format_bytes(int_of(rig, "bytes_in"), in),
	       format_bytes(int_of(rig, "bytes_out"), out));
	if (json_is_integer(heard))
		printf("    last heard   %s ago; resumed %llu times\n",
		       format_duration(int_of(rig, "heard_ms"), ago),
		       (unsigned long long)int_of(rig, "resumed"));
}

/* The paths that are not in use, as far as anything is known about them. */
static void print_paths(const json_t *rig)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(rig, "paths"), i, p)
	{
		const char *state = show_text(p, "state", "");
		const char *text = show_text(p, "text", NULL);
		bool is_worked = strcmp(state, "worked") == 0;

		if (strcmp(state, "in use") == 0 ||
		    strcmp(state, "untried") == 0)
			continue;
		printf("    also         %s: %s", show_text(p, "path", ""),
		       text != NULL && !is_worked ? text : state);
		if (strcmp(state, "failed") == 0 || is_worked)
			printf(", %s",
			       show_text(p, is_worked ? "worked" : "failed",
					 "-"));
		putchar('\n');
	}
}

static void print_cut(const json_t *rig)
{
	const char *cut = show_text(rig, "cut", NULL);

	if (cut != NULL)
		printf("    last cut     %s: %s\n",
		       show_text(rig, "cut_at", "-"), cut);
}

/* What is on its way while nothing can go. */
static void print_held(const json_t *rig)
{
	const uint64_t full = int_of(rig, "full");
	char held[FORMAT_CAP], most[FORMAT_CAP];

	if (int_of(rig, "held") == 0)
		return;
	printf("    holding      %s of at most %s, to be sent when the rig is "
	       "back",
	       format_bytes(int_of(rig, "held"), held),
	       format_bytes(int_of(rig, "held_max"), most));
	if (full > 0)
		printf("; %llu connection%s full, and the programs wait",
		       (unsigned long long)full, full == 1 ? " is" : "s are");
	putchar('\n');
}

static void print_trouble(const json_t *rig)
{
	const json_t *next = json_object_get(rig, "next_dial_ms");
	const char *text = show_text(rig, "text", NULL);
	char in[FORMAT_CAP];

	if (text != NULL)
		printf("    trouble      %s\n", text);
	if (json_is_true(json_object_get(rig, "waits_at_relay")))
		printf("    next         the relay connects us when the rig is "
		       "back\n");
	else if (json_is_integer(next))
		printf("    next         a new attempt in %s (%llu running)\n",
		       format_duration(int_of(rig, "next_dial_ms"), in),
		       (unsigned long long)int_of(rig, "dials"));
	else if (strcmp(show_text(rig, "state", ""), "ended") == 0)
		printf("    next         nothing until 'rigway reconnect %s'\n",
		       show_text(rig, "name", ""));
}

static void print_rig(const json_t *rig)
{
	const char *user = show_text(rig, "user", NULL);
	const char *state = show_text(rig, "state", "");

	printf("%s: %s since %s", show_text(rig, "name", ""), state,
	       show_text(rig, "since", "-"));
	if (user != NULL)
		printf(", %s@%s", user, show_text(rig, "host", "?"));
	putchar('\n');
	if (json_object_get(rig, "streams") != NULL) {
		print_figures(rig);
		print_paths(rig);
		print_cut(rig);
	}
	if (strcmp(state, "connected") != 0 && strcmp(state, "idle") != 0) {
		print_held(rig);
		print_trouble(rig);
	}
}

static void print_forward(const json_t *fw)
{
	bool open = json_is_true(json_object_get(fw, "open"));

	printf("forward %s -> %s %s: %s%s%s, %llu open, %llu so far%s\n",
	       show_text(fw, "listen", ""), show_text(fw, "rig", ""),
	       show_text(fw, "target", ""),
	       open ? "listening" : "not listening", open ? "" : ": ",
	       open ? "" : show_text(fw, "text", ""),
	       (unsigned long long)int_of(fw, "connections"),
	       (unsigned long long)int_of(fw, "total"),
	       json_is_true(json_object_get(fw, "kept")) ? "" : ", foreground");
}

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
	size_t i;
	json_t *o;

	json_array_foreach(g->rigs, i, o) print_rig(o);
	json_array_foreach(g->forwards, i, o) print_forward(o);
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
	status = talk(json_pack("{s:s}", "do", "status"), on_line, &g);
	all = json_pack("{s:o, s:o, s:o}", "daemon", g.daemon, "rigs", g.rigs,
			"forwards", g.forwards);
	if (status == 0 && as_json)
		show_json(all);
	else if (status == 0)
		print_all(&g);
	json_decref(all);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include "cmd/status_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/format.h"
#include "base/str.h"
#include "cmd/show.h"

typedef unsigned long long ull;

static uint64_t int_of(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

static bool has(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return v != NULL && !json_is_null(v);
}

static const char *s_of(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* 0 where o has no such time. */
static int64_t time_of(const json_t *o, const char *key)
{
	struct tm tm = { 0 };

	if (strptime(show_text(o, key, ""), "%Y-%m-%dT%H:%M:%SZ", &tm) == NULL)
		return 0;
	return (int64_t)timegm(&tm);
}

const char *words_for(const json_t *o, const char *key, int64_t now,
		      char out[static FORMAT_CAP])
{
	const int64_t t = time_of(o, key);

	return format_duration(t < now ? (uint64_t)(now - t) * 1000 : 1000,
			       out);
}

const char *words_ago(const json_t *o, const char *key, int64_t now,
		      char out[static FORMAT_CAP])
{
	const int64_t t = time_of(o, key);
	char text[FORMAT_CAP];

	if (t == 0)
		return "-";
	if (t >= now)
		return "just now";
	snprintf(out, FORMAT_CAP, "%s ago", words_for(o, key, now, text));
	return out;
}

static void line(struct buf *out, const char *label)
{
	buf_printf(out, "    %-11s  ", label);
}

static void say_head(struct buf *out, const json_t *rig, int64_t now)
{
	const char *state = show_text(rig, "state", "");
	const char *user = show_text(rig, "user", NULL);
	char text[FORMAT_CAP];

	buf_printf(out, "%s: ", show_text(rig, "name", ""));
	if (strcmp(state, "checking") == 0)
		buf_printf(out, "checking: it was connected, and has not "
				"answered yet");
	else if (strcmp(state, "connecting") == 0)
		buf_printf(out, "not connected for %s",
			   words_for(rig, "since", now, text));
	else if (strcmp(state, "idle") == 0)
		buf_printf(out, "idle: not connected, and nothing needs it");
	else if (strcmp(state, "ended") == 0)
		buf_printf(out, "ended %s", words_ago(rig, "since", now, text));
	else
		buf_printf(out, "%s for %s", state,
			   words_for(rig, "since", now, text));
	if (user != NULL)
		buf_printf(out, " (%s@%s)", user, show_text(rig, "host", "?"));
	buf_printf(out, "\n");
}

/* "round trip 24.1 ms: 12.0 to the relay, 12.1 from there to the rig" */
static void say_rtt(struct buf *out, const json_t *rig)
{
	const json_t *rtt = json_object_get(rig, "rtt_ms");
	const json_t *hops = json_object_get(rig, "hops"), *first, *rest;

	if (!json_is_number(rtt))
		return;
	buf_printf(out, "; round trip %.1f ms", json_number_value(rtt));
	if (json_array_size(hops) != 2)
		return;
	first = json_object_get(json_array_get(hops, 0), "rtt_ms");
	rest = json_object_get(json_array_get(hops, 1), "rtt_ms");
	if (json_is_number(first) && json_is_number(rest))
		buf_printf(out, ": %.1f to the relay, %.1f from there",
			   json_number_value(first), json_number_value(rest));
}

static void say_proof(struct buf *out, const json_t *rig)
{
	char ago[FORMAT_CAP];
	const uint64_t ms = int_of(rig, "heard_ms");

	if (!has(rig, "heard_ms"))
		return;
	line(out, "proven");
	if (ms < 1000)
		buf_printf(out, "just now, end to end");
	else
		buf_printf(out, "%s ago, end to end",
			   format_duration(ms / 1000 * 1000, ago));
	if (strcmp(show_text(rig, "state", ""), "connected") == 0)
		say_rtt(out, rig);
	buf_printf(out, "\n");
}

static void say_path(struct buf *out, const json_t *rig)
{
	const uint64_t n = int_of(rig, "carriers");

	if (!has(rig, "path"))
		return;
	line(out, "path");
	buf_printf(out, "%s", show_text(rig, "path", ""));
	if (has(rig, "why"))
		buf_printf(out, " (%s)", show_text(rig, "why", ""));
	if (n > 1)
		buf_printf(out, ", %llu connections", (ull)n);
	if (json_is_true(json_object_get(rig, "small_packets")))
		buf_printf(out, ", in small packets: large ones vanish on it");
	buf_printf(out, "\n");
}

/* How a path that is not in use did. */
static void say_other_path(struct buf *out, const json_t *rig, const json_t *p,
			   int64_t now)
{
	const char *state = show_text(p, "state", "");
	const char *text = show_text(p, "text", state);
	char ago[FORMAT_CAP];

	/* What stands above is not said twice. */
	if (strcmp(text, show_text(rig, "text", "")) == 0)
		text = "as above";
	line(out, has(rig, "path") ? "also" : "tried");
	buf_printf(out, "%s: ", show_text(p, "path", ""));
	if (strcmp(state, "worked") == 0)
		buf_printf(out, "worked %s", words_ago(p, "worked", now, ago));
	else if (strcmp(state, "failed") == 0)
		buf_printf(out, "%s, %s", text,
			   words_ago(p, "failed", now, ago));
	else if (strcmp(state, "dialled") == 0 && has(p, "failed"))
		buf_printf(out, "%s, %s; trying again", text,
			   words_ago(p, "failed", now, ago));
	else if (strcmp(state, "dialled") == 0)
		buf_printf(out, "being tried");
	else
		buf_printf(out, "%s", text);
	buf_printf(out, "\n");
}

static void say_other_paths(struct buf *out, const json_t *rig, int64_t now)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(rig, "paths"), i, p)
	{
		const char *state = show_text(p, "state", "");

		if (strcmp(state, "in use") != 0 &&
		    strcmp(state, "untried") != 0)
			say_other_path(out, rig, p, now);
	}
}

static void say_streams(struct buf *out, const json_t *rig)
{
	char in[FORMAT_CAP], sent[FORMAT_CAP];

	if (!has(rig, "streams"))
		return;
	line(out, "streams");
	buf_printf(out, "%llu open; %s here, %s there",
		   (ull)int_of(rig, "streams"),
		   format_bytes(int_of(rig, "bytes_in"), in),
		   format_bytes(int_of(rig, "bytes_out"), sent));
	if (int_of(rig, "buffered") > 0)
		buf_printf(out, "; %s of memory for what is on its way",
			   format_bytes(int_of(rig, "buffered"), in));
	buf_printf(out, "\n");
}

static void say_cut(struct buf *out, const json_t *rig, int64_t now)
{
	const uint64_t resumed = int_of(rig, "resumed");
	const uint64_t moved = int_of(rig, "moved");
	char ago[FORMAT_CAP], text[FORMAT_CAP];

	if (has(rig, "cut")) {
		line(out, "last cut");
		buf_printf(out, "%s", words_ago(rig, "cut_at", now, ago));
		if (int_of(rig, "cut_after_s") > 0)
			buf_printf(out, ", after %s",
				   format_duration(int_of(rig, "cut_after_s") *
							   1000,
						   text));
		buf_printf(out, ": %s", show_text(rig, "cut", ""));
		if (has(rig, "cut_back_s") && int_of(rig, "cut_back_s") == 0)
			buf_printf(out, "; back at once");
		else if (has(rig, "cut_back_s"))
			buf_printf(out, "; back after %s",
				   format_duration(int_of(rig, "cut_back_s") *
							   1000,
						   text));
		buf_printf(out, "\n");
	}
	if (resumed == 0 && moved == 0)
		return;
	line(out, "resumed");
	buf_printf(out, "%llu time%s, and nothing was lost", (ull)resumed,
		   s_of(resumed));
	if (moved > 0)
		buf_printf(out, "; moved to another path %llu time%s",
			   (ull)moved, s_of(moved));
	buf_printf(out, "\n");
}

/* Whose setting says how long open connections are kept. */
static const char *keeper(const json_t *rig)
{
	return strcmp(show_text(rig, "keep_by", ""), "client.keep_absent") == 0
		       ? "client.keep_absent here"
		       : "rig.keep_absent at the rig";
}

static void say_kept(struct buf *out, const json_t *rig, int64_t now)
{
	const uint64_t n = int_of(rig, "streams"),
		       gone = int_of(rig, "given_up");
	char text[FORMAT_CAP], ago[FORMAT_CAP];

	if (has(rig, "kept_ms") && n > 0) {
		line(out, "kept");
		buf_printf(out, "%llu open connection%s, for another %s",
			   (ull)n, s_of(n),
			   format_duration(int_of(rig, "kept_ms") / 1000 * 1000,
					   text));
		buf_printf(out, " (%s: %s)\n", keeper(rig),
			   format_duration(int_of(rig, "keep_s") * 1000, text));
	}
	if (gone == 0)
		return;
	line(out, "given up");
	buf_printf(out,
		   "%llu open connection%s, %s: the rig was away for longer "
		   "than %s (%s)\n",
		   (ull)gone, s_of(gone),
		   words_ago(rig, "given_up_at", now, ago),
		   format_duration(int_of(rig, "keep_s") * 1000, text),
		   keeper(rig));
}

/* What is on its way while nothing can go. */
static void say_held(struct buf *out, const json_t *rig)
{
	const uint64_t full = int_of(rig, "full");
	char held[FORMAT_CAP], most[FORMAT_CAP];

	if (int_of(rig, "held") == 0)
		return;
	line(out, "holding");
	buf_printf(out,
		   "%s of at most %s (session.budget), to be sent when the rig "
		   "is back",
		   format_bytes(int_of(rig, "held"), held),
		   format_bytes(int_of(rig, "held_max"), most));
	if (full > 0)
		buf_printf(out,
			   "; %llu connection%s full, and the programs wait",
			   (ull)full, full == 1 ? " is" : "s are");
	buf_printf(out, "\n");
}

static void say_trouble(struct buf *out, const json_t *rig)
{
	if (!has(rig, "text"))
		return;
	line(out, "trouble");
	buf_printf(out, "%s\n", show_text(rig, "text", ""));
}

static void say_next(struct buf *out, const json_t *rig)
{
	const char *state = show_text(rig, "state", "");
	const char *name = show_text(rig, "name", "");
	const uint64_t dials = int_of(rig, "dials");
	char in[FORMAT_CAP];

	if (strcmp(state, "ended") == 0) {
		line(out, "next");
		buf_printf(out, "nothing until %s'rigway reconnect %s'\n",
			   strcmp(show_text(rig, "refused_by", ""), "relay") ==
					   0
				   ? "this machine's network changes, or "
				   : "",
			   name);
	} else if (strcmp(state, "checking") == 0) {
		line(out, "next");
		buf_printf(out,
			   "without an answer it is given up within %s, "
			   "and looked for anew\n",
			   format_duration(int_of(rig, "deadline_ms"), in));
	} else if (json_is_true(json_object_get(rig, "waits_at_relay"))) {
		line(out, "next");
		buf_printf(out, "the relay connects us when the rig is back\n");
	} else if (has(rig, "next_dial_ms")) {
		line(out, "next");
		buf_printf(out, "another try in %s",
			   format_duration(int_of(rig, "next_dial_ms"), in));
		if (dials > 0)
			buf_printf(out, ", %llu running", (ull)dials);
		buf_printf(out, "; at once: 'rigway reconnect %s'\n", name);
	}
}

void status_words_rig(struct buf *out, const json_t *rig, int64_t now)
{
	const char *state = show_text(rig, "state", "");
	const bool is_up = strcmp(state, "connected") == 0;

	say_head(out, rig, now);
	say_path(out, rig);
	say_proof(out, rig);
	if (!is_up && strcmp(state, "idle") != 0) {
		say_trouble(out, rig);
		say_next(out, rig);
	}
	if (strcmp(state, "idle") != 0 && strcmp(state, "ended") != 0)
		say_other_paths(out, rig, now);
	say_streams(out, rig);
	if (!is_up)
		say_held(out, rig);
	say_kept(out, rig, now);
	say_cut(out, rig, now);
}

void status_words_forward(struct buf *out, const json_t *fw, int64_t now)
{
	const bool is_open = json_is_true(json_object_get(fw, "open"));
	const uint64_t waiting = int_of(fw, "waiting");
	char ago[FORMAT_CAP];

	buf_printf(out,
		   "forward %s -> %s %s: %s%s%s, %llu open, %llu so far%s\n",
		   show_text(fw, "listen", ""), show_text(fw, "rig", ""),
		   show_text(fw, "target", ""),
		   is_open ? "listening" : "not listening", is_open ? "" : ": ",
		   is_open ? "" : show_text(fw, "text", ""),
		   (ull)int_of(fw, "connections"), (ull)int_of(fw, "total"),
		   json_is_true(json_object_get(fw, "kept")) ? ""
							     : ", foreground");
	if (waiting > 0) {
		line(out, "waiting");
		buf_printf(out, "%llu connection%s for the rig to answer\n",
			   (ull)waiting, s_of(waiting));
	}
	if (has(fw, "failure")) {
		line(out, "last reset");
		buf_printf(out, "%s: %s\n", words_ago(fw, "failed", now, ago),
			   show_text(fw, "failure", ""));
	}
}

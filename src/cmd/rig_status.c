/* SPDX-License-Identifier: MIT */
/* rigway rig status: what the rig that runs here knows of its relays and
 * laptops, as far as it is proven. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/format.h"
#include "cmd/cmd.h"
#include "cmd/rig_parts.h"
#include "cmd/show.h"
#include "cmd/status_words.h"
#include "rig/reach.h"

#define STATUS_MS 6000

static uint64_t int_of(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* "proven 3s ago, round trip 1.2 ms" */
static void print_proof(const json_t *o)
{
	const uint64_t ms = int_of(o, "heard_ms"), rtt = int_of(o, "rtt_us");
	char ago[FORMAT_CAP];

	if (!json_is_integer(json_object_get(o, "heard_ms")))
		return;
	if (ms < 1000)
		printf(", proven just now");
	else
		printf(", proven %s ago",
		       format_duration(ms / 1000 * 1000, ago));
	if (rtt > 0)
		printf(", round trip %.1f ms", (double)rtt / 1000);
}

static void print_cut(const json_t *o, int64_t now)
{
	const char *cut = show_text(o, "cut", NULL);
	char ago[FORMAT_CAP];

	if (cut != NULL)
		printf("    last cut   %s: %s\n",
		       words_ago(o, "cut_at", now, ago), cut);
}

static void print_relay(const json_t *r, int64_t now)
{
	const bool is_up = json_is_true(json_object_get(r, "up"));
	const char *text = show_text(r, "text", "");
	char ago[FORMAT_CAP];

	printf("relay %s: %s for %s", show_text(r, "addr", ""),
	       is_up ? "connected" : "away", words_for(r, "since", now, ago));
	print_proof(r);
	putchar('\n');
	if (text[0] != '\0')
		printf("    trouble    %s\n", text);
	if (!is_up && json_is_integer(json_object_get(r, "next_dial_ms")))
		printf("    next       another try in %s\n",
		       format_duration(int_of(r, "next_dial_ms"), ago));
	print_cut(r, now);
}

static void print_laptop(const json_t *p, int64_t now)
{
	const char *state = show_text(p, "state", "");
	char ago[FORMAT_CAP], in[FORMAT_CAP], out[FORMAT_CAP];

	printf("laptop %s (%s): %s for %s", show_text(p, "name", ""),
	       show_text(p, "fingerprint", ""), state,
	       words_for(p, "since", now, ago));
	print_proof(p);
	putchar('\n');
	if (strcmp(state, "away") != 0)
		printf("    path       %s %s%s\n", show_text(p, "path", ""),
		       show_text(p, "at", ""),
		       json_is_true(json_object_get(p, "small_packets"))
			       ? ", in small packets: large ones vanish on it"
			       : "");
	printf("    streams    %llu open; %s here, %s there",
	       (unsigned long long)int_of(p, "streams"),
	       format_bytes(int_of(p, "bytes_in"), in),
	       format_bytes(int_of(p, "bytes_out"), out));
	if (int_of(p, "buffered") > 0)
		printf("; %s of memory for what is on its way",
		       format_bytes(int_of(p, "buffered"), in));
	putchar('\n');
	if (strcmp(state, "away") == 0)
		printf("    kept       until %s (rig.keep_absent)\n",
		       show_text(p, "kept_until", "-"));
	print_cut(p, now);
}

static void print_all(const json_t *all)
{
	const json_t *relays = json_object_get(all, "relays"), *o;
	const json_t *sessions = json_object_get(all, "sessions");
	const json_t *ports = json_object_get(all, "listens");
	const int64_t now = time(NULL);
	size_t i;

	json_array_foreach(relays, i, o) print_relay(o, now);
	json_array_foreach(ports, i, o)
		printf("listens on port %lld, for laptops that come without a "
		       "relay\n",
		       (long long)json_integer_value(o));
	if (int_of(all, "probe_port") > 0)
		printf("answers on UDP port %llu, for laptops in this "
		       "network\n",
		       (unsigned long long)int_of(all, "probe_port"));
	json_array_foreach(sessions, i, o) print_laptop(o, now);
	printf("%zu of %llu laptops have a session; this rig: %s, fingerprint "
	       "%s\n",
	       json_array_size(sessions),
	       (unsigned long long)int_of(all, "devices"),
	       show_text(all, "name", ""), show_text(all, "fingerprint", ""));
}

int rig_status(struct setup *s, struct rig_typed *a)
{
	const struct agent_open o = { .settings = &s->settings,
				      .paths = &s->paths };
	const struct rig_ask_watch watch = { .timeout_ms = STATUS_MS };
	struct rig_reach r;
	json_t *all = NULL;
	char *text = NULL;
	int err = rig_reach(&o, &r, &text);

	if (err == 0 && r.fd < 0) {
		rig_reach_close(&r);
		return rig_fail("the rig is not running: 'rigway rig' starts "
				"it");
	}
	if (err == 0) {
		err = rig_ask(r.fd, json_pack("{s:s}", "do", "status"), &watch,
			      &all, &text);
		rig_reach_close(&r);
	}
	if (err != 0) {
		rig_fail(text != NULL ? text : "it does not answer");
		free(text);
		return EXIT_FAILED;
	}
	free(text);
	json_object_del(all, "ok");
	if (a->is_json)
		show_json(all);
	else
		print_all(all);
	json_decref(all);
	return EXIT_DONE;
}

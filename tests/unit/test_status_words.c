/* SPDX-License-Identifier: MIT */
/* What `rigway status` says of each state, word by word. */
#include "unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/status_words.h"

/* 2026-05-04T12:00:00Z */
#define NOW 1777896000

#define DESK "\"name\":\"desk\",\"user\":\"ada\",\"host\":\"box\","

static const struct {
	const char *rig, *words;
} rigs[] = {
	{ "{" DESK "\"state\":\"idle\",\"since\":\"2026-05-04T11:00:00Z\"}",
	  "desk: idle: not connected, and nothing needs it (ada@box)\n" },
	{ "{" DESK "\"state\":\"connected\",\"since\":\"2026-05-04T09:50:00Z\","
	  "\"path\":\"relay r:443\",\"why\":\"no direct path answered\","
	  "\"carriers\":3,\"small_packets\":true,\"heard_ms\":40,\"rtt_ms\":24."
	  "1,\"hops\":["
	  "{\"rtt_ms\":12.0},{\"rtt_ms\":12.1}],\"streams\":2,"
	  "\"bytes_in\":2048,\"bytes_out\":3,\"paths\":["
	  "{\"path\":\"relay r:443\",\"state\":\"in use\"},"
	  "{\"path\":\"direct d:1\",\"state\":\"failed\",\"text\":\"nobody "
	  "there\",\"failed\":\"2026-05-04T11:58:00Z\"},"
	  "{\"path\":\"relay s:443\",\"state\":\"worked\","
	  "\"worked\":\"2026-05-04T11:00:00Z\"}],"
	  "\"resumed\":1,\"moved\":2,\"cut\":\"the connection was cut\","
	  "\"cut_at\":\"2026-05-04T11:46:00Z\",\"cut_after_s\":6960,"
	  "\"cut_back_s\":2}",
	  "desk: connected for 2h10m (ada@box)\n"
	  "    path         relay r:443 (no direct path answered), 3 "
	  "connections, in small packets: large ones vanish on it\n"
	  "    proven       just now, end to end; round trip 24.1 ms: 12.0 to "
	  "the relay, 12.1 from there\n"
	  "    also         direct d:1: nobody there, 2m ago\n"
	  "    also         relay s:443: worked 1h ago\n"
	  "    streams      2 open; 2 KiB here, 3 B there\n"
	  "    last cut     14m ago, after 1h56m: the connection was cut; back "
	  "after 2s\n"
	  "    resumed      1 time, and nothing was lost; moved to another "
	  "path 2 times\n" },
	/* Never as connected: no answer came. */
	{ "{" DESK "\"state\":\"checking\",\"path\":\"relay r:443\","
	  "\"since\":\"2026-05-04T09:50:00Z\",\"heard_ms\":7300,"
	  "\"rtt_ms\":24.1,\"carriers\":1,\"deadline_ms\":10000}",
	  "desk: checking: it was connected, and has not answered yet "
	  "(ada@box)\n"
	  "    path         relay r:443\n"
	  "    proven       7s ago, end to end\n"
	  "    next         without an answer it is given up within 10s, and "
	  "looked for anew\n" },
	{ "{" DESK
	  "\"state\":\"connecting\",\"since\":\"2026-05-04T11:59:46Z\","
	  "\"heard_ms\":14100,\"text\":\"no such host\","
	  "\"next_dial_ms\":480,\"dials\":2,\"paths\":["
	  "{\"path\":\"relay r:443\",\"state\":\"failed\",\"text\":\"no such "
	  "host\",\"failed\":\"2026-05-04T12:00:00Z\"},"
	  "{\"path\":\"direct d:1\",\"state\":\"dialled\"}],"
	  "\"streams\":1,\"bytes_in\":0,\"bytes_out\":0,\"kept_ms\":46000,"
	  "\"keep_s\":60,\"keep_by\":\"client.keep_absent\","
	  "\"held\":1048576,\"held_max\":2097152,\"full\":1,"
	  "\"buffered\":1081344}",
	  "desk: not connected for 14s (ada@box)\n"
	  "    proven       14s ago, end to end\n"
	  "    trouble      no such host\n"
	  "    next         another try in 480ms, 2 running; at once: 'rigway "
	  "reconnect desk'\n"
	  "    tried        relay r:443: as above, just now\n"
	  "    tried        direct d:1: being tried\n"
	  "    streams      1 open; 0 B here, 0 B there; 1 MiB of memory for "
	  "what is on its way\n"
	  "    holding      1 MiB of at most 2 MiB (session.budget), to be "
	  "sent when the rig is back; 1 connection is full, and the programs "
	  "wait\n"
	  "    kept         1 open connection, for another 46s "
	  "(client.keep_absent here: 1m)\n" },
	{ "{" DESK
	  "\"state\":\"connecting\",\"since\":\"2026-05-04T11:58:00Z\","
	  "\"text\":\"the rig is away\",\"waits_at_relay\":true,"
	  "\"given_up\":2,\"given_up_at\":\"2026-05-04T11:59:00Z\","
	  "\"keep_s\":60,\"keep_by\":\"rig.keep_absent\"}",
	  "desk: not connected for 2m (ada@box)\n"
	  "    trouble      the rig is away\n"
	  "    next         the relay connects us when the rig is back\n"
	  "    given up     2 open connections, 1m ago: the rig was away for "
	  "longer than 1m (rig.keep_absent at the rig)\n" },
	{ "{" DESK "\"state\":\"ended\",\"since\":\"2026-05-04T11:59:57Z\","
	  "\"text\":\"this machine was removed from the rig\"}",
	  "desk: ended 3s ago (ada@box)\n"
	  "    trouble      this machine was removed from the rig\n"
	  "    next         nothing until 'rigway reconnect desk'\n" },
};

static void each_state_of_a_rig_has_its_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rigs) / sizeof(rigs[0]); i++) {
		json_t *rig = json_loads(rigs[i].rig, 0, NULL);
		struct buf out = { 0 };

		assert_non_null(rig);
		status_words_rig(&out, rig, NOW);
		assert_string_equal(buf_text(&out), rigs[i].words);
		buf_done(&out);
		json_decref(rig);
	}
}

static void a_forward_tells_its_last_failure(void **state)
{
	json_t *fw = json_pack(
		"{s:s, s:s, s:s, s:b, s:b, s:i, s:i, s:i, s:s, s:s}", "listen",
		"127.0.0.1:8888", "rig", "desk", "target", "8888", "open", 1,
		"kept", 1, "connections", 2, "waiting", 1, "total", 9,
		"failure", "connection refused", "failed",
		"2026-05-04T11:59:30Z");
	struct buf out = { 0 };

	(void)state;
	status_words_forward(&out, fw, NOW);
	assert_string_equal(
		buf_text(&out),
		"forward 127.0.0.1:8888 -> desk 8888: listening, 2 open, 9 so "
		"far\n"
		"    waiting      1 connection for the rig to answer\n"
		"    last reset   30s ago: connection refused\n");
	buf_done(&out);
	json_decref(fw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_state_of_a_rig_has_its_words),
		cmocka_unit_test(a_forward_tells_its_last_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

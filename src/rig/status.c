/* SPDX-License-Identifier: MIT */
#include "rig/status.h"

#include "base/check.h"
#include "base/str.h"
#include "net/answer.h"
#include "net/moment.h"
#include "rig/admin.h"
#include "rig/discovery.h"
#include "rig/gate.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/sshd.h"
#include "rig/uplink.h"

/* In order of how much is known of it. */
enum peer_state {
	PEER_AWAY,     /* without a connection */
	PEER_CHECKING, /* with one that was silent for too long */
	PEER_CONNECTED,
};
static const char *const state_names[] = {
	[PEER_AWAY] = "away",
	[PEER_CHECKING] = "checking",
	[PEER_CONNECTED] = "connected",
};

static uint64_t heard_ms_of(const struct rig *rig, const struct peer *p)
{
	const uint64_t now = loop_now_us(rig->loop);
	struct session_stats st;

	session_stats(p->session, &st);
	return (now - MIN(now, st.last_heard_us)) / 1000;
}

static enum peer_state peer_state(const struct rig *rig, const struct peer *p)
{
	if (!session_is_live(p->session))
		return PEER_AWAY;
	return heard_ms_of(rig, p) <= session_proof_us(&rig->limits) / 1000
		       ? PEER_CONNECTED
		       : PEER_CHECKING;
}

bool status_is_proven(const struct rig *rig, const struct peer *p)
{
	return peer_state(rig, p) == PEER_CONNECTED;
}

static void set_cut(json_t *o, const char *cut, uint64_t at)
{
	answer_set_text(o, "cut", cut);
	answer_set_moment(o, "cut_at", at);
}

/* Up: heard of within the time of a ping and its answer. */
static json_t *relay_json(const struct uplink *u)
{
	struct uplink_report r;
	json_t *o;

	uplink_report(u, &r);
	o = admin_relay_json(uplink_relay(u), r.control.is_up, uplink_text(u));
	answer_set_moment(o, "since", r.since);
	answer_set_known(o, "heard_ms", r.control.heard_ms);
	answer_set_known(o, "next_dial_ms", r.control.next_ms);
	json_object_set_new(o, "rtt_us",
			    json_integer((json_int_t)r.control.rtt_us));
	set_cut(o, r.cut, r.cut_at);
	return o;
}

static json_t *session_json(const struct rig *rig, const struct peer *p)
{
	const struct device *dev = devices_find(&rig->devices, &p->pin);
	struct session_stats st;
	char pin[PIN_SHORT_LEN + 1];
	struct peer_path via = { 0 };
	const char *path = peer_path(p, &via);
	const enum peer_state state = peer_state(rig, p);
	json_t *o;

	session_stats(p->session, &st);
	o = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I}", "path",
		      path == NULL     ? "none"
		      : via.is_relayed ? "relay"
				       : "direct",
		      "at", path != NULL ? path : "", "name",
		      dev != NULL ? dev->name : "", "fingerprint",
		      pin_short(&p->pin, pin), "connected",
		      (int)(state == PEER_CONNECTED), "streams",
		      (json_int_t)st.streams, "bytes_in",
		      (json_int_t)st.bytes_in, "bytes_out",
		      (json_int_t)st.bytes_out, "rtt_us",
		      (json_int_t)st.rtt_us);
	json_object_set_new(o, "state", json_string(state_names[state]));
	json_object_set_new(o, "carriers", json_integer(st.carriers));
	answer_set_int(o, "buffered", st.buffered);
	json_object_set_new(o, "small_packets", json_boolean(via.is_narrow));
	answer_set_moment(o, "since", p->since);
	answer_set_known(o, "heard_ms", heard_ms_of(rig, p));
	set_cut(o, p->left, p->left_at);
	answer_set_time(
		o, "kept_until",
		state != PEER_AWAY
			? 0
			: moment_unix(p->since) +
				  (int64_t)(rig->settings->rig.keep_absent_ms /
					    1000));
	return o;
}

/* The ports at which laptops come straight. */
static json_t *ports_json(const struct rig *rig)
{
	json_t *ports = json_array();

	for (size_t i = 0; rig->gate != NULL && i < GATE_PORTS_MAX; i++)
		if (gate_port(rig->gate, i) != 0)
			json_array_append_new(
				ports, json_integer(gate_port(rig->gate, i)));
	return ports;
}

json_t *status_json(const struct rig *rig)
{
	json_t *relays = json_array(), *sessions = json_array();
	char pin[PIN_TEXT_LEN + 1], shown[PIN_SHORT_LEN + 1];

	for (size_t i = 0; i < rig->uplink_count; i++)
		json_array_append_new(relays, relay_json(rig->uplinks[i]));
	for (const struct peer *p = NULL;
	     (p = sessions_next(rig->sessions, p)) != NULL;)
		json_array_append_new(sessions, session_json(rig, p));
	return json_pack("{s:s, s:s, s:s, s:i, s:I, s:o, s:o, s:I, "
			 "s:I, s:I, s:o, s:i}",
			 "name", rig->name, "fingerprint",
			 pin_short(key_pin(rig->key), shown), "key",
			 pin_text(key_pin(rig->key), pin), "sshd_port",
			 (int)sshd_port(rig->sshd), "devices",
			 (json_int_t)devices_admitted(&rig->devices), "relays",
			 relays, "sessions", sessions, "woke",
			 (json_int_t)moment_unix(rig->woke), "slept_ms",
			 (json_int_t)rig->away_ms, "moved",
			 (json_int_t)moment_unix(rig->moved), "listens",
			 ports_json(rig), "probe_port",
			 (int)discovery_port(rig->discovery));
}

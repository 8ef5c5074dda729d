/* SPDX-License-Identifier: MIT */
#include "client/report.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "client/daemon.h"
#include "client/directory.h"
#include "core/session.h"
#include "net/loop.h"

static void set_str(json_t *o, const char *key, const char *s)
{
	json_object_set_new(o, key,
			    s != NULL && s[0] != '\0' ? json_string(s)
						      : json_null());
}

static void set_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void set_time(json_t *o, const char *key, int64_t unix_s)
{
	char text[FORMAT_CAP];

	json_object_set_new(o, key,
			    unix_s > 0
				    ? json_string(format_time_utc(unix_s, text))
				    : json_null());
}

json_t *report_rig(const struct rigs_row *row)
{
	char text[PIN_TEXT_LEN + 1];
	json_t *o = json_object();

	set_str(o, "name", row->name);
	set_str(o, "fingerprint", pin_text(&row->pin, text));
	set_str(o, "role", row->info.role);
	set_str(o, "user", row->info.user);
	set_str(o, "host", row->info.host);
	set_str(o, "version", row->info.version);
	set_int(o, "sshd_port", row->info.sshd_port);
	set_str(o, "relay", row->relay_count > 0 ? row->relays[0] : NULL);
	set_time(o, "added", row->added);
	set_time(o, "welcomed", row->welcomed);
	return o;
}

/* Milliseconds with two decimals are as exact as a round trip gets. */
static json_t *rtt_ms(uint64_t rtt_us)
{
	const uint64_t hundredths = rtt_us / 10;

	if (rtt_us == 0)
		return json_null();
	return json_real((double)hundredths / 100.0);
}

static void add_path(json_t *o, const struct way_report *r,
		     const struct session *s)
{
	struct session_stats stats = { .rtt_us = 0 };

	if (s != NULL && r->state == WAY_LIVE) {
		session_stats(s, &stats);
		set_str(o, "path", r->path);
	} else {
		json_object_set_new(o, "path", json_null());
	}
	json_object_set_new(o, "rtt_ms", rtt_ms(stats.rtt_us));
}

json_t *report_ls(const struct daemon *d, const struct rigs_row *row)
{
	const struct relay_row *seen = directory_find(d->directory, row);
	struct way_report r;
	json_t *o = report_rig(row);
	const char *why;

	way_report(row->way, &r);
	set_str(o, "state", way_state_name(r.state));
	add_path(o, &r, way_session(row->way));
	json_object_set_new(o, "note", json_null());
	if (r.state == WAY_LIVE) {
		json_object_set_new(o, "online", json_true());
		set_time(o, "since", r.since);
	} else if (!directory_knows(d->directory, row, &why)) {
		json_object_set_new(o, "online", json_null());
		set_time(o, "since", row->welcomed);
		set_str(o, "note", why);
	} else {
		json_object_set_new(o, "online",
				    json_boolean(seen != NULL && seen->online));
		set_time(o, "since", seen != NULL ? (int64_t)seen->since : 0);
		if (seen == NULL)
			set_str(o, "note", "its relay does not know it");
	}
	set_str(o, "addr", seen != NULL ? seen->addr : r.peer_addr);
	if (r.state == WAY_ENDED)
		set_str(o, "note", r.text);
	return o;
}

static void add_session(json_t *o, const struct daemon *d,
			const struct session *s)
{
	uint64_t now = loop_now_us(&d->loop);
	struct session_stats st;

	session_stats(s, &st);
	set_int(o, "carriers", st.carriers);
	set_int(o, "streams", st.streams);
	set_int(o, "resumed", st.resumed);
	set_int(o, "held", st.held);
	set_int(o, "held_max", d->env.budget->total / 2);
	set_int(o, "full", st.full);
	set_int(o, "bytes_in", st.bytes_in);
	set_int(o, "bytes_out", st.bytes_out);
	if (st.last_heard_us == 0 || st.last_heard_us > now)
		json_object_set_new(o, "heard_ms", json_null());
	else
		set_int(o, "heard_ms", (now - st.last_heard_us) / 1000);
}

/* Every path to the rig that is known, and how it did. */
static void add_paths(json_t *o, const struct way *way)
{
	json_t *all = json_array();
	struct path_report r;

	for (size_t i = 0; way_path(way, i, &r); i++) {
		json_t *p = json_object();

		set_str(p, "kind", r.kind);
		set_str(p, "path", r.label);
		set_str(p, "state", r.state);
		set_str(p, "text", r.text);
		set_time(p, "tried", r.tried);
		set_time(p, "failed", r.failed);
		set_time(p, "worked", r.worked);
		json_object_set_new(p, "rtt_ms", rtt_ms(r.rtt_us));
		json_array_append_new(all, p);
	}
	json_object_set_new(o, "paths", all);
	set_str(o, "why", way_path_why(way));
}

json_t *report_status(const struct daemon *d, const struct rigs_row *row)
{
	struct session *s = way_session(row->way);
	struct way_report r;
	json_t *o = report_rig(row);

	way_report(row->way, &r);
	set_str(o, "state", way_state_name(r.state));
	set_time(o, "since", r.since);
	add_path(o, &r, s);
	add_paths(o, row->way);
	set_str(o, "addr", r.peer_addr);
	set_str(o, "text", r.text);
	set_str(o, "cut", r.cut);
	set_time(o, "cut_at", r.cut_at);
	json_object_set_new(o, "checking", json_boolean(r.is_checking));
	json_object_set_new(o, "waits_at_relay",
			    json_boolean(r.waits_at_relay));
	set_int(o, "dials", r.dials);
	set_int(o, "users", r.wants);
	if (r.next_dial_ms == UINT64_MAX)
		json_object_set_new(o, "next_dial_ms", json_null());
	else
		set_int(o, "next_dial_ms", r.next_dial_ms);
	if (s != NULL)
		add_session(o, d, s);
	return o;
}

json_t *report_forward(const struct forward *fw)
{
	char spec[TARGET_SPEC_CAP], listen[HOSTPORT_CAP];
	json_t *o = json_object();

	set_str(o, "rig", fw->rig->name);
	set_str(o, "spec", target_format_spec(&fw->spec, spec));
	set_str(o, "bind", forward_bind(fw));
	set_int(o, "port", fw->spec.port);
	set_str(o, "listen",
		format_hostport(forward_bind(fw), fw->spec.port, listen));
	set_str(o, "target", fw->spec.target.to);
	json_object_set_new(o, "kept", json_boolean(fw->kept));
	json_object_set_new(o, "open", json_boolean(fw->listener != NULL));
	set_str(o, "text", fw->text);
	set_int(o, "connections", fw->conn_count);
	set_int(o, "waiting", fw->waiting_count);
	set_int(o, "total", fw->conn_total);
	return o;
}

json_t *report_daemon(const struct daemon *d)
{
	char text[PIN_SHORT_LEN + 1];
	json_t *o = json_object();

	set_int(o, "pid", (uint64_t)getpid());
	set_time(o, "started", d->started);
	set_time(o, "woke", d->woke);
	set_int(o, "slept_ms", d->away_ms);
	set_time(o, "moved", d->moved);
	set_str(o, "name", d->env.device);
	set_str(o, "fingerprint", pin_short(key_pin(d->key), text));
	return o;
}

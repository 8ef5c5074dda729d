/* SPDX-License-Identifier: MIT */
#include "client/report.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
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

/* What is shown: live, but not proven within its deadline, is not up. */
static const char *state_name(const struct way_report *r)
{
	return r->is_checking ? "checking" : way_state_name(r->state);
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

static void set_ms(json_t *o, const char *key, uint64_t ms)
{
	if (ms == UINT64_MAX)
		json_object_set_new(o, key, json_null());
	else
		set_int(o, key, ms);
}

/* When a byte of the rig last came, inside the session. */
static void add_proof(json_t *o, const struct daemon *d,
		      const struct way_report *r)
{
	set_ms(o, "heard_ms", r->heard_ms);
	set_time(o, "proven",
		 r->heard_ms == UINT64_MAX
			 ? 0
			 : (int64_t)time(NULL) - (int64_t)(r->heard_ms / 1000));
	set_int(o, "deadline_ms", session_proof_us(&d->env.limits) / 1000);
}

/* A connection has no other proof: it is asked for one before this. */
static void add_ls_live(json_t *o, const struct way_report *r)
{
	char ago[FORMAT_CAP], note[FORMAT_CAP + 40];

	json_object_set_new(o, "online",
			    r->is_checking ? json_null() : json_true());
	set_str(o, "by", "session");
	set_time(o, "since", r->since);
	if (!r->is_checking)
		return;
	snprintf(note, sizeof(note), "nothing was heard for %s; checking",
		 format_duration(r->heard_ms, ago));
	set_str(o, "note", note);
}

static void add_ls_relay(json_t *o, const struct daemon *d,
			 const struct rigs_row *row)
{
	const struct relay_row *seen = directory_find(d->directory, row);
	const int64_t asked = directory_asked(d->directory, row);
	const char *why;

	if (!directory_knows(d->directory, row, &why)) {
		json_object_set_new(o, "online", json_null());
		/* The last time that anything was known. */
		set_time(o, "since", MAX(asked, row->welcomed));
		set_str(o, "note", why);
		return;
	}
	json_object_set_new(o, "online",
			    json_boolean(seen != NULL && seen->online));
	set_time(o, "since", seen != NULL ? (int64_t)seen->since : 0);
	set_str(o, "by", "relay");
	set_time(o, "asked", asked);
	if (seen == NULL)
		set_str(o, "note", "its relay does not know it");
	else if (seen->online)
		set_str(o, "note", "as its relay says");
}

json_t *report_ls(const struct daemon *d, const struct rigs_row *row)
{
	const struct relay_row *seen = directory_find(d->directory, row);
	struct way_report r;
	json_t *o = report_rig(row);

	way_report(row->way, &r);
	set_str(o, "state", state_name(&r));
	add_path(o, &r, way_session(row->way));
	add_proof(o, d, &r);
	json_object_set_new(o, "note", json_null());
	json_object_set_new(o, "by", json_null());
	json_object_set_new(o, "asked", json_null());
	if (r.state == WAY_LIVE)
		add_ls_live(o, &r);
	else
		add_ls_relay(o, d, row);
	set_str(o, "addr", seen != NULL ? seen->addr : r.peer_addr);
	if (r.state == WAY_ENDED)
		set_str(o, "note", r.text);
	return o;
}

static void add_session(json_t *o, const struct daemon *d,
			const struct session *s)
{
	struct session_stats st;

	session_stats(s, &st);
	set_int(o, "carriers", st.carriers);
	set_int(o, "streams", st.streams);
	set_int(o, "held", st.held);
	set_int(o, "held_max", d->env.budget->total / 2);
	set_int(o, "full", st.full);
	set_int(o, "bytes_in", st.bytes_in);
	set_int(o, "bytes_out", st.bytes_out);
}

static json_t *hop(const char *from, const char *to, uint64_t rtt_us,
		   bool is_derived)
{
	return json_pack("{s:s, s:s, s:o, s:b}", "from", from, "to", to,
			 "rtt_ms", rtt_ms(rtt_us), "derived", (int)is_derived);
}

/* The parts of the way: what the kernel knows of this machine's own, and what
 * is left for the others. */
static void add_hops(json_t *o, const struct rigs_row *row,
		     const struct way_report *r, const struct session *s)
{
	json_t *hops = json_array();
	struct session_stats st = { .rtt_us = 0 };
	const uint64_t first = r->hop_rtt_us;

	json_object_set_new(o, "hops", hops);
	if (r->state != WAY_LIVE || s == NULL)
		return;
	session_stats(s, &st);
	if (!r->is_relayed) {
		json_array_append_new(
			hops, hop("this machine", row->name, first, false));
		return;
	}
	json_array_append_new(hops, hop("this machine", r->path, first, false));
	json_array_append_new(
		hops,
		hop(r->path, row->name,
		    first != 0 && st.rtt_us > first ? st.rtt_us - first : 0,
		    true));
}

/* Cuts, and what became of the connections that were open. */
static void add_history(json_t *o, const struct way_report *r)
{
	set_int(o, "resumed", r->resumed);
	set_int(o, "moved", r->moved);
	set_str(o, "cut", r->cut);
	set_time(o, "cut_at", r->cut_at);
	set_ms(o, "cut_after_s",
	       r->cut_at != 0 ? (uint64_t)r->cut_after_s : UINT64_MAX);
	set_ms(o, "cut_back_s",
	       r->cut_at != 0 && r->cut_back_s >= 0 ? (uint64_t)r->cut_back_s
						    : UINT64_MAX);
	set_int(o, "given_up", r->given_up);
	set_time(o, "given_up_at", r->given_up_at);
	set_ms(o, "keep_s", r->keep_s > 0 ? r->keep_s : UINT64_MAX);
	set_str(o, "keep_by",
		r->keep_s == 0	? NULL
		: r->keeps_less ? "client.keep_absent"
				: "rig.keep_absent");
	set_ms(o, "kept_ms", r->kept_ms);
	set_time(o, "kept_until",
		 r->kept_ms == UINT64_MAX
			 ? 0
			 : (int64_t)time(NULL) + (int64_t)(r->kept_ms / 1000));
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
	set_str(o, "state", state_name(&r));
	set_time(o, "since", r.since);
	add_proof(o, d, &r);
	add_path(o, &r, s);
	add_hops(o, row, &r, s);
	add_paths(o, row->way);
	add_history(o, &r);
	set_str(o, "addr", r.peer_addr);
	set_str(o, "text", r.text);
	json_object_set_new(o, "checking", json_boolean(r.is_checking));
	json_object_set_new(o, "waits_at_relay",
			    json_boolean(r.waits_at_relay));
	set_int(o, "dials", r.dials);
	set_int(o, "users", r.wants);
	set_ms(o, "next_dial_ms", r.next_dial_ms);
	set_str(o, "refused_by",
		r.state != WAY_ENDED ? ""
		: r.is_barred	     ? "relay"
				     : "rig");
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
	set_time(o, "worked", fw->worked);
	set_time(o, "failed", fw->failed);
	set_str(o, "failure", fw->failure);
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

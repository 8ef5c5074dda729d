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
#include "net/answer.h"

json_t *report_rig(const struct rigs_row *row)
{
	char text[PIN_TEXT_LEN + 1];
	json_t *o = json_object();

	answer_set_text(o, "name", row->name);
	answer_set_text(o, "fingerprint", pin_text(&row->pin, text));
	answer_set_text(o, "role", row->info.role);
	answer_set_text(o, "user", row->info.user);
	answer_set_text(o, "host", row->info.host);
	answer_set_text(o, "version", row->info.version);
	answer_set_int(o, "sshd_port", row->info.sshd_port);
	answer_set_text(o, "relay",
			row->relay_count > 0 ? row->relays[0] : NULL);
	answer_set_time(o, "added", row->added);
	answer_set_time(o, "welcomed", row->welcomed);
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
		answer_set_text(o, "path", r->path);
	} else {
		json_object_set_new(o, "path", json_null());
	}
	json_object_set_new(o, "rtt_ms", rtt_ms(stats.rtt_us));
	json_object_set_new(o, "small_packets", json_boolean(r->is_narrow));
}

/* When a byte of the rig last came, inside the session. */
static void add_proof(json_t *o, const struct daemon *d,
		      const struct way_report *r)
{
	answer_set_known(o, "heard_ms", r->heard_ms);
	answer_set_time(o, "proven",
			r->heard_ms == UINT64_MAX
				? 0
				: (int64_t)time(NULL) -
					  (int64_t)(r->heard_ms / 1000));
	answer_set_int(o, "deadline_ms",
		       session_proof_us(&d->env.limits) / 1000);
}

/* A connection has no other proof: it is asked for one before this. */
static void add_ls_live(json_t *o, const struct way_report *r)
{
	char ago[FORMAT_CAP], note[FORMAT_CAP + 40];

	json_object_set_new(o, "online",
			    r->is_checking ? json_null() : json_true());
	answer_set_text(o, "by", "session");
	answer_set_moment(o, "since", r->since);
	if (!r->is_checking)
		return;
	snprintf(note, sizeof(note), "nothing was heard for %s; checking",
		 format_duration(r->heard_ms, ago));
	answer_set_text(o, "note", note);
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
		answer_set_time(o, "since", MAX(asked, row->welcomed));
		answer_set_text(o, "note", why);
		return;
	}
	json_object_set_new(o, "online",
			    json_boolean(seen != NULL && seen->online));
	answer_set_time(o, "since", seen != NULL ? (int64_t)seen->since : 0);
	answer_set_text(o, "by", "relay");
	answer_set_time(o, "asked", asked);
	if (seen == NULL)
		answer_set_text(o, "note", "its relay does not know it");
	else if (seen->online)
		answer_set_text(o, "note", "as its relay says");
}

json_t *report_ls(const struct daemon *d, const struct rigs_row *row)
{
	const struct relay_row *seen = directory_find(d->directory, row);
	struct way_report r;
	json_t *o = report_rig(row);

	way_report(row->way, &r);
	answer_set_text(o, "state", state_name(&r));
	add_path(o, &r, way_session(row->way));
	add_proof(o, d, &r);
	json_object_set_new(o, "note", json_null());
	json_object_set_new(o, "by", json_null());
	json_object_set_new(o, "asked", json_null());
	if (r.state == WAY_LIVE)
		add_ls_live(o, &r);
	else
		add_ls_relay(o, d, row);
	answer_set_text(o, "addr", seen != NULL ? seen->addr : r.peer_addr);
	if (r.state == WAY_ENDED)
		answer_set_text(o, "note", r.text);
	return o;
}

static void add_session(json_t *o, const struct daemon *d,
			const struct session *s)
{
	struct session_stats st;

	session_stats(s, &st);
	answer_set_int(o, "carriers", st.carriers);
	answer_set_int(o, "streams", st.streams);
	answer_set_int(o, "held", st.held);
	answer_set_int(o, "held_max", d->env.budget->total / 2);
	answer_set_int(o, "full", st.full);
	answer_set_int(o, "buffered", st.buffered);
	answer_set_int(o, "bytes_in", st.bytes_in);
	answer_set_int(o, "bytes_out", st.bytes_out);
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
	answer_set_int(o, "resumed", r->resumed);
	answer_set_int(o, "moved", r->moved);
	answer_set_text(o, "cut", r->cut);
	answer_set_moment(o, "cut_at", r->cut_at);
	answer_set_known(o, "cut_after_s",
			 r->cut_at != 0 ? (uint64_t)r->cut_after_s
					: UINT64_MAX);
	answer_set_known(o, "cut_back_s",
			 r->cut_at != 0 && r->cut_back_s >= 0
				 ? (uint64_t)r->cut_back_s
				 : UINT64_MAX);
	answer_set_int(o, "given_up", r->given_up);
	answer_set_moment(o, "given_up_at", r->given_up_at);
	answer_set_known(o, "keep_s", r->keep_s > 0 ? r->keep_s : UINT64_MAX);
	answer_set_text(o, "keep_by",
			r->keep_s == 0	? NULL
			: r->keeps_less ? "client.keep_absent"
					: "rig.keep_absent");
	answer_set_known(o, "kept_ms", r->kept_ms);
	answer_set_time(o, "kept_until",
			r->kept_ms == UINT64_MAX
				? 0
				: (int64_t)time(NULL) +
					  (int64_t)(r->kept_ms / 1000));
}

/* Every path to the rig that is known, and how it did. */
static void add_paths(json_t *o, const struct way *way)
{
	json_t *all = json_array();
	struct path_report r;

	for (size_t i = 0; way_path(way, i, &r); i++) {
		json_t *p = json_object();

		answer_set_text(p, "kind", r.kind);
		answer_set_text(p, "path", r.label);
		answer_set_text(p, "state", r.state);
		answer_set_text(p, "text", r.text);
		answer_set_moment(p, "tried", r.tried);
		answer_set_moment(p, "failed", r.failed);
		answer_set_moment(p, "worked", r.worked);
		json_object_set_new(p, "rtt_ms", rtt_ms(r.rtt_us));
		json_array_append_new(all, p);
	}
	json_object_set_new(o, "paths", all);
	answer_set_text(o, "why", way_path_why(way));
}

json_t *report_status(const struct daemon *d, const struct rigs_row *row)
{
	struct session *s = way_session(row->way);
	struct way_report r;
	json_t *o = report_rig(row);

	way_report(row->way, &r);
	answer_set_text(o, "state", state_name(&r));
	answer_set_moment(o, "since", r.since);
	add_proof(o, d, &r);
	add_path(o, &r, s);
	add_hops(o, row, &r, s);
	add_paths(o, row->way);
	add_history(o, &r);
	answer_set_text(o, "addr", r.peer_addr);
	answer_set_text(o, "text", r.text);
	json_object_set_new(o, "checking", json_boolean(r.is_checking));
	json_object_set_new(o, "waits_at_relay",
			    json_boolean(r.waits_at_relay));
	answer_set_int(o, "dials", r.dials);
	answer_set_int(o, "users", r.wants);
	answer_set_known(o, "next_dial_ms", r.next_dial_ms);
	answer_set_text(o, "refused_by",
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

	answer_set_text(o, "rig", fw->rig->name);
	answer_set_text(o, "spec", target_format_spec(&fw->spec, spec));
	answer_set_text(o, "bind", forward_bind(fw));
	answer_set_int(o, "port", fw->spec.port);
	answer_set_text(
		o, "listen",
		format_hostport(forward_bind(fw), fw->spec.port, listen));
	answer_set_text(o, "target", fw->spec.target.to);
	json_object_set_new(o, "kept", json_boolean(fw->kept));
	json_object_set_new(o, "open", json_boolean(fw->listener != NULL));
	answer_set_text(o, "text", fw->text);
	answer_set_int(o, "connections", fw->conn_count);
	answer_set_int(o, "waiting", fw->waiting_count);
	answer_set_int(o, "total", fw->conn_total);
	answer_set_moment(o, "worked", fw->worked);
	answer_set_moment(o, "failed", fw->failed);
	answer_set_text(o, "failure", fw->failure);
	return o;
}

json_t *report_daemon(const struct daemon *d)
{
	char text[PIN_SHORT_LEN + 1];
	json_t *o = json_object();

	answer_set_int(o, "pid", (uint64_t)getpid());
	answer_set_moment(o, "started", d->started);
	answer_set_moment(o, "woke", d->woke);
	answer_set_int(o, "slept_ms", d->away_ms);
	answer_set_moment(o, "moved", d->moved);
	answer_set_text(o, "name", d->env.device);
	answer_set_text(o, "fingerprint", pin_short(key_pin(d->key), text));
	return o;
}

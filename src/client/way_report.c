/* SPDX-License-Identifier: MIT */
/* What is told about the way, and asked so that it is true. */
#include "client/way_local.h"

#include "base/check.h"
#include "net/moment.h"

#define FRESH_US  1000000 /* so recent a sign of life is enough */
#define STALE_US  300000  /* what came earlier is read by then */
#define ANSWER_US 1500000 /* whoever asks waits a little longer than this */

/* Whether there was a sign of life since us: a ping that left later was
 * answered, or bytes go on to come. Those of the first moment may have waited
 * here while this process stood still. */
static bool is_alive_since(const struct way *way, uint64_t us)
{
	struct session_stats st;

	if (way->session == NULL)
		return false;
	session_stats(way->session, &st);
	return st.answered_us >= us || st.last_heard_us > us + STALE_US;
}

/* The ping that somebody else asked for is on its way, on a long path. One more
 * would overtake it, and of such none is taken for answered. */
static bool is_asked(const struct way *way)
{
	struct session_stats st;

	session_stats(way->session, &st);
	return way->asked_us != 0 && st.answered_us < way->asked_us &&
	       way_now(way) < way->asked_us + way->env->limits.ping_timeout_us;
}

void way_ask(struct way *way)
{
	uint64_t now = way_now(way);
	struct carrier *c = NULL;

	if (!way_is_live(way) || way->session == NULL || is_asked(way) ||
	    is_alive_since(way, now - MIN(now, FRESH_US)))
		return;
	way->asked_us = now;
	while ((c = session_carrier_next(way->session, c)) != NULL)
		carrier_ping(c, now);
}

bool way_has_answered(const struct way *way)
{
	return !way_is_live(way) || is_alive_since(way, way->asked_us);
}

/* Whether "connected" is more than was proven lately. */
static bool is_unproven(const struct way *way)
{
	struct session_stats st = { .last_heard_us = 0 };
	uint64_t now = way_now(way);

	if (way->doubt_us != 0 && !way_links_is_proven(way, NULL))
		return true;
	if (now >= way->asked_us + ANSWER_US && !way_has_answered(way))
		return true;
	if (way->session != NULL)
		session_stats(way->session, &st);
	return now > st.last_heard_us + session_proof_us(&way->env->limits);
}

static void report_session(const struct way *way, struct way_report *ret)
{
	uint64_t now = way_now(way), left, proven;
	struct session_stats st;

	if (way->session == NULL)
		return;
	session_stats(way->session, &st);
	/* What was read last, before it was lost, may have waited here. */
	proven = ret->state == WAY_LIVE && !ret->is_checking ? st.last_heard_us
							     : st.answered_us;
	if (proven != 0)
		ret->heard_ms = (now - MIN(now, proven)) / 1000;
	ret->keep_s = st.keep_us / 1000000;
	ret->keeps_less = st.keeps_less;
	ret->given_up = st.given_up;
	if (st.given_up > 0)
		ret->given_up_at =
			moment_now() - (now - MIN(now, st.given_up_us));
	if (st.absent_us == 0)
		return;
	left = st.absent_us + st.keep_us;
	ret->kept_ms = left > now ? (left - now) / 1000 : 0;
}

void way_report(const struct way *way, struct way_report *ret)
{
	uint64_t now = way_now(way);
	const struct link *l = links_newest(&way->links, 0);

	*ret = (struct way_report){
		.state = way_state(way),
		.text = way->text,
		.is_barred = way->is_barred,
		.next_dial_ms = UINT64_MAX,
		.dials = dials_count(way->dials),
		.waits_at_relay = race_waits_in_line(&way->race),
		.since = way->since,
		.path = way_is_live(way) ? way->label : "",
		.is_relayed = way_is_live(way) && way->kind == PATH_RELAY,
		.peer_addr = l != NULL ? l->peer_addr : "",
		.links = links_live(&way->links, 0) +
			 links_waiting(&way->links, 0),
		.is_narrow = l != NULL && l->is_narrow,
		.wants = way->wants,
		.is_checking = way_is_live(way) && is_unproven(way),
		.heard_ms = UINT64_MAX,
		.hop_rtt_us = l != NULL ? bearer_rtt_us(l->bearer) : 0,
		.resumed = way->resumed,
		.moved = way->moved,
		.cut = way->cut,
		.cut_at = way->cut_at,
		.cut_after_s = way->cut_after_s,
		.cut_back_s = way->cut_back_s,
		.kept_ms = UINT64_MAX,
	};
	report_session(way, ret);
	if (way->race.goal == RACE_ANY && way->race.next_us != UINT64_MAX)
		ret->next_dial_ms = way->race.next_us > now
					    ? (way->race.next_us - now) / 1000
					    : 0;
}

/* -- the paths */

static const char *state_of(const struct way *way, const struct path *p)
{
	if (way->path == p->id)
		return "in use";
	if (p->in_line > 0)
		return "in line";
	if (p->dials > 0)
		return "dialled";
	if (p->failed != 0 && p->failed >= p->worked)
		return "failed";
	return p->worked != 0 ? "worked" : "untried";
}

bool way_path(const struct way *way, size_t i, struct path_report *ret)
{
	const struct path *p = &way->race.paths[i];
	struct session_stats stats = { .rtt_us = 0 };

	if (i >= way->race.count)
		return false;
	*ret = (struct path_report){
		.kind = path_kind_name(p->kind),
		.state = state_of(way, p),
		.text = p->text,
		.tried = p->tried,
		.failed = p->failed,
		.worked = p->worked,
		.rtt_us = p->rtt_us,
	};
	path_label(p, ret->label);
	if (way->path == p->id && way->session != NULL) {
		session_stats(way->session, &stats);
		ret->rtt_us = stats.rtt_us;
	}
	return true;
}

const char *way_path_why(const struct way *way)
{
	bool is_better = false;
	unsigned others = 0;

	if (!way_is_live(way))
		return "";
	for (size_t i = 0; i < way->race.count; i++) {
		const struct path *p = &way->race.paths[i];

		is_better |= p->kind < way->kind;
		others += p->id != way->path && p->kind == way->kind;
	}
	switch (way->kind) {
	case PATH_LAN: return "in the same network";
	case PATH_DIRECT: return "no relay is needed";
	case PATH_RELAY: break;
	}
	if (way->env->paths == WAY_PATHS_RELAY)
		return "client.paths allows relays only";
	if (is_better)
		return "no direct path answered";
	return others > 0 ? "this relay answered first"
			  : "the only path that is known";
}

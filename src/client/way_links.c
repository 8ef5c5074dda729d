/* SPDX-License-Identifier: MIT */
/* Which of the session's connections are kept: docs/decisions/010. */
#include "client/way_local.h"

#include "base/check.h"
#include "base/log.h"
#include "client/rigs.h"
#include "net/dial.h"
#include "net/moment.h"

#define FOUND_OPEN_US 20000000
#define EXTRA_US      1000000 /* before one more is dialled again; doubles */
#define EXTRA_AT_ONCE LINKS_WAITING_MAX

bool way_links_is_proven(const struct way *way, const struct link *except)
{
	struct carrier *c = NULL;

	if (way->session == NULL)
		return false;
	while ((c = session_carrier_next(way->session, c)) != NULL) {
		const struct link *l = bearer_user(c);

		if (l != NULL && l != except && l->state == LINK_LIVE &&
		    carrier_proven_us(c) >= way->doubt_us)
			return true;
	}
	return false;
}

/* Whether l, whose WELCOME was just read, is what the session goes on with. */
static bool takes_over(const struct way *way, const struct link *l)
{
	if (!way_is_live(way) || way->phase == PHASE_RENEWING ||
	    l->kind < way->kind)
		return true;
	return way->doubt_us != 0 && !way_links_is_proven(way, l);
}

/* What the path in use was like, for when it is not in use any more. */
static void note_rtt(struct way *way)
{
	struct path *p = race_path(&way->race, way->path);
	struct session_stats stats;

	if (p == NULL || way->session == NULL)
		return;
	session_stats(way->session, &stats);
	if (stats.rtt_us != 0)
		p->rtt_us = stats.rtt_us;
}

static const char *cut_text(const struct way *way, const char *text)
{
	bool is_news;
	const char *why = dial_narrow_text(way->env->loop, &is_news);

	if (is_news)
		log_info("%s: %s", way->row->name, why);
	return why != NULL ? why : text;
}

/* From here on the session is where l leads; what leads elsewhere goes, and
 * what may still become better stays. */
static void use(struct way *way, struct link *l)
{
	const struct path *p = race_path(&way->race, l->path);
	bool is_move = way_is_live(way) && way->path != l->path;
	bool is_doubted = way->phase == PHASE_RENEWING || way->doubt_us != 0;

	if (is_move) {
		note_rtt(way);
		way->moved++;
	}
	if (way_is_live(way) && way->doubt_us != 0) {
		way_links_cut(way, cut_text(way, "no answer came any more"));
		way->cut_back_s = 0;
		way->resumed++;
	}
	list_for_each (it, &way->links.all) {
		struct link *o = container_of(it, struct link, link);

		if (o == l || (o->state == LINK_GREETING && o->kind < l->kind))
			continue;
		link_step(o, is_doubted ? LINK_EV_DOUBT : LINK_EV_REPLACE);
	}
	link_step(l, LINK_EV_USE);
	way->extra_fails = 0;
	way->extra_at_us = 0;
	way->path = l->path;
	way->kind = l->kind;
	if (p != NULL)
		path_label(p, way->label);
	way_step(way, WAY_EV_RENEWED);
	way->doubt_us = 0;
	way->text[0] = '\0';
	way->err = 0;
	if (is_move)
		log_info("%s: moved to %s", way->row->name, way->label);
}

/* The path in use died; the one that was being left may still be there, and
 * the core uses it again. */
static bool go_back(struct way *way)
{
	way->path = 0;
	list_for_each (it, &way->links.all) {
		struct link *l = container_of(it, struct link, link);
		const struct path *p = race_path(&way->race, l->path);

		if (l->state != LINK_OLD && l->state != LINK_LEAVING)
			continue;
		if (way_is_live(way) && way->path != l->path) {
			link_step(l, LINK_EV_STAY); /* or left once more */
			continue;
		}
		link_step(l, LINK_EV_USE);
		way->path = l->path;
		way->kind = l->kind;
		if (p != NULL)
			path_label(p, way->label);
	}
	if (way_is_live(way))
		log_info("%s: back to %s", way->row->name, way->label);
	return way_is_live(way);
}

void way_links_cut(struct way *way, const char *text)
{
	way->cut_at = moment_now();
	way->cut_after_s = (int64_t)moment_span_s(way->since, way->cut_at);
	way->cut_back_s = -1;
	str_copy(way->cut, sizeof(way->cut), text);
}

/* The path is down: from here on the clock of net/backoff.h runs. */
static void outage(struct way *way)
{
	const bool is_over = way_is_closing(way);

	way->path = 0;
	way->doubt_us = 0;
	way_step(way, WAY_EV_RENEWED);
	if (!is_over)
		way_links_cut(way, way->text);
	way->since = moment_now();
	if (!is_over)
		race_begin(&way->race, way_now(way));
}

/* One more along the path could not be had: not at once again. Those that were
 * dialled with it are no more reason. */
void way_links_extra_failed(struct way *way)
{
	uint64_t pause_us = EXTRA_US << MIN(way->extra_fails, 5u);

	if (way_now(way) < way->extra_at_us)
		return;
	way->extra_fails++;
	way->extra_at_us = way_now(way) + pause_us;
}

static void on_link_end(void *user, const struct link *l, int err,
			const char *text)
{
	struct way *way = user;

	if ((l->state == LINK_LIVE || l->state == LINK_GREETING) &&
	    way_is_open(way)) {
		way_set_text(way, err, cut_text(way, text));
		race_failed(&way->race, l->path, err, way->text, moment_now());
		if (l->state == LINK_LIVE)
			log_info("%s: connection lost: %s", way->row->name,
				 way->text);
	}
	if (l->is_extra)
		way_links_extra_failed(way);
	if (way_is_live(way) && links_live(&way->links, 0) == 0 &&
	    (way_is_closing(way) || !go_back(way)))
		outage(way);
	way_settle_soon(way);
}

const struct links_ops way_links_ops = {
	.on_end = on_link_end,
};

/* Whether as many as are live along the path in use are of use. */
static bool is_wanted(const struct way *way)
{
	return links_live(&way->links, way->path) <=
	       session_wants_carriers(way->session);
}

void way_links_welcome(struct way *way, struct link *l)
{
	if (takes_over(way, l))
		use(way, l);
	else if (l->path == way->path && is_wanted(way))
		way->extra_fails = 0;
	else
		link_step(l, LINK_EV_REPLACE);
}

/* Everything that rides on l goes over to the others first. */
static void leave(struct way *way, struct link *l)
{
	struct carrier *c = NULL;

	link_step(l, LINK_EV_LEAVE);
	while ((c = session_carrier_next(way->session, c)) != NULL)
		if (bearer_user(c) == l)
			break;
	if (c != NULL)
		carrier_retire(c, way_now(way));
}

void way_links_settle(struct way *way)
{
	list_for_each (it, &way->links.all) {
		struct link *l = container_of(it, struct link, link);

		if (way_is_closing(way))
			link_close(l, RW_ERR_CLOSING);
		else if (l->state == LINK_UNWANTED || l->state == LINK_DOUBTED)
			link_close(l, RW_ERR_CANCELLED);
		else if (l->state == LINK_OLD)
			leave(way, l);
	}
}

/* One more along the path in use. */
static void dial_extra(struct way *way)
{
	struct path *p = race_path(&way->race, way->path), *search;
	int err = RW_ERR_NOT_FOUND;

	if (p == NULL) {
		way_links_extra_failed(way);
		return;
	}
	/* Its door is open only for a while after it was knocked at. */
	search = race_search(&way->race);
	if (p->is_found && search != NULL &&
	    way_now(way) > p->found_us + FOUND_OPEN_US)
		p = search;
	err = dials_start(way->dials, p, NULL, true);
	if (err < 0)
		way_links_extra_failed(way);
}

uint64_t way_links_settle_extra(struct way *way)
{
	uint64_t now = way_now(way);
	unsigned have, want, coming;
	struct carrier *c;

	if (!way_is_needed(way) || !way_is_live(way) ||
	    way->phase == PHASE_RENEWING || way->doubt_us != 0)
		return UINT64_MAX;
	want = session_wants_carriers(way->session);
	have = links_live(&way->links, way->path);
	if (have > want && (c = session_surplus(way->session)) != NULL) {
		struct link *l = bearer_user(c);

		if (l != NULL && l->state == LINK_LIVE) {
			link_step(l, LINK_EV_REPLACE);
			leave(way, l);
			way_settle_soon(way); /* there may be another one */
		}
	}
	coming = links_waiting(&way->links, way->path) +
		 dials_extra_count(way->dials);
	while (have + coming < want && coming < EXTRA_AT_ONCE &&
	       now >= way->extra_at_us) {
		dial_extra(way);
		coming++;
	}
	return have < want && way->extra_at_us > now ? way->extra_at_us
						     : UINT64_MAX;
}

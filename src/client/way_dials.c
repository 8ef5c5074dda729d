/* SPDX-License-Identifier: MIT */
/* What is dialled for the session: the race's paths, as the row has them. */
#include "client/way_local.h"

#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "client/rigs.h"
#include "crypto/hash.h"
#include "net/moment.h"

/* So often it is looked at whether a doubted path still is. */
#define LOOK_US 50000
/* If no new connection comes by then, the present one is kept. */
#define RENEW_US 10000000
/* A relay that kept a dial in line for so long was reached well until then. */
#define WAITED_US 10000000

/* The relay of the code first, then what the rig says. */
static void offer_relays(struct way *way)
{
	const struct rigs_row *row = way->row;
	const struct rig_info *info = &row->info;

	for (size_t i = 0; i < row->relay_count; i++)
		race_offer_relay(&way->race, &row->relay_pin, row->relays[i]);
	for (size_t i = 0; i < info->relay_count; i++)
		for (size_t k = 0; k < info->relays[i].count; k++)
			race_offer_relay(&way->race, &info->relays[i].pin,
					 info->relays[i].at[k]);
}

/* A list joined by ','. */
static void offer_list(struct way *way, const char *list)
{
	char at[HOSTPORT_CAP];

	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		if (len > 0 && len < sizeof(at)) {
			memcpy(at, list, len);
			at[len] = '\0';
			race_offer_address(&way->race, at);
		}
		list += len + (list[len] == ',' ? 1 : 0);
	}
}

static void offer_addresses(struct way *way)
{
	const struct rigs_row *row = way->row;

	offer_list(way, row->addrs);
	offer_list(way, row->info.addrs);
	/* A rig that was never heard of may answer, or not. */
	if (row->info.probe_port != 0 || row->welcomed == 0)
		race_offer_search(&way->race);
}

void way_dials_offer(struct way *way)
{
	race_offers_begin(&way->race);
	if (way->env->paths != WAY_PATHS_DIRECT)
		offer_relays(way);
	if (way->env->paths != WAY_PATHS_RELAY)
		offer_addresses(way);
	race_offers_end(&way->race, way_now(way));
}

bool way_dials_learn(struct way *way, const struct path *p)
{
	struct rigs_row *row = way->row;
	char host[HOSTPORT_CAP];

	if (p == NULL || p->kind == PATH_RELAY)
		return false;
	if (!p->is_found)
		return rigs_learn_addr(row, p->at[0]);
	/* The port is another one each time. */
	str_copy(host, sizeof(host), p->at[0]);
	*strrchr(host, ':') = '\0';
	if (strcmp(row->lan, host) == 0)
		return false;
	str_copy(row->lan, sizeof(row->lan), host);
	return true;
}

static void on_dial_up(void *user, const struct dials_end *end, struct chan *c,
		       const char *peer_addr)
{
	struct way *way = user;
	struct bearer_params p = {
		.driver = way->env->driver,
		.session = way->session,
		.chan = c,
	};
	int err = links_add(&way->links, end, peer_addr, &p, &way->extra);

	if (err < 0)
		way_set_text(way, err, NULL);
	way_settle_soon(way);
}

static void on_dial_failed(void *user, const struct dials_end *end)
{
	struct way *way = user;
	const char *reason = race_reason(&way->race);

	way_settle_soon(way);
	if (end->is_extra)
		way_links_extra_failed(way);
	if (way_is_live(way) || way_is_refused(way))
		return;
	/* The relay or the rig removed this key: what was open there is gone,
	 * and its programs here should not wait for it. */
	if (race_is_lost(&way->race)) {
		way_end_session(way, RW_ERR_NOT_ALLOWED, reason);
		way->is_barred = true;
		return;
	}
	/* Once for each new reason: there are several dials a second. */
	if (strcmp(way->text, reason) != 0)
		log_info("%s: cannot connect: %s; trying again", way->row->name,
			 reason);
	way_set_text(way, end->err, reason);
	/* The path was fine until now: this is a new outage. */
	if (end->waited_us > WAITED_US)
		race_begin(&way->race, way_now(way));
}

static void on_dial_waiting(void *user, const char *why, bool is_news)
{
	struct way *way = user;

	if (is_news)
		log_info("%s: %s", way->row->name, why);
	if (!way_is_refused(way) && !way_is_live(way))
		way_set_text(way, RW_ERR_OFFLINE, why);
	way_settle_soon(way);
}

static void on_found(void *user, const char *at)
{
	struct way *way = user;

	log_debug("%s: found in this network at %s", way->row->name, at);
	way_settle_soon(way);
}

const struct dials_ops way_dials_ops = {
	.on_up = on_dial_up,
	.on_failed = on_dial_failed,
	.on_waiting = on_dial_waiting,
	.on_found = on_found,
};

static void dial(struct way *way, struct path *p)
{
	int err = way_make_session(way);

	if (err == 0)
		err = dials_start(way->dials, p,
				  way->extra.redeems ? way->extra.invite_id
						     : NULL,
				  false);
	if (err == 0)
		return;
	race_failed(&way->race, p->id, err, NULL, moment_now());
	way_set_text(way, err, NULL);
	log_warn("%s: cannot dial: %s", way->row->name, way->text);
}

/* What a sign of life, or time, has settled. */
static void forget_doubts(struct way *way, uint64_t now)
{
	if (!way_is_needed(way) || !way_is_live(way))
		return;
	if (now > way->renew_us + RENEW_US)
		way_step(way, WAY_EV_RENEWED);
	if (way->doubt_us != 0 && way_links_is_proven(way, NULL))
		way->doubt_us = 0;
}

/* What is wanted of the race now. */
static enum race_goal goal_of(const struct way *way, uint64_t now)
{
	if (!way_is_needed(way))
		return RACE_OFF;
	if (!way_is_live(way))
		return RACE_ANY;
	if (way->phase == PHASE_RENEWING ||
	    (way->doubt_us != 0 && now >= way->doubt_us + WAY_DOUBT_US))
		return RACE_ANY;
	return way->kind == PATH_LAN ? RACE_OFF : RACE_BETTER;
}

uint64_t way_dials_settle(struct way *way)
{
	uint64_t now = way_now(way), at;
	enum race_goal goal;
	struct path *p;

	if (way_is_closing(way)) {
		dials_cancel(way->dials);
		return UINT64_MAX;
	}
	forget_doubts(way, now);
	goal = goal_of(way, now);
	race_aim(&way->race, goal, way->kind, now);
	if (goal == RACE_ANY && way->race.count == 0)
		way_set_text(way, RW_ERR_UNREACHABLE,
			     "client.paths leaves no path to it");
	if (!way_is_needed(way))
		dials_cancel(way->dials);
	else if (goal == RACE_ANY)
		dials_thin(way->dials);
	else
		dials_keep_better(way->dials, way->kind);
	dials_listen(way->dials);
	while ((p = race_next(&way->race, now, random_u64(), &at)) != NULL)
		dial(way, p);
	if (way_is_live(way) && way->doubt_us != 0)
		at = MIN(at, MAX(now + LOOK_US, way->doubt_us + WAY_DOUBT_US));
	return at;
}

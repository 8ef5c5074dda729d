/* SPDX-License-Identifier: MIT */
#include "client/race.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/str.h"
#include "net/sockaddr.h"

void race_init(struct race *r)
{
	*r = (struct race){ .next_id = 1, .next_us = UINT64_MAX };
}

/* -- candidates */

static struct path *path_add(struct race *r, enum path_kind kind)
{
	struct path *p;

	if (r->count == RACE_PATHS_MAX)
		return NULL;
	p = &r->paths[r->count++];
	*p = (struct path){
		.id = r->next_id++,
		.kind = kind,
		.is_offered = true,
	};
	return p;
}

/* An address of its own, LAN's or direct. */
static struct path *find_address(struct race *r, const char *at)
{
	for (size_t i = 0; i < r->count; i++) {
		struct path *p = &r->paths[i];

		if (p->kind != PATH_RELAY && !p->is_search &&
		    strcasecmp(p->at[0], at) == 0)
			return p;
	}
	return NULL;
}

/* Whether the address means something in one network only. */
static bool is_private(const char *host)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char text[INET6_ADDRSTRLEN] = "";
	size_t len = strcspn(host, "%");

	if (len < sizeof(text))
		memcpy(text, host, len);
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return sockaddr_scope((struct sockaddr *)&v4) !=
		       SOCKADDR_GLOBAL;
	return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 &&
	       sockaddr_scope((struct sockaddr *)&v6) != SOCKADDR_GLOBAL;
}

void race_offers_begin(struct race *r)
{
	for (size_t i = 0; i < r->count; i++) {
		r->paths[i].is_offered = r->paths[i].is_found;
		if (r->paths[i].kind == PATH_RELAY)
			r->paths[i].at_count = 0;
	}
}

void race_offers_end(struct race *r, uint64_t now_us)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->count; i++) {
		const struct path *p = &r->paths[i];

		if (!p->is_offered ||
		    (p->is_found && now_us > p->found_us + RACE_FOUND_US))
			continue;
		if (kept != i)
			r->paths[kept] = r->paths[i];
		kept++;
	}
	r->count = kept;
}

void race_offer_relay(struct race *r, const struct pin *pin, const char *at)
{
	struct path *p = NULL;

	for (size_t i = 0; i < r->count && p == NULL; i++)
		if (r->paths[i].kind == PATH_RELAY &&
		    pin_eq(&r->paths[i].relay, pin))
			p = &r->paths[i];
	if (p == NULL)
		p = path_add(r, PATH_RELAY);
	if (p == NULL)
		return;
	p->relay = *pin;
	p->is_offered = true;
	for (size_t i = 0; i < p->at_count; i++)
		if (strcasecmp(p->at[i], at) == 0)
			return;
	if (p->at_count < CODE_RELAYS_MAX)
		str_copy(p->at[p->at_count++], HOSTPORT_CAP, at);
}

void race_offer_address(struct race *r, const char *at)
{
	struct path *p = find_address(r, at);
	struct hostport hp;

	if (p == NULL) {
		if (parse_hostport(at, 0, &hp) < 0)
			return;
		p = path_add(r, is_private(hp.host) ? PATH_LAN : PATH_DIRECT);
	}
	if (p == NULL)
		return;
	p->is_offered = true;
	p->is_found = false;
	p->at_count = 1;
	str_copy(p->at[0], HOSTPORT_CAP, at);
}

struct path *race_search(struct race *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->paths[i].is_search)
			return &r->paths[i];
	return NULL;
}

void race_offer_search(struct race *r)
{
	struct path *p = race_search(r);

	if (p == NULL)
		p = path_add(r, PATH_LAN);
	if (p == NULL)
		return;
	p->is_offered = true;
	p->is_search = true;
}

/* The answer of the same machine before, whatever its port was. */
static struct path *find_found(struct race *r, const char *at)
{
	size_t len = (size_t)(strrchr(at, ':') - at) + 1;

	for (size_t i = 0; i < r->count; i++)
		if (r->paths[i].is_found &&
		    strncasecmp(r->paths[i].at[0], at, len) == 0)
			return &r->paths[i];
	return NULL;
}

void race_found(struct race *r, const char *at, uint64_t now_us)
{
	struct path *p;

	if (strrchr(at, ':') == NULL)
		return;
	race_offers_end(r, now_us); /* the old answers go */
	p = find_address(r, at);
	if (p == NULL)
		p = find_found(r, at);
	if (p == NULL) {
		p = path_add(r, PATH_LAN);
		if (p == NULL)
			return;
		p->is_found = true;
		p->at_count = 1;
	}
	str_copy(p->at[0], HOSTPORT_CAP, at);
	p->found_us = now_us;
	/* It was just heard: whatever it did before, dial it now. */
	if (p->dials == 0) {
		p->round = 0;
		p->tried_us = 0;
	}
}

struct path *race_path(struct race *r, uint32_t id)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->paths[i].id == id)
			return &r->paths[i];
	return NULL;
}

const char *path_kind_name(enum path_kind kind)
{
	switch (kind) {
	case PATH_LAN: return "lan";
	case PATH_DIRECT: return "direct";
	case PATH_RELAY: return "relay";
	}
	return "";
}

char *path_label(const struct path *p, char out[RACE_LABEL_CAP])
{
	if (p->is_search)
		str_copy(out, RACE_LABEL_CAP, "this network");
	else
		snprintf(out, RACE_LABEL_CAP, "%s %s", path_kind_name(p->kind),
			 p->at[0]);
	return out;
}

/* -- what to dial when */

void race_begin(struct race *r, uint64_t now_us)
{
	r->goal = RACE_ANY;
	backoff_reset(&r->backoff, now_us);
	r->began_us = r->next_us = now_us;
	r->first_round = r->round + 1;
	for (size_t i = 0; i < r->count; i++) {
		r->paths[i].has_failed = false;
		r->paths[i].is_refused = false;
	}
}

void race_aim(struct race *r, enum race_goal goal, enum path_kind than,
	      uint64_t now_us)
{
	if (r->goal == goal && (goal != RACE_BETTER || r->than == than))
		return;
	r->goal = goal;
	r->than = than;
	if (goal == RACE_BETTER)
		race_look_again(r, now_us);
	else if (goal == RACE_OFF)
		r->next_us = UINT64_MAX;
	else
		race_begin(r, now_us);
}

void race_look_again(struct race *r, uint64_t now_us)
{
	if (r->goal != RACE_BETTER)
		return;
	r->climbs = 0;
	r->next_us = now_us;
}

static void begin_round(struct race *r, uint64_t now_us, uint64_t random)
{
	static const uint64_t pauses_us[] = { RACE_FRESH_US, 15000000, 60000000,
					      300000000 };

	r->round++;
	r->round_us = now_us;
	if (r->goal == RACE_ANY) {
		r->next_us = now_us +
			     backoff_next(&r->backoff, now_us, random) * 1000;
		return;
	}
	r->next_us = now_us + pauses_us[r->climbs];
	if (r->climbs + 1 < ARRAY_LEN(pauses_us))
		r->climbs++;
}

/* A better path than p had worked: it gets its head start, once. */
static bool is_held_back(const struct race *r, const struct path *p)
{
	if (r->goal != RACE_ANY || r->round != r->first_round)
		return false;
	for (size_t i = 0; i < r->count; i++)
		if (r->paths[i].is_good && r->paths[i].kind < p->kind)
			return true;
	return false;
}

/* Whether p is not worth a dial in this round. */
static bool is_left_out(const struct race *r, const struct path *p,
			uint64_t now_us)
{
	bool is_new = p->tried_us == 0 || p->tried_us < r->began_us;

	if (r->goal == RACE_BETTER)
		return p->kind >= r->than || p->dials > 0 ||
		       (p->tried_us != 0 &&
			now_us < p->tried_us + RACE_FRESH_US);
	/* One in line at the relay is a standing order: nobody polls. A
	 * search asks again by itself, and who dials a busy relay anew is the
	 * last there. */
	if (p->in_line > 0 || p->is_heard || (p->is_search && p->dials > 0))
		return true;
	if (p->is_refused)
		return now_us < p->tried_us + RACE_REFUSED_US;
	if (p->kind == PATH_RELAY || p->is_good)
		return false;
	return !is_new && now_us < p->tried_us + RACE_LAZY_US;
}

struct path *race_next(struct race *r, uint64_t now_us, uint64_t random,
		       uint64_t *ret_at_us)
{
	uint64_t at = UINT64_MAX;

	*ret_at_us = UINT64_MAX;
	if (r->goal == RACE_OFF)
		return NULL;
	if (now_us >= r->next_us)
		begin_round(r, now_us, random);
	for (size_t i = 0; i < r->count; i++) {
		struct path *p = &r->paths[i];
		uint64_t due = r->round_us;

		if (p->round == r->round)
			continue;
		if (is_left_out(r, p, now_us)) {
			p->round = r->round;
			continue;
		}
		if (is_held_back(r, p))
			due += RACE_HEAD_START_US;
		if (due > now_us) {
			at = due < at ? due : at;
			continue;
		}
		p->round = r->round;
		p->tried_us = now_us;
		return p;
	}
	*ret_at_us = r->next_us < at ? r->next_us : at;
	return NULL;
}

/* -- how it went */

void race_failed(struct race *r, uint32_t id, int err, const char *text,
		 uint64_t at)
{
	struct path *p = race_path(r, id);

	if (p == NULL)
		return;
	p->has_failed = true;
	p->failed = at;
	p->is_refused = err == RW_ERR_NOT_ALLOWED || err == RW_ERR_EXPIRED;
	/* Nothing else answers either: it may be this one's turn again. */
	if (r->goal == RACE_BETTER)
		p->is_good = false;
	str_copy(p->text, sizeof(p->text),
		 text != NULL && text[0] != '\0' ? text : err_text(err));
}

void race_waits(struct race *r, uint32_t id, const char *text)
{
	struct path *p = race_path(r, id);

	if (p != NULL)
		str_copy(p->text, sizeof(p->text), text);
}

void race_works(struct race *r, uint32_t id, uint64_t at)
{
	struct path *p = race_path(r, id), *search;

	if (p == NULL)
		return;
	p->is_good = true;
	p->is_refused = p->has_failed = false;
	p->worked = at;
	p->text[0] = '\0';
	/* An answer is forgotten after a while, that there was one is not. */
	search = p->is_found ? race_search(r) : NULL;
	if (search != NULL) {
		search->is_good = true;
		search->worked = at;
	}
	/* What was asked before it and did not answer has no head start any
	 * more. */
	for (size_t i = 0; i < r->count; i++)
		if (r->paths[i].kind < p->kind &&
		    r->paths[i].tried_us >= r->began_us)
			r->paths[i].is_good = false;
}

/* One relay's word is not another's, which may just restart, nor that of a
 * rig which was reached without any. But rigs name many addresses that nobody
 * reaches from here, ever. */
static bool may_come_back(const struct path *p)
{
	if (p->is_refused)
		return false;
	return p->kind == PATH_RELAY || p->worked != 0 ||
	       (!p->has_failed && !p->is_search);
}

bool race_is_lost(const struct race *r)
{
	bool is_refused = false;

	for (size_t i = 0; i < r->count; i++) {
		if (may_come_back(&r->paths[i]))
			return false;
		is_refused |= r->paths[i].is_refused;
	}
	return is_refused;
}

bool race_waits_in_line(const struct race *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->paths[i].in_line > 0)
			return true;
	return false;
}

/* How near a path came to a connection: 0 for not at all. */
static int nearness(const struct path *p)
{
	if (p->text[0] == '\0' || (p->in_line == 0 && !p->has_failed))
		return 0;
	if (p->is_search)
		return 1;
	return 2 + (int)p->kind + (p->in_line > 0 ? 8 : 0);
}

const char *race_reason(const struct race *r)
{
	const struct path *best = NULL;

	for (size_t i = 0; i < r->count; i++)
		if (nearness(&r->paths[i]) >
		    (best != NULL ? nearness(best) : 0))
			best = &r->paths[i];
	return best != NULL ? best->text : "";
}

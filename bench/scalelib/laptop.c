/* SPDX-License-Identifier: MIT */
/* A laptop with one session that is wanted for ever: client/way.c, which dials
 * and resumes as the laptop's background process does. */
#include "base/mem.h"
#include "base/str.h"
#include "client/rigs.h"
#include "client/way.h"
#include "crowd.h"
#include "crypto/hash.h"

struct laptop {
	struct way_env env;
	struct rigs_row row;
};

struct laptop *laptop_start(struct world *w, const struct key *key, unsigned n,
			    const struct pin *rig)
{
	struct laptop *l = xcalloc(1, sizeof(*l));
	char at[AT_CAP];

	l->env = (struct way_env){
		.loop = &w->loop,
		.key = key,
		.driver = w->driver,
		.budget = &w->budget,
		.limits = w->limits,
		.paths = WAY_PATHS_RELAY,
		.incarnation = random_u64() | 1,
		.device = "crowd",
	};
	source_text(1, n, w->port, at);
	l->row.pin = *rig;
	l->row.relay_pin = w->relay;
	str_copy(l->row.name, sizeof(l->row.name), "crowd");
	str_copy(l->row.relays[0], sizeof(l->row.relays[0]), at);
	l->row.relay_count = 1;
	l->row.way = way_new(&l->env, &l->row);
	way_want(l->row.way);
	return l;
}

bool laptop_is_up(const struct laptop *l)
{
	return way_state(l->row.way) == WAY_LIVE;
}

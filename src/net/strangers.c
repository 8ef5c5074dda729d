/* SPDX-License-Identifier: MIT */
#include "net/strangers.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "crypto/hash.h"

#define MINUTE_US 60000000u

/* An address that is here unproven, or that has guessed of late. */
struct stranger {
	unsigned unproven;
	unsigned guesses; /* since since_us */
	uint64_t since_us;
};

void strangers_init(struct strangers *s, unsigned max_unproven,
		    unsigned guesses_per_minute)
{
	map_init(&s->seen, random_u64());
	s->max_unproven = max_unproven;
	s->guesses_per_minute = guesses_per_minute;
	s->max_seen = STRANGERS_MAX;
}

void strangers_done(struct strangers *s)
{
	size_t it = 0;
	struct stranger *g;

	while ((g = map_next(&s->seen, &it, NULL)) != NULL)
		free(g);
	map_done(&s->seen);
}

/* Neighbours on one link have the first half in common, and mean nothing on
 * another link: the second half counts, and the interface. No other address
 * has a key with these two top bits. */
static uint64_t link_local_key(const struct sockaddr_in6 *a)
{
	const uint64_t mix = UINT64_C(0x9e3779b97f4a7c15);
	const uint64_t id = get_be64(a->sin6_addr.s6_addr + 8);

	return ((id ^ a->sin6_scope_id * mix) * mix) >> 2 | UINT64_C(1) << 62;
}

uint64_t strangers_key(const struct sockaddr_storage *peer)
{
	if (peer->ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)peer;

		if (IN6_IS_ADDR_LINKLOCAL(&a->sin6_addr))
			return link_local_key(a);
		/* The top bit keeps it apart from every v4 address; no two
		 * networks that are in use differ in it alone. */
		return get_be64(a->sin6_addr.s6_addr) | UINT64_C(1) << 63;
	}
	if (peer->ss_family == AF_INET) {
		const struct sockaddr_in *a = (const void *)peer;

		return ntohl(a->sin_addr.s_addr);
	}
	return UINT64_MAX;
}

static bool stranger_is_idle(const struct stranger *g, uint64_t now_us)
{
	return g->unproven == 0 &&
	       (g->guesses == 0 || now_us - g->since_us >= MINUTE_US);
}

static struct stranger *stranger_get(struct strangers *s, uint64_t key)
{
	struct stranger *g = map_get(&s->seen, key);

	if (g != NULL)
		return g;
	g = calloc(1, sizeof(*g));
	if (g != NULL && map_put(&s->seen, key, g) < 0) {
		free(g);
		g = NULL;
	}
	return g;
}

bool strangers_enter(struct strangers *s, uint64_t key)
{
	struct stranger *g = stranger_get(s, key);

	if (g == NULL || g->unproven >= s->max_unproven)
		return false;
	g->unproven++;
	return true;
}

void strangers_leave(struct strangers *s, uint64_t key)
{
	struct stranger *g = map_get(&s->seen, key);

	if (g == NULL)
		return;
	g->unproven--;
	if (g->unproven == 0 && g->guesses == 0) {
		map_del(&s->seen, key);
		free(g);
	}
}

/* Forgets guesses that are a minute old. */
static void strangers_tidy(struct strangers *s, uint64_t now_us)
{
	size_t it = 0;
	uint64_t key;
	struct stranger *g;

	while ((g = map_next(&s->seen, &it, &key)) != NULL)
		if (stranger_is_idle(g, now_us)) {
			map_del(&s->seen, key);
			free(g);
		}
}

bool strangers_may_guess(struct strangers *s, uint64_t key, uint64_t now_us)
{
	struct stranger *g = map_get(&s->seen, key);

	if (map_count(&s->seen) >= s->max_seen) {
		strangers_tidy(s, now_us);
		g = map_get(&s->seen, key);
		if (map_count(&s->seen) >= s->max_seen)
			return false;
	}
	return g == NULL || now_us - g->since_us >= MINUTE_US ||
	       g->guesses < s->guesses_per_minute;
}

void strangers_guessed(struct strangers *s, uint64_t key, uint64_t now_us)
{
	struct stranger *g = stranger_get(s, key);

	if (g == NULL)
		return;
	if (g->guesses == 0 || now_us - g->since_us >= MINUTE_US) {
		g->since_us = now_us;
		g->guesses = 0;
	}
	g->guesses++;
}

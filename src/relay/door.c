/* SPDX-License-Identifier: MIT */
#include "relay/door.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "crypto/hash.h"

#define MINUTE_US 60000000u

/* An address that is here unproven, or that has guessed of late. */
struct guest {
	unsigned unproven;
	unsigned guesses; /* since since_us */
	uint64_t since_us;
};

void door_init(struct door *d, unsigned max_unproven,
	       unsigned guesses_per_minute)
{
	map_init(&d->guests, random_u64());
	d->max_unproven = max_unproven;
	d->guesses_per_minute = guesses_per_minute;
}

void door_done(struct door *d)
{
	size_t it = 0;
	struct guest *g;

	while ((g = map_next(&d->guests, &it, NULL)) != NULL)
		free(g);
	map_done(&d->guests);
}

uint64_t door_key(const struct sockaddr_storage *peer)
{
	if (peer->ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)peer;

		/* 2^32 and up, so that it never meets a v4 address; what
		 * begins with 32 zero bits is no global address. */
		return get_be64(a->sin6_addr.s6_addr) | UINT64_C(1) << 63;
	}
	if (peer->ss_family == AF_INET) {
		const struct sockaddr_in *a = (const void *)peer;

		return ntohl(a->sin_addr.s_addr);
	}
	return UINT64_MAX;
}

static bool guest_is_idle(const struct guest *g, uint64_t now_us)
{
	return g->unproven == 0 &&
	       (g->guesses == 0 || now_us - g->since_us >= MINUTE_US);
}

static struct guest *guest_get(struct door *d, uint64_t key)
{
	struct guest *g = map_get(&d->guests, key);

	if (g != NULL)
		return g;
	g = calloc(1, sizeof(*g));
	if (g != NULL && map_put(&d->guests, key, g) < 0) {
		free(g);
		g = NULL;
	}
	return g;
}

bool door_enter(struct door *d, uint64_t key)
{
	struct guest *g = guest_get(d, key);

	if (g == NULL || g->unproven >= d->max_unproven)
		return false;
	g->unproven++;
	return true;
}

void door_leave(struct door *d, uint64_t key)
{
	struct guest *g = map_get(&d->guests, key);

	if (g == NULL)
		return;
	g->unproven--;
	if (g->unproven == 0 && g->guesses == 0) {
		map_del(&d->guests, key);
		free(g);
	}
}

/* Forgets guesses that are a minute old. */
static void door_tidy(struct door *d, uint64_t now_us)
{
	size_t it = 0;
	uint64_t key;
	struct guest *g;

	while ((g = map_next(&d->guests, &it, &key)) != NULL)
		if (guest_is_idle(g, now_us)) {
			map_del(&d->guests, key);
			free(g);
		}
}

bool door_may_guess(struct door *d, uint64_t key, uint64_t now_us)
{
	struct guest *g = map_get(&d->guests, key);

	if (map_count(&d->guests) >= DOOR_GUESSERS_MAX) {
		door_tidy(d, now_us);
		g = map_get(&d->guests, key);
		if (map_count(&d->guests) >= DOOR_GUESSERS_MAX)
			return false;
	}
	return g == NULL || now_us - g->since_us >= MINUTE_US ||
	       g->guesses < d->guesses_per_minute;
}

void door_guessed(struct door *d, uint64_t key, uint64_t now_us)
{
	struct guest *g = guest_get(d, key);

	if (g == NULL)
		return;
	if (g->guesses == 0 || now_us - g->since_us >= MINUTE_US) {
		g->since_us = now_us;
		g->guesses = 0;
	}
	g->guesses++;
}

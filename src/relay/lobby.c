/* SPDX-License-Identifier: MIT */
#include "relay/lobby.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOBBY_LEAST 64

static bool lobby_grow(struct lobby *l)
{
	const size_t cap = l->cap > 0 ? 2 * l->cap : LOBBY_LEAST;
	struct guest *guests = calloc(cap, sizeof(*guests));

	if (guests == NULL)
		return false;
	for (size_t i = 0; i < l->count; i++)
		guests[i] = l->guests[(l->first + i) & (l->cap - 1)];
	free(l->guests);
	l->guests = guests;
	l->cap = cap;
	l->first = 0;
	return true;
}

bool lobby_push(struct lobby *l, int fd, const struct sockaddr_storage *peer)
{
	if (l->count == l->cap && !lobby_grow(l)) {
		close(fd);
		return false;
	}
	l->guests[(l->first + l->count) & (l->cap - 1)] =
		(struct guest){ fd, *peer };
	l->count++;
	return true;
}

bool lobby_pop(struct lobby *l, struct guest *ret)
{
	if (l->count == 0) {
		lobby_done(l);
		return false;
	}
	*ret = l->guests[l->first];
	l->first = (l->first + 1) & (l->cap - 1);
	l->count--;
	return true;
}

void lobby_done(struct lobby *l)
{
	for (size_t i = 0; i < l->count; i++)
		close(l->guests[(l->first + i) & (l->cap - 1)].fd);
	free(l->guests);
	*l = (struct lobby){ 0 };
}

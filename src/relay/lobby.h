/* SPDX-License-Identifier: MIT */
/*
 * Who has come and waits for the handshake: accepted sockets, the oldest first.
 * Nothing is read from them, and each costs its descriptor and 136 bytes, twice
 * that at most, as the ring doubles. An all zero struct is an empty lobby. Loop
 * thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct guest {
	int fd;
	struct sockaddr_storage peer;
};

struct lobby {
	struct guest *guests; /* a ring of cap, a power of two */
	size_t cap, first, count;
};

/* Takes fd; false: there is no memory, and fd was closed. */
bool lobby_push(struct lobby *l, int fd, const struct sockaddr_storage *peer);
/* The oldest, whose fd is the caller's from here on; false: nobody is there,
 * and the memory was given back. */
bool lobby_pop(struct lobby *l, struct guest *ret);
/* Closes all. */
void lobby_done(struct lobby *l);

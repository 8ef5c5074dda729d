/* SPDX-License-Identifier: MIT */
/*
 * What `relay invite`, `relay devices` and `relay remove` do: over relay.sock
 * in the relay's process while it runs, else in the command's own, on the book
 * alone, under the relay's lock.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>

#include "crypto/key.h"
#include "net/loop.h"
#include "relay/book.h"
#include "relay/place.h"
struct relay;

struct desk {
	struct book *book;
	const struct key *key;
	struct relay *relay; /* NULL: it rests */
	struct place place;
	char *no_place; /* why place is empty: a sentence; or NULL */
};

void desk_done(struct desk *d);

/*
 * Carries out one request {"do": VERB, ...}:
 *   invite  [fleet] [uses] [expires_s]  -> code, fleet, expires
 *   devices                             -> devices: [...]; over relay.sock
 *                                          each is asked first
 *   remove  who                         -> name, fleets
 *   status                              -> listen, place, counts
 * Returns 0 with the answer in *ret, the caller's to json_decref(); or the
 * exit status with a sentence in *ret_err, to be freed.
 */
int desk_do(struct desk *d, json_t *request, json_t **ret, char **ret_err);
/* The first rig's code, where no device has joined yet; is_first ones are kept
 * few. As desk_do()'s invite; *ret is the code, to be freed, or NULL when
 * there are devices. */
int desk_first_code(struct desk *d, char **ret, char **ret_err);

/* desk_list.c: the answer to `devices`, */
int desk_list(struct desk *d, json_t **ret);
/* and the same as lines of an answer; req is not the caller's any more. */
struct local_req;
void desk_list_send(struct desk *d, struct local_req *req);

/* Serves the requests at path. */
struct local;
int desk_serve(struct desk *d, uv_loop_t *loop, const char *path,
	       struct local **ret);

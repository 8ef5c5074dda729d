/* SPDX-License-Identifier: MIT */
/*
 * The relay: introduces devices that its book knows, then splices their
 * sockets. It never sees a byte of a session in the clear. PROTOCOL.md,
 * section 10. Loop thread only.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

#include "crypto/key.h"
#include "net/loop.h"
#include "relay/book.h"
#include "relay/place.h"
struct relay;
struct settings_relay;

/* All are borrowed and must outlive the relay. */
struct relay_params {
	uv_loop_t *loop;
	const struct settings_relay *settings;
	const struct key *key;
	struct book *book;
	const char *name; /* what devices are told it is called */
};

/* Listens where the settings say; with none, on port 443 where that is
 * allowed, else on 7443. 0, or with a sentence in *ret_err, to be freed. */
int relay_new(const struct relay_params *params, struct relay **ret,
	      char **ret_err);
/* The port of the first listener, and where all of them are, as
 * "host:port"; NULL past the end. */
uint16_t relay_port(const struct relay *r);
const char *relay_listens(const struct relay *r, size_t i);
/* Stops listening, tells every device, closes; on_stopped runs once from the
 * loop, within about a second. Pairs are cut: their sessions resume. */
void relay_stop(struct relay *r, void (*on_stopped)(void *user), void *user);
/* After on_stopped, or at any time to end at once. Memory that the loop still
 * holds comes back from it. */
void relay_free(struct relay *r);

/* Takes the key out of the fleet (NULL: of all) and ends what it has open
 * here, at once. As book_remove(). */
int relay_remove(struct relay *r, const struct pin *pin, struct fleet *f);

/* What a device is doing, for `relay devices`. */
struct relay_presence {
	bool is_online;
	char addr[RELAY_ADDR_MAX + 1];
	int64_t since; /* Unix seconds of its coming or going; 0 never here */
	size_t pairs;
};
void relay_presence(const struct relay *r, const struct pin *pin,
		    struct relay_presence *ret);

struct relay_counts {
	size_t connections, controls, waiting, pairs, pipes;
	uint64_t refused_at_door;
};
struct relay_counts relay_counts(const struct relay *r);

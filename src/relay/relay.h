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

/* How much the relay knows of a device. A rig is connected by its standing
 * connection; a laptop, which has none, by those to its rigs. */
enum relay_state {
	RELAY_AWAY,	/* not connected */
	RELAY_CHECKING, /* connected, but silent for RELAY_SILENCE_MS, or asked
			 * for a sign of life RELAY_PROVE_MS ago */
	RELAY_ONLINE,
};
#define RELAY_PROVE_MS 2000

/* What a device is doing, for `relay devices`. */
struct relay_presence {
	enum relay_state state;
	char addr[RELAY_ADDR_MAX + 1]; /* "" when away */
	uint64_t since;	   /* the moment of its coming or going; 0 never here */
	uint64_t proven;   /* when it was last heard; 0: not since the start */
	uint64_t heard_ms; /* the same, ago; UINT64_MAX when away */
	uint64_t rtt_us;   /* by the kernel; 0: unknown, or not online */
	size_t pairs;	   /* open now */
	/* Spliced for it since the relay started: from it, and to it. */
	uint64_t bytes[2];
};
/* As of the last relay_tally(), where open pairs are concerned. */
void relay_presence(const struct relay *r, const struct device *dev,
		    struct relay_presence *ret);
/* Keys of which the above says RELAY_ONLINE, in a fleet or more. */
size_t relay_online(const struct relay *r);
/* Looks at all open pairs: their bytes, when they were last heard. */
void relay_tally(struct relay *r);

struct proving;
/*
 * Asks all devices that are connected for a sign of life, so that what
 * relay_presence() says is true now. on_done runs once: from the loop when all
 * have answered, RELAY_PROVE_MS later at the latest; or within this call or
 * relay_free(). Returns NULL if it ran already.
 */
struct proving *relay_prove(struct relay *r, void (*on_done)(void *user),
			    void *user);
/* on_done does not run any more. NULL is fine. */
void relay_prove_cancel(struct proving *p);

struct relay_counts {
	size_t connections, controls, waiting, pairs, pipes;
	uint64_t refused_at_door;
};
struct relay_counts relay_counts(const struct relay *r);

/* SPDX-License-Identifier: MIT */
/*
 * Which carrier carries a stream's bytes: PROTOCOL.md, section 5.1. A stream
 * without a ride asks where it is to go on. One that moves asks on the new
 * carrier while the old one still carries it, and changes over when the answer
 * is as good as all that has left: the new one may be dead, and then nothing is
 * lost. If much is in flight then, it stops, and a question on the old carrier,
 * behind the last byte, brings the answer that all has arrived: then it changes
 * over. So hardly anything is sent twice, but where the old one is silent.
 */
#include "base/check.h"
#include "core/parts.h"

/* So much may be sent a second time rather than wait for its arrival. */
#define TWICE_MAX QUANTUM

/* c carries st's bytes from now on; NULL: nothing does. */
void stream_ride(struct stream *st, struct carrier *c)
{
	list_del(&st->run);
	if (st->ride != NULL && !st->closed)
		spread_left(st->ride);
	st->ride = c;
	st->to = NULL;
	st->stopped = false;
	st->fin_sent = false;
	if (c != NULL && !st->closed)
		c->riders++;
}

/* Asks on c where to go on. */
void stream_ask(struct stream *st, struct carrier *c)
{
	if (st->closed || (st->asked == c && list_is_linked(&st->ask)))
		return;
	list_del(&st->ask);
	list_push(&c->asks, &st->ask);
	st->asked = c;
	session_wake(st->s);
}

/* The stream has lost its carrier, or never had one: what it owes and needs
 * goes to c. expects: the peer is about to state it there by itself. */
void stream_home(struct stream *st, struct carrier *c, bool expects)
{
	uint8_t due;

	if (st->mine && !st->known && st->id != 0)
		return; /* its OPEN, or its END, is in session.unopened */
	due = stream_owes(st);
	/* The control stream needs no statement to begin with. */
	if (st->id == 0 && !st->sent_open && !st->closed) {
		st->sent_open = st->known = true;
		st->peer_limit = st->s->peer_floor;
		stream_ride(st, c);
		stream_run(st);
		return;
	}
	if (st->ride == NULL) {
		list_del(&st->ask);
		st->asked = c;
		if (!expects)
			stream_ask(st, c);
	}
	if (due != 0)
		stream_due(st, due, c);
}

/* c is going: nothing of the stream may point to it. With other carriers alive
 * no HELLO follows, so the stream states and asks there (elect_primary does it
 * when c was the primary). */
void stream_leave(struct stream *st, struct carrier *c)
{
	struct carrier *home = st->s->primary;
	bool owed =
		st->due_on == c; /* or lost: it is as good to say it again */

	if (home != NULL && home != c && carrier_is_doubted(home))
		home = session_best(st->s);
	st->answers &= (uint16_t) ~(1u << c->slot);
	if (owed) {
		list_del(&st->dues);
		st->due = 0;
		st->due_on = NULL;
	}
	if (st->asked == c) {
		list_del(&st->ask);
		st->asked = NULL;
	}
	if (st->heard == c)
		st->heard = NULL;
	if (st->to == c) {
		st->to = NULL;
		st->stopped = false;
		stream_run(st);
	}
	if (st->ride == c) {
		if (st->to != NULL &&
		    (home == NULL || !carrier_is_staler(st->to, home)))
			home = st->to;
		stream_ride(st, NULL);
	}
	/* What c was to bring may have been the answer. */
	if (st->to != NULL)
		stream_ask(st, st->stopped ? st->ride : st->to);
	if (home == NULL || home == c || st->settled)
		return;
	if (owed || st->ride == NULL || st->heard == NULL)
		stream_home(st, home, false);
}

/* How much of what left on the ride is not known to have arrived. */
static uint64_t in_flight(const struct stream *st, uint64_t received)
{
	uint64_t left = st->next + st->fin_sent;

	return left - MIN(received, left);
}

/* Goes on riding on c, at what the peer stated there. */
static void take_ride(struct stream *st, struct carrier *c, uint64_t received)
{
	stream_ride(st, c);
	list_del(&st->ask);
	st->asked = NULL;
	st->fin_sent = received > st->out.end;
	st->next = MAX(MIN(received, st->out.end), st->out.base);
	if (carrier_retires(c))
		spread_woke(st);
}

/* Begins to move st's bytes to c, a live carrier that is not its ride. */
void stream_move(struct stream *st, struct carrier *c)
{
	if (st->closed || !st->known || st->ride == NULL || st->ride == c ||
	    st->to == c)
		return;
	st->to = c;
	stream_ask(st, c);
}

/* The peer stated on c how much it has received. */
void stream_stated(struct stream *st, struct carrier *c, uint64_t received)
{
	if (st->ride == NULL) {
		take_ride(st, c, received);
	} else if (st->to == NULL) {
		return;
	} else if (c == st->to && (in_flight(st, received) <= TWICE_MAX ||
				   carrier_is_doubted(st->ride))) {
		take_ride(st, c, received);
	} else if (c == st->to && !st->stopped) {
		st->stopped = true;
		list_del(&st->run);
		stream_ask(st, st->ride);
	} else if (!st->stopped) {
		stream_ask(st, st->to); /* the answer went elsewhere */
	} else if (in_flight(st, st->peer_received) == 0) {
		take_ride(st, st->to, st->peer_received);
	}
}

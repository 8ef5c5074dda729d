/* SPDX-License-Identifier: MIT */
/* Rendezvous: an answer to a wish, READY to both, a splice. */
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "relay/relay_local.h"

/* -- answers -------------------------------------------------------------- */

static void pair_join(struct pair *p, int i, struct conn *c)
{
	p->conn[i] = c;
	c->pair = p;
	c->state = CONN_READYING;
	/* Before READY is written: what the device sends after it has read
	 * READY is not ours to read. */
	chan_pause(c->chan);
	timer_start(c->timer, READY_MS);
}

static void pair_ready(struct pair *p, int i, const char *peer_addr)
{
	struct relay_msg m = { .type = R_READY };

	if (p->conn[i] == NULL)
		return;
	str_copy(m.ready.addr, sizeof(m.ready.addr), peer_addr);
	if (conn_send(p->conn[i], &m) < 0)
		conn_drop(p->conn[i], RW_ERR_NOMEM);
}

/* wish is answered by c; NULL: out of memory. */
static struct pair *pair_new(struct conn *wish, struct conn *c,
			     uint64_t rendezvous)
{
	struct relay *r = c->relay;
	struct pair *p = calloc(1, sizeof(*p));

	if (p == NULL || map_put(&r->met, rendezvous, p) < 0) {
		free(p);
		return NULL;
	}
	p->relay = r;
	p->fleet = wish->fleet;
	p->client = wish->self;
	p->rig = c->self;
	p->fleet->meeting++;
	presence_paired(p->client, wish);
	p->rig->pairs++;
	p->rendezvous = rendezvous;
	p->began_us = loop_now_us(r->loop);
	list_init(&p->link);
	list_push(&r->pairs, &p->link);
	r->pair_count++;
	wish_leave(wish);
	pair_join(p, 0, wish);
	pair_join(p, 1, c);
	return p;
}

void meet_answer(struct conn *c, const struct relay_hello *h)
{
	struct relay *r = c->relay;
	struct conn *wish = map_get(&r->calls, h->rendezvous);
	char addr[2][RELAY_ADDR_MAX + 1];
	struct pair *p;

	/* The number is bound to both keys: it came from the client's wish,
	 * and only the rig that was called may use it. */
	if (wish == NULL || wish->rig != c->self) {
		conn_refuse(c, RW_ERR_GONE, "that call is over");
		return;
	}
	/* Many may have been in line when there was still room. */
	if (wish_is_too_much(r, wish->fleet)) {
		wish_refuse_full(wish);
		conn_refuse(c, RW_ERR_GONE, "that call is over");
		return;
	}
	p = pair_new(wish, c, h->rendezvous);
	if (p == NULL) {
		conn_drop(c, RW_ERR_NOMEM);
		return;
	}
	str_copy(addr[0], sizeof(addr[0]), wish->addr);
	str_copy(addr[1], sizeof(addr[1]), c->addr);
	/* Dropping one frees the pair; its conns say so. */
	pair_ready(p, 1, addr[0]);
	if (c->pair == p)
		pair_ready(p, 0, addr[1]);
	flusher_mark(r->ready);
}

void meet_decline(struct conn *rig, const struct relay_decline *m)
{
	struct conn *wish = map_get(&rig->relay->calls, m->rendezvous);

	if (wish != NULL && wish->rig == rig->self)
		conn_refuse(wish, relay_code_err(m->code), m->text);
}

void meet_on_timer(struct conn *c)
{
	if (c->state == CONN_WISHING)
		wish_on_timer(c);
	else /* its READY did not leave in time */
		conn_drop(c, RW_ERR_TIMEOUT);
}

/* -- pairs ---------------------------------------------------------------- */

void pair_free(struct pair *p)
{
	map_del(&p->relay->met, p->rendezvous);
	if (p->splice == NULL)
		p->fleet->meeting--;
	presence_unpaired(p->client);
	p->rig->pairs--;
	list_del(&p->link);
	p->relay->pair_count--;
	free(p);
}

static void on_splice_end(void *user, const struct splice_end *end)
{
	struct pair *p = user;

	presence_tally(p, false);
	log_debug("pair %016llx: over after %llu s, %llu bytes up, %llu down: "
		  "%s",
		  (unsigned long long)p->rendezvous,
		  (unsigned long long)(loop_now_us(p->relay->loop) -
				       p->began_us) /
			  1000000,
		  (unsigned long long)end->bytes[0],
		  (unsigned long long)end->bytes[1],
		  end->err == 0 ? "ended" : err_text(end->err));
	pair_free(p);
}

/* Ends a pair that is not spliced: both its connections close. */
static void pair_drop(struct pair *p, int err)
{
	for (int i = 0; i < 2; i++) {
		struct conn *c = p->conn[i];

		p->conn[i] = NULL;
		if (c == NULL)
			continue;
		c->pair = NULL;
		conn_drop(c, err);
	}
	pair_free(p);
}

static void pair_cut(struct pair *p, int err)
{
	if (p->splice != NULL)
		splice_cut(p->splice, err);
	else
		pair_drop(p, err);
}

/* Its socket i, and what was read from it. */
static int pair_detach(struct pair *p, int i, struct splice_side *ret)
{
	ret->fd = chan_detach_fd(p->conn[i]->chan, ret->first);
	if (ret->fd < 0)
		return ret->fd;
	p->conn[i]->pair = NULL;
	conn_detached(p->conn[i]);
	p->conn[i] = NULL;
	/* It was read before READY was written: see conn.c. */
	return ret->first->len > 0 ? RW_ERR_PROTO : 0;
}

/* READY has left to both: TLS is over, and the kernel takes it from here. */
static void pair_splice(struct pair *p)
{
	struct relay *r = p->relay;
	struct buf first[2] = { { 0 } };
	struct splice_side side[2] = { { -1, &first[0] }, { -1, &first[1] } };
	int err = pair_detach(p, 0, &side[0]);

	if (err == 0)
		err = pair_detach(p, 1, &side[1]);
	if (err == 0) {
		p->fleet->use.rate = r->settings->max_rate_bytes;
		err = splice_start(
			r->splicer,
			&(struct splice_params){ .side = { side[0], side[1] },
						 .group = &p->fleet->use,
						 .on_end = on_splice_end,
						 .user = p },
			&p->splice);
		side[0].fd = side[1].fd = -1;
	}
	if (err == 0) {
		p->fleet->meeting--;
		return;
	}
	p->splice = NULL;
	log_debug("pair %016llx: %s", (unsigned long long)p->rendezvous,
		  err_text(err));
	for (int i = 0; i < 2; i++) {
		if (side[i].fd >= 0)
			close(side[i].fd);
		buf_done(&first[i]);
	}
	pair_drop(p, err);
}

void meet_on_ready(void *relay)
{
	struct relay *r = relay;

	list_for_each_safe (l, &r->pairs) {
		struct pair *p = container_of(l, struct pair, link);

		if (p->splice == NULL && p->conn[0] != NULL &&
		    p->conn[1] != NULL && chan_queued(p->conn[0]->chan) == 0 &&
		    chan_queued(p->conn[1]->chan) == 0)
			pair_splice(p);
	}
}

void meet_leave(struct conn *c)
{
	struct pair *p = c->pair;

	wish_leave(c);
	if (p == NULL)
		return;
	c->pair = NULL;
	p->conn[p->conn[0] == c ? 0 : 1] = NULL;
	pair_drop(p, RW_ERR_GONE);
}

void meet_lost(struct conn *c, const struct msg_view *numbers)
{
	struct relay *r = c->relay;

	for (size_t i = 0; i + 8 <= numbers->len; i += 8) {
		uint64_t n = get_be64(numbers->data + i);
		struct pair *p = map_get(&r->met, n);

		if (p != NULL && (p->rig == c->self || p->client == c->self))
			pair_cut(p, RW_ERR_GONE);
	}
}

void meet_restarted(struct presence *rig, struct relay *r)
{
	list_for_each_safe (l, &r->pairs) {
		struct pair *p = container_of(l, struct pair, link);

		if (p->rig == rig)
			pair_cut(p, RW_ERR_RESTARTED);
	}
}

static bool is_between(const struct pin *a, const struct pin *b,
		       const struct pin *pin, const struct pin *other)
{
	return (pin_eq(a, pin) && (other == NULL || pin_eq(b, other))) ||
	       (pin_eq(b, pin) && (other == NULL || pin_eq(a, other)));
}

void meet_cut(struct relay *r, const struct pin *pin, const struct pin *other,
	      bool at_once)
{
	static const char removed[] = "one of the two machines was removed";

	list_for_each_safe (l, &r->pairs) {
		struct pair *p = container_of(l, struct pair, link);

		if (!is_between(&p->client->pin, &p->rig->pin, pin, other))
			continue;
		if (p->splice != NULL && !at_once)
			splice_cut_soon(p->splice, RW_ERR_NOT_ALLOWED);
		else
			pair_cut(p, RW_ERR_NOT_ALLOWED);
	}
	list_for_each_safe (l, &r->conns) {
		struct conn *c = container_of(l, struct conn, link);

		if (c->state == CONN_WISHING &&
		    is_between(&c->self->pin, &c->rig->pin, pin, other))
			conn_refuse(c, RW_ERR_NOT_ALLOWED, removed);
		else if (c->state == CONN_CONTROL && other == NULL &&
			 pin_eq(&c->self->pin, pin))
			conn_refuse(c, RW_ERR_NOT_ALLOWED,
				    "this machine was removed from the relay");
	}
}

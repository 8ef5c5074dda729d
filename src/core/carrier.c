/* SPDX-License-Identifier: MIT */
/* A carrier's own frames, coming in: greetings, pings, how far was read. */
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "core/parts.h"

static int on_welcome(struct carrier *c, const struct frame *f)
{
	struct session *s = c->s;
	struct welcome w;

	if (c->state != CARRIER_HELLO ||
	    welcome_decode(f->payload, f->len, &w) < 0)
		return RW_ERR_PROTO;
	if (w.version != 1)
		return RW_ERR_VERSION;
	/* Two carriers were dialled at once and two incarnations answered:
	 * which is the younger one, only the next HELLO can find out. */
	if (w.incarnation != s->peer_incarnation &&
	    c->knew != s->peer_incarnation)
		return RW_ERR_GONE;
	/* Another incarnation, or one that forgot us: what it held is lost,
	 * and nothing may be sent to it a second time. Fresh says so only
	 * when the HELLO named a session that was known. */
	if (s->peer_incarnation != 0 &&
	    (w.incarnation != s->peer_incarnation ||
	     (w.fresh && c->knew == w.incarnation))) {
		int err = session_start_over(s, c);

		if (err < 0)
			return err;
	}
	s->peer_incarnation = w.incarnation;
	s->peer_floor = w.floor;
	session_keep(s, w.keep_s);
	session_peer_streams(s, w.max_streams);
	session_lives(s, c);
	session_wake(s);
	s->ops->on_live(s, c, &w);
	return 0;
}

static int on_refused(struct carrier *c, const struct frame *f)
{
	struct session *s = c->s;
	struct refused r;
	int err;

	if (refused_decode(f->payload, f->len, &r) < 0)
		return RW_ERR_PROTO;
	err = reason_from_wire(r.code);
	if (err == 0)
		err = RW_ERR_REFUSED;
	s->ops->on_ended(s, err, r.text);
	return err;
}

static void on_pong(struct carrier *c, uint64_t token)
{
	if (token != c->ping_token || c->ping_at == 0)
		return;
	c->ping_took = MAX(c->s->now - c->ping_at, 1);
	pace_rtt(&c->pace, c->ping_took, c->s->now);
	c->s->answered = MAX(c->s->answered, c->ping_at);
	c->answered_at = c->s->now;
	c->proven_at = c->ping_at;
	/* The next one shows what an answer takes without the outage. */
	c->ping_due |= c->doubted_at != 0;
	if (c->proven_at >= c->doubted_at)
		c->doubted_at = c->overtaken_at = 0;
	c->ping_at = c->ping_deadline = 0;
	session_wake(c->s); /* it may have overtaken another one */
}

static int on_streams(struct session *s, uint32_t highest)
{
	s->peer_max_id = MAX(s->peer_max_id, highest);
	if (!list_is_empty(&s->unopened))
		session_wake(s);
	return 0;
}

static int on_read(struct carrier *c, uint64_t read)
{
	if (read > c->pace.read)
		c->answered_at = c->s->now;
	if (!pace_read(&c->pace, read, c->s->now))
		return RW_ERR_PROTO;
	if (!list_is_empty(&c->fresh) || !list_is_empty(&c->old))
		session_wake(c->s);
	return 0;
}

static int on_wants(struct carrier *c, uint64_t wants)
{
	if (!c->s->p.is_client)
		return RW_ERR_PROTO;
	spread_peer_wants(c->s, wants);
	return 0;
}

/* At the rig: the client has left c, and lets it go when we have, too. */
static int on_leave(struct carrier *c)
{
	if (c->s->p.is_client && !carrier_retires(c))
		return RW_ERR_PROTO;
	c->peer_left = true;
	if (!c->s->p.is_client)
		spread_retire(c);
	session_wake(c->s);
	return 0;
}

static int input_carrier(struct carrier *c, const struct frame *f)
{
	if (f->type == FRAME_WELCOME)
		return on_welcome(c, f);
	if (f->type == FRAME_REFUSED)
		return on_refused(c, f);
	if (c->state != CARRIER_LIVE)
		return RW_ERR_PROTO;
	switch (f->type) {
	case FRAME_PING:
		c->pong_due = true;
		c->pong_token = get_be64(f->payload);
		session_wake(c->s);
		return 0;
	case FRAME_PONG: on_pong(c, get_be64(f->payload)); return 0;
	case FRAME_READ: return on_read(c, get_be64(f->payload));
	case FRAME_LIVE: return session_judge_live(c->s, c, f->payload, f->len);
	case FRAME_WANTS: return on_wants(c, get_be64(f->payload));
	case FRAME_LEAVE: return on_leave(c);
	case FRAME_STREAMS: return on_streams(c->s, get_be32(f->payload));
	default: return RW_ERR_PROTO; /* HELLO a second time */
	}
}

/* DATA is counted, and its count is stated when the sender asks for it by a
 * mark, else within LAG_US. */
static void count_data(struct carrier *c, const struct frame *f)
{
	struct session *s = c->s;

	c->in_bytes += FRAME_HDR_LEN + f->len;
	c->flowed = true;
	if ((f->flags & FRAME_FLAG_MARK) != 0) {
		c->read_due = true;
		session_wake(s);
	} else if (c->read_at == 0) {
		c->read_at = s->now + LAG_US;
		session_wake(s);
	}
}

ssize_t carrier_input(struct carrier *c, const uint8_t *data, size_t len,
		      uint64_t now_us)
{
	struct session *s = c->s;
	size_t done = 0;
	int err = 0;

	s->now = s->last_heard = c->last_in = now_us;
	while (done < len) {
		struct frame f;
		ssize_t n = frame_decode(data + done, len - done, &f);

		if (n == 0)
			break;
		if (n < 0)
			err = (int)n;
		else if (f.type < FRAME_OPEN)
			err = input_carrier(c, &f);
		else if (c->state != CARRIER_LIVE)
			err = RW_ERR_PROTO;
		else
			err = input_stream(c, &f);
		if (err < 0) {
			carrier_close(c, now_us);
			return err;
		}
		if (f.type == FRAME_DATA || f.type == FRAME_DGRAM)
			count_data(c, &f);
		done += (size_t)n;
	}
	return (ssize_t)done;
}

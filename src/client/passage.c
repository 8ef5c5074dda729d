/* SPDX-License-Identifier: MIT */
#include "client/passage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/way.h"
#include "core/stream.h"
#include "net/loop.h"
#include "net/pump.h"
#include "net/reset.h"

struct passage {
	struct way *way;
	uv_loop_t *loop;
	const struct passage_ops *ops;
	void *user;
	int fd; /* -1 once the pump has it */
	struct target target;
	uint64_t wait_ms;
	struct pump *pump; /* NULL while waiting and when over */
	struct way_watch watch;
	struct timer *timer; /* ends the wait; 0 ms: tells the failure;
			      * NULL where there was nothing to wait for */
	int err;	     /* of a failure to be told */
	char text[WAY_TEXT_CAP];
};

static void on_timer(void *user);

static void passage_end(struct passage *c, int err, const char *text)
{
	const struct passage_ops *ops = c->ops;
	struct way *way = c->way;
	void *user = c->user;

	list_del(&c->watch.link);
	if (c->fd >= 0)
		/* On a unix socket the last line of the control socket tells
		 * the difference. */
		reset_close(c->fd);
	timer_free(c->timer);
	ops->on_done(user, err, text);
	free(c);
	way_unwant(way);
}

static void start_timer(struct passage *c, uint64_t ms)
{
	if (c->timer == NULL)
		c->timer = timer_new(c->loop, on_timer, c);
	timer_start(c->timer, ms);
}

/* Ends c from the loop, whoever calls. */
static void fail_soon(struct passage *c, int err, const char *text)
{
	list_del(&c->watch.link);
	c->err = err;
	str_copy(c->text, sizeof(c->text),
		 text != NULL && text[0] != '\0' ? text : err_text(err));
	start_timer(c, 0);
}

static void on_pump_done(void *user, int err, const char *text)
{
	struct passage *c = user;

	c->pump = NULL;
	passage_end(c, err, text[0] != '\0' ? text : err_text(err));
}

static void on_pump_connected(void *user)
{
	struct passage *c = user;

	if (c->ops->on_connected != NULL)
		c->ops->on_connected(c->user);
}

static const struct pump_ops pump_ops = {
	.on_done = on_pump_done,
	.on_connected = on_pump_connected,
};

static void passage_open(struct passage *c)
{
	const struct stream_to to = { .kind = c->target.kind,
				      .target = c->target.to };
	struct pump_params p = {
		.loop = c->loop, .fd = c->fd, .ops = &pump_ops, .user = c
	};
	int err;

	if (c->timer != NULL)
		timer_stop(c->timer);
	err = stream_open(way_session(c->way), &to, pump_stream_ops(), NULL,
			  &p.st);
	if (err == 0) {
		c->fd = -1;
		err = pump_new(&p, &c->pump);
	}
	if (err < 0)
		fail_soon(c, err,
			  err == RW_ERR_LIMIT
				  ? "too many connections to this rig are open"
				  : NULL);
}

static void on_live(struct way_watch *w)
{
	passage_open(container_of(w, struct passage, watch));
}

static void on_ended(struct way_watch *w, int err, const char *text)
{
	fail_soon(container_of(w, struct passage, watch), err, text);
}

static void wait_over(struct passage *c)
{
	struct way_report r;
	char waited[FORMAT_CAP], text[WAY_TEXT_CAP];

	way_report(c->way, &r);
	if (c->wait_ms == 0)
		snprintf(text, sizeof(text), "not connected%s%.400s",
			 r.text[0] != '\0' ? ": " : "", r.text);
	else
		snprintf(text, sizeof(text), "not connected within %s%s%.400s",
			 format_duration(c->wait_ms, waited),
			 r.text[0] != '\0' ? ": " : "", r.text);
	passage_end(c, RW_ERR_TIMEOUT, text);
}

static void on_timer(void *user)
{
	struct passage *c = user;

	if (c->err != 0)
		passage_end(c, c->err, c->text);
	else
		wait_over(c);
}

struct passage *passage_new(const struct passage_params *p)
{
	struct passage *c = xcalloc(1, sizeof(*c));
	struct way_report r;

	c->way = p->way;
	c->loop = p->loop;
	c->ops = p->ops;
	c->user = p->user;
	c->fd = p->fd;
	c->target = *p->target;
	c->wait_ms = p->wait_ms;
	c->watch =
		(struct way_watch){ .on_live = on_live, .on_ended = on_ended };
	list_init(&c->watch.link);
	way_want(c->way);
	switch (way_state(c->way)) {
	case WAY_LIVE: passage_open(c); break;
	case WAY_ENDED:
		way_report(c->way, &r);
		fail_soon(c, RW_ERR_REFUSED, r.text);
		break;
	case WAY_IDLE:
	case WAY_DIALING:
		way_watch(c->way, &c->watch);
		start_timer(c, c->wait_ms);
		break;
	}
	return c;
}

void passage_abort(struct passage *c, int err)
{
	if (c->pump != NULL)
		pump_abort(c->pump, err);
	else if (c->err == 0)
		fail_soon(c, err, NULL);
}

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

/* What it holds until its stream is open, and again to tell of a failure from
 * the loop. */
struct pending {
	struct passage *c;
	int fd; /* -1 once the pump has it */
	struct target target;
	uint64_t wait_ms;
	struct way_watch watch;
	struct timer *timer; /* ends the wait; 0 ms: tells the failure;
			      * NULL where there was nothing to wait for */
	int err;	     /* of a failure to be told */
	char text[WAY_TEXT_CAP];
};

static void on_timer(void *user);

/* Nothing of it happens any more; its text stays. */
static void pending_stop(struct pending *w)
{
	list_del(&w->watch.link);
	if (w->fd >= 0)
		/* On a unix socket the last line of the control socket tells
		 * the difference. */
		reset_close(w->fd);
	timer_free(w->timer);
}

static void passage_end(struct passage *c, int err, const char *text)
{
	struct pending *w = c->is_open ? NULL : c->wait;
	struct way *way = c->way;

	if (w != NULL)
		pending_stop(w);
	c->ops->on_done(c, err, text);
	free(w);
	way_unwant(way);
}

static void start_timer(struct pending *w, uint64_t ms)
{
	if (w->timer == NULL)
		w->timer = timer_new(way_loop(w->c->way), on_timer, w);
	timer_start(w->timer, ms);
}

/* Ends its passage from the loop, whoever calls. */
static void fail_soon(struct pending *w, int err, const char *text)
{
	list_del(&w->watch.link);
	w->err = err;
	str_copy(w->text, sizeof(w->text),
		 text != NULL && text[0] != '\0' ? text : err_text(err));
	start_timer(w, 0);
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

	c->is_connected = true;
	if (c->ops->on_connected != NULL)
		c->ops->on_connected(c);
}

static const struct pump_ops pump_ops = {
	.on_done = on_pump_done,
	.on_connected = on_pump_connected,
};

static int open_stream(struct pending *w, struct pump **ret)
{
	struct passage *c = w->c;
	const struct stream_to to = { .kind = w->target.kind,
				      .target = w->target.to };
	struct pump_params p = { .loop = way_loop(c->way),
				 .fd = w->fd,
				 .ops = &pump_ops,
				 .user = c };
	int err = stream_open(way_session(c->way), &to, pump_stream_ops(), NULL,
			      &p.st);

	if (err < 0)
		return err;
	w->fd = -1;
	return pump_new(&p, ret);
}

static void passage_open(struct passage *c)
{
	struct pending *w = c->wait;
	struct pump *pump;
	int err;

	if (w->timer != NULL)
		timer_stop(w->timer);
	err = open_stream(w, &pump);
	if (err == 0) {
		pending_stop(w);
		free(w);
		c->is_open = true;
		c->pump = pump;
		return;
	}
	fail_soon(w, err,
		  err == RW_ERR_LIMIT
			  ? "too many connections to this rig are open"
			  : NULL);
}

static void on_live(struct way_watch *watch)
{
	passage_open(container_of(watch, struct pending, watch)->c);
}

static void on_ended(struct way_watch *watch, int err, const char *text)
{
	fail_soon(container_of(watch, struct pending, watch), err, text);
}

static void wait_over(struct pending *w)
{
	struct way_report r;
	char waited[FORMAT_CAP], text[WAY_TEXT_CAP];

	way_report(w->c->way, &r);
	if (w->wait_ms == 0)
		snprintf(text, sizeof(text), "not connected%s%.400s",
			 r.text[0] != '\0' ? ": " : "", r.text);
	else
		snprintf(text, sizeof(text), "not connected within %s%s%.400s",
			 format_duration(w->wait_ms, waited),
			 r.text[0] != '\0' ? ": " : "", r.text);
	passage_end(w->c, RW_ERR_TIMEOUT, text);
}

static void on_timer(void *user)
{
	struct pending *w = user;

	if (w->err != 0)
		passage_end(w->c, w->err, w->text);
	else
		wait_over(w);
}

static struct pending *pending_new(struct passage *c,
				   const struct passage_params *p)
{
	struct pending *w = xcalloc(1, sizeof(*w));

	w->c = c;
	w->fd = p->fd;
	w->target = *p->target;
	w->wait_ms = p->wait_ms;
	w->watch =
		(struct way_watch){ .on_live = on_live, .on_ended = on_ended };
	list_init(&w->watch.link);
	return w;
}

void passage_start(struct passage *c, const struct passage_params *p)
{
	struct way_report r;

	*c = (struct passage){ .way = p->way, .ops = p->ops };
	c->wait = pending_new(c, p);
	way_want(c->way);
	switch (way_state(c->way)) {
	case WAY_LIVE: passage_open(c); break;
	case WAY_ENDED:
		way_report(c->way, &r);
		fail_soon(c->wait, RW_ERR_REFUSED, r.text);
		break;
	case WAY_IDLE:
	case WAY_DIALING:
		way_watch(c->way, &c->wait->watch);
		start_timer(c->wait, p->wait_ms);
		break;
	}
}

void passage_abort(struct passage *c, int err)
{
	if (!c->is_open && c->wait->err == 0)
		fail_soon(c->wait, err, NULL);
	else if (c->is_open && c->pump != NULL)
		pump_abort(c->pump, err);
}

/* SPDX-License-Identifier: MIT */
#include "client/orders.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/format.h"
#include "base/mem.h"
#include "client/daemon.h"
#include "client/report.h"
#include "client/verbs.h"
#include "client/way.h"
#include "net/local.h"
#include "net/loop.h"

#define SPECS_MAX 64
/* How long a rig that is being dialled may take to say that it wants us, or
 * not, before the answer is given without it. */
#define FIRST_WORD_MS 1500

/* NULL where the member is missing or no string. */
static const char *get_str(const json_t *msg, const char *key)
{
	return json_string_value(json_object_get(msg, key));
}

/* Ends r with the sentence, which is freed. */
static void fail(struct local_req *r, int status, char *text)
{
	local_end(r, false, status, text);
	free(text);
}

/* One request. */
struct order {
	struct list link; /* daemon.orders while held */
	struct daemon *d;
	struct local_req *req;
	struct rigs_row *rig;
	struct target_spec *specs;
	size_t count;
	bool hold; /* while the asker stays, and not on disk */
	/* New here, and held until the answer: nobody else closes them. */
	struct forward *made[SPECS_MAX];
	size_t made_count;
	bool was_kept[SPECS_MAX];
	struct forward *rows[SPECS_MAX]; /* valid until the loop runs again */
	json_t *answer;			 /* NULL once it was given */
	struct way_watch watch;
	struct timer *timer; /* ends the wait for a first word of the rig */
};

static void order_free(struct order *o)
{
	list_del(&o->link);
	list_del(&o->watch.link);
	timer_free(o->timer);
	json_decref(o->answer);
	free(o->specs);
	free(o);
}

static void order_undo(struct order *o, bool cut)
{
	while (o->made_count > 0)
		forward_close(o->made[--o->made_count], cut);
}

static bool read_specs(struct order *o, const json_t *specs, char **ret_err)
{
	size_t i;
	json_t *it;

	if (json_array_size(specs) == 0 || json_array_size(specs) > SPECS_MAX) {
		*ret_err = xasprintf("one to %d SPECs are expected", SPECS_MAX);
		return false;
	}
	o->specs = xcalloc(json_array_size(specs), sizeof(*o->specs));
	json_array_foreach(specs, i, it)
	{
		const char *text = json_string_value(it);

		if (target_parse_spec(text != NULL ? text : "", &o->specs[i],
				      ret_err) < 0)
			return false;
		o->count++;
	}
	return true;
}

static bool open_all(struct order *o, char **ret_err)
{
	for (size_t i = 0; i < o->count; i++) {
		struct forward_opened at;
		struct forward *fw;

		if (forward_open(&o->d->forwards, o->rig, &o->specs[i], &at,
				 ret_err) < 0)
			return false;
		fw = at.fw;
		if (!at.is_new && o->hold) {
			*ret_err = xasprintf("port %u is forwarded already, "
					     "and stays so without this",
					     fw->spec.port);
			return false;
		}
		if (at.is_new)
			o->made[o->made_count++] = fw;
		fw->held |= at.is_new;
		o->rows[i] = fw;
	}
	return true;
}

static bool keep_all(struct order *o, char **ret_err)
{
	int err;

	for (size_t i = 0; i < o->count; i++) {
		o->was_kept[i] = o->rows[i]->kept;
		forward_keep(o->rows[i]);
	}
	err = forwards_save(&o->d->forwards);
	if (err == 0)
		return true;
	for (size_t i = 0; i < o->count; i++)
		o->rows[i]->kept = o->was_kept[i];
	*ret_err =
		xasprintf("cannot write down the forward: %s", err_text(err));
	return false;
}

/* -- the answer, once the rig was heard, or not in time */

static void order_note(struct order *o)
{
	char wait[FORMAT_CAP], *text;
	struct way_report w;

	way_report(o->rig->way, &w);
	text = xasprintf(
		"%s is not connected yet%s%s; a connection to the port "
		"waits for it, up to %s",
		o->rig->name, w.text[0] != '\0' ? ": " : "", w.text,
		format_duration(o->d->settings.client.wait_ms, wait));
	local_reply_json(o->req, json_pack("{s:s}", "note", text));
	free(text);
}

/* What was asked for stands. A held one stays until the asker leaves. */
static void order_answer(struct order *o)
{
	struct local_req *r = o->req;
	json_t *row;
	size_t i;

	json_array_foreach(o->answer, i, row)
		local_reply_json(r, json_incref(row));
	json_decref(o->answer);
	o->answer = NULL;
	timer_stop(o->timer);
	if (o->hold)
		return;
	while (o->made_count > 0)
		o->made[--o->made_count]->held = false;
	order_free(o);
	local_end(r, true, 0, NULL);
}

static void on_late(void *user)
{
	order_note(user);
	order_answer(user);
}

static void on_live(struct way_watch *w)
{
	struct order *o = container_of(w, struct order, watch);

	if (o->hold)
		way_watch(o->rig->way, &o->watch); /* it may end yet */
	if (o->answer != NULL)
		order_answer(o);
}

/* The rig does not want this machine: a port that leads there would only
 * pretend to be one. */
static void order_refuse(struct order *o, const char *text)
{
	struct local_req *r = o->req;
	char *words = xasprintf("%s: %s", o->rig->name, text);

	for (size_t i = 0; i < o->made_count; i++)
		o->made[i]->kept = false;
	if (!o->hold && forwards_save(&o->d->forwards) < 0)
		log_warn("%s: the forward may come back after a restart",
			 o->rig->name);
	order_undo(o, true);
	order_free(o);
	fail(r, 1, words);
}

static void on_ended(struct way_watch *w, int err, const char *text)
{
	(void)err;
	order_refuse(container_of(w, struct order, watch), text);
}

/* The asker left. Of `forward --foreground` the ports and connections go; what
 * is kept stays. */
static void order_gone(struct local_req *r, void *user)
{
	struct order *o = user;

	(void)r;
	if (o->hold)
		order_undo(o, true);
	while (o->made_count > 0)
		o->made[--o->made_count]->held = false;
	order_free(o);
}

static json_t *order_rows(const struct order *o)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < o->count; i++)
		json_array_append_new(rows,
				      json_pack("{s:o}", "forward",
						report_forward(o->rows[i])));
	return rows;
}

static void order_wait(struct order *o)
{
	struct way *way = o->rig->way;
	struct way_report w;

	list_push(&o->d->orders, &o->link);
	local_set_gone(o->req, order_gone, o);
	o->answer = order_rows(o);
	o->timer = timer_new(&o->d->loop, on_late, o);
	o->watch =
		(struct way_watch){ .on_live = on_live, .on_ended = on_ended };
	list_init(&o->watch.link);
	switch (way_state(way)) {
	case WAY_ENDED:
		way_report(way, &w);
		order_refuse(o, w.text);
		return;
	case WAY_LIVE: on_live(&o->watch); return;
	case WAY_IDLE:
	case WAY_DIALING:
		way_watch(way, &o->watch);
		timer_start(o->timer, FIRST_WORD_MS);
		return;
	}
}

void orders_forward(struct daemon *d, struct local_req *r, json_t *msg)
{
	struct rigs_row *rig;
	struct order *o = xcalloc(1, sizeof(*o));
	char *text = NULL;

	list_init(&o->link);
	list_init(&o->watch.link);
	o->d = d;
	o->req = r;
	o->hold = json_is_true(json_object_get(msg, "hold"));
	if (!read_specs(o, json_object_get(msg, "specs"), &text)) {
		fail(r, 2, text);
		order_free(o);
		return;
	}
	rig = verbs_rig(d, r, msg);
	if (rig == NULL) {
		order_free(o);
		return;
	}
	o->rig = rig;
	if (!open_all(o, &text) || (!o->hold && !keep_all(o, &text))) {
		order_undo(o, true);
		order_free(o);
		fail(r, 1, text);
		return;
	}
	order_wait(o);
}

void orders_end_all(struct daemon *d)
{
	struct list *it;

	while ((it = list_first(&d->orders)) != NULL) {
		struct order *o = container_of(it, struct order, link);
		struct local_req *r = o->req;

		if (o->hold)
			order_undo(o, true);
		order_free(o);
		local_end(r, false, 1, "rigway is stopping");
	}
}

/* What one request closes. */
struct closing {
	struct daemon *d;
	const struct rigs_row *rig; /* NULL: any */
	struct target_spec spec;
};

/* Marks what is meant as kept or not; returns how many there are. */
static size_t mark_all(const struct closing *c, bool from, bool to)
{
	const struct forwards *all = &c->d->forwards;
	struct forward *fw = NULL;
	size_t n = 0;

	while ((fw = forward_next(all, fw, c->rig, c->spec.bind,
				  c->spec.port)) != NULL)
		if (fw->kept == from && !fw->held) {
			fw->kept = to;
			n++;
		}
	return n;
}

static void close_all(const struct closing *c, struct local_req *r)
{
	const struct forwards *all = &c->d->forwards;
	struct forward *fw, *next;

	for (fw = forward_next(all, NULL, c->rig, c->spec.bind, c->spec.port);
	     fw != NULL; fw = next) {
		next = forward_next(all, fw, c->rig, c->spec.bind,
				    c->spec.port);
		if (fw->kept || fw->held)
			continue;
		local_reply_json(
			r, json_pack("{s:o}", "forward", report_forward(fw)));
		forward_close(fw, false);
	}
}

/* First on disk, then for real: what fails has changed nothing. */
void orders_unforward(struct daemon *d, struct local_req *r, json_t *msg)
{
	const char *text = get_str(msg, "spec");
	struct closing c = { .d = d };
	char *words;
	int err;

	if (target_parse_spec(text != NULL ? text : "", &c.spec, &words) < 0) {
		fail(r, 2, words);
		return;
	}
	if (get_str(msg, "rig") != NULL &&
	    (c.rig = verbs_rig(d, r, msg)) == NULL)
		return;
	if (mark_all(&c, true, false) == 0) {
		fail(r, 1,
		     xasprintf("port %u is not forwarded%s%s", c.spec.port,
			       c.rig != NULL ? " to " : "",
			       c.rig != NULL ? c.rig->name : ""));
		return;
	}
	err = forwards_save(&d->forwards);
	if (err < 0) {
		mark_all(&c, false, true);
		fail(r, 1,
		     xasprintf("the forward stays: its end cannot be written "
			       "down: %s",
			       err_text(err)));
		return;
	}
	close_all(&c, r);
	local_end(r, true, 0, NULL);
}

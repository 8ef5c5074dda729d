/* SPDX-License-Identifier: MIT */
#include "client/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/asks.h"
#include "client/daemon.h"
#include "client/directory.h"
#include "client/join.h"
#include "client/orders.h"
#include "client/report.h"
#include "client/passfd.h"
#include "net/local.h"
#include "net/loop.h"
#include "net/wake.h"

#define STOPPING	 "rigway is stopping; try again"
#define RENEW_TIMEOUT_MS 12000
#define LOOK_MS		 10
#define LOOK_MAX_US	 2000000

/* NULL where the member is missing or no string. */
static const char *get_str(const json_t *msg, const char *key)
{
	return json_string_value(json_object_get(msg, key));
}

/* Ends r with the sentence, which is freed. */
static void fail(struct local_req *r, char *text)
{
	local_end(r, false, 1, text);
	free(text);
}

static void misused(struct local_req *r, char *text)
{
	local_end(r, false, 2, text);
	free(text);
}

struct rigs_row *verbs_rig(struct daemon *d, struct local_req *r,
			   const json_t *msg)
{
	struct rigs_row *row;
	char *text;

	if (rigs_resolve(&d->rigs, get_str(msg, "rig"), &row, &text) == 0)
		return row;
	fail(r, text);
	return NULL;
}

/* -- looking */

/* Before anything is told, every rig that is connected is asked, and is given a
 * moment to answer. */
struct look {
	struct list link; /* daemon.looks */
	struct daemon *d;
	struct local_req *req; /* NULL once the asker left */
	void (*tell)(struct daemon *d, struct local_req *r);
	struct timer *timer;
	uint64_t until_us; /* 0: nobody was asked yet */
	bool lists;	   /* asks the relays, too */
};

static void look_gone(struct local_req *r, void *user)
{
	(void)r;
	((struct look *)user)->req = NULL;
}

static bool all_answered(const struct daemon *d)
{
	list_for_each (it, &d->rigs.rows)
		if (!way_has_answered(
			    container_of(it, struct rigs_row, link)->way))
			return false;
	return true;
}

static void look_free(struct look *k)
{
	list_del(&k->link);
	timer_free(k->timer);
	free(k);
}

static void look_listed(void *user)
{
	timer_start(((struct look *)user)->timer, 0);
}

/* From the loop's timer: had this process stood still, what waits in its
 * sockets was read by now, and is no news. */
static void look_ask(struct look *k)
{
	wake_look(k->d->wake);
	list_for_each (it, &k->d->rigs.rows)
		way_ask(container_of(it, struct rigs_row, link)->way);
	k->until_us = loop_now_us(&k->d->loop) + LOOK_MAX_US;
	if (k->lists)
		directory_ask(k->d->directory, look_listed, k);
	else
		look_listed(k);
}

static void look_on_timer(void *user)
{
	struct look *k = user;

	if (k->req != NULL && k->until_us == 0) {
		look_ask(k);
		return;
	}
	if (k->req != NULL && loop_now_us(&k->d->loop) < k->until_us &&
	    !all_answered(k->d)) {
		timer_start(k->timer, LOOK_MS);
		return;
	}
	if (k->req != NULL)
		k->tell(k->d, k->req);
	look_free(k);
}

static void look_start(struct daemon *d, struct local_req *r, bool lists,
		       void (*tell)(struct daemon *d, struct local_req *r))
{
	struct look *k = xcalloc(1, sizeof(*k));

	*k = (struct look){ .d = d, .req = r, .tell = tell, .lists = lists };
	list_push(&d->looks, &k->link);
	k->timer = timer_new(&d->loop, look_on_timer, k);
	local_set_gone(r, look_gone, k);
	timer_start(k->timer, 0);
}

static json_t *rigs_lines(const struct daemon *d,
			  json_t *(*report)(const struct daemon *d,
					    const struct rigs_row *row))
{
	json_t *lines = json_array();

	list_for_each (it, &d->rigs.rows) {
		struct rigs_row *row = container_of(it, struct rigs_row, link);

		if (!row->pending)
			json_array_append_new(lines, json_pack("{s:o}", "rig",
							       report(d, row)));
	}
	return lines;
}

static void tell_ls(struct daemon *d, struct local_req *r)
{
	local_end_array(r, rigs_lines(d, report_ls));
}

static void do_ls(struct daemon *d, struct local_req *r, json_t *msg)
{
	(void)msg;
	look_start(d, r, true, tell_ls);
}

static void tell_status(struct daemon *d, struct local_req *r)
{
	json_t *lines = rigs_lines(d, report_status);

	json_array_insert_new(lines, 0,
			      json_pack("{s:o}", "daemon", report_daemon(d)));
	list_for_each (it, &d->forwards.rows)
		json_array_append_new(
			lines, json_pack("{s:o}", "forward",
					 report_forward(container_of(
						 it, struct forward, link))));
	local_end_array(r, lines);
}

static void do_status(struct daemon *d, struct local_req *r, json_t *msg)
{
	(void)msg;
	look_start(d, r, false, tell_status);
}

static json_t *rig_only(const struct daemon *d, const struct rigs_row *row)
{
	(void)d;
	return report_rig(row);
}

static void do_rigs(struct daemon *d, struct local_req *r, json_t *msg)
{
	(void)msg;
	local_end_array(r, rigs_lines(d, rig_only));
}

/* -- connections */

static void do_connect(struct daemon *d, struct local_req *r, json_t *msg)
{
	struct rigs_row *row = verbs_rig(d, r, msg);
	const char *text = get_str(msg, "target");
	struct target target;
	char *words;

	if (row == NULL)
		return;
	if (target_parse_dest(text != NULL ? text : "", row->name, &target,
			      &words) < 0)
		misused(r, words);
	else
		passfd_start(row->way, &target, d->settings.client.wait_ms, r);
}

/* -- requests to a rig */

struct request_job {
	struct local_req *req; /* NULL once the asker left */
	const char *rig;
	struct ask *ask;
};

static void job_gone(struct local_req *r, void *user)
{
	struct request_job *job = user;

	(void)r;
	ask_cancel(job->ask);
	free(job);
}

static void job_answer(void *user, const struct request *a)
{
	struct request_job *job = user;

	if (a->type == A_INVITE)
		local_reply_json(job->req,
				 json_pack("{s:s, s:s, s:s}", "rig", job->rig,
					   "code", a->a_invite.code, "note",
					   a->a_invite.note));
}

static void job_done(void *user, int err, const char *text)
{
	struct request_job *job = user;

	if (err == 0) {
		local_reply_json(job->req, json_pack("{s:s, s:s}", "rig",
						     job->rig, "text", text));
		local_end(job->req, true, 0, NULL);
	} else {
		fail(job->req, xasprintf("%s: %s", job->rig, text));
	}
	free(job);
}

static const struct ask_ops job_ops = {
	.on_answer = job_answer,
	.on_done = job_done,
};

static void put_request(struct daemon *d, struct local_req *r,
			struct rigs_row *row, struct request *q)
{
	struct request_job *job = xcalloc(1, sizeof(*job));
	int err;

	if (row->asks == NULL)
		row->asks = asks_new(&d->loop, row->way,
				     (size_t)d->settings.client.max_requests);
	job->req = r;
	job->rig = row->name;
	err = asks_put(row->asks, q, &job_ops, job, &job->ask);
	if (err < 0) {
		free(job);
		fail(r, xasprintf("%s: %s", row->name,
				  err == RW_ERR_LIMIT
					  ? "too many requests wait for its "
					    "answer (client.max_requests)"
					  : err_text(err)));
		return;
	}
	local_set_gone(r, job_gone, job);
}

static void do_invite(struct daemon *d, struct local_req *r, json_t *msg)
{
	struct rigs_row *row = verbs_rig(d, r, msg);
	struct request q = { .type = Q_INVITE };
	const char *services = get_str(msg, "services");
	json_int_t ttl = json_integer_value(json_object_get(msg, "ttl"));
	json_int_t uses = json_integer_value(json_object_get(msg, "uses"));

	if (row == NULL)
		return;
	q.q_invite.ttl_s = ttl > 0 ? (uint64_t)ttl : 0;
	q.q_invite.uses = uses > 0 && uses <= UINT16_MAX ? (uint16_t)uses : 0;
	if (services != NULL &&
	    !str_copy(q.q_invite.services, sizeof(q.q_invite.services),
		      services))
		misused(r, xstrdup("the list of services is too long"));
	else
		put_request(d, r, row, &q);
}

static void do_authorize(struct daemon *d, struct local_req *r, json_t *msg)
{
	struct rigs_row *row = verbs_rig(d, r, msg);
	const char *key = get_str(msg, "key");
	struct request q = { .type = Q_AUTHORIZE };

	if (row == NULL)
		return;
	if (key == NULL || strlen(key) > REQUEST_KEY_MAX) {
		misused(r, xstrdup("there is no ssh public key, or it is too "
				   "long"));
		return;
	}
	q.q_authorize.key.data = (const uint8_t *)key;
	q.q_authorize.key.len = strlen(key);
	put_request(d, r, row, &q);
}

/* -- connecting anew */

struct renewal {
	struct local_req *req; /* NULL once the asker left */
	struct rigs_row *row;
	struct way_watch watch;
	struct timer *timer;
};

static void renewal_end(struct renewal *n, bool ok, const char *text)
{
	struct local_req *r = n->req;
	char *words = ok ? NULL : xasprintf("%s: %s", n->row->name, text);

	list_del(&n->watch.link);
	timer_free(n->timer);
	way_unwant(n->row->way);
	if (r != NULL) {
		local_reply_json(r, json_pack("{s:s, s:b}", "rig", n->row->name,
					      "connected", (int)ok));
		local_end(r, ok, ok ? 0 : 1, words);
	}
	free(words);
	free(n);
}

static void renewal_live(struct way_watch *w)
{
	renewal_end(container_of(w, struct renewal, watch), true, NULL);
}

static void renewal_refused(struct way_watch *w, int err, const char *text)
{
	(void)err;
	renewal_end(container_of(w, struct renewal, watch), false, text);
}

static void renewal_late(void *user)
{
	struct renewal *n = user;
	struct way_report report;

	way_report(n->row->way, &report);
	renewal_end(n, false,
		    report.text[0] != '\0' ? report.text
					   : err_text(RW_ERR_TIMEOUT));
}

static void renewal_gone(struct local_req *r, void *user)
{
	(void)r;
	((struct renewal *)user)->req = NULL;
}

static void do_reconnect(struct daemon *d, struct local_req *r, json_t *msg)
{
	struct rigs_row *row = verbs_rig(d, r, msg);
	struct renewal *n;

	if (row == NULL)
		return;
	n = xcalloc(1, sizeof(*n));
	n->req = r;
	n->row = row;
	n->watch = (struct way_watch){ .on_live = renewal_live,
				       .on_ended = renewal_refused };
	list_init(&n->watch.link);
	n->timer = timer_new(&d->loop, renewal_late, n);
	timer_start(n->timer, RENEW_TIMEOUT_MS);
	local_set_gone(r, renewal_gone, n);
	way_watch(row->way, &n->watch);
	way_want(row->way);
	way_renew(row->way);
}

/* -- the rest */

static void do_join(struct daemon *d, struct local_req *r, json_t *msg)
{
	const char *code = get_str(msg, "code");

	join_start(d, code != NULL ? code : "", get_str(msg, "name"), r);
}

static void do_stop(struct daemon *d, struct local_req *r, json_t *msg)
{
	(void)msg;
	local_end(r, true, 0, NULL);
	daemon_stop(d);
}

void verbs_end(struct daemon *d)
{
	list_for_each_safe (it, &d->looks) {
		struct look *k = container_of(it, struct look, link);

		if (k->req != NULL)
			local_end(k->req, false, 1, STOPPING);
		look_free(k);
	}
}

static const struct verb {
	const char *name;
	void (*run)(struct daemon *d, struct local_req *r, json_t *msg);
} verbs[] = {
	{ "ls", do_ls },
	{ "status", do_status },
	{ "rigs", do_rigs },
	{ "forward", orders_forward },
	{ "unforward", orders_unforward },
	{ "connect", do_connect },
	{ "invite", do_invite },
	{ "authorize", do_authorize },
	{ "join", do_join },
	{ "reconnect", do_reconnect },
	{ "stop", do_stop },
};

void verbs_on_request(struct local_req *r, json_t *msg, void *user)
{
	struct daemon *d = user;
	const char *name = get_str(msg, "do");

	if (d->is_stopping) {
		local_end(r, false, 1, STOPPING);
		return;
	}
	for (size_t i = 0; name != NULL && i < ARRAY_LEN(verbs); i++)
		if (strcmp(name, verbs[i].name) == 0) {
			verbs[i].run(d, r, msg);
			return;
		}
	fail(r, xasprintf("the rigway in the background does not know '%s'; "
			  "was it updated? Try: rigway daemon --stop",
			  name != NULL ? name : ""));
}

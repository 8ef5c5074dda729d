/* SPDX-License-Identifier: MIT */
#include "client/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
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

#define RENEW_TIMEOUT_MS 12000

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

struct ls {
	struct daemon *d;
	struct local_req *req;
};

static void ls_gone(struct local_req *r, void *user)
{
	(void)r;
	((struct ls *)user)->req = NULL;
}

static void reply_rigs(struct daemon *d, struct local_req *r,
		       json_t *(*report)(const struct daemon *d,
					 const struct rigs_row *row))
{
	list_for_each (it, &d->rigs.rows) {
		struct rigs_row *row = container_of(it, struct rigs_row, link);

		if (!row->pending)
			local_reply_json(
				r, json_pack("{s:o}", "rig", report(d, row)));
	}
}

static void ls_answered(void *user)
{
	struct ls *ls = user;

	if (ls->req != NULL) {
		reply_rigs(ls->d, ls->req, report_ls);
		local_end(ls->req, true, 0, NULL);
	}
	free(ls);
}

static void do_ls(struct daemon *d, struct local_req *r, json_t *msg)
{
	struct ls *ls = xcalloc(1, sizeof(*ls));

	(void)msg;
	ls->d = d;
	ls->req = r;
	local_set_gone(r, ls_gone, ls);
	directory_ask(d->directory, ls_answered, ls);
}

static void do_status(struct daemon *d, struct local_req *r, json_t *msg)
{
	(void)msg;
	local_reply_json(r, json_pack("{s:o}", "daemon", report_daemon(d)));
	reply_rigs(d, r, report_status);
	list_for_each (it, &d->forwards.rows)
		local_reply_json(r,
				 json_pack("{s:o}", "forward",
					   report_forward(container_of(
						   it, struct forward, link))));
	local_end(r, true, 0, NULL);
}

static json_t *rig_only(const struct daemon *d, const struct rigs_row *row)
{
	(void)d;
	return report_rig(row);
}

static void do_rigs(struct daemon *d, struct local_req *r, json_t *msg)
{
	(void)msg;
	reply_rigs(d, r, rig_only);
	local_end(r, true, 0, NULL);
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
		passfd_start(&d->loop, row->way, &target,
			     d->settings.client.wait_ms, r);
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
		local_end(r, false, 1, "rigway is stopping; try again");
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

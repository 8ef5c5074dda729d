/* SPDX-License-Identifier: MIT */
#include "client/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/control.h"
#include "client/daemon.h"
#include "net/local.h"
#include "net/loop.h"
#include "wire/code.h"

#define REDEEM_RETRIES	2
#define REDEEM_RETRY_MS 1000
#define VOID_MS		3000

struct join {
	struct list link;
	struct daemon *d;
	struct local_req *req;
	struct code code;
	char name[RIGS_NAME_CAP]; /* "": the code's */
	struct redeem *redeem;	  /* while the relay is asked */
	struct rigs_row *row;	  /* while the rig is asked */
	char relay_text[512];	  /* why the relay did not take the code */
	struct rigs_row before;	  /* of a rig that was known already */
	bool was_known;
	struct way_watch watch;
	struct timer *timer; /* of the rig's answer; 0 ms: to leave callbacks */
	struct timer *redeem_timer; /* to ask the relay again */
	bool is_live;
	unsigned retries; /* of a code that the relay did not know */
};

/* -- ends */

/* Forgets the join; the row goes back to what it was. */
static void join_free(struct join *j)
{
	struct rigs_row *row = j->row;

	list_del(&j->link);
	list_del(&j->watch.link);
	if (j->redeem != NULL)
		relay_redeem_cancel(j->redeem);
	timer_free(j->timer);
	timer_free(j->redeem_timer);
	if (row != NULL) {
		way_unpair(row->way);
		way_unwant(row->way);
	}
	if (row != NULL && row->pending)
		daemon_disown(j->d, row);
	code_wipe(&j->code);
	free(j);
}

static void restore_row(struct join *j)
{
	struct rigs_row *row = j->row;

	if (row == NULL || !j->was_known)
		return;
	memcpy(row->relays, j->before.relays, sizeof(row->relays));
	row->relay_count = j->before.relay_count;
	row->relay_pin = j->before.relay_pin;
	memcpy(row->fleet, j->before.fleet, sizeof(row->fleet));
	memcpy(row->addrs, j->before.addrs, sizeof(row->addrs));
	way_offers(row->way);
}

__attribute__((format(printf, 2, 3))) static void
join_fail(struct join *j, const char *fmt, ...)
{
	struct local_req *req = j->req;
	char text[1200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_info("join: %s", text);
	restore_row(j);
	join_free(j);
	if (req != NULL)
		local_end(req, false, 1, text);
}

/* The address that worked stands first. */
static void set_relays(struct rigs_row *row, const struct code *code,
		       const char *worked)
{
	if (code->relay_count == 0)
		return;
	row->relay_count = 0;
	if (worked != NULL && worked[0] != '\0')
		str_copy(row->relays[row->relay_count++], HOSTPORT_CAP, worked);
	for (size_t i = 0; i < code->relay_count; i++)
		if (row->relay_count < CODE_RELAYS_MAX &&
		    (worked == NULL || strcmp(code->relay[i], worked) != 0))
			str_copy(row->relays[row->relay_count++], HOSTPORT_CAP,
				 code->relay[i]);
	row->relay_pin = code->relay_pin;
}

/* Where the rig can be reached by itself, in the code's order. */
static void set_addrs(struct rigs_row *row, const struct code *code)
{
	for (size_t i = code->addr_count; i > 0; i--)
		rigs_learn_addr(row, code->addr[i - 1]);
}

static void join_succeed(struct join *j)
{
	struct rigs_row *row = j->row;
	struct local_req *req = j->req;
	bool is_new = row->pending;
	int err;

	/* Its relay may have been too slow, or away: the rig, which knows this
	 * machine now, tells it. */
	if (row->relay_count == 0)
		set_relays(row, &j->code, NULL);
	row->pending = false;
	if (is_new)
		row->added = time(NULL);
	err = daemon_save_rigs(j->d);
	if (err < 0) {
		row->pending = is_new;
		join_fail(j,
			  "%s let this machine in, but that cannot be "
			  "written down here: %s; the code can be used "
			  "again",
			  row->name, err_text(err));
		return;
	}
	log_info("%s: joined", row->name);
	local_reply_json(req, json_pack("{s:s, s:s, s:s, s:s, s:b}", "rig",
					row->name, "host", row->info.host,
					"user", row->info.user, "role",
					row->info.role, "new", (int)is_new));
	j->req = NULL;
	join_free(j);
	local_end(req, true, 0, NULL);
}

static void on_redeemed(void *user, int err, const char *text,
			const char *fleet, const char *relay);

static int redeem_start(struct join *j)
{
	struct redeem_params p = {
		.loop = &j->d->loop,
		.key = j->d->key,
		.code = &j->code,
		.role = RELAY_CLIENT,
		.name = j->d->env.device,
	};

	return relay_redeem(&p, on_redeemed, j, &j->redeem);
}

/* -- the rig's answer */

static void on_redeem_timer(void *user)
{
	struct join *j = user;
	int err = redeem_start(j);

	if (err < 0)
		join_fail(j, "%s", err_text(err));
}

static void on_timer(void *user)
{
	struct join *j = user;
	struct way_report r;
	const char *text;

	if (j->is_live) {
		join_succeed(j);
		return;
	}
	way_report(j->row->way, &r);
	text = r.text[0] != '\0' ? r.text : err_text(RW_ERR_TIMEOUT);
	if (j->relay_text[0] != '\0')
		join_fail(j,
			  "%s; and %s cannot be reached without the relay: "
			  "%s",
			  j->relay_text, j->row->name, text);
	else
		join_fail(j,
			  "%s cannot be reached now: %s. The code is good "
			  "until it expires: start the rig (rigway rig) and "
			  "repeat this",
			  j->row->name, text);
}

static void on_live(struct way_watch *w)
{
	struct join *j = container_of(w, struct join, watch);

	j->is_live = true;
	timer_start(j->timer, 0);
}

static void on_ended(struct way_watch *w, int err, const char *text)
{
	struct join *j = container_of(w, struct join, watch);

	(void)err;
	/* A relay that does not know this machine yet may have been asked. */
	if (j->redeem != NULL || timer_is_running(j->redeem_timer))
		way_watch(j->row->way, w);
	else
		join_fail(j, "%s refused this machine: %s", j->row->name, text);
}

/* The row that the code means: one that is known, or a new pending one. */
static struct rigs_row *take_row(struct join *j)
{
	const struct code *code = &j->code;
	struct rigs *rigs = &j->d->rigs;
	struct rigs_row *row = rigs_find_pin(rigs, &code->rig_pin);

	j->was_known = row != NULL;
	if (row != NULL) {
		j->before = *row;
		return row;
	}
	row = rigs_add(rigs, &code->rig_pin,
		       j->name[0] != '\0' ? j->name : code->rig_name);
	if (row != NULL)
		daemon_adopt(j->d, row);
	return row;
}

/* HELLO shows the rig its half of the code from now on. */
static void pair(struct join *j)
{
	uint8_t id[CODE_ID_LEN];
	struct secret for_relay, for_rig;

	code_secrets(j->code.bits, &for_relay, &for_rig, id);
	way_offers(j->row->way);
	way_pair(j->row->way, id, for_rig.b);
	secret_wipe(&for_relay);
	secret_wipe(&for_rig);
	timer_start(j->timer, JOIN_TIMEOUT_MS);
}

/* False when j failed, and is gone. */
static bool ask_rig(struct join *j)
{
	struct rigs_row *row = take_row(j);

	if (row == NULL) {
		join_fail(j,
			  "%zu rigs are known here, and no more are allowed "
			  "(client.max_rigs)",
			  j->d->rigs.count);
		return false;
	}
	j->row = row;
	set_addrs(row, &j->code);
	way_want(row->way);
	way_watch(row->way, &j->watch);
	return true;
}

/* -- the relay's answer */

/* From here on the relay lets this machine through to the rig. */
static void use_relay(struct join *j, const char *fleet, const char *relay)
{
	if (j->row == NULL && !ask_rig(j))
		return;
	set_relays(j->row, &j->code, relay);
	str_copy(j->row->fleet, sizeof(j->row->fleet),
		 fleet != NULL ? fleet : "");
	pair(j);
}

/* The rig may still be reached by itself; of a code that is void it will say
 * the same. */
static void do_without_relay(struct join *j, int err, const char *text)
{
	bool is_void = err == RW_ERR_NOT_FOUND || err == RW_ERR_USED ||
		       err == RW_ERR_EXPIRED;

	str_copy(j->relay_text, sizeof(j->relay_text), text);
	if (is_void)
		timer_start(j->timer, VOID_MS);
	else if (way_state(j->row->way) == WAY_ENDED)
		timer_start(j->timer, 0);
}

static void on_redeemed(void *user, int err, const char *text,
			const char *fleet, const char *relay)
{
	struct join *j = user;

	j->redeem = NULL;
	if (text == NULL || text[0] == '\0')
		text = err_text(err);
	/* A rig that made the code while its relay was away tells the relay as
	 * soon as that is back. */
	if (err == RW_ERR_NOT_FOUND && j->retries++ < REDEEM_RETRIES)
		timer_start(j->redeem_timer, REDEEM_RETRY_MS);
	else if (err == 0)
		use_relay(j, fleet, relay);
	else if (j->row != NULL)
		do_without_relay(j, err, text);
	else
		join_fail(j, "%s", text);
}

/* -- the start */

static const char *parse_error(int err)
{
	switch (err) {
	case RW_ERR_VERSION:
		return "this code was made by a newer rigway; update this one";
	case RW_ERR_TRUNCATED:
		return "the end of the code is missing; copy all of it";
	case RW_ERR_MANGLED:
		return "some characters of the code are wrong; copy it again";
	default: return "this is not a code; one begins with rw1";
	}
}

static void on_gone(struct local_req *r, void *user)
{
	struct join *j = user;

	(void)r;
	j->req = NULL;
	restore_row(j);
	join_free(j);
}

static bool is_joining(const struct daemon *d, const struct pin *rig)
{
	list_for_each (it, &d->joins)
		if (pin_eq(&container_of(it, struct join, link)->code.rig_pin,
			   rig))
			return true;
	return false;
}

/* A rig whose session is up needs no second admission. */
static bool is_joined(struct daemon *d, const struct code *code,
		      struct local_req *r)
{
	const struct rigs_row *row = rigs_find_pin(&d->rigs, &code->rig_pin);

	if (row == NULL || row->pending || way_state(row->way) != WAY_LIVE)
		return false;
	local_reply_json(r, json_pack("{s:s, s:s, s:s, s:s, s:b}", "rig",
				      row->name, "host", row->info.host, "user",
				      row->info.user, "role", row->info.role,
				      "new", 0));
	local_end(r, true, 0, NULL);
	return true;
}

/* Takes the code's secrets along. */
static struct join *join_new(struct daemon *d, struct code *code,
			     const char *name, struct local_req *r)
{
	struct join *j = xcalloc(1, sizeof(*j));

	j->d = d;
	j->req = r;
	j->code = *code;
	code_wipe(code);
	if (name != NULL)
		str_copy(j->name, sizeof(j->name), name);
	j->watch =
		(struct way_watch){ .on_live = on_live, .on_ended = on_ended };
	list_init(&j->watch.link);
	j->timer = timer_new(&d->loop, on_timer, j);
	j->redeem_timer = timer_new(&d->loop, on_redeem_timer, j);
	list_push(&d->joins, &j->link);
	local_set_gone(r, on_gone, j);
	return j;
}

/* At the code's relay, at the rig itself, or at both. */
static void join_begin(struct join *j)
{
	int err = j->code.relay_count > 0 ? redeem_start(j) : 0;

	if (err < 0) {
		join_fail(j, "%s", err_text(err));
	} else if (j->code.addr_count > 0 &&
		   j->d->env.paths != WAY_PATHS_RELAY) {
		/* The rig itself is the judge of the code; who can reach it
		 * needs no relay. */
		if (ask_rig(j))
			pair(j);
	} else if (j->code.relay_count == 0) {
		join_fail(j,
			  "%s is reached without a relay, and client.paths "
			  "does not allow that",
			  j->code.rig_name);
	}
}

void join_start(struct daemon *d, const char *text, const char *name,
		struct local_req *r)
{
	struct code code;
	int err = code_parse(text, strlen(text), &code);

	if (err < 0) {
		local_end(r, false, 1, parse_error(err));
		return;
	}
	if (code.kind != CODE_CLIENT) {
		local_end(
			r, false, 1,
			"this code makes a machine a rig; type it on your GPU "
			"machine, which then prints the code for this one");
		return;
	}
	if (is_joined(d, &code, r))
		return;
	if (is_joining(d, &code.rig_pin)) {
		local_end(r, false, 1, "this rig is being joined already");
		return;
	}
	join_begin(join_new(d, &code, name, r));
}

void join_end_all(struct daemon *d)
{
	struct list *it;

	while ((it = list_first(&d->joins)) != NULL)
		join_fail(container_of(it, struct join, link), "%s",
			  "rigway is stopping");
}

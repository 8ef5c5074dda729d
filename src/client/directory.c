/* SPDX-License-Identifier: MIT */
#include "client/directory.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "carrier/control.h"
#include "client/rigs.h"
#include "client/way.h"
#include "net/loop.h"
#include "net/moment.h"

/* The connection to one relay. */
struct place {
	struct list link;
	struct directory *all;
	struct pin relay;
	struct control *control;
	bool is_asked;	   /* an answer is owed */
	bool is_listing;   /* and the request is out */
	bool is_answered;  /* the last question was */
	uint64_t answered; /* a moment, the last time; 0: never */
	char text[RELAY_TEXT_MAX + 1];
	struct relay_row *rows, *fresh;
	size_t row_count, fresh_count;
};

struct question {
	struct list link;
	struct directory *all;
	void (*on_done)(void *user);
	void *user;
	struct timer *deadline;
};

struct directory {
	const struct way_env *env;
	const struct rigs *rigs;
	struct list places, questions;
	struct timer *linger;
};

/* -- what is known */

static struct place *find_place(const struct directory *d,
				const struct pin *relay)
{
	list_for_each (it, &d->places) {
		struct place *p = container_of(it, struct place, link);

		if (pin_eq(&p->relay, relay))
			return p;
	}
	return NULL;
}

/* The relays of a rig, that of its code first, then what it said: NULL behind
 * the last one. at has its addresses. */
static const struct pin *relay_of(const struct rigs_row *rig, size_t i,
				  const char (**at)[HOSTPORT_CAP],
				  size_t *count)
{
	const struct rig_relay_info *said = rig->info.relays;

	if (i == 0 && rig->relay_count > 0) {
		*at = rig->relays;
		*count = rig->relay_count;
		return &rig->relay_pin;
	}
	i -= rig->relay_count > 0 ? 1 : 0;
	if (i >= rig->info.relay_count)
		return NULL;
	*at = said[i].at;
	*count = said[i].count;
	return &said[i].pin;
}

static const struct relay_row *find_row(const struct place *p,
					const struct pin *pin)
{
	for (size_t i = 0; i < p->row_count; i++)
		if (pin_eq(&p->rows[i].pin, pin))
			return &p->rows[i];
	return NULL;
}

/* Whether more answers can tell nothing new about the rig: a relay sees it, or
 * the session proves more than any relay could, or nobody owes an answer. */
static bool is_settled(const struct directory *d, const struct rigs_row *rig)
{
	const char(*at)[HOSTPORT_CAP];
	const struct pin *relay;
	bool is_owed = false;
	size_t count;

	if (way_state(rig->way) == WAY_LIVE)
		return true;
	for (size_t i = 0; (relay = relay_of(rig, i, &at, &count)) != NULL;
	     i++) {
		const struct place *p = find_place(d, relay);
		const struct relay_row *row =
			p != NULL ? find_row(p, &rig->pin) : NULL;

		if (p == NULL)
			continue;
		if (!p->is_asked && p->is_answered && row != NULL &&
		    row->online)
			return true;
		is_owed |= p->is_asked;
	}
	return !is_owed;
}

static bool all_settled(const struct directory *d)
{
	list_for_each (it, &d->rigs->rows) {
		struct rigs_row *rig = container_of(it, struct rigs_row, link);

		if (!rig->pending && !is_settled(d, rig))
			return false;
	}
	return true;
}

/* -- questions */

static void question_end(struct question *q)
{
	void (*on_done)(void *user) = q->on_done;
	void *user = q->user;

	list_del(&q->link);
	timer_free(q->deadline);
	free(q);
	on_done(user);
}

static void on_deadline(void *user)
{
	struct question *q = user;

	list_for_each (it, &q->all->places) {
		struct place *p = container_of(it, struct place, link);

		if (!p->is_asked)
			continue;
		p->is_answered = false;
		if (p->text[0] == '\0')
			str_copy(p->text, sizeof(p->text),
				 err_text(RW_ERR_TIMEOUT));
	}
	question_end(q);
}

/* Ends all questions once nothing new can come. */
static void check_done(struct directory *d)
{
	struct list *it;

	if (!all_settled(d))
		return;
	while ((it = list_first(&d->questions)) != NULL)
		question_end(container_of(it, struct question, link));
}

/* -- one relay */

static void drop_fresh(struct place *p)
{
	free(p->fresh);
	p->fresh = NULL;
	p->fresh_count = 0;
}

static void place_answered(struct place *p, int err, const char *text)
{
	p->is_asked = p->is_listing = false;
	p->is_answered = err == 0;
	str_copy(p->text, sizeof(p->text), err == 0 ? "" : text);
	if (err == 0) {
		p->answered = moment_now();
		free(p->rows);
		p->rows = p->fresh;
		p->row_count = p->fresh_count;
		p->fresh = NULL;
	}
	drop_fresh(p);
	check_done(p->all);
}

static void on_row(void *user, const struct relay_row *row)
{
	struct place *p = user;

	/* A relay may list whom it likes: what is kept is of rigs that are
	 * known here, each once. */
	if (row->role != RELAY_RIG ||
	    rigs_find_pin(p->all->rigs, &row->pin) == NULL)
		return;
	for (size_t i = 0; i < p->fresh_count; i++)
		if (pin_eq(&p->fresh[i].pin, &row->pin))
			return;
	p->fresh = xrealloc(p->fresh, (p->fresh_count + 1) * sizeof(*p->fresh));
	p->fresh[p->fresh_count++] = *row;
}

static void on_listed(void *user, int err, const char *text)
{
	struct place *p = user;

	if (err == RW_ERR_CANCELLED)
		return;
	place_answered(p, err, text != NULL ? text : err_text(err));
}

static void place_list(struct place *p)
{
	int err;

	if (!p->is_asked || p->is_listing || !control_is_up(p->control))
		return;
	drop_fresh(p);
	p->is_listing = true;
	err = control_list(p->control, on_row, on_listed, p);
	if (err < 0)
		place_answered(p, err, err_text(err));
}

static void on_up(void *user, const char *fleet, const char *relay_name,
		  const char *your_addr)
{
	struct place *p = user;

	(void)fleet;
	(void)relay_name;
	(void)your_addr;
	p->text[0] = '\0';
	place_list(p);
}

static void on_down(void *user, int err, const char *text, uint64_t next_try_ms)
{
	struct place *p = user;

	(void)next_try_ms;
	p->is_answered = false;
	str_copy(p->text, sizeof(p->text), text);
	if (p->is_asked)
		place_answered(p, err, text);
}

static const struct control_ops control_ops = {
	.on_up = on_up,
	.on_down = on_down,
};

static void place_new(struct directory *d, const struct pin *relay,
		      const char (*at)[HOSTPORT_CAP], size_t count)
{
	const char *relays[CODE_RELAYS_MAX];
	struct control_params params = {
		.loop = d->env->loop,
		.key = d->env->key,
		.relays = relays,
		.relay_count = MIN(count, CODE_RELAYS_MAX),
		.relay_pin = *relay,
		.role = RELAY_CLIENT,
		.name = d->env->device,
		.incarnation = d->env->incarnation,
	};
	struct place *p = xcalloc(1, sizeof(*p));

	for (size_t i = 0; i < params.relay_count; i++)
		relays[i] = at[i];
	p->all = d;
	p->relay = *relay;
	if (control_start(&params, &control_ops, p, &p->control) < 0) {
		free(p);
		return;
	}
	list_push(&d->places, &p->link);
}

static void add_places(struct directory *d, const struct rigs_row *rig)
{
	const char(*at)[HOSTPORT_CAP];
	const struct pin *relay;
	size_t count;

	for (size_t i = 0; (relay = relay_of(rig, i, &at, &count)) != NULL; i++)
		if (find_place(d, relay) == NULL)
			place_new(d, relay, at, count);
}

static void place_free(struct place *p)
{
	list_del(&p->link);
	control_stop(p->control);
	drop_fresh(p);
	free(p->rows);
	free(p);
}

static bool is_named(const struct directory *d, const struct pin *relay)
{
	const char(*at)[HOSTPORT_CAP];
	const struct pin *other;
	size_t count;

	list_for_each (it, &d->rigs->rows) {
		const struct rigs_row *rig =
			container_of(it, struct rigs_row, link);

		for (size_t i = 0;
		     (other = relay_of(rig, i, &at, &count)) != NULL; i++)
			if (pin_eq(other, relay))
				return true;
	}
	return false;
}

/* A rig that names other relays each time would have them all dialled. */
static void drop_unnamed(struct directory *d)
{
	list_for_each_safe (it, &d->places) {
		struct place *p = container_of(it, struct place, link);

		if (!is_named(d, &p->relay))
			place_free(p);
	}
}

static void linger_over(void *user)
{
	struct directory *d = user;

	list_for_each_safe (it, &d->places)
		place_free(container_of(it, struct place, link));
}

/* A relay that is known to be down is not given the full time. */
static uint64_t patience_ms(const struct directory *d)
{
	uint64_t ms = 0;

	list_for_each (it, &d->places) {
		const struct place *p = container_of(it, struct place, link);
		bool is_down = !control_is_up(p->control) && p->text[0] != '\0';

		ms = MAX(ms, is_down ? DIRECTORY_DOWN_MS : DIRECTORY_WAIT_MS);
	}
	return ms;
}

/* -- the module's calls */

struct directory *directory_new(const struct way_env *env,
				const struct rigs *rigs)
{
	struct directory *d = xcalloc(1, sizeof(*d));

	d->env = env;
	d->rigs = rigs;
	list_init(&d->places);
	list_init(&d->questions);
	d->linger = timer_new(env->loop, linger_over, d);
	return d;
}

void directory_free(struct directory *d)
{
	struct list *it;

	linger_over(d);
	while ((it = list_first(&d->questions)) != NULL)
		question_end(container_of(it, struct question, link));
	timer_free(d->linger);
	free(d);
}

void directory_kick(struct directory *d)
{
	list_for_each (it, &d->places)
		control_kick(container_of(it, struct place, link)->control);
}

void directory_ask(struct directory *d, void (*on_done)(void *user), void *user)
{
	struct question *q = xcalloc(1, sizeof(*q));

	drop_unnamed(d);
	q->all = d;
	q->on_done = on_done;
	q->user = user;
	q->deadline = timer_new(d->env->loop, on_deadline, q);
	list_push(&d->questions, &q->link);
	timer_start(d->linger, DIRECTORY_LINGER_MS);
	list_for_each (it, &d->rigs->rows) {
		struct rigs_row *rig = container_of(it, struct rigs_row, link);

		if (!rig->pending && d->env->paths != WAY_PATHS_DIRECT)
			add_places(d, rig);
	}
	list_for_each (it, &d->places) {
		struct place *p = container_of(it, struct place, link);

		p->is_asked = true;
		if (!control_is_up(p->control))
			control_kick(p->control);
	}
	/* The answer always comes from the loop. */
	timer_start(q->deadline, all_settled(d) ? 0 : patience_ms(d));
	list_for_each_safe (it, &d->places)
		place_list(container_of(it, struct place, link));
}

const struct relay_row *directory_find(const struct directory *d,
				       const struct rigs_row *rig)
{
	const struct relay_row *best = NULL;
	const char(*at)[HOSTPORT_CAP];
	const struct pin *relay;
	size_t count;

	for (size_t i = 0; (relay = relay_of(rig, i, &at, &count)) != NULL;
	     i++) {
		const struct place *p = find_place(d, relay);
		const struct relay_row *row =
			p != NULL ? find_row(p, &rig->pin) : NULL;

		if (row != NULL &&
		    (best == NULL || (row->online && !best->online) ||
		     (row->online == best->online && row->since > best->since)))
			best = row;
	}
	return best;
}

bool directory_knows(const struct directory *d, const struct rigs_row *rig,
		     const char **ret)
{
	const char(*at)[HOSTPORT_CAP];
	const struct pin *relay;
	size_t count;

	*ret = d->env->paths == WAY_PATHS_DIRECT
		       ? "client.paths leaves relays out"
		       : "it has no relay";
	for (size_t i = 0; (relay = relay_of(rig, i, &at, &count)) != NULL;
	     i++) {
		const struct place *p = find_place(d, relay);

		if (p != NULL && p->is_answered)
			return true;
		if (d->env->paths != WAY_PATHS_DIRECT)
			*ret = p != NULL ? p->text
					 : "its relay's address is wrong";
	}
	return false;
}

int64_t directory_asked(const struct directory *d, const struct rigs_row *rig)
{
	const char(*at)[HOSTPORT_CAP];
	const struct pin *relay;
	uint64_t last = 0;
	size_t count;

	for (size_t i = 0; (relay = relay_of(rig, i, &at, &count)) != NULL;
	     i++) {
		const struct place *p = find_place(d, relay);

		if (p != NULL)
			last = MAX(last, p->answered);
	}
	return moment_unix(last);
}

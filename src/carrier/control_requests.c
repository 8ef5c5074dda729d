/* SPDX-License-Identifier: MIT */
#include "carrier/control_local.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define REQUESTS_MAX 256

struct request {
	struct list link; /* in control.requests, oldest first */
	uint64_t ref;
	control_on_row *on_row; /* of a list */
	control_on_done *on_done;
	void *user;
};

static struct request *request_find(struct control *c, uint64_t ref)
{
	list_for_each (l, &c->requests) {
		struct request *q = container_of(l, struct request, link);

		if (q->ref == ref)
			return q;
	}
	return NULL;
}

void control_request_end(struct control *c, uint64_t ref, int err,
			 const char *text)
{
	struct request *q = request_find(c, ref);

	if (q == NULL)
		return;
	list_del(&q->link);
	c->request_count--;
	if (q->on_done != NULL)
		q->on_done(q->user, err, text);
	free(q);
}

void control_requests_end(struct control *c, int err)
{
	struct list all, *l;

	/* Their ends may begin new ones. */
	list_init(&all);
	list_move_all(&all, &c->requests);
	c->request_count = 0;
	while ((l = list_pop(&all)) != NULL) {
		struct request *q = container_of(l, struct request, link);

		if (q->on_done != NULL)
			q->on_done(q->user, err, err_text(err));
		free(q);
	}
}

void control_request_row(struct control *c, const struct relay_row *row)
{
	list_for_each (l, &c->requests) {
		struct request *q = container_of(l, struct request, link);

		if (q->on_row != NULL) {
			q->on_row(q->user, row);
			return;
		}
	}
}

static int control_ask(struct control *c, struct relay_msg *m, uint64_t *ref,
		       const struct request *what)
{
	struct request *q;
	int err;

	if (c->chan == NULL)
		return RW_ERR_OFFLINE;
	if (c->request_count >= REQUESTS_MAX)
		return RW_ERR_LIMIT;
	q = malloc(sizeof(*q));
	if (q == NULL)
		return RW_ERR_NOMEM;
	*q = *what;
	q->ref = *ref = ++c->last_ref;
	err = reach_send(c->chan, m);
	if (err < 0) {
		free(q);
		return err == RW_ERR_NOMEM ? err : RW_ERR_OFFLINE;
	}
	list_push(&c->requests, &q->link);
	c->request_count++;
	return 0;
}

int control_put_invite(struct control *c, const struct control_invite *invite,
		       control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_INVITE };
	struct request q = { .on_done = on_done, .user = user };

	memcpy(m.invite.hash, invite->hash, RELAY_SECRET_LEN);
	memcpy(m.invite.invite_id, invite->invite_id, RELAY_ID_LEN);
	m.invite.role = (uint8_t)invite->role;
	m.invite.ttl = invite->ttl_s;
	m.invite.uses = invite->uses;
	return control_ask(c, &m, &m.invite.ref, &q);
}

int control_drop_device(struct control *c, const struct pin *pin,
			control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_DROP };
	struct request q = { .on_done = on_done, .user = user };

	m.drop.pin = *pin;
	return control_ask(c, &m, &m.drop.ref, &q);
}

int control_admit(struct control *c, const struct pin *pin, const char *name,
		  control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_ADMIT };
	struct request q = { .on_done = on_done, .user = user };

	m.admit.pin = *pin;
	relay_text_copy(m.admit.name, sizeof(m.admit.name), name);
	return control_ask(c, &m, &m.admit.ref, &q);
}

int control_list(struct control *c, control_on_row *row,
		 control_on_done *on_done, void *user)
{
	struct relay_msg m = { .type = R_LIST };
	struct request q = { .on_row = row, .on_done = on_done, .user = user };

	return control_ask(c, &m, &m.number.number, &q);
}

/* SPDX-License-Identifier: MIT */
/* Answers of any length: lines that are made as they are read. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/local_conn.h"

/* So much is queued before the socket is asked for room again. */
#define FILL_LEN (64 * 1024)

void local_req_free(struct local_req *r)
{
	if (r->source != NULL)
		r->source->done(r->source_user);
	free(r);
}

/* The source has no more. */
static void lines_end(struct local_req *r)
{
	const struct local_source *source = r->source;
	void *user = r->source_user;
	json_t *last = source->last != NULL ? source->last(user) : NULL;

	r->source = NULL;
	source->done(user);
	local_end_json(r, true, 0, NULL, last);
}

void local_fill(struct conn *c)
{
	while (c->req != NULL && c->req->source != NULL &&
	       c->out.len < FILL_LEN) {
		struct local_req *r = c->req;
		json_t *line = r->source->next(r->source_user);
		int err;

		if (line == NULL) {
			lines_end(r);
			return;
		}
		err = local_reply_json(r, line);
		if (err < 0) {
			r->source->done(r->source_user);
			r->source = NULL;
			local_end(r, false, 1, err_text(err));
			return;
		}
	}
}

void local_end_lines(struct local_req *r, const struct local_source *source,
		     void *user)
{
	struct conn *c = r->conn;

	r->source = source;
	r->source_user = user;
	r->on_gone = NULL;
	if (c != NULL)
		local_fill(c);
	else
		local_req_free(r);
}

/* -- lines that are there */

struct array {
	json_t *lines;
	size_t at;
};

static json_t *array_next(void *user)
{
	struct array *a = user;

	return json_incref(json_array_get(a->lines, a->at++));
}

static void array_done(void *user)
{
	struct array *a = user;

	json_decref(a->lines);
	free(a);
}

static const struct local_source array_source = {
	.next = array_next,
	.done = array_done,
};

void local_end_array(struct local_req *r, json_t *lines)
{
	struct array *a = xcalloc(1, sizeof(*a));

	a->lines = lines;
	local_end_lines(r, &array_source, a);
}

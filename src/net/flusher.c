/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/loop_local.h"

/* prepare and check bracket the waiting; the idle handle runs nothing, but
 * while it is active the loop does not wait. */
struct flusher {
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle;
	struct loop_item item;
	struct loop_local *ll;
	void (*on_flush)(void *user);
	void *user;
	bool is_marked;
	bool is_freed;
	int open; /* handles that are not closed yet */
};

static void flusher_on_close(uv_handle_t *h)
{
	struct flusher *f = h->data;

	if (--f->open == 0)
		free(f);
}

static void flusher_shut(struct loop_item *item)
{
	struct flusher *f = container_of(item, struct flusher, item);

	f->is_freed = true;
	uv_close((uv_handle_t *)&f->prepare, flusher_on_close);
	uv_close((uv_handle_t *)&f->check, flusher_on_close);
	uv_close((uv_handle_t *)&f->idle, flusher_on_close);
}

static void flusher_run(struct flusher *f)
{
	/* What was put off to the turn's end may yet say something that a
	 * flusher is there to gather. */
	if (f != f->ll->turn && f->ll->turn != NULL)
		flusher_run(f->ll->turn);
	if (!f->is_marked)
		return;
	f->is_marked = false;
	uv_idle_stop(&f->idle);
	f->on_flush(f->user);
}

/* In a late turn it waits for the next check; the idle handle keeps the poll
 * short. */
static void flusher_on_prepare(uv_prepare_t *uv)
{
	struct flusher *f = uv->data;

	loop_before_poll(f->ll);
	if (!f->ll->is_late)
		flusher_run(f);
}

static void flusher_on_check(uv_check_t *uv)
{
	struct flusher *f = uv->data;

	loop_after_poll(f->ll);
	if (!f->ll->is_late)
		flusher_run(f);
}

static void flusher_on_idle(uv_idle_t *uv)
{
	(void)uv;
}

struct flusher *flusher_new(uv_loop_t *loop, void (*on_flush)(void *user),
			    void *user)
{
	struct flusher *f = xcalloc(1, sizeof(*f));

	f->ll = loop_local(loop);
	f->on_flush = on_flush;
	f->user = user;
	f->open = 3;
	uv_prepare_init(loop, &f->prepare);
	uv_check_init(loop, &f->check);
	uv_idle_init(loop, &f->idle);
	f->prepare.data = f->check.data = f->idle.data = f;
	uv_prepare_start(&f->prepare, flusher_on_prepare);
	uv_check_start(&f->check, flusher_on_check);
	uv_unref((uv_handle_t *)&f->prepare);
	uv_unref((uv_handle_t *)&f->check);
	loop_item_add(f->ll, &f->item, flusher_shut);
	return f;
}

void flusher_mark(struct flusher *f)
{
	if (f->is_marked || f->is_freed)
		return;
	f->is_marked = true;
	uv_idle_start(&f->idle, flusher_on_idle);
}

void flusher_free(struct flusher *f)
{
	if (f == NULL || f->is_freed)
		return;
	list_del(&f->item.link);
	flusher_shut(&f->item);
}

/* SPDX-License-Identifier: MIT */
#include "relay/splice_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

/* How long no pipe is asked for after one was refused. */
#define PIPE_RETRY_US 1000000

void pipe_close(struct splicer *sp, struct pipe *p)
{
	close(p->in);
	close(p->out);
	free(p);
	sp->count.pipes--;
}

/* A pipe of the full size or none: a user's pipes share a budget of pages,
 * beyond which new ones come with one page. */
static struct pipe *pipe_open(struct splicer *sp)
{
	uint64_t now = loop_now_us(sp->params.loop);
	struct pipe *p;
	int fd[2];

	if (now < sp->no_pipe_until_us)
		return NULL;
	sp->no_pipe_until_us = now + PIPE_RETRY_US;
	p = malloc(sizeof(*p));
	if (p == NULL)
		return NULL;
	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) < 0) {
		free(p);
		return NULL;
	}
	p->out = fd[0];
	p->in = fd[1];
	list_init(&p->link);
	sp->count.pipes++;
	if (fcntl(p->in, F_SETPIPE_SZ, (int)PIPE_LEN) < (int)PIPE_LEN) {
		log_debug("splice: no full-size pipe: %s", strerror(errno));
		pipe_close(sp, p);
		return NULL;
	}
	sp->no_pipe_until_us = 0;
	return p;
}

bool pipe_borrow(struct splicer *sp, struct splice_group *g, struct half *h)
{
	size_t share = MAX(sp->params.max_pipes / 2, (size_t)1);
	struct list *l;

	if (sp->count.pipes_lent >= sp->params.max_pipes || g->pipes >= share)
		return false;
	l = list_pop(&sp->idle);
	h->pipe =
		l != NULL ? container_of(l, struct pipe, link) : pipe_open(sp);
	if (h->pipe == NULL)
		return false;
	sp->count.pipes_lent++;
	g->pipes++;
	return true;
}

void pipe_return(struct splicer *sp, struct splice_group *g, struct half *h)
{
	if (h->pipe == NULL)
		return;
	sp->count.pipes_lent--;
	g->pipes--;
	if (h->in_pipe > 0) /* somebody's bytes are never another's */
		pipe_close(sp, h->pipe);
	else
		list_push_front(&sp->idle, &h->pipe->link);
	h->pipe = NULL;
	h->in_pipe = 0;
}

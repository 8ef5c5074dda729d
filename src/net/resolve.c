/* SPDX-License-Identifier: MIT */
#include "net/resolve.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/check.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/str.h"
#include "net/loop.h"
#include "net/loop_local.h"

#define RESOLVE_KNOWN_MAX 64
/* A question that is silent for so long may have gone to a name server of
 * another network: it is asked once more, and no oftener at a time. */
#define STALE_US 2000000
#define JOBS_MAX 2

/* A name that is being resolved, and who waits for it. */
struct job {
	struct list link; /* in ll->resolving */
	struct list waiters;
	struct loop_local *ll;
	uv_getaddrinfo_t req;
	uint64_t since_us;
	char host[HOST_MAX + 1];
};

/* A name and its last good answer; the latest first in ll->known. */
struct known {
	struct list link;
	struct addrinfo *list; /* uv_freeaddrinfo() */
	char host[HOST_MAX + 1];
};

static struct known *known_find(struct loop_local *ll, const char *host)
{
	list_for_each (it, &ll->known) {
		struct known *k = container_of(it, struct known, link);

		if (strcasecmp(k->host, host) == 0)
			return k;
	}
	return NULL;
}

static void known_free(struct loop_local *ll, struct known *k)
{
	list_del(&k->link);
	ll->known_count--;
	uv_freeaddrinfo(k->list);
	free(k);
}

/* Takes list. Nothing is lost if there is no memory for it. */
static void known_put(struct loop_local *ll, const char *host,
		      struct addrinfo *list)
{
	struct known *k = known_find(ll, host);

	if (k != NULL)
		known_free(ll, k);
	if (ll->known_count == RESOLVE_KNOWN_MAX)
		known_free(ll,
			   container_of(ll->known.prev, struct known, link));
	k = calloc(1, sizeof(*k));
	if (k == NULL) {
		uv_freeaddrinfo(list);
		return;
	}
	(void)str_copy(k->host, sizeof(k->host), host);
	k->list = list;
	list_push_front(&ll->known, &k->link);
	ll->known_count++;
}

const struct addrinfo *resolve_known(struct loop_local *ll, const char *host)
{
	const struct known *k = known_find(ll, host);

	return k != NULL ? k->list : NULL;
}

static int resolve_error(int uv)
{
	switch (uv) {
	case 0: return 0;
	case UV_EAI_AGAIN: return RW_ERR_UNREACHABLE;
	case UV_EAI_MEMORY:
	case UV_ENOMEM: return RW_ERR_NOMEM;
	default: return RW_ERR_NO_HOST;
	}
}

static void job_on_done(uv_getaddrinfo_t *req, int status,
			struct addrinfo *list)
{
	struct job *job = req->data;
	int err = resolve_error(status);
	struct known *k = known_find(job->ll, job->host);
	struct list *it;

	/* From here on a new asker asks anew. */
	list_del(&job->link);
	while ((it = list_pop(&job->waiters)) != NULL) {
		struct resolve *r = container_of(it, struct resolve, link);

		r->on_done(r, err, list);
	}
	if (err == 0)
		known_put(job->ll, job->host, list);
	else if (err == RW_ERR_NO_HOST && k != NULL && status != UV_ECANCELED)
		known_free(job->ll, k);
	free(job);
}

static int job_start(struct loop_local *ll, const char *host, struct job **ret)
{
	static const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct job *job = calloc(1, sizeof(*job));
	int r;

	if (job == NULL)
		return RW_ERR_NOMEM;
	job->ll = ll;
	job->since_us = loop_now_us(ll->loop);
	job->req.data = job;
	list_init(&job->waiters);
	(void)str_copy(job->host, sizeof(job->host), host);
	r = uv_getaddrinfo(ll->loop, &job->req, job_on_done, host, NULL,
			   &hints);
	if (r < 0) {
		free(job);
		return resolve_error(r);
	}
	list_push(&ll->resolving, &job->link);
	*ret = job;
	return 0;
}

int resolve_start(struct loop_local *ll, struct resolve *r, const char *host)
{
	const uint64_t now = loop_now_us(ll->loop);
	struct job *job = NULL; /* the newest */
	int err, jobs = 0;

	list_for_each (it, &ll->resolving) {
		struct job *j = container_of(it, struct job, link);

		if (strcasecmp(j->host, host) != 0)
			continue;
		job = j;
		jobs++;
	}
	if (jobs == 0 || (jobs < JOBS_MAX && now - job->since_us > STALE_US)) {
		err = job_start(ll, host, &job);
		if (err < 0)
			return err;
	}
	list_push(&job->waiters, &r->link);
	return 0;
}

void resolve_stop(struct resolve *r)
{
	list_del(&r->link);
}

void resolve_forget(struct loop_local *ll)
{
	struct list *it;

	/* Those that have not begun to run end at once. */
	list_for_each (j, &ll->resolving)
		(void)uv_cancel(
			(uv_req_t *)&container_of(j, struct job, link)->req);
	while ((it = list_first(&ll->known)) != NULL)
		known_free(ll, container_of(it, struct known, link));
}

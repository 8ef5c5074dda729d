/* SPDX-License-Identifier: MIT */
/* Over 500 lines because the resolving, the order of the addresses and the
 * attempts at them share one dial and its end. */
#include "net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/parse.h"
#include "net/loop.h"
#include "net/loop_local.h"
#include "net/reset.h"
#include "net/resolve.h"
#include "net/sockaddr.h"

#define DIAL_STAGGER_MS 250 /* RFC 8305, section 5 */
#define DIAL_TIMEOUT_MS 15000
/* What a name server gets before an address known from before is tried. */
#define DIAL_STALE_MS  200
#define DIAL_ADDRS_MAX 16 /* a name with more is tried up to here */

/* One address that is being connected to. */
struct attempt {
	uv_poll_t poll;
	struct list link; /* dial.pending */
	struct dial *d;
	int fd;
};

union addr {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct dial {
	struct loop_local *ll;
	struct loop_item item;
	struct deferred begin;
	struct dial_params p;
	struct resolve resolve;
	struct timer *stagger; /* NULL until there is something to try next */
	struct timer *limit;
	enum dial_stage stage;
	union addr *addrs; /* addr_cap; NULL while resolving */
	size_t addr_cap, addr_count, next;
	struct list pending; /* attempts without an answer */
	int err;	     /* the most telling failure so far */
	char host[];	     /* "": too long to be a name */
};

/* -- what says most, when several addresses failed in different ways */

static int dial_rank(int err)
{
	switch (err) {
	case 0: return 0;
	case RW_ERR_NOT_ALLOWED: return 1;
	case RW_ERR_UNREACHABLE: return 2;
	case RW_ERR_TIMEOUT: return 4;
	case RW_ERR_REFUSED: return 5;
	default: return 3;
	}
}

static void dial_note(struct dial *d, int err)
{
	if (dial_rank(err) > dial_rank(d->err))
		d->err = err;
}

static int dial_error(int sys)
{
	switch (sys) {
	case ECONNREFUSED:
	case ECONNRESET: return RW_ERR_REFUSED;
	case ETIMEDOUT: return RW_ERR_TIMEOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case EAFNOSUPPORT:
	case EADDRNOTAVAIL:
	case EACCES: /* a firewall of this machine */
	case EPERM:
	case EINVAL: return RW_ERR_UNREACHABLE;
	default: return -sys;
	}
}

/* -- the end */

static void attempt_on_closed(uv_handle_t *h)
{
	free(h->data);
}

/* Lets go of the socket, which stays open if it is the chosen one. What the
 * kernel may have connected is reset: no end of file is to come of it. The
 * handle is off the loop's epoll set when uv_close() returns. */
static void attempt_end(struct attempt *a, bool keep)
{
	list_del(&a->link);
	uv_close((uv_handle_t *)&a->poll, attempt_on_closed);
	if (!keep)
		reset_close(a->fd);
}

/* Stops everything and frees d. */
static void dial_stop(struct dial *d)
{
	struct list *it;

	while ((it = list_first(&d->pending)) != NULL)
		attempt_end(container_of(it, struct attempt, link), false);
	timer_free(d->stagger);
	timer_free(d->limit);
	list_del(&d->item.link);
	list_del(&d->begin.link);
	resolve_stop(&d->resolve);
	free(d->addrs);
	free(d);
}

static void dial_finish(struct dial *d, int err, int fd)
{
	struct dial_params p = d->p;
	enum dial_stage stage = d->stage;

	dial_stop(d);
	p.on_done(p.user, err, fd, stage);
}

const char *dial_narrow_text(uv_loop_t *loop, bool *ret_is_news)
{
	return narrow_text(&loop_local(loop)->narrow, loop_now_us(loop),
			   ret_is_news);
}

enum dial_stage dial_stage(const struct dial *d)
{
	return d->stage;
}

bool dial_is_answered(const struct dial *d)
{
	list_for_each (l, &d->pending) {
		struct pollfd p = {
			.fd = container_of(l, struct attempt, link)->fd,
			.events = POLLOUT,
		};

		if (poll(&p, 1, 0) > 0 && p.revents == POLLOUT)
			return true;
	}
	return false;
}

void dial_cancel(struct dial *d)
{
	if (d != NULL)
		dial_stop(d);
}

static void dial_shut(struct loop_item *item)
{
	dial_stop(container_of(item, struct dial, item));
}

/* -- connecting */

static void dial_next(struct dial *d);

static void attempt_on_writable(uv_poll_t *poll, int status, int events)
{
	struct attempt *a = poll->data;
	struct dial *d = a->d;
	int err = 0, fd = a->fd;
	socklen_t len = sizeof(err);

	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err == 0 && status < 0)
		err = -status;
	if (err == 0) {
		d->stage = DIAL_DONE;
		attempt_end(a, true);
		dial_finish(d, 0, fd);
		return;
	}
	dial_note(d, dial_error(err));
	attempt_end(a, false);
	dial_next(d);
}

static socklen_t addr_len(const union addr *a)
{
	return a->any.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

static int attempt_watch(struct dial *d, int fd)
{
	struct attempt *a = calloc(1, sizeof(*a));
	int r;

	if (a == NULL)
		return RW_ERR_NOMEM;
	a->d = d;
	a->fd = fd;
	list_init(&a->link);
	r = uv_poll_init(d->ll->loop, &a->poll, fd);
	if (r < 0) {
		free(a);
		return r;
	}
	a->poll.data = a;
	list_push(&d->pending, &a->link);
	/* It fails only where another handle has the same fd: none does. */
	CHECK(uv_poll_start(&a->poll, UV_WRITABLE, attempt_on_writable) == 0);
	return 0;
}

/* Begins to connect. 0, or the error that ended the attempt at once. */
static int attempt_begin(struct dial *d, const union addr *addr)
{
	int fd = socket(addr->any.sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0) {
		r = errno;
		loop_shortage(d->ll, -r);
		return dial_error(r);
	}
	/* Only where the other end is one of us: see net/narrow.h. */
	if (d->p.peer_is_proven)
		narrow_apply(&d->ll->narrow, fd, &addr->any,
			     loop_now_us(d->ll->loop));
	sock_near(fd, &addr->any);
	r = connect(fd, &addr->any, addr_len(addr));
	/* Also a connection made at once is reported by the poll. */
	if (r < 0 && errno != EINPROGRESS)
		r = dial_error(errno);
	else
		r = attempt_watch(d, fd);
	if (r < 0)
		reset_close(fd);
	return r;
}

static void dial_on_stagger(void *user);

/* What comes next is tried in so many ms, whatever becomes of the present. */
static void dial_stagger(struct dial *d, uint64_t ms)
{
	if (d->stagger == NULL)
		d->stagger = timer_new(d->ll->loop, dial_on_stagger, d);
	timer_start(d->stagger, ms);
}

static void dial_stagger_stop(struct dial *d)
{
	if (d->stagger != NULL)
		timer_stop(d->stagger);
}

static bool dial_is_allowed(struct dial *d, const union addr *addr)
{
	return d->p.allow == NULL || d->p.allow(&addr->any, d->p.user);
}

/* Starts the next address that can be started; ends the dial when there is
 * none and none is pending. */
static void dial_next(struct dial *d)
{
	while (d->next < d->addr_count) {
		const union addr *addr = &d->addrs[d->next++];
		int r;

		if (!dial_is_allowed(d, addr)) {
			dial_note(d, RW_ERR_NOT_ALLOWED);
			continue;
		}
		r = attempt_begin(d, addr);
		if (r == 0) {
			if (d->next < d->addr_count)
				dial_stagger(d, DIAL_STAGGER_MS);
			return;
		}
		dial_note(d, r);
	}
	dial_stagger_stop(d);
	if (list_is_empty(&d->pending))
		dial_finish(d, d->err != 0 ? d->err : RW_ERR_NO_HOST, -1);
}

static bool dial_known(struct dial *d);

static void dial_on_stagger(void *user)
{
	struct dial *d = user;

	if (d->stage == DIAL_RESOLVING)
		(void)dial_known(d);
	else
		dial_next(d);
}

static void dial_on_limit(void *user)
{
	struct dial *d = user;

	dial_note(d, RW_ERR_TIMEOUT);
	/* Somebody refused, but others might have answered: say both? The one
	 * that a person can act on is the refusal. */
	dial_finish(d, d->err, -1);
}

/* -- resolving */

/* An IPv4 address that is written as v6 is the v4 address: it is judged and
 * connected to as such. */
static void addr_normalise(union addr *a)
{
	struct sockaddr_in v4;

	if (sockaddr_unmap(&a->any, &v4))
		a->v4 = v4;
}

/* By their fields: what lies behind a shorter one of the union differs. */
static bool addr_eq(const union addr *a, const union addr *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_port == b->v4.sin_port &&
		       a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->v6.sin6_port == b->v6.sin6_port &&
	       a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
	       IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
}

static bool dial_knows(const struct dial *d, const union addr *a)
{
	for (size_t i = 0; i < d->addr_count; i++)
		if (addr_eq(&d->addrs[i], a))
			return true;
	return false;
}

static void dial_add(struct dial *d, const struct addrinfo *ai)
{
	union addr a;

	memset(&a, 0, sizeof(a));
	if (ai->ai_addrlen > sizeof(a) || d->addr_count == d->addr_cap)
		return;
	memcpy(&a, ai->ai_addr, ai->ai_addrlen);
	if (a.any.sa_family == AF_INET)
		a.v4.sin_port = htons(d->p.port);
	else
		a.v6.sin6_port = htons(d->p.port);
	addr_normalise(&a);
	if (!dial_knows(d, &a))
		d->addrs[d->addr_count++] = a;
}

/* The next of the family, at or after *from. */
static const struct addrinfo *ai_next(const struct addrinfo *from, int family)
{
	while (from != NULL && from->ai_family != family)
		from = from->ai_next;
	return from;
}

/* Families alternate, v6 first; within one, the resolver's order stays. */
static void dial_order(struct dial *d, const struct addrinfo *list)
{
	const struct addrinfo *v6 = ai_next(list, AF_INET6);
	const struct addrinfo *v4 = ai_next(list, AF_INET);

	while (v6 != NULL || v4 != NULL) {
		if (v6 != NULL) {
			dial_add(d, v6);
			v6 = ai_next(v6->ai_next, AF_INET6);
		}
		if (v4 != NULL) {
			dial_add(d, v4);
			v4 = ai_next(v4->ai_next, AF_INET);
		}
	}
}

static int dial_make_room(struct dial *d, const struct addrinfo *list)
{
	size_t n = 0;

	for (; list != NULL && n < DIAL_ADDRS_MAX; list = list->ai_next)
		n++;
	d->addrs = calloc(n + 1, sizeof(*d->addrs));
	d->addr_cap = n;
	return d->addrs != NULL ? 0 : RW_ERR_NOMEM;
}

static void dial_connect(struct dial *d, const struct addrinfo *list)
{
	int err = dial_make_room(d, list);

	if (err == 0)
		dial_order(d, list);
	if (err == 0 && d->addr_count == 0)
		err = RW_ERR_NO_HOST;
	if (err < 0) {
		dial_finish(d, err, -1);
		return;
	}
	d->stage = DIAL_CONNECTING;
	dial_next(d);
}

/* Goes on with what the name meant before, if that will do. */
static bool dial_known(struct dial *d)
{
	const struct addrinfo *list =
		d->p.peer_is_proven ? resolve_known(d->ll, d->host) : NULL;

	if (list == NULL)
		return false;
	resolve_stop(&d->resolve);
	dial_connect(d, list);
	return true;
}

static void dial_on_resolved(struct resolve *r, int err,
			     const struct addrinfo *list)
{
	struct dial *d = container_of(r, struct dial, resolve);

	dial_stagger_stop(d);
	if (err == 0)
		dial_connect(d, list);
	else if (err == RW_ERR_NO_HOST || !dial_known(d))
		dial_finish(d, err, -1);
}

/* A number needs no thread. False: it is a name. */
static bool dial_numeric(struct dial *d)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;

	if (getaddrinfo(d->host, NULL, &hints, &list) != 0)
		return false;
	dial_connect(d, list);
	freeaddrinfo(list);
	return true;
}

static void dial_on_begin(struct deferred *b)
{
	struct dial *d = container_of(b, struct dial, begin);
	int r;

	/* Longer names crash some resolvers (CVE-2024-24806). */
	if (d->host[0] == '\0') {
		dial_finish(d, RW_ERR_NO_HOST, -1);
		return;
	}
	if (dial_numeric(d))
		return;
	d->resolve.on_done = dial_on_resolved;
	r = resolve_start(d->ll, &d->resolve, d->host);
	if (r < 0)
		dial_finish(d, r, -1);
	else if (d->p.peer_is_proven)
		dial_stagger(d, DIAL_STALE_MS);
}

int dial_start(uv_loop_t *loop, const struct dial_params *p, struct dial **ret)
{
	size_t len = strlen(p->host);

	if (len > HOST_MAX)
		len = 0;

	struct dial *d = calloc(1, sizeof(*d) + len + 1);

	if (d == NULL)
		return RW_ERR_NOMEM;
	d->ll = loop_local(loop);
	d->p = *p;
	d->p.host = NULL;
	memcpy(d->host, p->host, len);
	d->stage = DIAL_RESOLVING;
	d->limit = timer_new(loop, dial_on_limit, d);
	timer_start(d->limit,
		    p->timeout_ms > 0 ? p->timeout_ms : DIAL_TIMEOUT_MS);
	d->begin.on_turn = dial_on_begin;
	list_init(&d->begin.link);
	list_init(&d->pending);
	list_init(&d->resolve.link);
	loop_item_add(d->ll, &d->item, dial_shut);
	loop_defer(d->ll, &d->begin);
	*ret = d;
	return 0;
}

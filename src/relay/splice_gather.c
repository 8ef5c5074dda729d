/* SPDX-License-Identifier: MIT */
#include "relay/splice_local.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/check.h"

/* A direction that moved so much within SPAN_US gathers until the next such
 * span is over. */
#define SPAN_LEN ((uint64_t)16 * 1024 * 1024)
#define SPAN_US	 40000
/* And is woken for so much. A pipe takes more. */
#define WAIT_LEN (768 * 1024)
/* What lies there so long without being enough is late, and goes. The timer
 * looks every millisecond. */
#define LATE_US	  1000
#define LATE_MS	  1
#define LATES_MAX 8
/* Who had to cease gathers no more for a span; then for 3, 7, ... at most: */
#define RESTS_MAX 63
/* And so long without a byte is a pause. */
#define PAUSE_US 20000

static void gather_set(struct splice *s, struct half *h, bool is_gathering)
{
	const int len = is_gathering ? WAIT_LEN : 1;
	struct splicer *sp = s->splicer;
	struct side *src = &s->side[h->from];

	if (h->is_gathering == is_gathering ||
	    setsockopt(src->fd, SOL_SOCKET, SO_RCVLOWAT, &len, sizeof(len)) < 0)
		return;
	h->is_gathering = is_gathering;
	if (!h->is_gathering) /* what lies there is no edge any more */
		src->can_read = true;
	if (!s->half[0].is_gathering && !s->half[1].is_gathering)
		list_del(&s->gather);
	else if (!list_is_linked(&s->gather))
		list_push(&sp->gathering, &s->gather);
	if (h->is_gathering && !timer_is_running(sp->gather))
		timer_start(sp->gather, LATE_MS);
}

bool gather_judge(struct splice *s, struct half *h, bool may)
{
	const bool was = h->is_gathering;
	const uint64_t len = h->bytes - h->span_bytes;
	const uint64_t us = h->last_us - h->span_us;
	const bool is_fast = may && us <= SPAN_US && h->rests == 0;

	if (may && len < SPAN_LEN)
		return false;
	if (h->rests > 0)
		h->rests--;
	else if (was && is_fast)
		h->rests_next /= 2;
	gather_set(s, h, is_fast);
	h->span_bytes = h->bytes;
	h->span_us = h->last_us;
	h->lates = 0;
	return was && !h->is_gathering;
}

/* It came to nothing, again and again: the more often, the longer it rests. */
static void gather_cease(struct splice *s, struct half *h)
{
	gather_set(s, h, false);
	h->rests_next = (uint8_t)MIN(2 * h->rests_next + 1, RESTS_MAX);
	h->rests = h->rests_next;
}

static void half_look(struct splice *s, struct half *h, uint64_t now)
{
	struct side *src = &s->side[h->from];
	const uint64_t idle = now - h->last_us;
	int len = 0;

	if (!h->is_gathering || idle < LATE_US)
		return;
	/* Also where the far side takes nothing: the timer shall not run on. */
	if (idle >= PAUSE_US) {
		gather_set(s, h, false);
		splice_wake(s);
		return;
	}
	if (src->can_read || (ioctl(src->fd, SIOCINQ, &len) == 0 && len == 0))
		return;
	if (++h->lates > LATES_MAX)
		gather_cease(s, h);
	src->can_read = true;
	splice_wake(s);
}

void gather_on_time(void *user)
{
	struct splicer *sp = user;
	const uint64_t now = loop_now_us(sp->params.loop);

	list_for_each_safe (l, &sp->gathering) {
		struct splice *s = container_of(l, struct splice, gather);

		half_look(s, &s->half[0], now);
		half_look(s, &s->half[1], now);
	}
	if (!list_is_empty(&sp->gathering))
		timer_start(sp->gather, LATE_MS);
}

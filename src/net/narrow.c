/* SPDX-License-Identifier: MIT */
#include "net/narrow.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "net/sockaddr.h"

void narrow_died(struct narrow *n, uint64_t lived_us, uint64_t now_us)
{
	if (lived_us > NARROW_YOUNG_US)
		return;
	/* In a row: this one was dialled because of the one before. Those that
	 * were there together die of the same outage. */
	if (n->last_us != 0 &&
	    (now_us < n->last_us + NARROW_APART_US ||
	     now_us - lived_us + NARROW_BESIDE_US < n->last_us))
		return;
	if (n->last_us == 0 || now_us > n->last_us + NARROW_SOON_US)
		n->deaths = 0;
	n->is_told &= n->deaths > 0;
	n->last_us = now_us;
	if (++n->deaths >= NARROW_DEATHS)
		n->until_us = now_us + NARROW_FOR_US;
}

bool narrow_is_on(const struct narrow *n, uint64_t now_us)
{
	return now_us < n->until_us;
}

const char *narrow_text(struct narrow *n, uint64_t now_us, bool *ret_is_news)
{
	*ret_is_news = false;
	if (now_us >= n->last_us + NARROW_NEWS_US ||
	    n->deaths < NARROW_DEATHS - 1)
		return NULL;
	if (n->deaths < NARROW_DEATHS)
		return "packets were lost until it died, soon and for the "
		       "second time; perhaps large ones vanish on the path";
	*ret_is_news = !n->is_told;
	n->is_told = true;
	return "large packets vanish on the path without a word; from now on "
	       "small ones are sent";
}

bool narrow_is_used(const struct narrow *n, int fd, uint64_t now_us)
{
	int bytes = 0;
	socklen_t len = sizeof(bytes);

	return narrow_is_on(n, now_us) &&
	       getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, &len) == 0 &&
	       bytes <= NARROW_SEGMENT;
}

void narrow_apply(const struct narrow *n, int fd, const struct sockaddr *to,
		  uint64_t now_us)
{
	const int bytes = NARROW_SEGMENT;

	/* A kernel that does not want to is no reason not to dial. */
	if (narrow_is_on(n, now_us) && sockaddr_scope(to) > SOCKADDR_LOOPBACK)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes,
				 sizeof(bytes));
}

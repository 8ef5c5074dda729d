/* SPDX-License-Identifier: MIT */
/* `relay devices`: who has joined, and what is known of each. There may be so
 * many that over the socket each line is made when there is room for it. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/answer.h"
#include "net/local.h"
#include "relay/desk.h"
#include "relay/relay.h"

/* What the relay that runs knows; of one that rests, that it knows nothing. */
static void set_presence(json_t *o, const struct relay_presence *p)
{
	static const char *const states[] = {
		[RELAY_AWAY] = "away",
		[RELAY_CHECKING] = "checking",
		[RELAY_ONLINE] = "online",
	};

	json_object_set_new(o, "state", json_string(states[p->state]));
	json_object_set_new(o, "online",
			    json_boolean(p->state == RELAY_ONLINE));
	json_object_set_new(o, "addr", json_string(p->addr));
	answer_set_moment(o, "since", p->since);
	answer_set_moment(o, "proven", p->proven);
	answer_set_known(o, "heard_ms", p->heard_ms);
	json_object_set_new(o, "rtt_ms",
			    p->rtt_us == 0
				    ? json_null()
				    : json_real((double)p->rtt_us / 1000));
	answer_set_int(o, "connections", p->pairs);
	answer_set_int(o, "bytes_from", p->bytes[0]);
	answer_set_int(o, "bytes_to", p->bytes[1]);
}

static json_t *device_json(struct desk *d, const struct device *dev)
{
	struct relay_presence p = { .heard_ms = UINT64_MAX };
	char pin[PIN_TEXT_LEN + 1], brief[PIN_SHORT_LEN + 1];
	json_t *o;

	if (d->relay != NULL)
		relay_presence(d->relay, dev, &p);
	o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", dev->name, "role",
		      dev->role == RELAY_RIG ? "rig" : "laptop", "fleet",
		      dev->fleet->name, "fingerprint",
		      pin_short(&dev->pin, brief), "pin",
		      pin_text(&dev->pin, pin));
	answer_set_time(o, "admitted", dev->admitted);
	set_presence(o, &p);
	return o;
}

int desk_list(struct desk *d, json_t **ret)
{
	json_t *all = json_array();

	list_for_each (lf, &d->book->fleets) {
		struct fleet *f = container_of(lf, struct fleet, link);

		list_for_each (l, &f->devices)
			json_array_append_new(
				all,
				device_json(d, container_of(l, struct device,
							    link)));
	}
	*ret = json_pack("{s:o, s:b}", "devices", all, "running",
			 d->relay != NULL);
	return 0;
}

/* -- in lines ------------------------------------------------------------- */

/* Who was there when it was asked. Some may have gone when it is their turn. */
struct listing {
	struct desk *desk;
	size_t count, at;
	struct entry {
		struct pin pin;
		const struct fleet *fleet; /* compared, never followed */
	} entries[];
};

static struct listing *listing_new(struct desk *d)
{
	struct listing *k;
	size_t n = 0;

	list_for_each (lf, &d->book->fleets)
		n += container_of(lf, struct fleet, link)->device_count;
	k = calloc(1, sizeof(*k) + n * sizeof(k->entries[0]));
	if (k == NULL)
		return NULL;
	k->desk = d;
	list_for_each (lf, &d->book->fleets) {
		struct fleet *f = container_of(lf, struct fleet, link);

		list_for_each (l, &f->devices)
			k->entries[k->count++] = (struct entry){
				.pin = container_of(l, struct device, link)
					       ->pin,
				.fleet = f,
			};
	}
	return k;
}

static json_t *listing_next(void *user)
{
	struct listing *k = user;

	while (k->at < k->count) {
		const struct entry *e = &k->entries[k->at++];
		const struct device *dev =
			book_find_in(k->desk->book, &e->pin, e->fleet);

		if (dev != NULL)
			return device_json(k->desk, dev);
	}
	return NULL;
}

static json_t *listing_last(void *user)
{
	(void)user;
	return json_pack("{s:b}", "running", 1);
}

static const struct local_source listing_source = {
	.next = listing_next,
	.last = listing_last,
	.done = free,
};

void desk_list_send(struct desk *d, struct local_req *req)
{
	struct listing *k = listing_new(d);

	if (k == NULL) {
		local_end(req, false, 1, err_text(RW_ERR_NOMEM));
		return;
	}
	relay_tally(d->relay);
	local_end_lines(req, &listing_source, k);
}

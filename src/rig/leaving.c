/* SPDX-License-Identifier: MIT */
#include "rig/leaving.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "rig/rig.h"
#include "rig/uplink.h"

struct leaving {
	struct rig *rig;
	struct pin relay;
	leaving_on_done *on_done; /* NULL: nobody asks any more */
	void *user;
};

static void leaving_end(struct leaving *l, int err, bool was_told,
			const char *text)
{
	if (err != 0)
		log_error("%s", text);
	else
		log_info("%s", text);
	if (l->on_done != NULL)
		l->on_done(l->user, err, was_told, text);
	free(l);
}

/* untold: as for relays_say_left(). */
static void leaving_leave(struct leaving *l, const char *untold)
{
	/* It may have been left, or come to another place, meanwhile. */
	struct uplink *u = uplink_find(l->rig, &l->relay);
	struct rig_relays *relays = &l->rig->relays;
	char text[RELAYS_TEXT_CAP];
	int err;

	if (u == NULL) {
		leaving_end(l, 0, false, "the relay was left already");
		return;
	}
	relays_say_left(relays, (size_t)(uplink_relay(u) - relays->rows),
			untold, text);
	err = uplink_leave(u);
	if (err != 0)
		str_copy(text, sizeof(text), err_text(err));
	leaving_end(l, err, untold == NULL, text);
}

static void on_told(void *user, int err, const char *text)
{
	struct leaving *l = user;

	/* The rig stops, or another one who asked was first. */
	if (err == RW_ERR_CANCELLED)
		leaving_end(l, 0, false, "the relay was left already");
	else
		leaving_leave(l, err != 0 ? text : NULL);
}

void leaving_start(struct rig *rig, size_t n, leaving_on_done *on_done,
		   void *user, struct leaving **ret)
{
	struct leaving *l = xcalloc(1, sizeof(*l));
	struct uplink *u = rig->uplinks[n];
	char untold[RELAYS_TEXT_CAP];

	l->rig = rig;
	l->relay = uplink_relay(u)->pin;
	l->on_done = on_done;
	l->user = user;
	*ret = l;
	if (uplink_is_up(u) &&
	    control_drop_device(uplink_control(u), key_pin(rig->key), on_told,
				l) == 0)
		return;
	*ret = NULL;
	str_copy(untold, sizeof(untold),
		 uplink_text(u)[0] != '\0' ? uplink_text(u)
					   : err_text(RW_ERR_OFFLINE));
	leaving_leave(l, untold);
}

void leaving_forget(struct leaving *l)
{
	l->on_done = NULL;
}

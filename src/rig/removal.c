/* SPDX-License-Identifier: MIT */
#include "rig/removal.h"

#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "rig/rig.h"
#include "rig/sessions.h"
#include "rig/uplink.h"

static int removal_find(const struct devices *d, const char *who,
			struct device *ret, char text[REMOVAL_TEXT_CAP])
{
	struct device *dev;
	int err = devices_resolve(d, who, &dev);

	if (err == 0)
		*ret = *dev;
	else if (err == RW_ERR_EXISTS)
		snprintf(text, REMOVAL_TEXT_CAP,
			 "more than one device is called '%.64s': give the "
			 "fingerprint that rigway rig devices shows",
			 who);
	else
		snprintf(text, REMOVAL_TEXT_CAP,
			 "no device of this rig is called '%.64s': see rigway "
			 "rig devices",
			 who);
	return err;
}

int removal_write(const struct removal *from, const char *who,
		  struct device *ret, char text[REMOVAL_TEXT_CAP])
{
	char pin[PIN_SHORT_LEN + 1];
	int err = removal_find(from->devices, who, ret, text);

	if (err != 0)
		return err;

	/* The codes first: a crash in between leaves a device that can still
	 * be seen and removed, rather than one that can come back. */
	int bar_err = invites_bar(from->invites, &ret->pin);

	err = devices_remove(from->devices, &ret->pin, from->now);
	if (err == 0)
		err = bar_err;
	pin_short(&ret->pin, pin);
	if (err != 0)
		snprintf(text, REMOVAL_TEXT_CAP,
			 "%.64s (%s) is out, but this cannot be written down "
			 "(%s), so that it would be let in after a restart: "
			 "make room, and remove it again",
			 ret->name, pin, err_text(err));
	else
		snprintf(text, REMOVAL_TEXT_CAP, "removed %.64s (%s)",
			 ret->name, pin);
	return err;
}

int removal_do(struct rig *rig, const char *who, struct device *ret,
	       char text[REMOVAL_TEXT_CAP])
{
	const struct removal from = { &rig->devices, &rig->invites, rig_now() };
	int err = removal_write(&from, who, ret, text);

	if (err == RW_ERR_NOT_FOUND || err == RW_ERR_EXISTS)
		return err;
	log_info("%s", text);
	sessions_end(rig->sessions, &ret->pin, RW_ERR_NOT_ALLOWED,
		     "this machine was removed from the rig");
	removal_tell(rig);
	return err;
}

void removal_tell(struct rig *rig)
{
	for (size_t i = 0; i < rig->uplink_count; i++)
		if (uplink_is_up(rig->uplinks[i]))
			uplink_tell_removed(rig->uplinks[i]);
}

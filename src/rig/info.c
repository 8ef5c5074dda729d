/* SPDX-License-Identifier: MIT */
#include "rig/info.h"

#include <unistd.h>

#include "base/str.h"
#include "rig/devices.h"
#include "rig/discovery.h"
#include "rig/gate.h"
#include "rig/places.h"
#include "rig/rig.h"
#include "rig/sshd.h"
#include "wire/hello.h"

static void fill_relays(const struct rig *rig, struct rig_info *info)
{
	for (size_t i = 0; i < rig->relays.count; i++) {
		const struct rig_relay *row = &rig->relays.rows[i];
		struct rig_relay_info *r = &info->relays[info->relay_count++];

		r->pin = row->pin;
		for (size_t j = 0; j < row->addr_count; j++)
			str_copy(r->at[r->count++], HOSTPORT_CAP, row->addr[j]);
	}
}

void info_fill(const struct rig *rig, const struct device *dev,
	       struct rig_info *ret)
{
	struct places places;

	*ret = (struct rig_info){ .sshd_port = sshd_port(rig->sshd) };
	str_copy(ret->name, sizeof(ret->name), rig->name);
	str_copy(ret->user, sizeof(ret->user), rig->user);
	if (gethostname(ret->host, sizeof(ret->host) - 1) != 0)
		ret->host[0] = '\0';
	str_copy(ret->version, sizeof(ret->version), RIGWAY_VERSION);
	str_copy(ret->role, sizeof(ret->role), device_role_name(dev->role));
	sshd_host_keys(rig->sshd, ret->host_keys, sizeof(ret->host_keys));
	gate_places(rig->gate, &places);
	places_text(&places, ret->addrs, sizeof(ret->addrs));
	ret->probe_port = discovery_port(rig->discovery);
	fill_relays(rig, ret);
}

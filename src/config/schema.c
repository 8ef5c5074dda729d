/* SPDX-License-Identifier: MIT */
#include "config/schema.h"
#include "base/check.h"
#include "base/log.h"
#include "base/str.h"
#include "config/settings.h"

#include <string.h>

#define AT(field) offsetof(struct settings, field)
#define SECOND	  INT64_C(1000)
#define MINUTE	  (60 * SECOND)
#define HOUR	  (60 * MINUTE)
#define KIB	  INT64_C(1024)
#define MIB	  (1024 * KIB)
#define GIB	  (1024 * MIB)

static const char *const log_levels[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
	NULL,
};

/* In the order of enum way_paths. */
static const char *const client_paths[] = { "any", "relay", "direct", NULL };
static const char *const login_whens[] = {
	[LOGIN_AUTO] = "auto",
	[LOGIN_YES] = "yes",
	[LOGIN_NO] = "no",
	NULL,
};

/* name, type, field, least, most, default, help. man/rigway.conf.5 has a
 * paragraph for each; tests/lint/man_conf.py compares. */
/* clang-format off */
static const struct setting rows[] = {
	{ "relay.listen", SETTING_LISTEN, AT(relay.listen), 0, 16, "",
	  "Addresses and ports to listen on; none: port 443 on all addresses where that is allowed, else 7443." },
	{ "relay.name", SETTING_NAMES, AT(relay.name), 0, 8, "",
	  "Names, with a port or without, under which codes tell others to reach this relay." },
	{ "relay.max_devices", SETTING_INT, AT(relay.max_devices), 1, 65536, "4096",
	  "Devices in one group." },
	{ "relay.max_fleets", SETTING_INT, AT(relay.max_fleets), 1, 65536, "1024",
	  "Groups on this relay: one for each owner." },
	{ "relay.max_invites", SETTING_INT, AT(relay.max_invites), 1, 65536, "256",
	  "Invites that are open at once in one group." },
	{ "relay.max_pairs", SETTING_INT, AT(relay.max_pairs), 1, 65536, "4096",
	  "Connections joined to each other at once for one group." },
	{ "relay.max_pipes", SETTING_INT, AT(relay.max_pipes), 0, 65536, "512",
	  "Kernel pipes for joined connections; beyond them bytes are copied." },
	{ "relay.max_rate", SETTING_BYTES, AT(relay.max_rate_bytes), 0, 1024 * GIB, "0B",
	  "Bytes that one group may send through the relay in a second, both ways together; 0: no limit." },
	{ "relay.max_waiting", SETTING_INT, AT(relay.max_waiting), 1, 4096, "64",
	  "Connections of one device that wait for an absent rig." },
	{ "relay.max_connections", SETTING_INT, AT(relay.max_connections), 16, 1048576, "65536",
	  "Connections of all kinds." },
	{ "relay.max_unproven_per_address", SETTING_INT, AT(relay.max_unproven_per_address), 1, 65536, "64",
	  "Connections of one IPv4 address or IPv6 /64 that have not yet shown an admitted key." },
	{ "relay.max_handshakes", SETTING_INT, AT(relay.max_handshakes), 1, 65536, "256",
	  "Newcomers whose handshake runs at once; the others wait in turn." },
	{ "relay.max_newcomers", SETTING_INT, AT(relay.max_newcomers), 1, 1048576, "8192",
	  "Newcomers that wait for their handshake; more wait in the kernel's queue." },
	{ "relay.guesses_per_minute", SETTING_INT, AT(relay.guesses_per_minute), 1, 100000, "20",
	  "Wrong codes that one IPv4 address or IPv6 /64 may try in a minute." },
	{ "relay.max_guessers", SETTING_INT, AT(relay.max_guessers), 1, 1048576, "65536",
	  "Addresses whose wrong codes are remembered for a minute; no code is taken from more." },
	{ "relay.max_changes", SETTING_INT, AT(relay.max_changes), 1, 100000, "128",
	  "Changes that one device may make to the relay's state at once; one more each second." },
	{ "relay.max_queued", SETTING_BYTES, AT(relay.max_queued_bytes), 4 * KIB, 64 * MIB, "1MiB",
	  "Bytes that wait for one device that does not read; then it is dropped." },
	{ "relay.handshake_timeout", SETTING_DURATION, AT(relay.handshake_timeout_ms), 100, 2 * MINUTE, "10s",
	  "Time in which a new connection must say who it is." },
	{ "relay.idle_timeout", SETTING_DURATION, AT(relay.idle_timeout_ms), SECOND, HOUR, "60s",
	  "Silence, either way, after which joined connections are closed." },
	{ "relay.flush_timeout", SETTING_DURATION, AT(relay.flush_timeout_ms), 100, MINUTE, "5s",
	  "Time to deliver what is left when one of two joined connections ends." },

	{ "rig.name", SETTING_LABEL, AT(rig.name), 0, 63, "",
	  "What this rig is called; empty: the name of the machine." },
	{ "rig.listen", SETTING_LISTEN, AT(rig.listen), 0, 8, "",
	  "Addresses and ports on which laptops may come straight to this rig, without a relay; none: nowhere." },
	{ "rig.public", SETTING_NAMES, AT(rig.public), 0, 8, "",
	  "Names, with a port or without, under which rig.listen is reached from outside; codes carry them." },
	{ "rig.probe_port", SETTING_INT, AT(rig.probe_port), 0, 65535, "7443",
	  "UDP port on which laptops in the same network look for this rig; 0: they find it through the relay only." },
	{ "rig.keep_absent", SETTING_DURATION, AT(rig.keep_absent_ms), SECOND, 720 * HOUR, "24h",
	  "How long the connections of a laptop that is away are kept." },
	{ "rig.connect_timeout", SETTING_DURATION, AT(rig.connect_timeout_ms), 100, 5 * MINUTE, "10s",
	  "Time in which a service must accept a connection." },
	{ "rig.max_devices", SETTING_INT, AT(rig.max_devices), 1, 4096, "256",
	  "Devices that may be admitted to this rig." },
	{ "rig.max_invites", SETTING_INT, AT(rig.max_invites), 1, 4096, "64",
	  "Invites of this rig that are open at once." },
	{ "rig.max_invite_life", SETTING_DURATION, AT(rig.max_invite_life_ms), MINUTE, 365 * 24 * HOUR, "720h",
	  "The longest life of an invite of this rig, for whoever makes it." },
	{ "rig.max_sessions", SETTING_INT, AT(rig.max_sessions), 1, 4096, "64",
	  "Laptops that are connected, or away and kept, at once." },
	{ "rig.dials_per_minute", SETTING_INT, AT(rig.dials_per_minute), 1, 60000, "600",
	  "Connections that this rig makes to its relay for laptops in a minute." },
	{ "rig.strangers_per_minute", SETTING_INT, AT(rig.strangers_per_minute), 1, 60000, "120",
	  "The same for laptops that are not known yet and come with a code." },
	{ "rig.max_calls", SETTING_INT, AT(rig.max_calls), 1, 4096, "256",
	  "Laptops that are being let in at once: so many that a relay sent, and so many that come straight." },
	{ "rig.guesses_per_minute", SETTING_INT, AT(rig.guesses_per_minute), 1, 100000, "60",
	  "Wrong codes that may be tried in a minute: through relays, and from each address that comes straight." },
	{ "rig.max_unproven_per_address", SETTING_INT, AT(rig.max_unproven_per_address), 1, 65536, "16",
	  "Connections of one IPv4 address or IPv6 /64 that came straight and have not yet shown an admitted key." },
	{ "rig.handshake_timeout", SETTING_DURATION, AT(rig.handshake_timeout_ms), 100, 2 * MINUTE, "10s",
	  "Time in which whoever comes must say who it is." },
	{ "rig.max_guessers", SETTING_INT, AT(rig.max_guessers), 1, 1048576, "65536",
	  "Addresses whose wrong codes are remembered for a minute; when there are more, no code is taken from those that come straight." },
	{ "rig.probes_per_minute", SETTING_INT, AT(rig.probes_per_minute), 1, 100000, "600",
	  "Questions of laptops looking for this rig in their network that are answered in a minute." },
	{ "rig.sshd_port", SETTING_INT, AT(rig.sshd_port), 0, 65535, "0",
	  "Port of this machine's sshd; 0: found by itself." },
	{ "rig.sshd_config", SETTING_PATH, AT(rig.sshd_config), 0, 0, "/etc/ssh/sshd_config",
	  "Where this machine's sshd has its configuration: its ports and host keys are read from there." },
	{ "rig.authorized_keys", SETTING_PATH, AT(rig.authorized_keys), 0, 0, "",
	  "The file that gets the ssh keys of laptops; empty: where sshd looks for those of this user." },

	{ "client.wait", SETTING_DURATION, AT(client.wait_ms), 0, 24 * HOUR, "30s",
	  "How long a connection to a forwarded port waits for a rig that is away; 0s: refused at once." },
	{ "client.keep_absent", SETTING_DURATION, AT(client.keep_absent_ms), SECOND, 720 * HOUR, "24h",
	  "How long connections to a rig that is away are kept; never longer than it keeps them." },
	{ "client.bind", SETTING_IP, AT(client.bind), 0, 0, "127.0.0.1",
	  "Address on which forwarded ports listen unless the forward says another." },
	{ "client.max_forwards", SETTING_INT, AT(client.max_forwards), 1, 4096, "256",
	  "Forwards that are kept." },
	{ "client.start_at_login", SETTING_CHOICE, AT(client.start_at_login), 0, 0, "auto",
	  "Whether kept forwards come back when you log in; auto: yes, but not under a RIGWAY_HOME.", login_whens },
	{ "client.max_rigs", SETTING_INT, AT(client.max_rigs), 1, 4096, "256",
	  "Rigs that this laptop knows." },
	{ "client.max_waiting", SETTING_INT, AT(client.max_waiting), 1, 4096, "256",
	  "Connections to one forwarded port that wait for the rig; more wait in the kernel." },
	{ "client.max_requests", SETTING_INT, AT(client.max_requests), 1, 4096, "64",
	  "Requests to one rig that wait for its answer." },
	{ "client.paths", SETTING_CHOICE, AT(client.paths), 0, 0, "any",
	  "How rigs may be reached: by any path, through a relay only, or without one (direct).", client_paths },

	{ "session.budget", SETTING_BYTES, AT(session.budget_bytes), MIB, 64 * GIB, "256MiB",
	  "Memory that one process lends to all others for bytes on their way." },
	{ "session.floor", SETTING_BYTES, AT(session.floor_bytes), 4 * KIB, MIB, "16KiB",
	  "The part of session.budget that each connection is sure of." },
	{ "session.window_max", SETTING_BYTES, AT(session.window_max_bytes), 64 * KIB, GIB, "16MiB",
	  "The most of session.budget that one connection can have." },
	{ "session.send_max", SETTING_BYTES, AT(session.send_max_bytes), 64 * KIB, GIB, "16MiB",
	  "Bytes that one connection keeps to send again, whatever the other side allows." },
	{ "session.in_flight_min", SETTING_BYTES, AT(session.in_flight_min_bytes), 16 * KIB, 16 * MIB, "32KiB",
	  "Bytes that may always be on their way on one path, however slow it seems." },
	{ "session.max_streams", SETTING_INT, AT(session.max_streams), 1, 65535, "2048",
	  "Connections at once between one laptop and one rig." },
	{ "session.carriers_max", SETTING_INT, AT(session.carriers_max), 1, 9, "9",
	  "Paths used at once between one laptop and one rig." },
	{ "session.ping_interval", SETTING_DURATION, AT(session.ping_interval_ms), 100, MINUTE, "5s",
	  "How often a silent path is asked whether it is alive." },
	{ "session.ping_timeout", SETTING_DURATION, AT(session.ping_timeout_ms), 100, MINUTE, "4s",
	  "Time in which a path must answer before it counts as dead." },

	{ "log.level", SETTING_CHOICE, AT(log.level), 0, 0, "info",
	  "The least important messages that are still written.", log_levels },
	{ "log.lines_per_minute", SETTING_INT, AT(log.lines_per_minute), 10, 100000, "600",
	  "Warnings and messages of what happened that are written in a minute; how many were left out is said." },
};
/* clang-format on */

const struct setting *schema_rows(size_t *ret_len)
{
	*ret_len = ARRAY_LEN(rows);
	return rows;
}

const struct setting *schema_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static const char *const sections[] = {
	"relay", "rig", "client", "session", "log",
};

bool schema_has_section(const char *section)
{
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		if (strcmp(sections[i], section) == 0)
			return true;
	return false;
}

const struct setting *schema_in(const char *section, const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *dot = strchr(rows[i].name, '.');

		if (strlen(section) == (size_t)(dot - rows[i].name) &&
		    str_has_prefix(rows[i].name, section) &&
		    strcmp(dot + 1, key) == 0)
			return &rows[i];
	}
	return NULL;
}

const char *schema_near_section(const char *word)
{
	return str_near(word, sections, ARRAY_LEN(sections));
}

const char *schema_near(const char *section, const char *key)
{
	const char *keys[ARRAY_LEN(rows)];
	size_t len = strlen(section), count = 0;
	const char *near, *dot;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_has_prefix(rows[i].name, section) &&
		    rows[i].name[len] == '.')
			keys[count++] = rows[i].name + len + 1;
	near = str_near(key, keys, count);
	/* The right key in the wrong section is named in full. */
	for (size_t i = 0; near == NULL && i < ARRAY_LEN(rows); i++) {
		dot = strchr(rows[i].name, '.');
		if (strcmp(dot + 1, key) == 0)
			near = rows[i].name;
	}
	return near;
}

const char *schema_near_name(const char *name)
{
	const char *names[ARRAY_LEN(rows)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		names[i] = rows[i].name;
	return str_near(name, names, ARRAY_LEN(rows));
}

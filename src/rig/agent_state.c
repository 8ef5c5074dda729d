/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "crypto/key.h"
#include "net/local.h"
#include "rig/agent.h"

#define LOCK_STEP_MS 20
/* A command may hold the state for a moment when the rig starts. */
#define HOLD_WAIT_MS 10000
#define HOLD_STEP_MS 200

static bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

/* A command holds the lock for a moment, a rig for as long as it runs. */
static int take_lock(struct paths *paths, uint64_t wait_ms, int *ret_fd,
		     char **ret_text)
{
	char *path = paths_lock(paths, "rig");
	const struct timespec step = { 0, LOCK_STEP_MS * 1000000L };
	int err;

	if (path == NULL) {
		*ret_text = xstrdup(paths_error(paths));
		return RW_ERR_IO;
	}
	while ((err = file_lock(path, ret_fd)) == RW_ERR_BUSY &&
	       wait_ms >= LOCK_STEP_MS) {
		nanosleep(&step, NULL);
		wait_ms -= LOCK_STEP_MS;
	}
	if (err == RW_ERR_BUSY)
		*ret_text = xstrdup("a rig is running already on this "
				    "machine for this user");
	else if (err != 0)
		*ret_text = xasprintf("%s: %s", path, err_text(err));
	free(path);
	return err;
}

static char *key_trouble(int err, const char *path)
{
	switch (err) {
	case RW_ERR_PERM:
		return xasprintf("%s can be read by others, so it may have "
				 "been copied: chmod 600 it, if you are sure "
				 "that nobody has",
				 path);
	case RW_ERR_KEY_MISSING:
		return xasprintf("%s is missing, but this machine has been a "
				 "rig: put the key back, or remove the folder "
				 "around it and join again",
				 path);
	case RW_ERR_OTHER_MACHINE:
		return xasprintf("%s was copied from another machine: two "
				 "machines cannot be one rig; remove it here "
				 "and join this one too",
				 path);
	case RW_ERR_FORMAT: return xasprintf("%s is damaged", path);
	default: return xasprintf("%s: %s", path, err_text(err));
	}
}

static int load_key(const struct agent_open *o, bool state_exists,
		    struct key **ret, char **ret_text)
{
	char *path = paths_state(o->paths, "rig", "key");
	int err;

	if (path == NULL) {
		*ret_text = xstrdup(paths_error(o->paths));
		return RW_ERR_IO;
	}
	if (!o->may_make && !state_exists && !is_file(path)) {
		*ret_text = xstrdup("this machine is not a rig yet: rigway "
				    "join CODE, with a code from rigway relay "
				    "invite on the relay, or rigway rig "
				    "--listen PORT, where laptops can reach a "
				    "port of this machine");
		free(path);
		return RW_ERR_NOT_FOUND;
	}
	err = key_load_or_make(path, paths_machine(o->paths), state_exists,
			       ret);
	if (err != 0)
		*ret_text = key_trouble(err, path);
	free(path);
	return err;
}

/* Reads one file of state; load is one of the calls below. */
static int load(const struct agent_open *o, struct agent_state *s,
		const char *file,
		int (*read)(const struct agent_open *o, struct agent_state *s,
			    const char *path, char **ret_err),
		char **ret_text)
{
	char *path = paths_state(o->paths, "rig", file);
	int err;

	if (path == NULL) {
		*ret_text = xstrdup(paths_error(o->paths));
		return RW_ERR_IO;
	}
	err = read(o, s, path, ret_text);
	if (err != 0 && *ret_text == NULL)
		*ret_text = xasprintf("%s: %s", path, err_text(err));
	free(path);
	return err;
}

static int read_devices(const struct agent_open *o, struct agent_state *s,
			const char *path, char **ret_err)
{
	return devices_load(&s->devices, path,
			    (size_t)o->settings->rig.max_devices, ret_err);
}

static int read_invites(const struct agent_open *o, struct agent_state *s,
			const char *path, char **ret_err)
{
	int err = invites_load(&s->invites, path,
			       (size_t)o->settings->rig.max_invites, ret_err);

	s->invites.max_ttl_s = o->settings->rig.max_invite_life_ms / 1000;
	return err;
}

static int read_relays(const struct agent_open *o, struct agent_state *s,
		       const char *path, char **ret_err)
{
	(void)o;
	return relays_load(&s->relays, path, ret_err);
}

static int read_name(const struct agent_open *o, struct agent_state *s,
		     const char *path, char **ret_err)
{
	int err;

	if (o->name != NULL) {
		str_copy(s->name, sizeof(s->name), o->name);
		return 0;
	}
	if (o->settings->rig.name[0] != '\0') {
		str_copy(s->name, sizeof(s->name), o->settings->rig.name);
		return 0;
	}
	err = rig_name_load(path, s->name, ret_err);
	if (err != -ENOENT)
		return err;
	rig_name_default(s->name);
	return 0;
}

static bool has_state(struct paths *paths)
{
	static const char *const files[] = { "relays", "devices", "invites" };
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *path = paths_state(paths, "rig", files[i]);

		found = found || (path != NULL && is_file(path));
		free(path);
	}
	return found;
}

int agent_state_open(const struct agent_open *o, struct agent_state *ret,
		     char **ret_text)
{
	struct agent_state s = { .lock = -1 };
	int err;

	*ret_text = NULL;
	err = take_lock(o->paths, o->wait_ms, &s.lock, ret_text);
	if (err != 0)
		return err;
	err = load_key(o, has_state(o->paths), &s.key, ret_text);
	if (err == 0)
		err = load(o, &s, "devices", read_devices, ret_text);
	if (err == 0)
		err = load(o, &s, "invites", read_invites, ret_text);
	if (err == 0)
		err = load(o, &s, "relays", read_relays, ret_text);
	if (err == 0)
		err = load(o, &s, "name", read_name, ret_text);
	if (err != 0) {
		agent_state_close(&s);
		return err;
	}
	s.is_joined = s.relays.count > 0;
	*ret = s;
	return 0;
}

void agent_state_close(struct agent_state *s)
{
	key_free(s->key);
	devices_done(&s->devices);
	invites_done(&s->invites);
	relays_done(&s->relays);
	if (s->lock >= 0)
		close(s->lock);
	*s = (struct agent_state){ .lock = -1 };
}

/* -- for as long as a rig runs --------------------------------------------- */

static bool is_served(struct paths *paths)
{
	char *path = paths_socket_served(paths, "rig");
	int fd = path != NULL ? local_connect(path) : -1;

	free(path);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void say_standby(bool *said)
{
	if (!*said)
		log_info("another rig runs here already; this one takes its "
			 "place when that one ends");
	*said = true;
}

/* Waits for a command that holds the state; for another rig only where it was
 * told to. */
static int open_state(const struct agent_params *p, struct agent_state *ret)
{
	const struct agent_open o = {
		.settings = p->settings,
		.paths = p->paths,
		.name = p->name,
		/* Without a relay nothing came before this. */
		.may_make = p->settings->rig.listen.len > 0,
		.wait_ms = HOLD_STEP_MS,
	};
	char *text = NULL;
	bool said = false;
	int err = 0;

	for (unsigned ms = 0; p->standby || ms < HOLD_WAIT_MS;
	     ms += HOLD_STEP_MS) {
		free(text);
		err = agent_state_open(&o, ret, &text);
		if (err != RW_ERR_BUSY)
			break;
		if (!is_served(p->paths))
			continue;
		if (!p->standby)
			break;
		say_standby(&said);
	}
	if (err != 0)
		log_error("%s", text);
	free(text);
	return err;
}

int agent_state_hold(const struct agent_params *p, struct agent_state *ret)
{
	struct agent_state st;
	int status;

	if (open_state(p, &st) != 0)
		return 1;
	status = p->on_held(p->user);
	if (status != 0) {
		agent_state_close(&st);
		return status;
	}
	if (!st.is_joined && p->settings->rig.listen.len == 0) {
		log_error("nobody could reach this machine: join a relay with "
			  "rigway join CODE (a code from rigway relay invite "
			  "there), or, where laptops can reach a port of this "
			  "machine, rigway rig --listen PORT");
		agent_state_close(&st);
		return 1;
	}
	*ret = st;
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "rig/sshd.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/settings.h"
#include "net/chan.h"
#include "net/dial.h"
#include "net/loop.h"

/* For a connection and its banner, on this machine. */
#define PROBE_MS 1000
/* A look that is younger than this is good enough. */
#define LOOK_AGE_US (UINT64_C(2) * 1000 * 1000)

struct sshd {
	uv_loop_t *loop;
	const struct settings *settings;
	struct sshd_config config;
	struct hostport tries[SSHD_LISTEN_MAX];
	size_t try_count;
	size_t at; /* the one that is being tried */
	bool looking;
	bool looked; /* at least once, to the end */
	uint64_t looked_us;
	bool found;
	struct hostport where; /* if found */
	/* At most one of these while looking. */
	struct dial *dial;
	struct chan *chan;
	struct timer *timer; /* guards the banner */
};

/* For a connection that is only being closed. */
static const struct chan_ops no_ops = { 0 };

static void try_next(struct sshd *s);

static void look_ends(struct sshd *s, bool found)
{
	timer_stop(s->timer);
	s->looking = false;
	s->looked = true;
	s->looked_us = loop_now_us(s->loop);
	if (found && (!s->found || s->where.port != s->tries[s->at].port))
		log_info("sshd answers at %s port %u", s->tries[s->at].host,
			 s->tries[s->at].port);
	if (!found && s->found)
		log_info("sshd does not answer any more");
	s->found = found;
	if (found)
		s->where = s->tries[s->at];
}

/* The banner may stand behind other lines (RFC 4253, 4.2), but OpenSSH sends
 * it first, and a service that talks otherwise is not taken for sshd. */
static size_t on_data(struct chan *c, const uint8_t *data, size_t len)
{
	struct sshd *s = chan_user(c);

	if (len < 4 && memcmp(data, "SSH-", len) == 0)
		return 0;
	s->chan = NULL;
	if (len >= 4 && memcmp(data, "SSH-", 4) == 0) {
		look_ends(s, true);
	} else {
		s->at++;
		try_next(s);
	}
	chan_set_ops(c, &no_ops, NULL);
	chan_close(c, 0);
	return len;
}

static void on_closed(struct chan *c, int err)
{
	struct sshd *s = chan_user(c);

	(void)err;
	if (s == NULL || s->chan != c)
		return;
	s->chan = NULL;
	s->at++;
	try_next(s);
}

static const struct chan_ops chan_ops = {
	.on_data = on_data,
	.on_closed = on_closed,
};

static void on_timer(void *user)
{
	struct sshd *s = user;

	if (s->chan != NULL)
		chan_close(s->chan, RW_ERR_TIMEOUT);
}

static void on_dialled(void *user, int err, int fd, enum dial_stage stage)
{
	struct sshd *s = user;

	(void)stage;
	s->dial = NULL;
	if (err == 0)
		err = chan_open_fd(s->loop, fd, &chan_ops, s, &s->chan);
	if (err == 0) {
		timer_start(s->timer, PROBE_MS);
		return;
	}
	s->chan = NULL;
	s->at++;
	try_next(s);
}

static void try_next(struct sshd *s)
{
	if (s->at >= s->try_count) {
		look_ends(s, false);
		return;
	}

	const struct dial_params p = {
		.host = s->tries[s->at].host,
		.port = s->tries[s->at].port,
		.timeout_ms = PROBE_MS,
		.on_done = on_dialled,
		.user = s,
	};

	if (dial_start(s->loop, &p, &s->dial) != 0) {
		s->dial = NULL;
		look_ends(s, false);
	}
}

static void set_tries(struct sshd *s)
{
	const uint16_t port = (uint16_t)s->settings->rig.sshd_port;

	sshd_config_read(s->settings->rig.sshd_config, &s->config);
	if (port != 0) {
		s->config.ports[0] = port;
		s->config.port_count = 1;
		s->config.listen_count = 0;
	}
	s->try_count = sshd_config_addrs(&s->config, s->tries);
}

void sshd_look(struct sshd *s)
{
	if (s->looking ||
	    (s->looked && loop_now_us(s->loop) - s->looked_us < LOOK_AGE_US))
		return;
	s->looking = true;
	s->at = 0;
	set_tries(s);
	try_next(s);
}

struct sshd *sshd_new(uv_loop_t *loop, const struct settings *settings)
{
	struct sshd *s = xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->settings = settings;
	s->timer = timer_new(loop, on_timer, s);
	sshd_look(s);
	return s;
}

void sshd_free(struct sshd *s)
{
	if (s == NULL)
		return;
	if (s->dial != NULL)
		dial_cancel(s->dial);
	if (s->chan != NULL) {
		chan_set_ops(s->chan, &no_ops, NULL);
		chan_close(s->chan, RW_ERR_CANCELLED);
	}
	timer_free(s->timer);
	free(s);
}

uint16_t sshd_port(const struct sshd *s)
{
	return s->found ? s->where.port : (uint16_t)s->settings->rig.sshd_port;
}

size_t sshd_addrs(const struct sshd *s, struct hostport ret[SSHD_LISTEN_MAX])
{
	size_t count = 0;

	if (s->found)
		ret[count++] = s->where;
	for (size_t i = 0; i < s->try_count && count < SSHD_LISTEN_MAX; i++)
		if (!s->found || s->tries[i].port != s->where.port ||
		    strcmp(s->tries[i].host, s->where.host) != 0)
			ret[count++] = s->tries[i];
	return count;
}

size_t sshd_host_keys(const struct sshd *s, char *ret, size_t cap)
{
	return sshd_config_host_keys(&s->config, ret, cap);
}

bool sshd_authorized(const struct sshd *s, char ret[SSHD_PATH_CAP])
{
	const char *set = s->settings->rig.authorized_keys;
	const struct passwd *pw = getpwuid(geteuid());

	if (set[0] != '\0')
		return str_copy(ret, SSHD_PATH_CAP, set);
	return pw != NULL &&
	       sshd_config_authorized(&s->config, pw->pw_dir, pw->pw_name, ret);
}

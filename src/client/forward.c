/* SPDX-License-Identifier: MIT */
#include "client/forward.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/passage.h"
#include "client/rigs.h"
#include "client/way.h"
#include "config/settings.h"
#include "config/state.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/moment.h"

#define LOG_PAUSE_US 5000000

/* One connection of a forward; outlives it where it is not cut. */
struct visit {
	struct list link;
	struct forward *fw; /* NULL once the forward is closed */
	struct passage conn;
};

/* -- connections */

static void wait_is_over(struct forward *fw)
{
	if (fw->waiting_count-- == fw->all->settings->max_waiting)
		listener_resume(fw->listener);
}

static void on_connected(struct passage *c)
{
	struct forward *fw = container_of(c, struct visit, conn)->fw;

	if (fw == NULL)
		return;
	wait_is_over(fw);
	fw->worked = moment_now();
}

/* A page that reloads by itself fails often: one line every few seconds. */
static void log_failure(struct forward *fw, const char *text)
{
	uint64_t now = loop_now_us(fw->all->loop);

	if (fw->log_us != 0 && now < fw->log_us + LOG_PAUSE_US)
		return;
	fw->log_us = now;
	log_info("%s: a connection to port %u (%s) was reset: %s",
		 fw->rig->name, fw->spec.port, fw->spec.target.to, text);
}

static void note_failure(struct forward *fw, const char *text)
{
	fw->failed = moment_now();
	str_copy(fw->failure, sizeof(fw->failure), text);
	log_failure(fw, text);
}

static void on_done(struct passage *c, int err, const char *text)
{
	struct visit *p = container_of(c, struct visit, conn);

	list_del(&p->link);
	if (p->fw != NULL) {
		if (!passage_is_connected(c))
			wait_is_over(p->fw);
		p->fw->conn_count--;
		if (err != 0)
			note_failure(p->fw, text);
	}
	free(p);
}

static const struct passage_ops passage_ops = {
	.on_connected = on_connected,
	.on_done = on_done,
};

static void on_accept(void *user, int fd, const struct sockaddr_storage *peer)
{
	struct forward *fw = user;
	struct visit *p;
	struct passage_params params = {
		.way = fw->rig->way,
		.fd = fd,
		.target = &fw->spec.target,
		.wait_ms = fw->all->settings->wait_ms,
		.ops = &passage_ops,
	};

	(void)peer;
	p = xcalloc(1, sizeof(*p));
	p->fw = fw;
	list_push(&fw->conns, &p->link);
	fw->conn_count++;
	fw->conn_total++;
	if (++fw->waiting_count == fw->all->settings->max_waiting)
		listener_pause(fw->listener);
	passage_start(&p->conn, &params);
}

/* -- ports */

const char *forward_bind(const struct forward *fw)
{
	return fw->spec.bind[0] != '\0' ? fw->spec.bind
					: fw->all->settings->bind;
}

static int listen_now(struct forward *fw)
{
	const struct listener_at at = { .host = forward_bind(fw),
					.port = fw->spec.port };

	return listener_open(fw->all->loop, &at, on_accept, fw, &fw->listener);
}

static void set_text(struct forward *fw, int err)
{
	snprintf(fw->text, sizeof(fw->text), "%s",
		 err == -EADDRINUSE ? "another program uses the port"
				    : err_text(err));
}

static void retry(void *user)
{
	struct forward *fw = user;
	int err = listen_now(fw);

	if (err < 0) {
		set_text(fw, err);
		timer_start(fw->retry, FORWARD_RETRY_MS);
		return;
	}
	fw->text[0] = '\0';
	log_info("%s: port %u is open now", fw->rig->name, fw->spec.port);
}

static struct forward *forward_new(struct forwards *f, struct rigs_row *rig,
				   const struct target_spec *spec)
{
	struct forward *fw = xcalloc(1, sizeof(*fw));

	fw->all = f;
	fw->rig = rig;
	fw->spec = *spec;
	list_init(&fw->conns);
	fw->retry = timer_new(f->loop, retry, fw);
	list_push(&f->rows, &fw->link);
	f->count++;
	way_want(rig->way);
	return fw;
}

void forward_close(struct forward *fw, bool cut)
{
	struct list *it;

	while ((it = list_pop(&fw->conns)) != NULL) {
		struct visit *p = container_of(it, struct visit, link);

		p->fw = NULL;
		if (cut)
			passage_abort(&p->conn, RW_ERR_CANCELLED);
	}
	listener_close(fw->listener);
	timer_free(fw->retry);
	way_unwant(fw->rig->way);
	list_del(&fw->link);
	fw->all->count--;
	free(fw);
}

struct forward *forward_next(const struct forwards *f, struct forward *after,
			     const struct rigs_row *rig, const char *bind,
			     uint16_t port)
{
	const struct list *it = after != NULL ? after->link.next : f->rows.next;

	for (; it != &f->rows; it = it->next) {
		struct forward *fw = container_of(it, struct forward, link);

		if (fw->spec.port == port && (rig == NULL || fw->rig == rig) &&
		    (bind[0] == '\0' || strcmp(forward_bind(fw), bind) == 0))
			return fw;
	}
	return NULL;
}

/* -- opening one, with words for what goes wrong */

static char *open_error(const struct forward *fw, int err)
{
	unsigned port = fw->spec.port;
	unsigned other = port < 65000 ? port + 1 : port - 1;
	const char *rig = fw->rig->name;

	if (port < 1024 && err == -EACCES)
		other = port + 8000;
	if (err == -EADDRINUSE)
		return xasprintf("port %u on %s is used by another program "
				 "here; take another port: "
				 "rigway forward %s %u:%s",
				 port, forward_bind(fw), rig, other,
				 fw->spec.target.to);
	if (err == -EACCES)
		return xasprintf("port %u needs more rights than you have "
				 "(ports below 1024 do); take another port: "
				 "rigway forward %s %u:%s",
				 port, rig, other, fw->spec.target.to);
	if (err == -EADDRNOTAVAIL)
		return xasprintf("this machine has no address %s to listen on",
				 forward_bind(fw));
	return xasprintf("cannot listen on %s port %u: %s", forward_bind(fw),
			 port, err_text(err));
}

static bool is_same(const struct forward *fw, const struct rigs_row *rig,
		    const struct target_spec *spec)
{
	return fw->rig == rig && fw->spec.target.kind == spec->target.kind &&
	       strcmp(fw->spec.target.to, spec->target.to) == 0;
}

int forward_open(struct forwards *f, struct rigs_row *rig,
		 const struct target_spec *spec, struct forward_opened *ret,
		 char **ret_err)
{
	const char *bind =
		spec->bind[0] != '\0' ? spec->bind : f->settings->bind;
	struct forward *fw = forward_next(f, NULL, NULL, bind, spec->port);
	int err;

	if (fw != NULL && is_same(fw, rig, spec)) {
		*ret = (struct forward_opened){ fw, false };
		return 0;
	}
	if (fw != NULL) {
		*ret_err = xasprintf("port %u is forwarded to %s %s already; "
				     "end that first: rigway unforward %s %u",
				     fw->spec.port, fw->rig->name,
				     fw->spec.target.to, fw->rig->name,
				     fw->spec.port);
		return RW_ERR_EXISTS;
	}
	if (f->count >= (size_t)f->settings->max_forwards) {
		*ret_err = xasprintf("%zu forwards are open, and no more are "
				     "allowed (client.max_forwards)",
				     f->count);
		return RW_ERR_LIMIT;
	}
	fw = forward_new(f, rig, spec);
	err = listen_now(fw);
	if (err < 0) {
		*ret_err = open_error(fw, err);
		forward_close(fw, false);
		return err;
	}
	*ret = (struct forward_opened){ fw, true };
	return 0;
}

void forward_keep(struct forward *fw)
{
	fw->kept = true;
}

/* -- the file */

static const char *const keys[] = { "rig",  "bind",   "port",
				    "kind", "target", NULL };

static struct state_format forwards_format(const struct forwards *f)
{
	return (struct state_format){
		.kind = "forwards",
		.version = 1,
		.max_rows = (size_t)f->settings->max_forwards,
		.keys = keys,
	};
}

static int read_target(struct state_row *row, struct target *ret)
{
	const char *text, *kind = state_get(row, "kind");
	int err = state_str(row, "target", &text);

	if (err < 0)
		return err;
	if (kind != NULL && strcmp(kind, "unix") != 0)
		return state_refuse(row, "kind", "is not known");
	if (!str_copy(ret->to, sizeof(ret->to), text) || text[0] == '\0')
		return state_refuse(row, "target", "is not a target");
	ret->kind = kind != NULL ? STREAM_UNIX : STREAM_TCP;
	return 0;
}

static int on_row(void *user, struct state_row *row)
{
	struct forwards *f = user;
	struct target_spec spec = { .port = 0 };
	struct rigs_row *rig = NULL;
	struct forward *fw;
	const char *name, *bind = state_get(row, "bind");
	int64_t port = 0;
	int err = state_str(row, "rig", &name);

	if (err == 0 && (rig = rigs_find(f->rigs, name)) == NULL)
		err = state_refuse(row, "rig", "names no rig that is known");
	if (err == 0)
		err = state_int(row, "port", 1, 65535, &port);
	if (err == 0)
		err = read_target(row, &spec.target);
	if (err < 0)
		return err;
	spec.port = (uint16_t)port;
	if (bind != NULL)
		str_copy(spec.bind, sizeof(spec.bind), bind);
	fw = forward_new(f, rig, &spec);
	fw->kept = true;
	err = listen_now(fw);
	if (err < 0) {
		set_text(fw, err);
		log_warn("%s: port %u cannot be opened: %s; trying again",
			 rig->name, spec.port, fw->text);
		timer_start(fw->retry, FORWARD_RETRY_MS);
	}
	return 0;
}

int forwards_load(struct forwards *f, char **ret_err)
{
	struct state_format format = forwards_format(f);
	int err;

	list_init(&f->rows);
	err = state_load(f->path, &format, on_row, f, ret_err);
	return err == -ENOENT ? 0 : err;
}

int forwards_save(const struct forwards *f)
{
	struct state_format format = forwards_format(f);
	struct state_writer w;

	state_begin(&w, &format);
	list_for_each (it, &f->rows) {
		struct forward *fw = container_of(it, struct forward, link);
		bool is_unix = fw->spec.target.kind == STREAM_UNIX;

		if (!fw->kept)
			continue;
		state_add_row(&w);
		state_add_str(&w, "rig", fw->rig->name);
		state_add_str(&w, "bind",
			      fw->spec.bind[0] != '\0' ? fw->spec.bind : NULL);
		state_add_int(&w, "port", fw->spec.port);
		state_add_str(&w, "kind", is_unix ? "unix" : NULL);
		state_add_str(&w, "target", fw->spec.target.to);
	}
	return state_commit(&w, f->path);
}

void forwards_close(struct forwards *f)
{
	struct list *it;

	while ((it = list_first(&f->rows)) != NULL)
		forward_close(container_of(it, struct forward, link), true);
}

void forwards_done(struct forwards *f)
{
	free(f->path);
	f->path = NULL;
}

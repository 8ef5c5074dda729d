/* SPDX-License-Identifier: MIT */
#include "rig/register.h"

#include "base/err.h"
#include "base/str.h"
#include "crypto/hash.h"
#include "net/loop.h"

struct registering {
	uv_loop_t loop;
	struct control *control;
	const struct register_params *what;
	bool is_over; /* what comes behind the answer changes nothing */
	int err;
	char *text;
	size_t cap;
};

static void registering_end(struct registering *g, int err, const char *text)
{
	if (g->is_over)
		return;
	g->is_over = true;
	g->err = err;
	str_copy(g->text, g->cap, text);
	uv_stop(&g->loop);
}

static void on_done(void *user, int err, const char *text)
{
	if (err != RW_ERR_CANCELLED)
		registering_end(user, err, err != 0 ? text : "");
}

static void on_up(void *user, const char *fleet, const char *relay_name,
		  const char *your_addr)
{
	struct registering *g = user;
	const struct register_params *p = g->what;
	int err;

	(void)fleet;
	(void)relay_name;
	(void)your_addr;
	if (p->invite != NULL)
		err = control_put_invite(g->control, p->invite, on_done, g);
	else
		err = control_drop_device(g->control, key_pin(p->key), on_done,
					  g);
	if (err != 0)
		registering_end(g, RW_ERR_OFFLINE, err_text(RW_ERR_OFFLINE));
}

static void on_call(void *user, const struct control_call *call)
{
	struct registering *g = user;

	control_decline(g->control, call->rendezvous, RW_ERR_OFFLINE,
			"the rig is not running");
}

/* The reason stays, for when the time is over. */
static void on_down(void *user, int err, const char *text, uint64_t next_try_ms)
{
	struct registering *g = user;

	if (next_try_ms == CONTROL_NEVER || err == RW_ERR_NOT_ALLOWED) {
		registering_end(g, err, text);
		return;
	}
	if (g->is_over)
		return;
	g->err = err;
	str_copy(g->text, g->cap, text);
}

static const struct control_ops ops = {
	.on_up = on_up,
	.on_call = on_call,
	.on_down = on_down,
};

static void on_timer(void *user)
{
	struct registering *g = user;

	uv_stop(&g->loop);
}

int register_tell(const struct register_params *p, char *text, size_t cap)
{
	struct registering g = {
		.what = p, .err = RW_ERR_TIMEOUT, .text = text, .cap = cap
	};
	const char *addrs[CODE_RELAYS_MAX];
	const struct control_params cp = {
		.loop = &g.loop,
		.key = p->key,
		.relays = addrs,
		.relay_count = p->relay->addr_count,
		.relay_pin = p->relay->pin,
		.role = RELAY_RIG,
		.name = p->name,
		.incarnation = random_u64() | 1,
	};
	int err = loop_init(&g.loop);

	if (err != 0) {
		str_copy(text, cap, err_text(err));
		return err;
	}
	str_copy(text, cap, err_text(RW_ERR_TIMEOUT));
	for (size_t i = 0; i < p->relay->addr_count; i++)
		addrs[i] = p->relay->addr[i];

	struct timer *timer = timer_new(&g.loop, on_timer, &g);

	timer_start(timer, REGISTER_MS);
	err = control_start(&cp, &ops, &g, &g.control);
	if (err == 0) {
		uv_run(&g.loop, UV_RUN_DEFAULT);
		control_stop(g.control);
	} else {
		registering_end(&g, err, err_text(err));
	}
	timer_free(timer);
	loop_run_close(&g.loop);
	return g.err;
}

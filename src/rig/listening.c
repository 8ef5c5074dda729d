/* SPDX-License-Identifier: MIT */
#include "rig/listening.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/state.h"

static const char *const keys[] = { "listen", "public", NULL };
static const struct state_format format = {
	.kind = "listen", .version = 1, .max_rows = 1, .keys = keys
};

static int on_row(void *user, struct state_row *row)
{
	struct listening *l = user;
	const char *listen, *public = state_get(row, "public");
	int err = state_str(row, "listen", &listen);

	if (err != 0)
		return err;
	free(l->listen);
	free(l->public);
	l->listen = xstrdup(listen);
	l->public = xstrdup(public != NULL ? public : "");
	return 0;
}

int listening_load(const char *path, struct listening *ret, char **ret_err)
{
	struct listening l = { xstrdup(""), xstrdup("") };
	int err = state_load(path, &format, on_row, &l, ret_err);

	if (err != 0 && err != -ENOENT) {
		listening_done(&l);
		return err;
	}
	*ret = l;
	return 0;
}

void listening_done(struct listening *l)
{
	free(l->listen);
	free(l->public);
	*l = (struct listening){ 0 };
}

int listening_save(const char *path, const struct listening *l)
{
	struct state_writer w;

	if (l->listen[0] == '\0')
		return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
	state_begin(&w, &format);
	state_add_row(&w);
	state_add_str(&w, "listen", l->listen);
	if (l->public[0] != '\0')
		state_add_str(&w, "public", l->public);
	return state_commit(&w, path);
}

int listening_apply(const struct listening *l, struct settings *s,
		    char **ret_err)
{
	int err;

	if (s->rig.listen.len > 0 || l->listen[0] == '\0')
		return 0;
	err = settings_set(s, "rig.listen", l->listen, ret_err);
	if (err == 0 && s->rig.public.len == 0)
		err = settings_set(s, "rig.public", l->public, ret_err);
	return err;
}

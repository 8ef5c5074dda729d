/* SPDX-License-Identifier: MIT */
/* Where `rigway rig` listens: what was typed now, else the settings, else what
 * was typed when it was last started by hand. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/rig_parts.h"

static int fail_free(char *err, int status)
{
	fprintf(stderr, "rigway rig: %s\n", err);
	free(err);
	return status;
}

int rig_listen_kept(struct setup *s)
{
	char *path = paths_state(&s->paths, "rig", "listen"), *text = NULL;
	struct listening kept;
	int err;

	if (path == NULL)
		return fail_free(xstrdup(paths_error(&s->paths)), EXIT_FAILED);
	err = listening_load(path, &kept, &text);
	if (err == 0) {
		err = listening_apply(&kept, &s->settings, &text);
		listening_done(&kept);
	}
	if (err != 0 && text == NULL)
		text = xasprintf("%s: %s", path, err_text(err));
	free(path);
	return err != 0 ? fail_free(text, EXIT_FAILED) : 0;
}

/* 0, or the exit status. */
static int take(struct setup *s, const char *key, const char *text)
{
	char *err = NULL;

	if (text == NULL || settings_set(&s->settings, key, text, &err) == 0)
		return 0;
	return fail_free(err, EXIT_MISUSE);
}

/* --listen without --public takes back what was typed with another one. */
static int take_all(struct setup *s, const struct rig_typed *a)
{
	const bool is_set = s->settings.rig.listen.len > 0;
	int status = 0;

	if (a->no_listen) {
		status = take(s, "rig.listen", "");
		return status != 0 ? status : take(s, "rig.public", "");
	}
	if (a->listen == NULL && !is_set)
		status = rig_listen_kept(s);
	if (status == 0)
		status = take(s, "rig.listen", a->listen);
	if (status == 0)
		status = take(s, "rig.public", a->public);
	return status;
}

int rig_listen_take(struct setup *s, const struct rig_typed *a,
		    struct listening *ret_keep)
{
	const bool is_set = s->settings.rig.listen.len > 0;
	const bool was_typed = a->listen != NULL || a->public != NULL;
	int status = take_all(s, a);

	if (status != 0)
		return status;
	if (s->settings.rig.public.len > 0 && s->settings.rig.listen.len == 0)
		return rig_misuse("says how others reach --listen PORT: that "
				  "is missing",
				  "--public");
	/* A service is told each time, and a settings file says it for good. */
	if (a->no_listen || (was_typed && !is_set && !a->standby))
		*ret_keep = (struct listening){
			settings_get(&s->settings, "rig.listen"),
			a->public != NULL
				? settings_get(&s->settings, "rig.public")
				: xstrdup(""),
		};
	return 0;
}

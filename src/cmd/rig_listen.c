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

/* A file that cannot be read is for rig_listen_held() to tell of. */
static bool keeps_nothing(struct setup *s)
{
	char *path = paths_state(&s->paths, "rig", "listen"), *text = NULL;
	struct listening kept = { 0 };
	bool is_empty = path != NULL &&
			listening_load(path, &kept, &text) == 0 &&
			kept.listen[0] == '\0';

	listening_done(&kept);
	free(text);
	free(path);
	return is_empty;
}

static int check_public(const struct setup *s)
{
	if (s->settings.rig.public.len == 0 || s->settings.rig.listen.len > 0)
		return 0;
	return rig_misuse("says how others reach --listen PORT: that is "
			  "missing",
			  "--public");
}

int rig_listen_typed(struct setup *s, struct rig_typed *a)
{
	int status;

	a->is_set = s->settings.rig.listen.len > 0;
	if (a->no_listen) {
		status = take(s, "rig.listen", "");
		return status != 0 ? status : take(s, "rig.public", "");
	}
	status = take(s, "rig.listen", a->listen);
	if (status == 0)
		status = take(s, "rig.public", a->public);
	return status == 0 && keeps_nothing(s) ? check_public(s) : status;
}

int rig_listen_held(struct setup *s, const struct rig_typed *a,
		    struct listening *ret_keep)
{
	const bool was_typed = a->listen != NULL || a->public != NULL;
	/* --listen without --public takes back what was typed with another
	 * one. */
	int status = a->no_listen ? 0 : rig_listen_kept(s);

	if (status == 0)
		status = check_public(s);
	if (status != 0)
		return status;
	/* A service is told each time, and a settings file says it for good. */
	if (a->no_listen || (was_typed && !a->is_set && !a->standby))
		*ret_keep = (struct listening){
			settings_get(&s->settings, "rig.listen"),
			a->public != NULL
				? settings_get(&s->settings, "rig.public")
				: xstrdup(""),
		};
	return 0;
}

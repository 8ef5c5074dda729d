/* SPDX-License-Identifier: MIT */
/* The laptop's half of rigway join: the process here redeems the code, and the
 * rig may be offered this machine's ssh key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/talk.h"
#include "cmd/cmd.h"
#include "cmd/join_parts.h"
#include "cmd/show.h"
#include "crypto/key.h"
#include "wire/request.h"

static bool is_own_code(struct join *j)
{
	char *path = paths_state(&j->setup.paths, "rig", "key");
	struct key *key = NULL;
	bool own = path != NULL && access(path, F_OK) == 0 &&
		   key_load(path, &key) == 0 &&
		   pin_eq(key_pin(key), &j->code.rig_pin);

	key_free(key);
	free(path);
	return own;
}

struct joined {
	char rig[64], role[16];
	bool is_new;
};

static int on_line(void *user, json_t *line, int fd)
{
	struct joined *jd = user;
	const char *rig = "", *role = "";
	int is_new = 0;

	(void)fd;
	json_unpack(line, "{s?s, s?s, s?b}", "rig", &rig, "role", &role, "new",
		    &is_new);
	str_copy(jd->rig, sizeof(jd->rig), rig);
	str_copy(jd->role, sizeof(jd->role), role);
	jd->is_new = is_new != 0;
	return 0;
}

/* The ssh public key that ssh itself would offer first, or NULL. */
static char *find_public_key(char **ret_path)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa",
					     "id_ed25519_sk", "id_ecdsa_sk" };
	const char *home = getenv("HOME");

	for (size_t i = 0; home != NULL && i < ARRAY_LEN(names); i++) {
		char *path = xasprintf("%s/.ssh/%s.pub", home, names[i]);
		struct buf b;

		buf_init(&b);
		if (file_read(path, REQUEST_KEY_MAX, &b) == 0 && b.len > 0) {
			char *text = xstrdup(buf_text(&b));

			text[strcspn(text, "\r\n")] = '\0';
			buf_done(&b);
			*ret_path = path;
			return text;
		}
		buf_done(&b);
		free(path);
	}
	return NULL;
}

/* The offer to let this laptop's ssh key in. That it fails is said, and is no
 * failure of the join. */
static void offer_key(struct join *j, const struct joined *jd)
{
	char *path = NULL, *key, *question;
	bool yes = j->authorize == AUTHORIZE_YES;

	if (j->authorize == AUTHORIZE_NO ||
	    (j->authorize == AUTHORIZE_ASK &&
	     (!join_is_terminal() || !jd->is_new ||
	      strcmp(jd->role, "owner") != 0)))
		return;
	key = find_public_key(&path);
	if (key == NULL) {
		if (yes)
			fprintf(stderr, "rigway join: there is no ssh public "
					"key in ~/.ssh: make one with "
					"ssh-keygen, and repeat this\n");
		return;
	}
	if (!yes) {
		question = xasprintf("Let this laptop's ssh key (%s) in on "
				     "%s, so that ssh asks for no password?",
				     path, jd->rig);
		yes = join_ask_yes(question);
		free(question);
	}
	if (yes && talk(json_pack("{s:s, s:s, s:s}", "do", "authorize", "rig",
				  jd->rig, "key", key),
			NULL, NULL) == 0)
		fprintf(stderr, "rigway join: %s accepts the key %s now\n",
			jd->rig, path);
	free(key);
	free(path);
}

int join_client(struct join *j)
{
	struct joined jd = { 0 };
	json_t *msg;
	int status;

	if (j->no_start)
		fprintf(stderr, "rigway join: note: --no-start is for rigs\n");
	if (is_own_code(j))
		return join_fail(
			"this code lets a laptop reach this very machine: "
			"type it on the laptop");
	if (j->code.relay_count > 0)
		fprintf(stderr,
			"rigway join: asking the relay %s, and %s ...\n",
			j->code.relay[0], j->code.rig_name);
	else
		fprintf(stderr, "rigway join: asking %s at %s ...\n",
			j->code.rig_name, j->code.addr[0]);
	msg = json_pack("{s:s, s:s, s:s*}", "do", "join", "code",
			buf_text(&j->text), "name", j->name);
	status = talk(msg, on_line, &jd);
	if (status != 0)
		return status;
	if (j->name != NULL && !jd.is_new && strcmp(j->name, jd.rig) != 0)
		fprintf(stderr,
			"rigway join: note: this rig is known here as %s, and "
			"keeps that name\n",
			jd.rig);
	offer_key(j, &jd);
	if (j->is_json) {
		show_json_free(json_pack("{s:s, s:s, s:b}", "role", "laptop",
					 "rig", jd.rig, "new", (int)jd.is_new));
		return EXIT_DONE;
	}
	printf("%s is ready: rigway ls, rigway ssh %s, rigway forward %s "
	       "8888\n",
	       jd.rig, jd.rig, jd.rig);
	return EXIT_DONE;
}

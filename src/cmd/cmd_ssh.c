/* SPDX-License-Identifier: MIT */
/* Runs the system's ssh with what it needs to know about a rig; nothing of the
 * user's own configuration is left out. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/rigs.h"
#include "client/self.h"
#include "client/ssh_config.h"
#include "cmd/cmd.h"

/* ssh's options that take a value (ssh(1)). */
#define SSH_WITH_VALUE "BbcDEeFIiJLlmOopQRSWw"
#define OWN_ARGS_MAX   40

struct ssh_args {
	char *argv[OWN_ARGS_MAX];
	int count;
};

static void add(struct ssh_args *a, char *word)
{
	a->argv[a->count++] = word;
}

static void add_option(struct ssh_args *a, char *text)
{
	add(a, xstrdup("-o"));
	add(a, text);
}

/* Whether "key=value" or "key value" sets this key. */
static bool sets_key(const char *text, const char *key)
{
	size_t len = strlen(key);

	return strncasecmp(text, key, len) == 0 &&
	       strchr("= \t", text[len]) != NULL && text[len] != '\0';
}

/* Whether the user's own options, as -letter or -o key, say this. */
static bool says(int argc, char **argv, char letter, const char *key)
{
	for (int i = 0; i < argc && argv[i][0] == '-' && argv[i][1] != '\0';
	     i++) {
		char have = argv[i][1];
		bool is_apart = argv[i][2] == '\0';
		const char *value = !is_apart	   ? argv[i] + 2
				    : i + 1 < argc ? argv[i + 1]
						   : "";

		if (have == letter || (have == 'o' && sets_key(value, key)))
			return true;
		/* "-p 22" has its value in the next word, "-p22" does not. */
		if (is_apart && strchr(SSH_WITH_VALUE, have) != NULL)
			i++;
	}
	return false;
}

static void add_rig(struct ssh_args *a, const struct rigs_row *row,
		    const char *known_hosts, const char *user)
{
	char *self = self_path(), *home = self_home();
	struct ssh_config_params p = {
		.self = self != NULL ? self : "rigway",
		.home = home,
		.known_hosts = known_hosts,
	};
	char *proxy = ssh_config_proxy(&p);
	char *hosts = ssh_config_percent(known_hosts);

	add(a, xstrdup("ssh"));
	add_option(a, xasprintf("ProxyCommand=%s", proxy));
	add_option(a, xstrdup("ProxyUseFdpass=yes"));
	add_option(a, xasprintf("HostKeyAlias=%s.rig", row->name));
	add_option(a, xasprintf("UserKnownHostsFile=\"%s\"", hosts));
	add_option(a, xstrdup("GlobalKnownHostsFile=/dev/null"));
	add_option(a, xstrdup("StrictHostKeyChecking=yes"));
	add_option(a, xstrdup("UpdateHostKeys=no"));
	add_option(a, xstrdup("CheckHostIP=no"));
	add_option(a, xstrdup("ServerAliveInterval=0"));
	add_option(a, xstrdup("TCPKeepAlive=no"));
	if (user != NULL)
		add_option(a, xasprintf("User=%s", user));
	free(hosts);
	free(proxy);
	free(self);
	free(home);
}

static int run_ssh(const struct ssh_args *own, int argc, char **argv)
{
	char **all =
		xcalloc((size_t)own->count + (size_t)argc + 1, sizeof(*all));

	memcpy(all, own->argv, (size_t)own->count * sizeof(*all));
	memcpy(all + own->count, argv, (size_t)argc * sizeof(*all));
	signal(SIGPIPE, SIG_DFL);
	execvp("ssh", all);
	fprintf(stderr, "rigway: cannot run ssh: %s\n", strerror(errno));
	free(all);
	return EXIT_FAILED;
}

/* argv[0] of what is left may be [USER@]RIG. */
static int with_rigs(const struct rigs *rigs, const char *known_hosts, int argc,
		     char **argv)
{
	struct ssh_args own = { .count = 0 };
	struct rigs_row *row;
	const char *name = NULL, *at, *user = NULL;
	char *text, *typed = NULL;
	int status = EXIT_FAILED;

	if (argc > 0 && argv[0][0] != '-') {
		name = argv[0];
		argc--;
		argv++;
	}
	at = name != NULL ? strrchr(name, '@') : NULL;
	if (at != NULL) {
		user = typed = xstrdup(name);
		typed[at - name] = '\0';
		name = at + 1;
	}
	if (rigs_resolve(rigs, name, &row, &text) < 0) {
		fprintf(stderr, "rigway: %s\n", text);
		free(text);
	} else {
		if (user == NULL && !says(argc, argv, 'l', "user"))
			user = ssh_config_user(row);
		add_rig(&own, row, known_hosts, user);
		if (!says(argc, argv, 'p', "port"))
			add_option(&own, xstrdup("Port=22"));
		add(&own, xasprintf("%s.rig", row->name));
		status = run_ssh(&own, argc, argv);
	}
	while (own.count > 0)
		free(own.argv[--own.count]);
	free(typed);
	return status;
}

int cmd_ssh(int argc, char **argv)
{
	struct ssh_config_files files;
	int status = EXIT_FAILED, err = ssh_config_open(&files);

	if (err < 0) {
		fprintf(stderr, "rigway: %s\n", files.error);
	} else {
		err = ssh_config_refresh(&files.rigs, files.config,
					 files.known_hosts);
		if (err < 0)
			fprintf(stderr, "rigway: cannot write %s: %s\n",
				files.known_hosts, err_text(err));
		status = with_rigs(&files.rigs, files.known_hosts, argc - 1,
				   argv + 1);
	}
	ssh_config_close(&files);
	return status;
}

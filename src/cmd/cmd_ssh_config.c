/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "client/rigs.h"
#include "client/self.h"
#include "client/ssh_config.h"
#include "cmd/cmd.h"

/* The user's own file; ssh itself looks into the home of the account. */
static char *user_file(void)
{
	const char *home = getenv("HOME");
	const struct passwd *pw = getpwuid(geteuid());

	if (home == NULL || home[0] == '\0')
		home = pw != NULL ? pw->pw_dir : "/";
	else if (pw != NULL && strcmp(home, pw->pw_dir) != 0)
		fprintf(stderr,
			"rigway: HOME is %s, but ssh reads its "
			"configuration in %s unless told -F\n",
			home, pw->pw_dir);
	return xasprintf("%s/.ssh/config", home);
}

static int write_block(const struct ssh_config_files *files, struct buf *out)
{
	char *self = self_path(), *home = self_home();
	struct ssh_config_params p = {
		.self = self != NULL ? self : "rigway",
		.home = home,
		.known_hosts = files->known_hosts,
	};
	int err = ssh_config_write(&files->rigs, &p, out);

	free(self);
	free(home);
	return err;
}

static int print_block(const struct ssh_config_files *files)
{
	struct buf out = { .len = 0 };
	int err = write_block(files, &out);

	if (err == 0)
		fputs(buf_text(&out), stdout);
	buf_done(&out);
	return err;
}

static void say_installed(const struct ssh_config_files *files,
			  const char *file, bool changed)
{
	fprintf(stderr,
		changed ? "%s now includes %s\n" : "%s includes %s already\n",
		file, files->config);
	list_for_each (it, &files->rigs.rows)
		fprintf(stderr, "  ssh %s.rig\n",
			container_of(it, struct rigs_row, link)->name);
}

static int install(const struct ssh_config_files *files)
{
	struct buf out = { .len = 0 };
	char *file = user_file();
	int err = write_block(files, &out);
	size_t len;

	if (err == 0) {
		const uint8_t *data = buf_peek(&out, &len);

		err = file_write_atomic(files->config, data, len, 0600);
	}
	if (err == 0)
		err = ssh_config_install(file, files->config, true);
	if (err >= 0)
		say_installed(files, file, err == 1);
	buf_done(&out);
	free(file);
	return err < 0 ? err : 0;
}

static int uninstall(const struct ssh_config_files *files)
{
	char *file = user_file();
	int err = ssh_config_install(file, files->config, false);

	if (err >= 0) {
		unlink(files->config);
		fprintf(stderr,
			err == 1 ? "%s does not include %s any more\n"
				 : "%s does not include %s\n",
			file, files->config);
	}
	free(file);
	return err < 0 ? err : 0;
}

static int run(const struct ssh_config_files *files, int what)
{
	int err = ssh_config_refresh(&files->rigs, files->config,
				     files->known_hosts);

	if (err == 0)
		err = what == 'i'   ? install(files)
		      : what == 'u' ? uninstall(files)
				    : print_block(files);
	if (err < 0)
		fprintf(stderr,
			"rigway: cannot write ssh's configuration: "
			"%s\n",
			err_text(err));
	return err < 0 ? EXIT_FAILED : EXIT_DONE;
}

int cmd_ssh_config(int argc, char **argv)
{
	static const struct option options[] = {
		{ "install", no_argument, NULL, 'i' },
		{ "uninstall", no_argument, NULL, 'u' },
		{ NULL, 0, NULL, 0 },
	};
	struct ssh_config_files files;
	int what = 0, status = EXIT_FAILED, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?' || what != 0)
			return command_misuse("ssh-config");
		what = c;
	}
	if (optind < argc)
		return command_misuse("ssh-config");
	if (ssh_config_open(&files) < 0)
		fprintf(stderr, "rigway: %s\n", files.error);
	else
		status = run(&files, what);
	ssh_config_close(&files);
	return status;
}

/* SPDX-License-Identifier: MIT */
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
#include "cmd/show.h"

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

/* The words that ssh knows now. */
static json_t *hosts_json(const struct ssh_config_files *files)
{
	json_t *hosts = json_array();

	list_for_each (it, &files->rigs.rows)
		json_array_append_new(
			hosts,
			json_sprintf(
				"%s.rig",
				container_of(it, struct rigs_row, link)->name));
	return hosts;
}

static int failed(const char *path, int err)
{
	fprintf(stderr, "rigway: cannot write ssh's configuration: %s: %s\n",
		path, err_text(err));
	return EXIT_FAILED;
}

static int print_block(const struct ssh_config_files *files, bool as_json)
{
	struct buf out = { .len = 0 };
	int err = write_block(files, &out);

	if (err < 0)
		failed(files->config, err);
	else if (as_json)
		show_json_free(json_pack("{s:s, s:s, s:o}", "block",
					 buf_text(&out), "known_hosts",
					 files->known_hosts, "hosts",
					 hosts_json(files)));
	else
		fputs(buf_text(&out), stdout);
	buf_done(&out);
	return err < 0 ? EXIT_FAILED : EXIT_DONE;
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

static void say_uninstalled(const struct ssh_config_files *files,
			    const char *file, bool changed)
{
	fprintf(stderr,
		changed ? "%s does not include %s any more\n"
			: "%s does not include %s\n",
		file, files->config);
}

/* The block, where the user's file will find it. */
static int put_block(const struct ssh_config_files *files)
{
	struct buf out = { .len = 0 };
	int err = write_block(files, &out);
	size_t len;

	if (err == 0) {
		const uint8_t *data = buf_peek(&out, &len);

		err = file_write_atomic(files->config, data, len, 0600);
	}
	buf_done(&out);
	return err < 0 ? failed(files->config, err) : EXIT_DONE;
}

static int change_file(const struct ssh_config_files *files, bool install,
		       bool as_json)
{
	char *file = user_file();
	int err = ssh_config_install(file, files->config, install);

	if (err < 0)
		failed(file, err);
	else if (!install)
		unlink(files->config);
	if (err >= 0 && as_json)
		show_json_free(json_pack("{s:s, s:s, s:b, s:b, s:o}", "file",
					 file, "config", files->config,
					 "installed", (int)install, "changed",
					 err, "hosts", hosts_json(files)));
	else if (err >= 0 && install)
		say_installed(files, file, err == 1);
	else if (err >= 0)
		say_uninstalled(files, file, err == 1);
	free(file);
	return err < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int refuse_path(const char *path)
{
	fprintf(stderr,
		"rigway: ssh cannot include %s: no quote, backslash, *, ? or [ "
		"may be in the name; set RIGWAY_HOME to another folder\n",
		path);
	return EXIT_FAILED;
}

static int run(const struct ssh_config_files *files, int what, bool as_json)
{
	int err;

	if (what == 'i' && !ssh_config_can_include(files->config))
		return refuse_path(files->config);
	err = ssh_config_refresh(&files->rigs, files->config,
				 files->known_hosts);
	if (err < 0)
		return failed(files->known_hosts, err);
	if (what == 0)
		return print_block(files, as_json);
	if (what == 'i' && put_block(files) != EXIT_DONE)
		return EXIT_FAILED;
	return change_file(files, what == 'i', as_json);
}

int cmd_ssh_config(int argc, char **argv)
{
	static const struct option options[] = {
		{ "install", no_argument, NULL, 'i' },
		{ "uninstall", no_argument, NULL, 'u' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct ssh_config_files files;
	bool as_json = false;
	int what = 0, status = EXIT_FAILED, c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?' || (c != 'j' && what != 0))
			return command_misuse("ssh-config");
		if (c == 'j')
			as_json = true;
		else
			what = c;
	}
	if (optind < argc)
		return command_misuse("ssh-config");
	if (ssh_config_open(&files) < 0)
		fprintf(stderr, "rigway: %s\n", files.error);
	else
		status = run(&files, what, as_json);
	ssh_config_close(&files);
	return status;
}

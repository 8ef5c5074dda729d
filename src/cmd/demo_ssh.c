/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/demo.h"

#define SSHD "/usr/sbin/sshd"

/* sshd's key, which is the user's too, and its configuration. */
static bool make_sshd_files(struct demo *d, const char *key, const char *conf,
			    int port)
{
	const char *gen[] = { "/usr/bin/ssh-keygen",
			      "-q",
			      "-t",
			      "ed25519",
			      "-N",
			      "",
			      "-f",
			      key,
			      NULL };
	int status = -1;
	pid_t pid = demo_spawn(&(struct demo_spawn){
		.home = d->dir, .log = d->log, .argv = gen });
	FILE *f;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return false;
	f = fopen(conf, "we");
	if (f == NULL)
		return false;
	fprintf(f,
		"ListenAddress 127.0.0.1\nPort %d\nHostKey %s\n"
		"AuthorizedKeysFile %s.pub\nPidFile none\nStrictModes no\n"
		"UsePAM no\nPermitRootLogin prohibit-password\n",
		port, key, key);
	return fclose(f) == 0;
}

/* ssh -L to it, over the wire that the keys treat badly. */
static void start_ssh_tunnel(struct demo *d, const char *key)
{
	char port[16], tunnel[64];
	const char *argv[] = { "/usr/bin/ssh", "-F",
			       "/dev/null",    "-N",
			       "-i",	       key,
			       "-p",	       port,
			       "-o",	       "StrictHostKeyChecking=no",
			       "-L",	       tunnel,
			       "127.0.0.1",    NULL };

	d->ssh_port = demo_port();
	snprintf(port, sizeof(port), "%d", d->wire.port);
	snprintf(tunnel, sizeof(tunnel), "127.0.0.1:%d:127.0.0.1:%d",
		 d->ssh_port, d->service_port);
	setenv("SSH_AUTH_SOCK", "", 1);
	d->ssh = demo_spawn(&(struct demo_spawn){
		.home = d->dir, .log = d->log, .argv = argv });
	if (!demo_wait_port(d->ssh_port, 5000))
		d->ssh_port = 0;
}

void demo_start_ssh(struct demo *d)
{
	char key[96], conf[96];
	const char *sshd[] = { SSHD, "-D", "-e", "-f", conf, NULL };
	int port = demo_port();

	if (access(SSHD, X_OK) != 0 || access("/usr/bin/ssh", X_OK) != 0)
		return;
	snprintf(key, sizeof(key), "%s/key", d->dir);
	snprintf(conf, sizeof(conf), "%s/sshd_config", d->dir);
	if (!make_sshd_files(d, key, conf, port))
		return;
	if (getuid() == 0)
		mkdir("/run/sshd", 0755);
	d->sshd = demo_spawn(&(struct demo_spawn){
		.home = d->dir, .log = d->log, .argv = sshd });
	if (demo_wait_port(port, 3000) && demo_net_start(&d->wire, port))
		start_ssh_tunnel(d, key);
}

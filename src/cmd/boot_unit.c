/* SPDX-License-Identifier: MIT */
/*
 * The text of a unit of systemd, after docs/decisions/009-start-at-boot.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/boot.h"

/* RestartSteps= is known from here on; older ones warn about it. */
#define VERSION_STEPS 254

static void put_escaped(struct buf *b, const char *text, bool is_word)
{
	for (; *text != '\0'; text++) {
		if (*text == '%')
			buf_printf(b, "%%%%");
		else if (is_word && *text == '$')
			buf_printf(b, "$$");
		else if (is_word && (*text == '"' || *text == '\\'))
			buf_printf(b, "\\%c", *text);
		else
			buf_append(b, text, 1);
	}
}

/* One word of a command line or of Environment=. */
static void put_word(struct buf *b, const char *text)
{
	const bool plain = strspn(text, "abcdefghijklmnopqrstuvwxyz"
					"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789/._-+=:,@") == strlen(text);

	if (!plain)
		buf_printf(b, "\"");
	put_escaped(b, text, !plain);
	if (!plain)
		buf_printf(b, "\"");
}

static const char *what_is(const char *role)
{
	if (strcmp(role, "rig") == 0)
		return "Rigway: this GPU machine can be reached";
	if (strcmp(role, "relay") == 0)
		return "Rigway relay";
	return "Rigway: forwarded ports";
}

static void put_head(struct buf *b, const struct boot_job *job)
{
	const bool is_rig = strcmp(job->role, "rig") == 0;
	const bool is_relay = strcmp(job->role, "relay") == 0;

	buf_printf(b,
		   BOOT_MARK " rigway %s %s removes it\n"
			     "[Unit]\n"
			     "Description=%s\n"
			     "Documentation=man:%s\n",
		   is_rig || is_relay ? job->role : "unforward",
		   is_rig || is_relay ? "uninstall" : "of the last port",
		   what_is(job->role),
		   is_rig     ? "rigway-rig(8)"
		   : is_relay ? "rigway-relay(8)"
			      : "rigway-forward(1)");
	/* A rig and a laptop wait for their network by themselves. A relay
	 * asks at its start which addresses this machine has. */
	if (job->level == BOOT_SYSTEM)
		buf_printf(b, "%s",
			   is_relay ? "Wants=network-online.target\n"
				      "After=network-online.target\n"
				    : "After=network.target\n");
	/* Nobody is there to reset a unit that has failed too often. */
	buf_printf(b, "StartLimitIntervalSec=0\n");
	/* In a home folder that several machines share, each starts only what
	 * it has joined. */
	if (job->needs != NULL)
		buf_printf(b, "ConditionPathExists=%s\n", job->needs);
}

static void put_command(struct buf *b, const struct boot_job *job,
			unsigned version)
{
	buf_printf(b, "\n[Service]\nType=exec\n");
	if (job->level == BOOT_SYSTEM)
		buf_printf(b, "User=%s\n", job->user);
	for (size_t i = 0; job->env[i] != NULL; i++) {
		buf_printf(b, "Environment=");
		put_word(b, job->env[i]);
		buf_printf(b, "\n");
	}
	buf_printf(b, "ExecStart=");
	put_word(b, job->program);
	buf_printf(b, " %s --standby",
		   strcmp(job->role, "client") == 0 ? "daemon" : job->role);
	for (size_t i = 0; job->args != NULL && job->args[i] != NULL; i++) {
		buf_printf(b, " ");
		put_word(b, job->args[i]);
	}
	buf_printf(b, "\nRestart=always\n");
	if (version >= VERSION_STEPS)
		buf_printf(b, "RestartSec=1\n"
			      "RestartSteps=10\n"
			      "RestartMaxDelaySec=30\n");
	else
		buf_printf(b, "RestartSec=2\n");
	/* Only the process itself: what it runs for its user lives on. */
	buf_printf(b, "KillMode=process\n"
		      "TimeoutStopSec=15\n");
}

/* What a rig runs for its user inherits all of it, so nothing may stand here
 * that a program started by hand would not know: no seccomp (it implies
 * NoNewPrivileges, and ends sudo), no /tmp of its own (X and jobs share it),
 * no read-only /usr. */
static void put_rig(struct buf *b, const struct boot_job *job)
{
	/* One job that is out of memory ends no other. */
	buf_printf(b, "OOMPolicy=continue\n");
	if (job->level == BOOT_SYSTEM)
		buf_printf(b, "TasksMax=infinity\n"
			      "LimitNOFILE=1048576\n"
			      "LimitMEMLOCK=infinity\n");
}

static void put_system_sandbox(struct buf *b, const struct boot_job *job)
{
	buf_printf(b, "AmbientCapabilities=CAP_NET_BIND_SERVICE\n"
		      "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n"
		      "LimitNOFILE=1048576\n"
		      "UMask=0077\n"
		      "ProtectSystem=strict\n"
		      "PrivateDevices=yes\n"
		      "ProtectClock=yes\n"
		      "ProtectControlGroups=yes\n"
		      "ProtectHostname=yes\n"
		      "ProtectKernelLogs=yes\n"
		      "ProtectKernelModules=yes\n"
		      "ProtectKernelTunables=yes\n"
		      "ProtectProc=invisible\n"
		      "RemoveIPC=yes\n");
	if (job->is_own) {
		buf_printf(b, "StateDirectory=rigway\n"
			      "StateDirectoryMode=0700\n");
		if (!str_has_prefix(job->program, "/home/") &&
		    !str_has_prefix(job->program, "/root/"))
			buf_printf(b, "ProtectHome=yes\n");
		if (!str_has_prefix(job->program, "/tmp/"))
			buf_printf(b, "PrivateTmp=yes\n");
		return;
	}
	/* Its keys lie in somebody's home, and its socket where that one's
	 * commands look for it. */
	buf_printf(b, "ProtectHome=read-only\n"
		      "ReadWritePaths=-/tmp -/run/user ");
	buf_printf(b, "-");
	put_escaped(b, job->state, false);
	buf_printf(b, "\n");
}

static void put_relay(struct buf *b, const struct boot_job *job)
{
	if (job->level == BOOT_SYSTEM)
		put_system_sandbox(b, job);
	buf_printf(b, "NoNewPrivileges=yes\n"
		      "LockPersonality=yes\n"
		      "MemoryDenyWriteExecute=yes\n"
		      "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX "
		      "AF_NETLINK\n"
		      "RestrictNamespaces=yes\n"
		      "RestrictRealtime=yes\n"
		      "RestrictSUIDSGID=yes\n"
		      "SystemCallArchitectures=native\n"
		      "SystemCallFilter=@system-service\n"
		      "SystemCallFilter=~@privileged\n"
		      "SystemCallErrorNumber=EPERM\n");
}

char *boot_unit(const struct boot_job *job, unsigned version)
{
	struct buf b = { 0 };
	char *text;

	put_head(&b, job);
	put_command(&b, job, version);
	if (strcmp(job->role, "rig") == 0)
		put_rig(&b, job);
	if (strcmp(job->role, "relay") == 0)
		put_relay(&b, job);
	buf_printf(&b, "\n[Install]\nWantedBy=%s.target\n",
		   job->level == BOOT_SYSTEM ? "multi-user" : "default");
	text = xstrdup(buf_text(&b));
	buf_done(&b);
	return text;
}

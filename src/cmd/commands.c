/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "cmd/cmd.h"

#define JSON                                                                   \
	{                                                                      \
		"json", NULL, "print JSON"                                     \
	}
#define END                                                                    \
	{                                                                      \
		NULL, NULL, NULL                                               \
	}

static const struct command_option no_options[] = { END };
static const struct command_option json_options[] = { JSON, END };

static const char *const relay_verbs[] = { "invite",  "devices",   "remove",
					   "install", "uninstall", NULL };
static const struct command_option relay_options[] = {
	{ "listen", "ADDR:PORT", "where to listen (default: 443, else 7443)" },
	{ "name", "HOST[:PORT]", "how others reach this machine" },
	{ "fleet", "NAME", "invite: into this owner's group, not a new one" },
	{ "uses", "N", "invite: for so many machines" },
	{ "expires", "TIME", "invite: valid so long, as 90s, 2h, 7d" },
	{ "user", NULL, "install: for this user (the default, but for root)" },
	{ "system", NULL, "install: for the machine; only root may" },
	{ "by", "WAY", "install: only by systemd, cron or supervisor" },
	{ "print", NULL, "install: show systemd's unit, change nothing" },
	{ "standby", NULL, "while another runs here, wait for its end" },
	{ "log-level", "LEVEL", "error, warn, info or debug" },
	JSON,
	END,
};
static const char *const rig_verbs[] = { "invite",  "devices",	 "status",
					 "remove",  "relays",	 "leave",
					 "install", "uninstall", NULL };
static const struct command_option rig_options[] = {
	{ "name", "NAME", "what the laptops call this machine" },
	{ "listen", "PORT", "let laptops come here without a relay" },
	{ "public", "HOST[:PORT]", "where that port is reached from outside" },
	{ "no-listen", NULL, "no port of its own any more" },
	{ "guest", "SERVICE", "invite: a guest who reaches only this" },
	{ "uses", "N", "invite: for so many laptops" },
	{ "expires", "TIME", "invite: valid so long, as 90s, 2h, 7d" },
	{ "user", NULL, "install: for this user (the default, but for root)" },
	{ "system", NULL, "install: for the machine; only root may" },
	{ "by", "WAY", "install: only by systemd, cron or supervisor" },
	{ "print", NULL, "install: show systemd's unit, change nothing" },
	{ "standby", NULL, "while another runs here, wait for its end" },
	{ "log-level", "LEVEL", "error, warn, info or debug" },
	JSON,
	END,
};
static const struct command_option join_options[] = {
	{ "name", "NAME", "what to call this machine (or the rig, here)" },
	{ "no-start", NULL, "on a rig: only pair, do not start the agent" },
	{ "no-install", NULL, "on a rig: start it now, but not at boot" },
	{ "authorize-key", NULL, "let this laptop's ssh key in, unasked" },
	{ "no-authorize-key", NULL, "do not offer that" },
	JSON,
	END,
};
static const struct command_option invite_options[] = {
	{ "uses", "N", "for so many laptops" },
	{ "expires", "TIME", "valid so long, as 90s, 2h, 7d" },
	JSON,
	END,
};
static const struct command_option forward_options[] = {
	{ "foreground", NULL, "stay here, and end it with Ctrl-C" },
	JSON,
	END,
};
static const struct command_option connect_options[] = {
	{ "fdpass", NULL, "hand the connection to ssh and leave" },
	END,
};
static const struct command_option ssh_config_options[] = {
	{ "install", NULL, "add one Include line to ~/.ssh/config" },
	{ "uninstall", NULL, "take it out again" },
	JSON,
	END,
};
static const struct command_option demo_options[] = {
	{ "check", NULL, "prove it and end, with status 0 or 1" },
	JSON,
	END,
};
static const char *const config_verbs[] = { "check", "show", NULL };
static const char *const shells[] = { "bash", "zsh", "fish", NULL };

static const char relay_more[] =
	"Runs in the foreground until Ctrl-C. The first start prints the code\n"
	"for the first rig; type it there: rigway join CODE\n"
	"\n"
	"  rigway relay --name relay.example.org\n"
	"  rigway relay invite --expires 2h\n"
	"  rigway relay devices\n"
	"  rigway relay remove old-laptop\n"
	"  rigway relay install --name relay.example.org\n"
	"                                  from now on it starts at boot; run "
	"by\n"
	"                                  root, with an account of its own\n"
	"  rigway relay uninstall          no more; keys and state stay\n";
static const char rig_more[] =
	"Runs the agent in the foreground (join starts it in the background).\n"
	"\n"
	"  rigway rig --listen 7443 --public home.example.org:4443\n"
	"                                  no relay: a port that is forwarded\n"
	"                                  here; prints the laptop's code\n"
	"  rigway rig invite               a code for one more laptop\n"
	"  rigway rig invite --guest ssh   for somebody who may only use ssh\n"
	"  rigway rig devices              who may come in\n"
	"  rigway rig remove NAME          cuts what is open, now\n"
	"  rigway rig relays               the relays it has joined\n"
	"  rigway rig install              start it at boot (join does that)\n"
	"  rigway rig uninstall            no more; keys and state stay\n";
static const char join_more[] =
	"The code says what it is for: typed on the GPU machine, it becomes a\n"
	"rig; typed on the laptop, the laptop knows the rig. Line wraps and\n"
	"spaces inside the code do no harm. '-' reads it from standard "
	"input.\n"
	"\n"
	"A rig is started, now and at boot, as by 'rigway rig install'; with\n"
	"RIGWAY_HOME set only now.\n";
static const char forward_more[] =
	"SPEC is one of\n"
	"  8888                       the same port at both ends\n"
	"  8888:node2                 that port on a machine the rig can "
	"reach\n"
	"  8080:localhost:80          as in ssh -L\n"
	"  0.0.0.0:8080:localhost:80  listen for others too\n"
	"Without --foreground the forward is kept, also after a restart.\n";
static const char connect_more[] =
	"Joins standard input and output to HOST:PORT as seen from the rig.\n"
	"Exit status 1 if it did not end cleanly.\n"
	"\n"
	"  ssh -o ProxyCommand='rigway connect desk localhost:22' desk\n";
static const char ssh_config_more[] =
	"After --install, plain ssh, scp, rsync, sftp, git and editors know\n"
	"each rig as NAME.rig: ssh desk.rig\n";

/* In the order in which a new user meets them. */
const struct command commands[] = {
	{ "relay",
	  "[invite | devices | remove DEVICE | install | uninstall] "
	  "[OPTION...]",
	  "run a relay on a public machine", cmd_relay, relay_verbs,
	  relay_options, relay_more },
	{ "rig",
	  "[invite | devices | status | remove DEVICE | relays | leave RELAY | "
	  "install "
	  "| uninstall] "
	  "[OPTION...]",
	  "run this GPU machine's agent", cmd_rig, rig_verbs, rig_options,
	  rig_more },
	{ "join", "CODE [OPTION...]", "pair this machine, with a code",
	  cmd_join, NULL, join_options, join_more },
	{ "invite", "[OPTION...] [RIG...]", "print a code for one more laptop",
	  cmd_invite, NULL, invite_options, NULL },
	{ "ls", "[--json]", "list the rigs", cmd_ls, NULL, json_options, NULL },
	{ "status", "[--json]", "show connections and forwards", cmd_status,
	  NULL, json_options, NULL },
	{ "forward", "[--foreground] [RIG] SPEC...",
	  "bring a rig's port to this machine", cmd_forward, NULL,
	  forward_options, forward_more },
	{ "unforward", "[RIG] SPEC...", "end a forward", cmd_unforward, NULL,
	  json_options, NULL },
	{ "connect", "[--fdpass] [RIG] HOST:PORT",
	  "join standard input and output to a port", cmd_connect, NULL,
	  connect_options, connect_more },
	{ "ssh", "[RIG] [SSH-ARGUMENT...]", "ssh to a rig", cmd_ssh, NULL,
	  no_options, NULL },
	{ "ssh-config", "[--install | --uninstall]",
	  "let plain ssh know the rigs", cmd_ssh_config, NULL,
	  ssh_config_options, ssh_config_more },
	{ "reconnect", "[RIG...]", "try again now", cmd_reconnect, NULL,
	  json_options, NULL },
	{ "config", "check [FILE] | show", "check or show the settings",
	  cmd_config, config_verbs, json_options, NULL },
	{ "completion", "bash | zsh | fish", "print a shell's completion",
	  cmd_completion, shells, no_options, NULL },
	{ "demo", "[--check]", "see all of it work on this one machine",
	  cmd_demo, NULL, demo_options, NULL },
	{ "version", "[--json]", "print the version", cmd_version, NULL,
	  json_options, NULL },
	{ "daemon", "[--stop]", NULL, cmd_daemon, NULL, no_options, NULL },
	{ "supervise", "rig | relay | client [ARGUMENT...]", NULL,
	  cmd_supervise, NULL, no_options, NULL },
	{ NULL, NULL, NULL, NULL, NULL, NULL, NULL },
};

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

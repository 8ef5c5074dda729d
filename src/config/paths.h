/* SPDX-License-Identifier: MIT */
/*
 * Where things lie: configuration, keys, state, locks and sockets.
 *
 * With RIGWAY_HOME=DIR everything lies below DIR:
 *	DIR/rigway.yml			configuration
 *	DIR/state/MACHINE/ROLE/...	keys and state
 *	DIR/run/NAME.sock		sockets
 * Without it the XDG folders are used:
 *	$XDG_CONFIG_HOME/rigway/rigway.yml
 *	$XDG_STATE_HOME/rigway/MACHINE/ROLE/...
 *	$XDG_RUNTIME_DIR/rigway/NAME.sock (else /run/user/UID/rigway,
 *					   else /tmp/rigway-UID)
 * MACHINE names this machine, so that machines that share a home never share
 * a key, a lock or a file of state. ROLE is relay, rig or client. Folders are
 * made with mode 0700 when they are first asked for; one that belongs to
 * somebody else, that others may write to, or that is a symbolic link in /tmp
 * is refused. Never opens or writes a file but the machine's id. Any thread,
 * one struct each.
 */
#pragma once

/* A socket's path must fit sun_path (108 on Linux, 104 elsewhere); a home too
 * deep for it has its sockets in /tmp/rigway-UID/HASH. */
#define PATHS_SOCKET_MAX 100

struct paths {
	char *config_file; /* see paths_config_file() */
	char *state_dir;   /* .../state/MACHINE, may not exist yet */
	char *run_dir;	   /* the folder of sockets, may not exist yet */
	char *other_dir;   /* where a process without a login has them */
	char *tmp_dir;	   /* the private folder above or equal to run_dir
			    * when it lies in /tmp; else NULL */
	char *machine;	   /* the machine's name in paths, see below */
	char *error;	   /* the last failure as a sentence, or NULL */
};

/* What paths_init() reads from the process; tests give their own. NULL or
 * empty means not set; relative XDG paths count as not set. */
struct paths_env {
	const char *rigway_home;
	const char *home;
	const char *xdg_config_home, *xdg_state_home, *xdg_runtime_dir;
	const char *host_name;
	const char *root; /* goes before /etc, /var, /run and /tmp */
};

/*
 * Works out all places; makes none. ret is filled even on failure as far as
 * paths_error() and paths_done() need. Returns 0 or
 * -ENOENT when neither RIGWAY_HOME nor a home is known.
 */
int paths_init(struct paths *ret);
int paths_init_env(struct paths *ret, const struct paths_env *env);
void paths_done(struct paths *p);

/* What paths_state() makes folders in. Borrowed from p. */
const char *paths_state_dir(const struct paths *p);
/* The configuration file, which need not exist. Borrowed from p. */
const char *paths_config_file(const struct paths *p);
/*
 * This machine's name: the text of /etc/machine-id, else of
 * /var/lib/dbus/machine-id, else "host-" and a hash of the host name (also
 * where systemd made up an id for this boot only). Borrowed from p.
 */
const char *paths_machine(const struct paths *p);

/*
 * The rest returns a path to free(), having made the folders it lies in, or
 * NULL, with a sentence in paths_error().
 */
/* The file of a role's state: ("rig", "devices") is .../rig/devices. name may
 * hold slashes; NULL gives the role's folder itself. */
char *paths_state(struct paths *p, const char *role, const char *name);
/* The file that a role's process holds locked while it runs: beside the state
 * and the key it protects, .../ROLE/lock. */
char *paths_lock(struct paths *p, const char *role);
/* The socket of that name: ("client") is .../client.sock. */
char *paths_socket(struct paths *p, const char *name);
/* The same for those who want to be served: a process that was started before
 * its user logged in has its socket below /tmp, as it found no
 * $XDG_RUNTIME_DIR. */
char *paths_socket_served(struct paths *p, const char *name);

/* Why the last call failed, a sentence without a full stop; "" if none did. */
const char *paths_error(const struct paths *p);

/* SPDX-License-Identifier: MIT */
/*
 * What makes a role start with the machine, or with a login: systemd where it
 * runs, else cron's @reboot, else a supervisor of our own that restarts it
 * and does not survive a reboot. Each way writes as little as it can, marks
 * it, can be repeated, and takes out what it wrote and nothing else. For
 * commands: everything here blocks.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "cmd/setup.h"

enum boot_level { BOOT_USER, BOOT_SYSTEM };

#define BOOT_ENV_MAX 4

/* What is to run. */
struct boot_job {
	const char *role; /* "rig", "relay" or "client" */
	enum boot_level level;
	char *name;	   /* "rigway-rig"; with more for a RIGWAY_HOME */
	char *program;	   /* the file that is run */
	char *user;	   /* the account it runs as */
	char *user_home;   /* that one's home folder */
	bool is_other;	   /* not the account that asks */
	bool is_own;	   /* an account that install makes for it */
	char *state;	   /* where its keys and state lie */
	char *needs;	   /* without this there is nothing to run; as systemd
			    * reads it; or NULL */
	char *log;	   /* for the ways that have no log of their own */
	char *supervisor;  /* its lock file */
	const char **args; /* behind "rigway ROLE --standby"; ends with NULL */
	char *env[BOOT_ENV_MAX + 1]; /* "NAME=value" */
};

/* Which role, and for whom. */
struct boot_params {
	const char *role;
	enum boot_level level;
	const char **args; /* borrowed; may be NULL */
	bool may_be_new;   /* it needs nothing but its folder to begin */
	struct paths *paths;
};
/* Writes nothing. 0, or EXIT_FAILED after saying why not. boot_done() in
 * either case. */
int boot_init(struct boot_job *job, const struct boot_params *p);
void boot_done(struct boot_job *job);

/*
 * One way to start at boot. The report is a JSON object that is printed in the
 * end: boot_add() puts a text into one of its lists ("wrote", "removed",
 * "notes"), and single members are set as man/rigway-rig.8 shows them.
 */
struct boot_way {
	const char *name;
	/* NULL where it can be used for job, else why not, to be freed. */
	char *(*why_not)(const struct boot_job *job);
	/* 0, or an error with a sentence in *ret_text, to be freed. */
	int (*install)(const struct boot_job *job, json_t *report,
		       char **ret_text);
	/* Takes out what install wrote and stops what it started; fine where
	 * there is nothing. As install. */
	int (*uninstall)(const struct boot_job *job, json_t *report,
			 char **ret_text);
};

/* In the order in which they are tried; ends with NULL. */
extern const struct boot_way *const boot_ways[];
extern const struct boot_way boot_systemd, boot_autostart, boot_cron,
	boot_supervisor;

/* Takes the first way that works, or the one called by. *ret_report is the
 * caller's then, and NULL on failure. As boot_way.install. */
int boot_install(const struct boot_job *job, const char *by,
		 json_t **ret_report, char **ret_text);
int boot_uninstall(const struct boot_job *job, json_t **ret_report,
		   char **ret_text);

void boot_add(json_t *report, const char *list, const char *text);
/* Writes path unless it says this already; *ret_changed tells. A file that
 * does not begin with mark is somebody else's and stays. */
int boot_write(const char *path, const char *mark, const char *text,
	       bool *ret_changed, char **ret_text);

/* Runs a program to its end, its words (both outputs) in out, which may be
 * NULL; input may be NULL. Its exit status, or -1 where it cannot be run. */
int boot_run(const char *const *argv, const char *input, struct buf *out);
/* The first line of what a program said. To be freed. */
char *boot_first_line(struct buf *out);

/* The unit's text, to be freed; version is systemd's, or 0. */
char *boot_unit(const struct boot_job *job, unsigned version);
#define BOOT_MARK "# Written by rigway;"

/* The supervisor of that lock file: starts one in the background if there is
 * none; ends it and what it runs. As boot_way.install. */
int supervise_start(const struct boot_job *job, bool *ret_started,
		    char **ret_text);
int supervise_stop(const char *lock, bool *ret_stopped, char **ret_text);

/* Arguments, the whole of it, and what is printed; verb is argv[0]. */
int boot_command(const char *role, int argc, char **argv);
/* "install" or "uninstall" among a command's words, as an index; or 0. */
int boot_is_meant(int argc, char **argv);
/* For join: makes the rig start with the machine, which starts it now as well,
 * and says so on stderr. False where that is not wanted (also under a
 * RIGWAY_HOME) or cannot be; then nothing was started. */
bool boot_at_join(struct setup *s, bool no_install);

/* A relay that was installed by root has an account of its own: what root asks
 * it is asked by that one. 0, or EXIT_FAILED after saying why. */
int boot_become_relay(void);
/* Whether root installed one, and this user is another and asks for it. */
bool boot_relay_is_roots(void);

/* cmd/login.c: after a change of the kept forwards: while there are any, the
 * laptop's process starts at login, as client.start_at_login says. They say on
 * stderr when that changes. */
void login_after_forward(void);
void login_after_unforward(void);

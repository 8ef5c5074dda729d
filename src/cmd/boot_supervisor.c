/* SPDX-License-Identifier: MIT */
/* Where nothing starts programs at boot: at least it is started again when it
 * ends, until the machine does. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/boot.h"

static char *why_not(const struct boot_job *job)
{
	if (job->is_other || job->is_own)
		return xstrdup("neither systemd nor cron runs here; run this "
			       "as the user it is for, without --system");
	if (strcmp(job->role, "client") == 0)
		return xstrdup("neither systemd nor cron runs here");
	return NULL;
}

static int install(const struct boot_job *job, json_t *report, char **ret_text)
{
	bool started = false;
	char *log;
	int err;

	if (job->is_other) {
		boot_add(report, "notes",
			 "it starts with the machine; it was not started now");
		json_object_set_new(report, "running", json_false());
		return 0;
	}
	err = supervise_start(job, &started, ret_text);
	if (err != 0)
		return err;
	log = xasprintf("less %s", job->log);
	json_object_set_new(report, "log", json_string(log));
	free(log);
	json_object_set_new(report, "running", json_true());
	if (started)
		boot_add(report, "notes",
			 "started a supervisor in the background, which starts "
			 "it again if it ends");
	if (json_object_get(report, "at_boot") == NULL) {
		json_object_set_new(report, "at_boot", json_false());
		boot_add(report, "notes",
			 "neither systemd nor cron runs here: it does not come "
			 "back after a reboot; repeat this then, or let "
			 "whatever starts programs here run it");
	}
	return 0;
}

static int uninstall(const struct boot_job *job, json_t *report,
		     char **ret_text)
{
	bool stopped = false;
	int err = job->is_other
			  ? 0
			  : supervise_stop(job->supervisor, &stopped, ret_text);

	if (stopped)
		boot_add(report, "removed",
			 "the supervisor in the background, and what it ran");
	return err;
}

const struct boot_way boot_supervisor = { "supervisor", why_not, install,
					  uninstall };

/* SPDX-License-Identifier: MIT */
/*
 * The relay's files as `rigway relay` uses them: held for as long as a relay
 * runs here, or for one question while none does.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cmd/setup.h"
#include "relay/desk.h"

/* What was typed. */
struct relay_typed {
	const char *verb, *who; /* NULL: run it; NULL: nobody */
	char *listen, *name;	/* lists as settings_set() takes them */
	const char *log_level, *fleet;
	uint64_t uses, expires_ms;
	bool json, standby;
};

struct office {
	struct setup setup;
	int lock;
	bool standby; /* while another relay runs here, wait for its end */
	struct key *key;
	struct desk desk;
};

/* Reads the settings; 0 or an exit status, and then a line is on stderr.
 * office_done() in either case. */
int office_init(struct office *o, const struct relay_typed *t);
/* Takes the lock, loads or makes the key, opens the book. As office_init(). */
int office_open(struct office *o);
void office_done(struct office *o);

/* Print text after "rigway: " and return EXIT_FAILED. */
int office_fail(const char *text);
int office_fail_free(char *text);

/* relay_ask.c: asks the relay that runs, or does it on the files of one that
 * rests, and shows the answer. Returns the exit status. */
int relay_ask(struct office *o, const struct relay_typed *t);
/* relay_devices.c: the answer to `devices`, for people. */
void relay_devices_show(const json_t *reply);

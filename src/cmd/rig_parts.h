/* SPDX-License-Identifier: MIT */
/*
 * What was typed after `rigway rig`, the verbs (rig_verbs.c and others), and
 * how each asks the rig that runs, or the files of one that rests
 * (rig_parts.c). A verb returns the exit status; what went wrong was printed.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cmd/setup.h"
#include "rig/listening.h"
struct agent_state;
struct rig_reach;

struct rig_typed {
	const char *verb; /* NULL: run the agent */
	const char *who;  /* remove, leave */
	const char *name, *log_level;
	char *listen, *public; /* as they were typed, with commas; or NULL */
	struct buf guest;      /* the services as they were typed */
	bool is_guest, is_json, standby, no_listen;
	bool is_set; /* the settings say where to listen */
	uint64_t uses, expires_ms;
	uint64_t ready_fd; /* 0: none */
};

int rig_invite(struct setup *s, struct rig_typed *a);
int rig_devices(struct setup *s, struct rig_typed *a);
int rig_remove(struct setup *s, struct rig_typed *a);
/* rig_listen.c: puts what a rig that rests was last told into the settings, if
 * they say nothing themselves. 0, or the exit status. */
int rig_listen_kept(struct setup *s);
/* For one that is started: what was typed, above all else. 0, or the exit
 * status. */
int rig_listen_typed(struct setup *s, struct rig_typed *a);
/* For the same, once it holds the state, so that no other rig is told something
 * else meanwhile: what is kept, where nothing else says it. What is to be kept
 * for the next start goes to *ret_keep, which stays empty otherwise. */
int rig_listen_held(struct setup *s, const struct rig_typed *a,
		    struct listening *ret_keep);
/* rig_status.c: only of one that runs. */
int rig_status(struct setup *s, struct rig_typed *a);
/* rig_relays.c: the relays that this machine has joined. */
int rig_relays(struct setup *s, struct rig_typed *a);
int rig_leave(struct setup *s, struct rig_typed *a);

/* A verb's question, as the rig that runs is asked it, and how the files of one
 * that rests are asked the same. */
struct rig_question {
	const char *verb;
	const char *who;  /* whom it is about; NULL: nobody */
	const char *rows; /* the key of what comes before the last line; NULL */
	/* An answer in the words of the rig that runs; or an error, and
	 * *ret_text. */
	int (*on_files)(struct agent_state *s, const char *who, json_t **ret,
			char **ret_text);
};
/* The answer, to be json_decref()ed; NULL when it was printed why not. */
json_t *rig_answer(struct setup *s, const struct rig_question *q);
/* What runs or rests here, to be closed; what is in the way was printed. */
int rig_open(struct setup *s, struct rig_reach *ret);
/* A verb whose answer is a sentence, its `text`: asks, says it, and returns the
 * exit status. */
int rig_say_answer(struct setup *s, const struct rig_question *q, bool is_json);
/* Prints text after "rigway rig: "; EXIT_FAILED. */
int rig_fail(const char *text);
/* The same, and frees text, which may be NULL. */
int rig_fail_free(char *text);
/* The same for a word that is wrong; EXIT_MISUSE. */
int rig_misuse(const char *text, const char *word);

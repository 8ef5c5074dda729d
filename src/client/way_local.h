/* SPDX-License-Identifier: MIT */
/*
 * What the way's files share: way.c has the session and who wants it,
 * way_phase.c whether it may have one, way_dials.c what is dialled, way_links.c
 * which connections are kept, and way_report.c what is told. Callbacks change
 * states, and settle() in way.c is the one place that acts on them, outside of
 * everybody's callbacks. Nothing else includes this.
 */
#pragma once
#include "client/way.h"

#include "base/err.h"
#include "base/str.h"
#include "client/dials.h"
#include "client/links.h"
#include "client/race.h"
#include "client/way_phase.h"
#include "net/loop.h"

/* A path that is in doubt for so long has others dialled beside it. */
#define WAY_DOUBT_US 300000

struct way {
	const struct way_env *env;
	struct rigs_row *row;
	unsigned wants;
	struct session *session;
	struct hello_extra extra;
	struct race race;
	struct dials *dials;
	struct links links;
	struct list watches;
	uint32_t path; /* the one in use: every live link that is not old leads
			* along it; 0: nothing is live */
	enum path_kind kind;
	char label[RACE_LABEL_CAP];
	enum way_phase phase; /* way_step() alone sets it */
	bool is_barred;	      /* refused by what relays say, not by the rig */
	uint64_t renew_us;    /* when PHASE_RENEWING began */
	uint64_t doubt_us;    /* in doubt since; 0: proven since */
	int err;	      /* err and text say why nothing is connected */
	char text[WAY_TEXT_CAP];
	uint64_t since;
	uint64_t asked_us; /* by way_ask(); 0: never */
	unsigned resumed, moved;
	char cut[WAY_TEXT_CAP]; /* why the path was last lost */
	uint64_t cut_at;	/* a moment; 0: never */
	int64_t cut_after_s;	/* of being connected */
	int64_t cut_back_s;	/* -1: it still is */
	unsigned extra_fails;	/* of dials for one more along the path */
	uint64_t extra_at_us;	/* not before */
	bool is_unsettled;	/* settle() is to run again */
	struct timer *timer;	/* settle(): what callbacks may not do, and
				 * what is due */
	struct timer *linger_timer;
	void (*on_released)(void *user); /* it goes as soon as it can */
	void *released_user;
};

static inline uint64_t way_now(const struct way *way)
{
	return loop_now_us(way->env->loop);
}

static inline bool way_is_live(const struct way *way)
{
	return way->path != 0;
}

static inline void way_set_text(struct way *way, int err, const char *text)
{
	way->err = err;
	str_copy(way->text, sizeof(way->text),
		 text != NULL && text[0] != '\0' ? text : err_text(err));
}

/* A session may begin, or go on. */
static inline bool way_is_open(const struct way *way)
{
	return way->phase == PHASE_OPEN || way->phase == PHASE_RENEWING;
}

/* The session is over, and its links go. */
static inline bool way_is_closing(const struct way *way)
{
	return way->phase == PHASE_CLOSING || way->phase == PHASE_ENDING;
}

/* err and text say why. */
static inline bool way_is_refused(const struct way *way)
{
	return way->phase == PHASE_ENDING || way->phase == PHASE_ENDED;
}

/* Whether a connection is wanted, be there one or not. */
static inline bool way_is_needed(const struct way *way)
{
	return way->wants > 0 && way_is_open(way);
}

static inline void way_step(struct way *way, enum way_event ev)
{
	way->phase = way_phase_next(way->phase, ev);
}

static inline void way_settle_soon(struct way *way)
{
	way->is_unsettled = true;
	timer_start(way->timer, 0);
}

/* way.c */
int way_make_session(struct way *way);
/* The session is over, for good if no further dial can change err. */
void way_end_session(struct way *way, int err, const char *text);

/* way_dials.c */
extern const struct dials_ops way_dials_ops;
/* Tells the race everything that is known about where the rig is. */
void way_dials_offer(struct way *way);
/* A path that worked is tried again, whatever the rig says of it; true when
 * that is news for the row. */
bool way_dials_learn(struct way *way, const struct path *p);
/* Cancels the dials that are not wanted any more, and starts those that are
 * due. Returns when the next one is. */
uint64_t way_dials_settle(struct way *way);

/* way_links.c */
extern const struct links_ops way_links_ops;
/* Whether a ping that left since the doubt began was answered, on another one
 * than except. */
bool way_links_is_proven(const struct way *way, const struct link *except);
/* l's WELCOME was read: the session goes on with it, or has one more along the
 * path in use, or does not need it. */
void way_links_welcome(struct way *way, struct link *l);
void way_links_settle(struct way *way);
/* As many along the path in use as the core has use for. Returns when to look
 * again. */
uint64_t way_links_settle_extra(struct way *way);
/* The path in use is lost, whether or not there is another one. */
void way_links_cut(struct way *way, const char *text);
void way_links_extra_failed(struct way *way);

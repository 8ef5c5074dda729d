/* SPDX-License-Identifier: MIT */
/*
 * Which questions of discovery were heard (PROTOCOL.md, section 14): each is
 * good for a moment, so that one that somebody recorded is not answered again.
 * No sockets; the time comes in.
 */
#pragma once
#include <stdint.h>

#include "wire/probe.h"

#define QUESTIONS_MAX	  1024 /* remembered: the oldest is forgotten */
#define QUESTIONS_GOOD_US 5000000
/* A laptop asks three times, at each of its addresses. */
#define QUESTIONS_ANSWERS 16

enum question_kind {
	QUESTION_NEW,
	QUESTION_REPEATED, /* to be answered again */
	QUESTION_OVER,	   /* it is too late for it, or it had its answers */
};

struct question {
	uint8_t nonce[PROBE_NONCE_LEN];
	uint64_t heard_us; /* the first time; 0: there is none */
	unsigned answers;
};

/* Starts from zeros. */
struct questions {
	struct question rows[QUESTIONS_MAX]; /* a ring */
	unsigned next;
};

/* What a question with this nonce is now; one that is repeated is counted. */
enum question_kind questions_judge(struct questions *q,
				   const uint8_t nonce[PROBE_NONCE_LEN],
				   uint64_t now_us);
/* A new one is being answered. */
void questions_add(struct questions *q, const uint8_t nonce[PROBE_NONCE_LEN],
		   uint64_t now_us);

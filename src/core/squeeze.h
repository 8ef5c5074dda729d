/* SPDX-License-Identifier: MIT */
/*
 * Which share of their caps the carriers with bulk may use when there are
 * several: docs/decisions/013. For spread.c.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct session;

struct squeeze {
	uint8_t share; /* in 64ths, as each carrier has it in its pace */
	uint8_t calm;  /* looks in a row that saw hardly a queue: to 3 */
	bool drained;  /* the last look saw the way being drained */
	uint64_t at;   /* when share was found */
	uint64_t rate; /* bytes per second, of all carriers: the most lately */
	uint64_t read; /* by the peer, of all carriers, */
	uint64_t read_at; /* then */
};

void squeeze_init(struct squeeze *q);
/* Four times a second while there is bulk, its carriers counted. */
void squeeze_look(struct session *s);
/* The caps of the carriers that have bulk, together. */
uint64_t squeeze_caps(const struct session *s);
/* Bulk has gone to other carriers: no more may fly than did before. */
void squeeze_spread(struct session *s, uint64_t caps_before);

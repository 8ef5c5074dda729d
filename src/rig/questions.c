/* SPDX-License-Identifier: MIT */
#include "rig/questions.h"

#include <string.h>

enum question_kind questions_judge(struct questions *q,
				   const uint8_t nonce[PROBE_NONCE_LEN],
				   uint64_t now_us)
{
	for (unsigned i = 0; i < QUESTIONS_MAX; i++) {
		struct question *row = &q->rows[i];

		if (row->heard_us == 0 ||
		    memcmp(row->nonce, nonce, PROBE_NONCE_LEN) != 0)
			continue;
		if (now_us >= row->heard_us + QUESTIONS_GOOD_US ||
		    row->answers >= QUESTIONS_ANSWERS)
			return QUESTION_OVER;
		row->answers++;
		return QUESTION_REPEATED;
	}
	return QUESTION_NEW;
}

void questions_add(struct questions *q, const uint8_t nonce[PROBE_NONCE_LEN],
		   uint64_t now_us)
{
	struct question *row = &q->rows[q->next];

	q->next = (q->next + 1) % QUESTIONS_MAX;
	*row = (struct question){ .heard_us = now_us, .answers = 1 };
	memcpy(row->nonce, nonce, PROBE_NONCE_LEN);
}

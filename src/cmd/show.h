/* SPDX-License-Identifier: MIT */
/*
 * Answers, which are JSON, for people and for scripts. Called by commands just
 * before they print.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>

/* The text at key, borrowed from o; none where there is no such text. */
const char *show_text(const json_t *o, const char *key, const char *none);
/* Prints o as JSON with a newline on stdout. */
void show_json(const json_t *o);
/* The same, and o, which is stolen, is freed. */
void show_json_free(json_t *o);
/* A code on stdout, alone; as text also drawn on stderr if is_drawn. */
void show_code(const char *code, bool as_json, bool is_drawn);

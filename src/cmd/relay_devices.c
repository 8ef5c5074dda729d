/* SPDX-License-Identifier: MIT */
/* rigway relay devices: what the relay knows of each machine, as far as it is
 * proven. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/format.h"
#include "cmd/relay_office.h"
#include "cmd/show.h"
#include "cmd/status_words.h"

#define CELL_CAP 80

/* What is known only while it runs comes last: the table of a relay that rests
 * ends before it. */
enum {
	NAME,
	ROLE,
	GROUP,
	FINGERPRINT,
	STATE,
	PROVEN,
	SINCE,
	RTT,
	OPEN,
	FROM_IT,
	TO_IT,
	ADDRESS,
	COLUMNS
};
static const char *const heads[COLUMNS] = {
	[NAME] = "NAME",   [ROLE] = "ROLE",
	[GROUP] = "GROUP", [FINGERPRINT] = "FINGERPRINT",
	[STATE] = "STATE", [PROVEN] = "PROVEN",
	[SINCE] = "SINCE", [RTT] = "RTT",
	[OPEN] = "OPEN",   [FROM_IT] = "FROM IT",
	[TO_IT] = "TO IT", [ADDRESS] = "ADDRESS",
};

struct row {
	char cell[COLUMNS][CELL_CAP];
};

static void put(struct row *r, int column, const char *text)
{
	snprintf(r->cell[column], CELL_CAP, "%s", text);
}

static void put_bytes(struct row *r, int column, const json_t *n)
{
	char text[FORMAT_CAP];

	put(r, column, format_bytes((uint64_t)json_integer_value(n), text));
}

/* When it was last heard: exact while it is connected. */
static void put_proven(struct row *r, const json_t *dev, int64_t now)
{
	const json_t *heard = json_object_get(dev, "heard_ms");
	const uint64_t ms = (uint64_t)json_integer_value(heard);
	char text[FORMAT_CAP];

	if (!json_is_integer(heard))
		put(r, PROVEN, words_ago(dev, "proven", now, text));
	else if (ms < 1000)
		put(r, PROVEN, "just now");
	else
		snprintf(r->cell[PROVEN], CELL_CAP, "%s ago",
			 format_duration(ms / 1000 * 1000, text));
}

static void row_fill(struct row *r, const json_t *dev, int64_t now)
{
	const json_t *rtt = json_object_get(dev, "rtt_ms");
	const char *addr = show_text(dev, "addr", "");
	char text[FORMAT_CAP];

	put(r, NAME, show_text(dev, "name", ""));
	put(r, ROLE, show_text(dev, "role", ""));
	put(r, GROUP, show_text(dev, "fleet", ""));
	put(r, FINGERPRINT, show_text(dev, "fingerprint", ""));
	put(r, STATE, show_text(dev, "state", ""));
	put_proven(r, dev, now);
	put(r, SINCE, words_ago(dev, "since", now, text));
	put(r, RTT, "-");
	if (json_is_number(rtt))
		snprintf(r->cell[RTT], CELL_CAP, "%.1f ms",
			 json_number_value(rtt));
	snprintf(r->cell[OPEN], CELL_CAP, "%lld",
		 (long long)json_integer_value(
			 json_object_get(dev, "connections")));
	put_bytes(r, FROM_IT, json_object_get(dev, "bytes_from"));
	put_bytes(r, TO_IT, json_object_get(dev, "bytes_to"));
	put(r, ADDRESS, *addr != '\0' ? addr : "-");
}

static void print_row(const struct row *r, const int *width, int columns)
{
	for (int c = 0; c + 1 < columns; c++)
		printf("%-*s  ", width[c], r->cell[c]);
	puts(r->cell[columns - 1]);
}

static void print_table(const json_t *devices, int columns)
{
	const int64_t now = time(NULL);
	int width[COLUMNS];
	struct row r;
	json_t *dev;
	size_t i;

	for (int c = 0; c < COLUMNS; c++) {
		put(&r, c, heads[c]);
		width[c] = (int)strlen(heads[c]);
	}
	json_array_foreach(devices, i, dev)
	{
		struct row one;

		row_fill(&one, dev, now);
		for (int c = 0; c < COLUMNS; c++)
			width[c] = MAX(width[c], (int)strlen(one.cell[c]));
	}
	print_row(&r, width, columns);
	json_array_foreach(devices, i, dev)
	{
		row_fill(&r, dev, now);
		print_row(&r, width, columns);
	}
}

void relay_devices_show(const json_t *reply)
{
	const json_t *devices = json_object_get(reply, "devices");
	const bool runs = json_is_true(json_object_get(reply, "running"));

	if (json_array_size(devices) == 0) {
		fputs("No machine has joined yet; 'rigway relay invite' prints "
		      "a code for one.\n",
		      stderr);
		return;
	}
	print_table(devices, runs ? COLUMNS : STATE);
	if (!runs)
		fputs("The relay is not running: nobody is connected.\n",
		      stderr);
}

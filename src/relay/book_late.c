/* SPDX-License-Identifier: MIT */
/* The book's part about what may be true before it is on disk. */
#include "base/err.h"
#include "base/log.h"
#include "relay/book.h"

static void note_late(bool *is_late, int err, const char *what)
{
	if (err < 0 && !*is_late)
		log_warn("%s cannot be written down: %s; it is so all the "
			 "same, and the writing is tried again every minute",
			 what, err_text(err));
	else if (err == 0 && *is_late)
		log_info("%s is written down now", what);
	*is_late = err < 0;
}

void book_save_devices_late(struct book *b)
{
	note_late(&b->devices_late, book_save_devices(b),
		  "a machine's new name");
}

void book_save_barred_late(struct book *b)
{
	note_late(&b->barred_late, book_save_barred(b),
		  "that a machine that had been removed may come in again");
}

void book_write_late(struct book *b)
{
	if (b->devices_late)
		book_save_devices_late(b);
	if (b->barred_late)
		book_save_barred_late(b);
}

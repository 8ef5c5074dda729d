/* SPDX-License-Identifier: MIT */
#include "cmd/qr.h"

#include <ctype.h>
#include <langinfo.h>
#include <locale.h>
#include <qrencode.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"

#define QUIET 4 /* light cells on each side: the standard's minimum */

static bool speaks_utf8(void)
{
	bool yes;
	locale_t l = newlocale(LC_CTYPE_MASK, "", (locale_t)0);

	if (l == (locale_t)0)
		return false;
	yes = strcmp(nl_langinfo_l(CODESET, l), "UTF-8") == 0;
	freelocale(l);
	return yes;
}

static bool is_wide_enough(FILE *to, int cells)
{
	struct winsize w;

	return isatty(fileno(to)) && ioctl(fileno(to), TIOCGWINSZ, &w) == 0 &&
	       w.ws_col >= cells;
}

static bool is_dark(const QRcode *qr, int x, int y)
{
	if (x < 0 || y < 0 || x >= qr->width || y >= qr->width)
		return false;
	return qr->data[y * qr->width + x] & 1;
}

/* Two rows a line. Dark on light whatever the terminal's colours are. */
static void draw(FILE *to, const QRcode *qr)
{
	for (int y = -QUIET; y < qr->width + QUIET; y += 2) {
		fputs("\x1b[30;107m", to);
		for (int x = -QUIET; x < qr->width + QUIET; x++) {
			bool top = is_dark(qr, x, y);
			bool bottom = is_dark(qr, x, y + 1);

			fputs(top && bottom ? "█"
			      : top	    ? "▀"
			      : bottom	    ? "▄"
					    : " ",
			      to);
		}
		fputs("\x1b[0m\n", to);
	}
}

void qr_print(FILE *to, const char *text)
{
	char *upper = xstrdup(text);
	QRcode *qr;

	for (char *p = upper; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	qr = QRcode_encodeString(upper, 0, QR_ECLEVEL_L, QR_MODE_8, 0);
	if (qr != NULL && speaks_utf8() &&
	    is_wide_enough(to, qr->width + 2 * QUIET))
		draw(to, qr);
	QRcode_free(qr);
	free(upper);
}

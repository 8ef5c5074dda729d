/* SPDX-License-Identifier: MIT */
/* The book's part about a rig's word for its clients: whom it lets in, whom
 * not, since they were taken out, and who goes with it when it leaves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"
#include "relay/book.h"

static const char *const keys[] = { "fleet", "pin", "by", NULL };
static const struct state_format format = {
	.kind = "barred",
	.version = 1,
	.max_rows = 4000000,
	.keys = keys,
};

struct barred *book_find_barred(const struct fleet *f, const struct pin *pin)
{
	list_for_each (l, &f->barred) {
		struct barred *x = container_of(l, struct barred, link);

		if (pin_eq(&x->pin, pin))
			return x;
	}
	return NULL;
}

void book_unbar(struct fleet *f, struct barred *x)
{
	list_del(&x->link);
	f->barred_count--;
	free(x);
}

struct barred *book_bar(struct fleet *f, const struct pin *pin,
			const struct pin *by)
{
	struct barred *x = book_find_barred(f, pin);

	if (x != NULL)
		book_unbar(f, x);
	x = calloc(1, sizeof(*x));
	if (x == NULL)
		return NULL;
	if (f->barred_count == BOOK_BARRED_MAX)
		book_unbar(f, container_of(list_first(&f->barred),
					   struct barred, link));
	x->pin = *pin;
	x->by = *by;
	list_init(&x->link);
	list_push(&f->barred, &x->link);
	f->barred_count++;
	return x;
}

int book_save_barred(struct book *b)
{
	char pin[PIN_TEXT_LEN + 1];
	struct state_writer w;

	state_begin(&w, &format);
	list_for_each (lf, &b->fleets) {
		struct fleet *f = container_of(lf, struct fleet, link);

		list_for_each (l, &f->barred) {
			struct barred *x = container_of(l, struct barred, link);

			state_add_row(&w);
			state_add_str(&w, "fleet", f->name);
			state_add_str(&w, "pin", pin_text(&x->pin, pin));
			if (!pin_is_zero(&x->by))
				state_add_str(&w, "by", pin_text(&x->by, pin));
		}
	}
	return state_commit(&w, b->barred_path);
}

static int on_row(void *user, struct state_row *row)
{
	struct book *b = user;
	const char *fleet, *text, *by = state_get(row, "by");
	struct pin pin, rig = { { 0 } };
	struct fleet *f;
	int err = state_str(row, "fleet", &fleet);

	if (err == 0)
		err = state_str(row, "pin", &text);
	if (err < 0)
		return err;
	f = book_find_fleet(b, fleet);
	if (f == NULL) /* it went with all that was in it */
		return 0;
	if (pin_parse(text, &pin) < 0)
		return state_refuse(row, "pin", "is no key's fingerprint");
	if (by != NULL && pin_parse(by, &rig) < 0)
		return state_refuse(row, "by", "is no key's fingerprint");
	return book_bar(f, &pin, &rig) != NULL ? 0 : RW_ERR_NOMEM;
}

int book_load_barred(struct book *b, char **ret_err)
{
	int err = state_load(b->barred_path, &format, on_row, b, ret_err);

	if (err < 0 && err != -ENOENT && *ret_err == NULL)
		*ret_err = xasprintf("%s: %s", b->barred_path, err_text(err));
	return err == -ENOENT ? 0 : err;
}

/* -- a rig's word --------------------------------------------------------- */

/* The fleet that the rig speaks for: as for its invites. */
static struct fleet *fleet_of_rig(const struct book *b, const struct pin *rig)
{
	struct device *d = book_find_device(b, rig);

	while (d != NULL && d->role != RELAY_RIG)
		d = d->next;
	return d != NULL ? d->fleet : NULL;
}

bool book_is_vouched(const struct book *b, const struct voucher *v)
{
	const struct fleet *f = fleet_of_rig(b, &v->rig);
	const struct device *d = f != NULL ? book_find_in(b, &v->pin, f) : NULL;

	return d != NULL && (d->role == RELAY_RIG || pin_is_zero(&d->issuer) ||
			     pin_eq(&d->issuer, &v->rig));
}

static int vouch_judge(const struct book *b, const struct fleet *f,
		       const struct voucher *v, char *text)
{
	const struct barred *x;

	if (f == NULL) {
		snprintf(text, BOOK_TEXT_CAP, "only a rig may let laptops in");
		return RW_ERR_NOT_ALLOWED;
	}
	x = book_find_barred(f, &v->pin);
	if (x != NULL && !pin_eq(&x->by, &v->rig)) {
		snprintf(text, BOOK_TEXT_CAP,
			 "that laptop was removed %s; a new code for it lets "
			 "it in again",
			 pin_is_zero(&x->by) ? "at the relay" : "by a rig");
		return RW_ERR_NOT_ALLOWED;
	}
	if (book_find_in(b, &v->pin, f) == NULL &&
	    f->device_count >= b->limits.devices) {
		snprintf(text, BOOK_TEXT_CAP,
			 "the group has %zu devices, which is its limit "
			 "(relay.max_devices)",
			 f->device_count);
		return RW_ERR_LIMIT;
	}
	return 0;
}

/* Several rigs let it in now: none of them alone can take it out. */
static int vouch_again(struct book *b, struct device *d)
{
	const struct pin was = d->issuer;
	int err;

	d->issuer = (struct pin){ { 0 } };
	err = book_save_devices(b);
	if (err < 0)
		d->issuer = was;
	return err;
}

static int vouch_new(struct book *b, struct fleet *f, const struct voucher *v)
{
	const struct redeem_try t = {
		.pin = v->pin,
		.role = RELAY_CLIENT,
		.name = v->name,
		.now = v->now,
		.issuer = v->rig,
	};
	struct barred *x = book_find_barred(f, &v->pin);
	struct device *d;
	bool is_new;
	int err;

	d = book_admit(b, f, &t, &is_new);
	if (d == NULL)
		return RW_ERR_NOMEM;
	err = book_save_devices(b);
	if (err < 0) {
		book_unlink_device(b, d);
		return err;
	}
	if (x != NULL) { /* its own: it let the key in anew */
		book_unbar(f, x);
		book_save_barred_late(b);
	}
	return 0;
}

int book_vouch(struct book *b, const struct voucher *v,
	       char text[static BOOK_TEXT_CAP])
{
	struct fleet *f = fleet_of_rig(b, &v->rig);
	struct device *d;
	int err = vouch_judge(b, f, v, text);

	if (err < 0)
		return err;
	if (book_is_vouched(b, v))
		return 0;
	d = book_find_in(b, &v->pin, f);
	err = d != NULL ? vouch_again(b, d) : vouch_new(b, f, v);
	if (err < 0)
		snprintf(text, BOOK_TEXT_CAP,
			 "the relay cannot write its state: %s", err_text(err));
	return err;
}

/* -- a rig that leaves ---------------------------------------------------- */

/* Takes out what r has issued; as book_leave(). */
static int leave_invites(struct book *b, const struct pin *r)
{
	struct list out, *l;
	int err;

	list_init(&out);
	list_for_each (lf, &b->fleets)
		list_for_each_safe (
			li, &container_of(lf, struct fleet, link)->invites)
			if (pin_eq(&container_of(li, struct invite, link)
					    ->issuer,
				   r)) {
				list_del(li);
				list_push(&out, li);
			}
	err = list_is_empty(&out) ? 0 : book_save_invites(b);
	while ((l = list_pop(&out)) != NULL) {
		struct invite *i = container_of(l, struct invite, link);

		list_push(&i->fleet->invites, l);
		if (err == 0)
			invite_free(b, i);
	}
	return err;
}

static bool leaves_with(const struct device *d, const struct pin *r)
{
	return d->role == RELAY_RIG ? pin_eq(&d->pin, r)
				    : pin_eq(&d->issuer, r);
}

int book_leave(struct book *b, const struct pin *r)
{
	struct list out, *l;
	int err = leave_invites(b, r);

	if (err < 0)
		return err;
	list_init(&out);
	list_for_each (lf, &b->fleets)
		list_for_each_safe (
			ld, &container_of(lf, struct fleet, link)->devices)
			if (leaves_with(container_of(ld, struct device, link),
					r)) {
				list_del(ld);
				list_push(&out, ld);
			}
	/* Written without them, then unlinked: a failure changes nothing. */
	err = list_is_empty(&out) ? 0 : book_save_devices(b);
	while ((l = list_pop(&out)) != NULL) {
		struct device *d = container_of(l, struct device, link);

		list_push(&d->fleet->devices, l);
		if (err == 0)
			book_unlink_device(b, d);
	}
	return err;
}

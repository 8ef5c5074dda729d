/* SPDX-License-Identifier: MIT */
/* The relay's book: fleets, devices, invites, on disk. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/settings.h"
#include "relay/book.h"

#define NOW  INT64_C(1800000000)
#define HOUR 3600

struct office {
	char dir[64];
	struct book *book;
	struct book_limits limits;
	struct fleet *fleet;
	char text[BOOK_TEXT_CAP];
};

static void office_read(struct office *o)
{
	char *err;

	assert_int_equal(book_open(o->dir, &o->limits, &o->book, &err), 0);
}

static void office_open(struct office *o)
{
	memset(o, 0, sizeof(*o));
	o->limits = (struct book_limits){ 4, 3, 3 };
	strcpy(o->dir, "/tmp/rigway-test-book-XXXXXX");
	assert_non_null(mkdtemp(o->dir));
	assert_false(book_exists(o->dir));
	office_read(o);
	assert_int_equal(book_add_fleet(o->book, NOW, &o->fleet, o->text), 0);
	assert_true(book_exists(o->dir));
}

/* As after a restart: only what is on disk counts. */
static void office_restart(struct office *o)
{
	char name[64];

	strcpy(name, o->fleet->name);
	book_free(o->book);
	office_read(o);
	o->fleet = book_find_fleet(o->book, name);
	assert_non_null(o->fleet);
}

static void office_close(struct office *o)
{
	static const char *const files[] = { "fleets", "devices", "invites",
					     "barred", "place" };

	book_free(o->book);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *path = xasprintf("%s/%s", o->dir, files[i]);

		unlink(path);
		free(path);
	}
	assert_int_equal(rmdir(o->dir), 0); /* nothing else was left there */
}

static struct pin key(uint8_t n)
{
	struct pin p;

	memset(&p, n, sizeof(p));
	return p;
}

/* Invite n: its secret is 32 bytes of n. */
static int invite_within(struct office *o, uint8_t n,
			 const struct invite_params *what)
{
	uint8_t id[RELAY_ID_LEN], secret[RELAY_SECRET_LEN], hash[HASH_LEN];

	memset(id, n, sizeof(id));
	memset(secret, n, sizeof(secret));
	sha256(secret, sizeof(secret), hash);

	struct invite_params p = *what;

	p.fleet = o->fleet;
	p.id = id;
	p.hash = hash;
	p.now = NOW;
	return book_invite(o->book, &p, o->text);
}

static int invite(struct office *o, uint8_t n, enum relay_role role,
		  struct pin issuer, unsigned uses)
{
	return invite_within(o, n,
			     &(struct invite_params){ .role = role,
						      .issuer = issuer,
						      .ttl_s = HOUR,
						      .uses = uses });
}

/* What a rig says of a code that is not to be used any more. */
static int withdraw(struct office *o, uint8_t n, struct pin issuer)
{
	return invite_within(o, n,
			     &(struct invite_params){ .role = RELAY_CLIENT,
						      .issuer = issuer,
						      .uses = 1 });
}

static int redeem(struct office *o, uint8_t n, struct pin pin,
		  enum relay_role role, int64_t now)
{
	uint8_t secret[RELAY_SECRET_LEN];
	struct fleet *f;

	memset(secret, n, sizeof(secret));

	const struct redeem_try t = {
		.secret = secret,
		.pin = pin,
		.role = role,
		.name = "desk",
		.now = now,
	};

	return book_redeem(o->book, &t, &f, o->text);
}

static const struct pin by_relay;

/* The device whose key is key(n), by a code of its own. */
static void admit(struct office *o, uint8_t n, enum relay_role role,
		  struct pin issuer)
{
	assert_int_equal(invite(o, n, role, issuer, 1), 0);
	assert_int_equal(redeem(o, n, key(n), role, NOW), 0);
}

static void a_code_works_once_and_again_for_the_same_key(void **state)
{
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(redeem(&o, 1, key(7), RELAY_RIG, NOW + 1), 0);
	assert_int_equal(redeem(&o, 1, key(7), RELAY_RIG, NOW + 2), 0);
	assert_int_equal(redeem(&o, 1, key(8), RELAY_RIG, NOW + 3),
			 RW_ERR_USED);
	office_restart(&o);
	assert_int_equal(redeem(&o, 1, key(7), RELAY_RIG, NOW + 4), 0);
	assert_int_equal(redeem(&o, 1, key(8), RELAY_RIG, NOW + 5),
			 RW_ERR_USED);
	assert_int_equal(book_device_count(o.book), 1);
	office_close(&o);
}

static void another_key_hears_when_and_by_whom(void **state)
{
	char who[PIN_SHORT_LEN + 1], when[FORMAT_CAP];
	struct pin first = key(7);
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(redeem(&o, 1, first, RELAY_RIG, NOW + 60), 0);
	assert_int_equal(redeem(&o, 1, key(8), RELAY_RIG, NOW + 90),
			 RW_ERR_USED);
	assert_non_null(strstr(o.text, pin_short(&first, who)));
	assert_non_null(strstr(o.text, format_time(NOW + 60, when)));
	office_close(&o);
}

static void a_code_for_several_serves_so_many_keys(void **state)
{
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, key(2), RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, key(3), RELAY_RIG, NOW), RW_ERR_USED);
	office_restart(&o);
	assert_int_equal(redeem(&o, 1, key(2), RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, key(3), RELAY_RIG, NOW), RW_ERR_USED);
	office_close(&o);
}

static void a_code_expires_for_everybody(void **state)
{
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_RIG, NOW + HOUR - 1), 0);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_RIG, NOW + HOUR),
			 RW_ERR_EXPIRED);
	assert_int_equal(redeem(&o, 1, key(2), RELAY_RIG, NOW + HOUR),
			 RW_ERR_EXPIRED);
	office_close(&o);
}

static void a_clock_before_the_issue_means_expired(void **state)
{
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_RIG, NOW - 1),
			 RW_ERR_EXPIRED);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_RIG, NOW), 0);
	office_close(&o);
}

static void a_wrong_code_burns_nothing(void **state)
{
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 1), 0);
	for (uint8_t n = 2; n < 200; n++)
		assert_int_equal(redeem(&o, n, key(1), RELAY_RIG, NOW),
				 RW_ERR_NOT_FOUND);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_CLIENT, NOW),
			 RW_ERR_NOT_ALLOWED);
	assert_int_equal(redeem(&o, 1, key(1), RELAY_RIG, NOW), 0);
	office_close(&o);
}

static void limits_are_kept(void **state)
{
	struct office o;
	struct fleet *f;

	(void)state;
	office_open(&o); /* 4 fleets, 3 devices and 3 open invites in each */
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 4), 0);
	assert_int_equal(invite(&o, 2, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(invite(&o, 3, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(invite(&o, 4, RELAY_RIG, by_relay, 1), RW_ERR_LIMIT);
	assert_non_null(strstr(o.text, "relay.max_invites"));
	/* A used one is open no more. */
	assert_int_equal(redeem(&o, 2, key(1), RELAY_RIG, NOW), 0);
	assert_int_equal(invite(&o, 4, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(redeem(&o, 1, key(2), RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, key(3), RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, key(4), RELAY_RIG, NOW), RW_ERR_LIMIT);
	assert_non_null(strstr(o.text, "relay.max_devices"));
	/* A full fleet does not burn the code. */
	assert_int_equal(book_remove(o.book, &(struct pin){ { 0 } }, NULL),
			 RW_ERR_NOT_FOUND);
	struct pin gone = key(3);
	assert_int_equal(book_remove(o.book, &gone, NULL), 0);
	assert_int_equal(redeem(&o, 1, key(4), RELAY_RIG, NOW), 0);
	assert_int_equal(invite(&o, 9, RELAY_RIG, by_relay, 0), RW_ERR_LIMIT);
	assert_int_equal(invite(&o, 9, RELAY_RIG, by_relay, BOOK_USES_MAX + 1),
			 RW_ERR_LIMIT);
	for (int i = 0; i < 3; i++) {
		struct fleet *was = o.fleet;

		assert_int_equal(book_add_fleet(o.book, NOW, &f, o.text), 0);
		o.fleet = f; /* with an invite it is not tidied away */
		assert_int_equal(
			invite(&o, (uint8_t)(20 + i), RELAY_RIG, by_relay, 1),
			0);
		o.fleet = was;
	}
	assert_int_equal(book_add_fleet(o.book, NOW, &f, o.text), RW_ERR_LIMIT);
	assert_non_null(strstr(o.text, "relay.max_fleets"));
	/* Empty ones whose codes are over make room. */
	assert_int_equal(book_add_fleet(o.book, NOW + 2 * HOUR, &f, o.text), 0);
	office_close(&o);
}

static void invites_that_are_over_have_a_limit(void **state)
{
	struct office o;
	size_t n = 0;

	(void)state;
	office_open(&o);
	o.limits.devices = 100;
	o.book->limits.devices = 100;
	for (uint8_t i = 1; i <= 50; i++) {
		assert_int_equal(invite(&o, i, RELAY_RIG, by_relay, 1), 0);
		assert_int_equal(redeem(&o, i, key(i), RELAY_RIG, NOW), 0);
	}
	list_for_each (l, &o.fleet->invites)
		n++;
	assert_true(n <= 3 + 1);
	/* The newest still says by whom it was used. */
	assert_int_equal(redeem(&o, 50, key(99), RELAY_RIG, NOW), RW_ERR_USED);
	assert_int_equal(redeem(&o, 1, key(99), RELAY_RIG, NOW),
			 RW_ERR_NOT_FOUND);
	office_close(&o);
}

/* A rig repeats its invites after each reconnect. */
static void the_same_invite_again_is_fine(void **state)
{
	struct office o;

	(void)state;
	office_open(&o);
	admit(&o, 1, RELAY_RIG, by_relay);
	admit(&o, 2, RELAY_CLIENT, key(1));
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, key(1), 1), 0);
	assert_int_equal(redeem(&o, 2, key(3), RELAY_CLIENT, NOW),
			 RW_ERR_USED); /* it stays used */
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, key(9), 1),
			 RW_ERR_EXISTS); /* and its issuer's */
	office_close(&o);
}

/* The laptop that asked for it was removed at the rig. */
static void a_withdrawn_invite_is_over(void **state)
{
	struct office o;

	(void)state;
	office_open(&o);
	admit(&o, 1, RELAY_RIG, by_relay);
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, key(1), 1), 0);
	assert_int_equal(withdraw(&o, 2, key(9)),
			 RW_ERR_EXISTS); /* not by another rig */
	for (int i = 0; i < 2; i++)
		assert_int_equal(withdraw(&o, 2, key(1)), 0);
	assert_int_equal(redeem(&o, 2, key(2), RELAY_CLIENT, NOW),
			 RW_ERR_EXPIRED);
	/* One that was never heard of is nothing to remember. */
	assert_int_equal(withdraw(&o, 3, key(1)), 0);
	assert_int_equal(redeem(&o, 3, key(2), RELAY_CLIENT, NOW),
			 RW_ERR_NOT_FOUND);
	office_close(&o);
}

static void a_removed_key_cannot_come_back_by_its_old_code(void **state)
{
	struct pin rig = key(1);
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(redeem(&o, 1, rig, RELAY_RIG, NOW), 0);
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, rig, 1), 0);
	assert_int_equal(book_remove(o.book, &rig, NULL), 0);
	assert_null(book_find_device(o.book, &rig));
	assert_int_equal(redeem(&o, 1, rig, RELAY_RIG, NOW), RW_ERR_USED);
	assert_non_null(strstr(o.text, "removed"));
	/* What it issued is void. */
	assert_int_equal(redeem(&o, 2, key(5), RELAY_CLIENT, NOW),
			 RW_ERR_NOT_FOUND);
	office_restart(&o);
	assert_int_equal(redeem(&o, 1, rig, RELAY_RIG, NOW), RW_ERR_USED);
	assert_int_equal(redeem(&o, 1, key(3), RELAY_RIG, NOW), 0);
	office_close(&o);
}

static void a_rig_drops_only_whom_it_alone_let_in(void **state)
{
	struct pin a = key(1), b = key(2), c = key(3);
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(redeem(&o, 1, a, RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, b, RELAY_RIG, NOW), 0);
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, a, 1), 0);
	assert_int_equal(redeem(&o, 2, c, RELAY_CLIENT, NOW), 0);
	assert_int_equal(book_drop(o.book, &b, &c), 0); /* not b's */
	assert_non_null(book_find_device(o.book, &c));
	assert_int_equal(book_drop(o.book, &b, &a), 0); /* a rig */
	assert_non_null(book_find_device(o.book, &a));
	assert_int_equal(book_drop(o.book, &a, &c), 0);
	assert_null(book_find_device(o.book, &c));
	assert_int_equal(book_drop(o.book, &a, &c), 0); /* again */
	assert_int_equal(redeem(&o, 2, c, RELAY_CLIENT, NOW), RW_ERR_USED);
	/* Let in by both, dropped by one: it stays. */
	assert_int_equal(invite(&o, 3, RELAY_CLIENT, a, 1), 0);
	assert_int_equal(invite(&o, 4, RELAY_CLIENT, b, 1), 0);
	assert_int_equal(redeem(&o, 3, c, RELAY_CLIENT, NOW), 0);
	assert_int_equal(redeem(&o, 4, c, RELAY_CLIENT, NOW), 0);
	office_restart(&o);
	assert_int_equal(book_drop(o.book, &a, &c), 0);
	assert_non_null(book_find_device(o.book, &c));
	office_close(&o);
}

static int vouch(struct office *o, struct pin rig, struct pin pin)
{
	const struct voucher v = { rig, pin, "laptop", NOW };
	char text[BOOK_TEXT_CAP] = "";
	int err = book_vouch(o->book, &v, text);

	assert_int_equal(err == 0, text[0] == '\0');
	assert_true(err != 0 || book_is_vouched(o->book, &v));
	return err;
}

static void a_rigs_word_lets_its_client_in(void **state)
{
	struct pin a = key(1), b = key(2), c = key(3);
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(vouch(&o, a, c), RW_ERR_NOT_ALLOWED); /* no rig yet */
	assert_int_equal(redeem(&o, 1, a, RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, b, RELAY_RIG, NOW), 0);
	assert_int_equal(vouch(&o, a, c), 0);
	assert_int_equal(vouch(&o, a, c), 0); /* again */
	office_restart(&o);
	assert_non_null(book_common(o.book, &c, &a));
	assert_int_equal(book_find_device(o.book, &c)->role, RELAY_CLIENT);
	/* A client's word counts nothing, and a rig stays a rig. */
	assert_int_equal(vouch(&o, c, key(4)), RW_ERR_NOT_ALLOWED);
	assert_int_equal(vouch(&o, a, b), 0);
	assert_int_equal(book_find_device(o.book, &b)->role, RELAY_RIG);
	/* The rig that let it in takes it out, and may let it in anew. */
	assert_int_equal(book_drop(o.book, &a, &c), 0);
	assert_null(book_find_device(o.book, &c));
	office_restart(&o);
	assert_int_equal(vouch(&o, a, c), 0);
	/* Let in by both, neither alone takes it out. */
	assert_int_equal(vouch(&o, b, c), 0);
	office_restart(&o);
	assert_int_equal(book_drop(o.book, &a, &c), 0);
	assert_non_null(book_find_device(o.book, &c));
	office_close(&o);
}

static void a_rig_that_leaves_takes_its_own_along(void **state)
{
	struct pin a = key(1), b = key(2), own = key(3), both = key(4);
	struct office o;

	(void)state;
	office_open(&o);
	o.limits.devices = 100;
	o.book->limits.devices = 100;
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(redeem(&o, 1, a, RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, b, RELAY_RIG, NOW), 0);
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, a, 2), 0);
	assert_int_equal(invite(&o, 3, RELAY_CLIENT, b, 1), 0);
	assert_int_equal(redeem(&o, 2, own, RELAY_CLIENT, NOW), 0);
	assert_int_equal(vouch(&o, a, both), 0);
	assert_int_equal(vouch(&o, b, both), 0);
	assert_int_equal(book_leave(o.book, &own), 0); /* no rig */
	assert_int_equal(book_device_count(o.book), 4);
	assert_int_equal(book_leave(o.book, &a), 0);
	for (int k = 0; k < 2; k++) {
		assert_int_equal(book_leave(o.book, &a), 0); /* again */
		assert_null(book_find_device(o.book, &a));
		assert_null(book_find_device(o.book, &own));
		assert_non_null(book_find_device(o.book, &both));
		assert_non_null(book_common(o.book, &both, &b));
		assert_int_equal(redeem(&o, 2, key(5), RELAY_CLIENT, NOW),
				 RW_ERR_NOT_FOUND);
		office_restart(&o);
	}
	/* Nobody is barred, and the other rig's code is good. */
	assert_int_equal(redeem(&o, 3, own, RELAY_CLIENT, NOW), 0);
	assert_int_equal(redeem(&o, 1, a, RELAY_RIG, NOW), 0);
	assert_int_equal(vouch(&o, a, key(6)), 0);
	office_close(&o);
}

static void what_was_taken_out_comes_back_by_a_code_only(void **state)
{
	struct pin a = key(1), b = key(2), c = key(3);
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(redeem(&o, 1, a, RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, b, RELAY_RIG, NOW), 0);
	assert_int_equal(vouch(&o, a, c), 0);
	assert_int_equal(book_remove(o.book, &c, NULL), 0);
	for (int k = 0; k < 2; k++) {
		assert_int_equal(vouch(&o, a, c), RW_ERR_NOT_ALLOWED);
		assert_int_equal(vouch(&o, b, c), RW_ERR_NOT_ALLOWED);
		assert_null(book_find_device(o.book, &c));
		office_restart(&o);
	}
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, a, 1), 0);
	assert_int_equal(redeem(&o, 2, c, RELAY_CLIENT, NOW), 0);
	/* Dropped by one rig, another's word does not help. */
	assert_int_equal(book_drop(o.book, &a, &c), 0);
	assert_null(book_find_device(o.book, &c));
	assert_int_equal(vouch(&o, b, c), RW_ERR_NOT_ALLOWED);
	assert_int_equal(vouch(&o, a, c), 0);
	assert_int_equal(vouch(&o, b, c), 0);
	office_close(&o);
}

static void what_was_taken_out_is_remembered_within_bounds(void **state)
{
	struct pin a = key(1), by = { { 0 } };
	struct office o;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	assert_int_equal(redeem(&o, 1, a, RELAY_RIG, NOW), 0);

	struct fleet *f = book_find_device(o.book, &a)->fleet;

	for (unsigned i = 0; i < BOOK_BARRED_MAX + 10; i++) {
		struct pin x = key(9);

		x.b[0] = (uint8_t)(i >> 8);
		x.b[1] = (uint8_t)i;
		assert_non_null(book_bar(f, &x, &by));
		assert_non_null(book_bar(f, &x, &by)); /* not twice */
	}
	assert_int_equal(f->barred_count, BOOK_BARRED_MAX);
	assert_int_equal(book_save_barred(o.book), 0);
	office_restart(&o);
	f = book_find_device(o.book, &a)->fleet;
	assert_int_equal(f->barred_count, BOOK_BARRED_MAX);
	office_close(&o);
}

static void a_key_may_be_in_several_fleets(void **state)
{
	struct pin rig = key(1), laptop = key(2);
	struct fleet *first, *second;
	struct office o;

	(void)state;
	office_open(&o);
	first = o.fleet;
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(redeem(&o, 1, rig, RELAY_RIG, NOW), 0);
	assert_int_equal(book_add_fleet(o.book, NOW, &second, o.text), 0);
	o.fleet = second;
	assert_int_equal(invite(&o, 2, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(invite(&o, 3, RELAY_CLIENT, by_relay, 1), 0);
	assert_int_equal(redeem(&o, 3, laptop, RELAY_CLIENT, NOW), 0);
	assert_null(book_common(o.book, &laptop, &rig));
	assert_int_equal(redeem(&o, 2, rig, RELAY_RIG, NOW), 0);
	assert_ptr_equal(book_common(o.book, &laptop, &rig), second);
	assert_null(book_common(o.book, &rig, &laptop)); /* no rig */
	assert_int_equal(book_device_count(o.book), 2);
	assert_int_equal(book_remove(o.book, &rig, second), 0);
	assert_null(book_common(o.book, &laptop, &rig));
	assert_non_null(book_find_in(o.book, &rig, first));
	office_close(&o);
}

/* The disk fails: the call says so, and the book is as it was. */
static void a_disk_that_fails_changes_nothing(void **state)
{
	struct pin rig = key(1);
	struct office o;
	struct fleet *f;
	char *devices, *invites;

	(void)state;
	office_open(&o);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 2), 0);
	devices = o.book->devices_path;
	invites = o.book->invites_path;
	/* The invites cannot be written: nobody gets in. */
	o.book->invites_path = "/dev/full/invites";
	assert_true(redeem(&o, 1, rig, RELAY_RIG, NOW) < 0);
	assert_non_null(strstr(o.text, "cannot write"));
	assert_null(book_find_device(o.book, &rig));
	assert_true(invite(&o, 2, RELAY_RIG, by_relay, 1) < 0);
	o.book->invites_path = invites;
	/* The devices cannot: nobody either, and the same key may retry. */
	o.book->devices_path = "/dev/full/devices";
	assert_true(redeem(&o, 1, rig, RELAY_RIG, NOW) < 0);
	assert_null(book_find_device(o.book, &rig));
	o.book->devices_path = devices;
	assert_int_equal(redeem(&o, 1, rig, RELAY_RIG, NOW), 0);
	assert_int_equal(redeem(&o, 1, key(2), RELAY_RIG, NOW), 0);
	/* Nor is anybody removed by halves. */
	o.book->devices_path = "/dev/full/devices";
	assert_true(book_remove(o.book, &rig, NULL) < 0);
	assert_non_null(book_find_device(o.book, &rig));
	assert_true(book_leave(o.book, &rig) < 0);
	assert_non_null(book_find_device(o.book, &rig));
	o.book->devices_path = devices;
	assert_int_equal(invite(&o, 3, RELAY_CLIENT, rig, 1), 0);
	o.book->invites_path = "/dev/full/invites";
	assert_true(book_leave(o.book, &rig) < 0);
	assert_non_null(book_find_device(o.book, &rig));
	o.book->invites_path = invites;
	assert_int_equal(redeem(&o, 3, key(3), RELAY_CLIENT, NOW), 0);
	devices = o.book->fleets_path;
	o.book->fleets_path = "/dev/full/fleets";
	assert_true(book_add_fleet(o.book, NOW, &f, o.text) < 0);
	assert_int_equal(o.book->fleet_count, 1);
	o.book->fleets_path = devices;
	office_close(&o);
}

static unsigned warned;

static void count_warnings(enum log_level level, const char *line, void *user)
{
	warned += line != user && level == LOG_LEVEL_WARN;
}

/* A label and a lifted bar may wait for the disk: said once, and written when
 * there is room. */
static void what_may_be_late_is_said_once_and_written_later(void **state)
{
	struct pin rig = key(1), laptop = key(2);
	char *devices, *barred;
	struct office o;

	(void)state;
	office_open(&o);
	log_set_sink(count_warnings, NULL);
	assert_int_equal(invite(&o, 1, RELAY_RIG, by_relay, 1), 0);
	assert_int_equal(redeem(&o, 1, rig, RELAY_RIG, NOW), 0);
	assert_int_equal(invite(&o, 2, RELAY_CLIENT, rig, 1), 0);
	assert_int_equal(redeem(&o, 2, laptop, RELAY_CLIENT, NOW), 0);
	assert_int_equal(book_remove(o.book, &laptop, NULL), 0);
	devices = o.book->devices_path;
	barred = o.book->barred_path;
	o.book->barred_path = "/dev/full/barred";
	assert_int_equal(invite(&o, 3, RELAY_CLIENT, rig, 1), 0);
	assert_int_equal(redeem(&o, 3, laptop, RELAY_CLIENT, NOW), 0);
	o.book->devices_path = "/dev/full/devices";
	book_rename(o.book, &rig, "renamed");
	assert_int_equal(warned, 2);
	book_write_late(o.book);
	assert_true(o.book->devices_late && o.book->barred_late);
	o.book->devices_path = devices;
	o.book->barred_path = barred;
	book_write_late(o.book);
	assert_false(o.book->devices_late || o.book->barred_late);
	assert_int_equal(warned, 2);
	log_set_sink(NULL, NULL);
	office_restart(&o);
	assert_string_equal(book_find_device(o.book, &rig)->name, "renamed");
	assert_null(book_find_barred(o.fleet, &laptop));
	office_close(&o);
}

static void a_mangled_book_is_refused_with_its_line(void **state)
{
	struct office o;
	struct book *b;
	char *path, *err;
	FILE *f;

	(void)state;
	office_open(&o);
	admit(&o, 1, RELAY_RIG, by_relay);
	path = xasprintf("%s/devices", o.dir);
	f = fopen(path, "a");
	fputs("fleet=f-none pin=x role=rig name=a admitted=1\n", f);
	fclose(f);
	assert_int_equal(book_open(o.dir, &o.limits, &b, &err), RW_ERR_FORMAT);
	assert_non_null(strstr(err, "/devices:3: "));
	free(err);
	free(path);
	office_close(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_code_works_once_and_again_for_the_same_key),
		cmocka_unit_test(another_key_hears_when_and_by_whom),
		cmocka_unit_test(a_code_for_several_serves_so_many_keys),
		cmocka_unit_test(a_code_expires_for_everybody),
		cmocka_unit_test(a_clock_before_the_issue_means_expired),
		cmocka_unit_test(a_wrong_code_burns_nothing),
		cmocka_unit_test(limits_are_kept),
		cmocka_unit_test(the_same_invite_again_is_fine),
		cmocka_unit_test(a_withdrawn_invite_is_over),
		cmocka_unit_test(
			a_removed_key_cannot_come_back_by_its_old_code),
		cmocka_unit_test(a_rig_drops_only_whom_it_alone_let_in),
		cmocka_unit_test(a_rigs_word_lets_its_client_in),
		cmocka_unit_test(a_rig_that_leaves_takes_its_own_along),
		cmocka_unit_test(what_was_taken_out_comes_back_by_a_code_only),
		cmocka_unit_test(
			what_was_taken_out_is_remembered_within_bounds),
		cmocka_unit_test(a_key_may_be_in_several_fleets),
		cmocka_unit_test(a_disk_that_fails_changes_nothing),
		cmocka_unit_test(
			what_may_be_late_is_said_once_and_written_later),
		cmocka_unit_test(a_mangled_book_is_refused_with_its_line),
		cmocka_unit_test(invites_that_are_over_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

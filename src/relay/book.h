/* SPDX-License-Identifier: MIT */
/*
 * The relay's book: which fleets there are, which keys belong to them, and
 * which invites are open. Kept in memory and in four files of text; every
 * change is on disk before the call that made it returns, or it did not
 * happen. No sockets, no clock: `now` is Unix seconds, passed in. Loop thread
 * only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "crypto/hash.h"
#include "crypto/pin.h"
#include "relay/splice.h"
#include "wire/relay_msg.h"
struct settings_relay;

#define BOOK_USES_MAX	1000		     /* of one invite */
#define BOOK_BARRED_MAX 256		     /* in one fleet; the oldest go */
#define BOOK_TTL_MAX	(10 * 366 * 86400ll) /* seconds, of an invite */
#define BOOK_TEXT_CAP	(RELAY_TEXT_MAX + 1)

/* The devices of one owner. */
struct fleet {
	struct list link; /* in book.fleets */
	char name[RELAY_NAME_MAX + 1];
	int64_t created;
	struct list devices, invites, barred;
	size_t device_count, barred_count;
	struct splice_group use; /* by pairs; counted by the splicer */
	size_t meeting;		 /* pairs that are not spliced yet */
};

/* A key that was taken out of its fleet: a rig's word alone does not let it in
 * again. */
struct barred {
	struct list link; /* in fleet.barred, oldest first */
	struct pin pin;
	struct pin by; /* the rig that did; zero: the relay's owner */
};

/* A key's place in one fleet. A key may have one in several. */
struct device {
	struct list link;    /* in fleet.devices */
	struct device *next; /* the same key in another fleet */
	struct fleet *fleet;
	struct pin pin;
	enum relay_role role;
	char name[RELAY_NAME_MAX + 1];
	struct pin issuer; /* the rig that let it in; zero: the relay, or
			    * more than one */
	int64_t admitted;
};

/* Who used an invite. A revoked use still counts, but its key may not come
 * again. */
struct invite_use {
	struct pin pin;
	int64_t at;
	bool is_revoked;
};

struct invite {
	struct list link; /* in fleet.invites, oldest first */
	struct fleet *fleet;
	uint8_t id[RELAY_ID_LEN];
	uint8_t hash[HASH_LEN]; /* of the secret, which is not here */
	enum relay_role role;	/* of whoever redeems it */
	struct pin issuer;	/* a rig; zero: the relay itself */
	int64_t issued, expires;
	uint16_t uses; /* how many keys may use it */
	bool is_first; /* made at the start of an empty relay */
	struct invite_use *used;
	uint16_t used_count;
};

struct book_limits {
	size_t fleets, devices, invites; /* the last two in one fleet */
};

struct book {
	struct book_limits limits;
	char *fleets_path, *devices_path, *invites_path, *barred_path;
	struct list fleets;
	size_t fleet_count;
	struct pinmap devices; /* pin to its first struct device */
	struct pinmap hashes;  /* hash to struct invite */
	struct pinmap ids;     /* id, with zeros behind it, to the same */
	/* What is so here, but not on disk yet: book_write_late(). */
	bool devices_late, barred_late;
};

/*
 * Reads the four files in dir (which exists; missing files are empty ones).
 * Returns 0, or with a sentence in *ret_err, to be freed: RW_ERR_FORMAT,
 * -errno, RW_ERR_NOMEM.
 */
int book_open(const char *dir, const struct book_limits *limits,
	      struct book **ret, char **ret_err);
void book_free(struct book *b);
/* Whether any of the files is there: then a key must be too. */
bool book_exists(const char *dir);

struct fleet *book_find_fleet(const struct book *b, const char *name);
/* A new one, with a name of its own. 0, RW_ERR_LIMIT, or as book_redeem() for
 * disks; with a sentence in text. */
int book_add_fleet(struct book *b, int64_t now, struct fleet **ret,
		   char text[static BOOK_TEXT_CAP]);
size_t book_device_count(const struct book *b);

/* The key's first place, NULL when it has none; others by ->next. */
struct device *book_find_device(const struct book *b, const struct pin *pin);
/* The key's place in that fleet. */
struct device *book_find_in(const struct book *b, const struct pin *pin,
			    const struct fleet *f);
/* A fleet in which both are, and rig is a rig; NULL. */
struct fleet *book_common(const struct book *b, const struct pin *client,
			  const struct pin *rig);
/* Gives the key another label in all its places; it may be written late. */
void book_rename(struct book *b, const struct pin *pin, const char *name);
/* Takes the key out of f (NULL: out of all fleets), bars it there, revokes the
 * invites it used, and voids those it issued. RW_ERR_NOT_FOUND, or of a disk,
 * with nothing changed. */
int book_remove(struct book *b, const struct pin *pin, struct fleet *f);

/* Adds an invite made elsewhere: id and hash of its code. Its id again, by the
 * same issuer, only moves `expires`. */
struct invite_params {
	struct fleet *fleet;
	const uint8_t *id;   /* RELAY_ID_LEN */
	const uint8_t *hash; /* HASH_LEN */
	enum relay_role role;
	struct pin issuer; /* zero: the relay */
	int64_t now;
	uint64_t ttl_s; /* 0: it is withdrawn */
	unsigned uses;
	bool is_first;
};
/* 0, or with a sentence in text: RW_ERR_LIMIT (too many open ones, too long,
 * too many uses), RW_ERR_EXISTS (the id is another's), or of a disk. */
int book_invite(struct book *b, const struct invite_params *p,
		char text[static BOOK_TEXT_CAP]);
/*
 * The key shows a code's secret and wants to be `role`. On success it is in
 * *ret, on disk. A wrong secret changes nothing. Otherwise, with a sentence in
 * text for whoever holds the code:
 *   RW_ERR_NOT_FOUND    no such code (count the guess)
 *   RW_ERR_EXPIRED      also when now is before it was issued
 *   RW_ERR_USED         by whom and when
 *   RW_ERR_NOT_ALLOWED  it makes something else of a key than role
 *   RW_ERR_LIMIT        the fleet is full
 *   RW_ERR_NOMEM, or -errno of the disk: nothing is lost, it may be repeated
 */
struct redeem_try {
	const uint8_t *secret; /* RELAY_SECRET_LEN */
	struct pin pin;
	enum relay_role role;
	const char *name;
	int64_t now;
	struct pin issuer; /* set by book_redeem() from the invite */
};
int book_redeem(struct book *b, const struct redeem_try *t, struct fleet **ret,
		char text[static BOOK_TEXT_CAP]);
/* Rig r removed the key: revokes its uses of r's invites, and takes it out of
 * the fleets where r alone had let it in. 0, also when there is nothing to do;
 * or of a disk. */
int book_drop(struct book *b, const struct pin *r, const struct pin *pin);

/* Rig r leaves by itself: it is in no fleet as a rig any more, and with it go
 * the invites that it issued and the clients that it alone had let in. Nobody
 * is barred: a code, or another rig's word, lets each in again. 0, also when
 * there is nothing to do; or of a disk, with nothing changed but that the
 * invites may be void. */
int book_leave(struct book *b, const struct pin *r);

/* The rig says that this client is one of its own and may ask for it, too. It
 * becomes a client of the rig's fleet, unless it was taken out of that by the
 * relay's owner, or by another rig: then only a code helps. What is known
 * already costs nothing: book_is_vouched(). */
struct voucher {
	struct pin rig, pin;
	const char *name;
	int64_t now;
};
bool book_is_vouched(const struct book *b, const struct voucher *v);
/* 0, or with a sentence in text: RW_ERR_NOT_ALLOWED (also when v->rig is no
 * rig), RW_ERR_LIMIT, RW_ERR_NOMEM, or of a disk. */
int book_vouch(struct book *b, const struct voucher *v,
	       char text[static BOOK_TEXT_CAP]);

/* Little things that may be true before they are on disk, since a restart that
 * forgets them does no harm: a new label, a bar that was lifted. Writes what
 * could not be written then; to be called now and then. */
void book_write_late(struct book *b);
#define BOOK_LATE_MS 60000 /* what the log promises */

/* -- between book.c and invites.c ----------------------------------------- */
int book_save_devices(struct book *b);
int book_save_invites(struct book *b);
int book_save_barred(struct book *b);
/* The same for what may be late: a failure is logged once, and made good for
 * by book_write_late(). */
void book_save_devices_late(struct book *b);
void book_save_barred_late(struct book *b);
int book_load_barred(struct book *b, char **ret_err);
struct barred *book_find_barred(const struct fleet *f, const struct pin *pin);
/* Not on disk yet; NULL: no memory. The oldest goes when there are too many. */
struct barred *book_bar(struct fleet *f, const struct pin *pin,
			const struct pin *by);
void book_unbar(struct fleet *f, struct barred *x);
/* Puts the key into f, or gives the one there its role and name; *ret_new
 * says which. Not on disk yet. */
struct device *book_admit(struct book *b, struct fleet *f,
			  const struct redeem_try *t, bool *ret_new);
void book_unlink_device(struct book *b, struct device *d);
void invite_free(struct book *b, struct invite *i);
int book_load_invites(struct book *b, char **ret_err);
/* Marks pin's uses of the invites in f that issuer made (NULL: of all).
 * Returns whether anything changed. */
bool invites_revoke(struct fleet *f, const struct pin *pin,
		    const struct pin *issuer, bool is_revoked);

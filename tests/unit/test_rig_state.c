/* SPDX-License-Identifier: MIT */
/* Devices and invites: what may come in at a rig, and that it is on disk. */
#include "folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "rig/devices.h"
#include "rig/invites.h"
#include "rig/rate.h"
#include "rig/removal.h"

#define NOW INT64_C(1800000000)

struct place {
	struct folder at;
	char *devices, *invites;
	struct devices d;
	struct invites v;
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	if (folder_init(&p->at) != 0)
		return -1;
	p->devices = xasprintf("%s/devices", p->at.dir);
	p->invites = xasprintf("%s/invites", p->at.dir);
	char *err = NULL;

	if (devices_load(&p->d, p->devices, 4, &err) != 0 ||
	    invites_load(&p->v, p->invites, 4, &err) != 0)
		return -1;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	unlink(p->devices);
	unlink(p->invites);
	rmdir(p->at.dir);
	devices_done(&p->d);
	invites_done(&p->v);
	free(p->devices);
	free(p->invites);
	free(p);
	return 0;
}

static void reload(struct place *p)
{
	char *err = NULL;

	devices_done(&p->d);
	invites_done(&p->v);
	assert_int_equal(devices_load(&p->d, p->devices, 4, &err), 0);
	assert_int_equal(invites_load(&p->v, p->invites, 4, &err), 0);
}

static struct device device(uint8_t n, const char *name)
{
	struct device dev = { .role = DEVICE_OWNER, .admitted = NOW };

	memset(dev.pin.b, n, PIN_LEN);
	strcpy(dev.name, name);
	return dev;
}

/* -- devices */

static void devices_survive_a_restart(void **state)
{
	struct place *p = *state;
	struct device a = device(1, "my \"laptop\"\xc3\xa9"),
		      b = device(2, "guest");

	b.role = DEVICE_GUEST;
	strcpy(b.services, "ssh,/run/x.sock,[::1]:80");
	assert_int_equal(devices_put(&p->d, &a), 0);
	assert_int_equal(devices_put(&p->d, &b), 0);
	reload(p);
	assert_int_equal(devices_admitted(&p->d), 2);
	assert_string_equal(devices_find(&p->d, &a.pin)->name, a.name);
	assert_string_equal(devices_find(&p->d, &b.pin)->services, b.services);
	assert_int_equal(devices_find(&p->d, &b.pin)->role, DEVICE_GUEST);
	assert_int_equal(devices_find(&p->d, &a.pin)->admitted, NOW);
}

static void a_full_disk_admits_nobody(void **state)
{
	struct place *p = *state;
	struct device a = device(1, "a"), b = device(2, "b");

	assert_int_equal(devices_put(&p->d, &a), 0);
	folder_lose(&p->at);
	assert_true(devices_put(&p->d, &b) < 0);
	assert_null(devices_find(&p->d, &b.pin));
	/* Nor does it change the one that is there. */
	a.role = DEVICE_GUEST;
	assert_true(devices_put(&p->d, &a) < 0);
	assert_int_equal(devices_find(&p->d, &a.pin)->role, DEVICE_OWNER);
	folder_find(&p->at);
	assert_int_equal(devices_put(&p->d, &b), 0);
	reload(p);
	assert_int_equal(devices_admitted(&p->d), 2);
}

static void a_removed_device_is_out_even_on_a_full_disk(void **state)
{
	struct place *p = *state;
	struct device a = device(1, "a");

	assert_int_equal(devices_put(&p->d, &a), 0);
	folder_lose(&p->at);
	assert_true(devices_remove(&p->d, &a.pin, NOW) < 0);
	assert_null(devices_find(&p->d, &a.pin));
	folder_find(&p->at);
}

static void a_removal_that_was_not_saved_can_be_made_again(void **state)
{
	struct place *p = *state;
	struct device a = device(1, "a"), *found = NULL;

	assert_int_equal(devices_put(&p->d, &a), 0);
	folder_lose(&p->at);
	assert_true(devices_remove(&p->d, &a.pin, NOW) < 0);
	/* The file still admits it, so it is not forgotten, whatever relays
	 * know. */
	p->d.rows[0].told = 3;
	devices_forget(&p->d, 3);
	assert_int_equal(p->d.count, 1);
	assert_int_equal(devices_resolve(&p->d, "a", &found), 0);
	assert_true(devices_remove(&p->d, &a.pin, NOW) < 0);
	folder_find(&p->at);
	assert_int_equal(devices_remove(&p->d, &a.pin, NOW), 0);
	assert_int_equal(devices_remove(&p->d, &a.pin, NOW), RW_ERR_NOT_FOUND);
	assert_int_equal(devices_resolve(&p->d, "a", &found), RW_ERR_NOT_FOUND);
	reload(p);
	assert_null(devices_find(&p->d, &a.pin));
}

static void removed_devices_are_kept_until_the_relays_know(void **state)
{
	struct place *p = *state;
	struct device a = device(1, "a");

	assert_int_equal(devices_put(&p->d, &a), 0);
	assert_int_equal(devices_remove(&p->d, &a.pin, NOW), 0);
	reload(p);
	assert_int_equal(p->d.count, 1);
	assert_int_equal(devices_admitted(&p->d), 0);
	p->d.rows[0].told = 1;
	devices_forget(&p->d, 3);
	assert_int_equal(p->d.count, 1);
	p->d.rows[0].told = 3;
	devices_forget(&p->d, 3);
	assert_int_equal(p->d.count, 0);
	reload(p);
	assert_int_equal(p->d.count, 0);
}

static unsigned warned;

static void count_warnings(enum log_level level, const char *line, void *user)
{
	(void)line;
	(void)user;
	warned += level == LOG_LEVEL_WARN;
}

static void what_could_not_be_forgotten_is_said_once(void **state)
{
	struct place *p = *state;
	struct device a = device(1, "a"), b = device(2, "b");

	assert_int_equal(devices_put(&p->d, &a), 0);
	assert_int_equal(devices_put(&p->d, &b), 0);
	assert_int_equal(devices_remove(&p->d, &a.pin, NOW), 0);
	assert_int_equal(devices_remove(&p->d, &b.pin, NOW), 0);
	log_set_sink(count_warnings, NULL);
	warned = 0;
	folder_lose(&p->at);
	p->d.rows[0].told = 3;
	devices_forget(&p->d, 3);
	devices_forget(&p->d, 3);
	assert_int_equal(warned, 1);
	folder_find(&p->at);
	devices_forget(&p->d, 3); /* writes it, though nothing is new */
	assert_int_equal(warned, 1);
	log_set_sink(NULL, NULL);
	reload(p);
	assert_int_equal(p->d.count, 1);
}

static void removed_devices_have_a_limit(void **state)
{
	struct place *p = *state;
	struct device dev;

	for (uint8_t i = 1; i <= 50; i++) {
		dev = device(i, "x");
		assert_int_equal(devices_put(&p->d, &dev), 0);
		assert_int_equal(devices_remove(&p->d, &dev.pin, NOW), 0);
		assert_true(p->d.count <= 4);
		assert_null(devices_find(&p->d, &dev.pin));
	}
	/* The newest are remembered. */
	reload(p);
	assert_int_equal(p->d.count, 4);
	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(p->d.rows[i].pin.b[0], 47 + i);
}

static void devices_have_a_limit(void **state)
{
	struct place *p = *state;
	struct device dev;

	for (uint8_t i = 1; i <= 4; i++) {
		dev = device(i, "x");
		assert_int_equal(devices_put(&p->d, &dev), 0);
	}
	dev = device(5, "x");
	assert_int_equal(devices_put(&p->d, &dev), RW_ERR_LIMIT);
	/* A known one may still change, a removed one makes room. */
	dev = device(4, "y");
	assert_int_equal(devices_put(&p->d, &dev), 0);
	assert_int_equal(devices_remove(&p->d, &dev.pin, NOW), 0);
	dev = device(5, "x");
	assert_int_equal(devices_put(&p->d, &dev), 0);
}

static void a_device_is_meant_by_name_or_fingerprint(void **state)
{
	struct place *p = *state;
	struct device a = device(1, "Laptop"), b = device(2, "other"),
		      c = device(3, "other"), *found;
	char text[PIN_SHORT_LEN + 1];

	devices_put(&p->d, &a);
	devices_put(&p->d, &b);
	devices_put(&p->d, &c);
	assert_int_equal(devices_resolve(&p->d, "laptop", &found), 0);
	assert_true(pin_eq(&found->pin, &a.pin));
	assert_int_equal(devices_resolve(&p->d, "other", &found),
			 RW_ERR_EXISTS);
	assert_int_equal(
		devices_resolve(&p->d, pin_short(&c.pin, text), &found), 0);
	assert_true(pin_eq(&found->pin, &c.pin));
	assert_int_equal(devices_resolve(&p->d, "nobody", &found),
			 RW_ERR_NOT_FOUND);
}

static void a_damaged_file_is_an_error(void **state)
{
	static const char *const texts[] = {
		"# rigway devices 1\nkey=zz name=a role=owner admitted=1\n",
		"# rigway devices 1\nname=a role=owner admitted=1\n",
		"# rigway devices 2\n",
		"# rigway devices 1\nkey=aaaa name=a role=king admitted=1\n",
	};
	struct place *p = *state;
	struct devices d;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char *err = NULL;

		assert_int_equal(file_write_atomic(p->devices, texts[i],
						   strlen(texts[i]), 0600),
				 0);
		assert_int_equal(devices_load(&d, p->devices, 4, &err),
				 RW_ERR_FORMAT);
		assert_non_null(strstr(err, "devices:"));
		free(err);
	}
}

/* -- invites */

/* A life, or a week, is added to it. */
static void a_time_that_never_comes_is_an_error(void **state)
{
	static const char *const times[] = { "9223372036854775807",
					     "253402300800", "253402300799" };
	struct place *p = *state;
	struct invites v;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		char *err = NULL,
		     *text = xasprintf(
			     "# rigway invites 1\nid=%032d rig=%064d "
			     "relay=%064d "
			     "role=owner issued=1 expires=%s uses=1\n",
			     1, 2, 3, times[i]);

		assert_int_equal(
			file_write_atomic(p->invites, text, strlen(text), 0600),
			0);
		assert_int_equal(invites_load(&v, p->invites, 4, &err),
				 i == 2 ? 0 : RW_ERR_FORMAT);
		free(text);
		free(err);
	}
	invites_done(&v); /* of the last */
}

struct shown {
	uint8_t id[CODE_ID_LEN];
	struct secret relay, rig;
	struct pin pin;
	struct invite_claim claim;
	char text[INVITE_TEXT_CAP];
};

/* Makes an invite and what its holder shows. */
static int make(struct place *p, const struct invite_params *params,
		struct shown *ret)
{
	uint8_t bits[CODE_BITS_LEN];
	const struct invite *inv;
	int err = invites_make(&p->v, params, bits, &inv);

	if (err != 0)
		return err;
	code_secrets(bits, &ret->relay, &ret->rig, ret->id);
	memset(ret->pin.b, 1, PIN_LEN);
	ret->claim = (struct invite_claim){ .id = ret->id,
					    .secret = ret->rig.b,
					    .pin = &ret->pin,
					    .now = params->now };
	return 0;
}

static int redeem(struct place *p, struct shown *s)
{
	const struct invite *inv;

	s->text[0] = '\0';
	return invites_redeem(&p->v, &s->claim, &inv, s->text);
}

static void an_invite_is_used_by_one_key(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW };
	struct shown s;

	assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(redeem(p, &s), 0);
	memset(s.pin.b, 2, PIN_LEN);
	assert_int_equal(redeem(p, &s), RW_ERR_USED);
	assert_non_null(strstr(s.text, "rigway rig remove"));
	assert_non_null(strstr(s.text, "20")); /* the time */
	reload(p);
	assert_int_equal(redeem(p, &s), RW_ERR_USED);
}

static void the_same_key_may_come_again_until_it_expires(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW, .ttl_s = 60 };
	struct shown s;

	assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(redeem(p, &s), 0);
	reload(p);
	assert_int_equal(redeem(p, &s), 0);
	s.claim.now = NOW + 60;
	assert_int_equal(redeem(p, &s), RW_ERR_EXPIRED);
}

static void a_clock_before_the_issue_time_means_expired(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW };
	struct shown s;

	assert_int_equal(make(p, &params, &s), 0);
	s.claim.now = NOW - 1;
	assert_int_equal(redeem(p, &s), RW_ERR_EXPIRED);
	s.claim.now = NOW + INVITE_TTL_S - 1;
	assert_int_equal(redeem(p, &s), 0);
}

static void a_wrong_guess_burns_nothing(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW };
	struct shown s;

	assert_int_equal(make(p, &params, &s), 0);
	for (int i = 0; i < 100; i++) {
		s.rig.b[i % HASH_LEN] ^= 1;
		assert_int_equal(redeem(p, &s), RW_ERR_NOT_FOUND);
		s.rig.b[i % HASH_LEN] ^= 1;
	}
	/* The relay's half is not the rig's. */
	s.claim.secret = s.relay.b;
	assert_int_equal(redeem(p, &s), RW_ERR_NOT_FOUND);
	s.claim.secret = s.rig.b;
	assert_int_equal(redeem(p, &s), 0);
}

static void uses_serve_several_keys(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW, .uses = 2 };
	struct shown s;

	assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(redeem(p, &s), 0);
	memset(s.pin.b, 2, PIN_LEN);
	assert_int_equal(redeem(p, &s), 0);
	memset(s.pin.b, 3, PIN_LEN);
	assert_int_equal(redeem(p, &s), RW_ERR_USED);
	memset(s.pin.b, 1, PIN_LEN);
	assert_int_equal(redeem(p, &s), 0);
	params.uses = INVITE_USES_MAX + 1;
	assert_int_equal(make(p, &params, &s), RW_ERR_FORMAT);
}

static void a_full_disk_uses_nothing_up(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW };
	struct shown s, none;

	assert_int_equal(make(p, &params, &s), 0);
	folder_lose(&p->at);
	assert_true(redeem(p, &s) < 0);
	assert_non_null(strstr(s.text, "still good"));
	assert_true(make(p, &params, &none) < 0);
	assert_int_equal(p->v.count, 1);
	folder_find(&p->at);
	memset(s.pin.b, 2, PIN_LEN); /* nobody had used it */
	assert_int_equal(redeem(p, &s), 0);
}

static void a_removed_key_does_not_come_back_by_its_code(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW };
	struct shown s;
	struct device a = device(1, "a"), old;
	const struct removal from = { &p->d, &p->v, NOW };
	char text[REMOVAL_TEXT_CAP];

	assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(redeem(p, &s), 0);
	assert_int_equal(devices_put(&p->d, &a), 0);
	assert_int_equal(removal_write(&from, "a", &old, text), 0);
	reload(p);
	assert_null(devices_find(&p->d, &a.pin));
	assert_int_equal(redeem(p, &s), RW_ERR_NOT_ALLOWED);
	assert_int_equal(removal_write(&from, "a", &old, text),
			 RW_ERR_NOT_FOUND);
}

static void a_removed_laptops_codes_die_with_it(void **state)
{
	struct place *p = *state;
	const struct device a = device(1, "a"), b = device(2, "b");
	struct invite_params by_a = { .now = NOW, .by = &a.pin, .uses = 2 };
	struct invite_params by_b = { .now = NOW, .by = &b.pin };
	struct invite_params by_rig = { .now = NOW };
	const struct removal from = { &p->d, &p->v, NOW };
	struct shown from_a, from_b, from_rig;
	struct device old;
	char text[REMOVAL_TEXT_CAP];

	assert_int_equal(devices_put(&p->d, &a), 0);
	assert_int_equal(devices_put(&p->d, &b), 0);
	assert_int_equal(make(p, &by_a, &from_a), 0);
	assert_int_equal(make(p, &by_b, &from_b), 0);
	assert_int_equal(make(p, &by_rig, &from_rig), 0);
	reload(p); /* who made which is on disk */
	assert_int_equal(invites_open(&p->v, NOW), 3);
	assert_int_equal(removal_write(&from, "a", &old, text), 0);
	reload(p);
	assert_int_equal(invites_open(&p->v, NOW), 2);
	assert_int_equal(redeem(p, &from_a), RW_ERR_EXPIRED);
	assert_int_equal(redeem(p, &from_b), 0);
	assert_int_equal(redeem(p, &from_rig), 0);
}

static void open_invites_have_a_limit(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW, .ttl_s = 60 };
	struct shown s;

	for (int i = 0; i < 4; i++)
		assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(make(p, &params, &s), RW_ERR_LIMIT);
	/* A used one makes room, and so do expired ones. */
	assert_int_equal(redeem(p, &s), 0);
	assert_int_equal(make(p, &params, &s), 0);
	params.now = NOW + 61;
	for (int i = 0; i < 4; i++)
		assert_int_equal(make(p, &params, &s), 0);
	/* In the end the old ones are forgotten. */
	params.now = NOW + 200 + INVITE_KEEP_S;
	assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(p->v.count, 1);
}

/* An owner's laptop may ask for codes as often as it likes, with any life. */
static void invites_that_are_over_have_a_limit(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW, .ttl_s = 600 };
	struct shown first, s;

	assert_int_equal(make(p, &params, &first), 0);
	for (int i = 0; i < 100; i++) {
		params.ttl_s = i % 2 == 0 ? 60 : 1;
		params.now = NOW + i;
		assert_int_equal(make(p, &params, &s), 0);
		s.claim.now = NOW + i;
		if (i % 2 == 0)
			assert_int_equal(redeem(p, &s), 0);
		assert_true(p->v.count <= 2 * 4 + 1);
	}
	/* The last ones still say by whom they were used. */
	reload(p);
	s.claim.now = NOW + 200;
	assert_int_equal(redeem(p, &s), RW_ERR_EXPIRED);
	/* What is open is never in the way. */
	first.claim.now = NOW + 599;
	assert_int_equal(redeem(p, &first), 0);
}

static void uses_and_life_of_an_invite_have_a_limit(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW,
					.uses = INVITE_USES_MAX,
					.ttl_s = INVITE_TTL_MAX };
	struct shown s;

	assert_int_equal(make(p, &params, &s), 0);
	params.uses++;
	assert_int_equal(make(p, &params, &s), RW_ERR_FORMAT);
	params.uses = 1;
	params.ttl_s++;
	assert_int_equal(make(p, &params, &s), RW_ERR_FORMAT);
	assert_int_equal(p->v.count, 1);
	p->v.max_ttl_s = 60; /* rig.max_invite_life */
	params.ttl_s = 61;
	assert_int_equal(make(p, &params, &s), RW_ERR_FORMAT);
	params.ttl_s = 0;
	assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(p->v.rows[1].expires, NOW + 60);
}

static void the_file_holds_no_secret(void **state)
{
	struct place *p = *state;
	struct invite_params params = { .now = NOW, .services = "ssh" };
	struct shown s;
	struct buf b = { 0 };
	char hex[STR_HEX_LEN(HASH_LEN) + 1];

	assert_int_equal(make(p, &params, &s), 0);
	assert_int_equal(file_read(p->invites, 65536, &b), 0);
	str_hex_encode(s.rig.b, HASH_LEN, hex);
	assert_null(strstr(buf_text(&b), hex));
	str_hex_encode(s.relay.b, HASH_LEN, hex);
	assert_null(strstr(buf_text(&b), hex));
	assert_non_null(strstr(buf_text(&b), "role=guest"));
	buf_done(&b);
}

/* -- what relays were told, rates */

/* The others move up, and so does what each was told. */
static void a_relay_that_goes_takes_its_bit_along(void **state)
{
	struct device row = { .told = 0x16, .vouched = 0x9 };
	struct devices d = { .rows = &row, .count = 1 };

	(void)state;
	devices_forget_relay(&d, 1);
	assert_int_equal(row.told, 0xa);
	assert_int_equal(row.vouched, 0x5);
	devices_forget_relay(&d, 0);
	assert_int_equal(row.told, 0x5);
	assert_int_equal(row.vouched, 0x2);
}

static void a_rate_gives_a_minutes_worth_and_fills_evenly(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 60, 1000);
	for (int i = 0; i < 60; i++)
		assert_true(rate_take(&r, 1000));
	assert_false(rate_take(&r, 1000));
	assert_false(rate_take(&r, 1000 + 999999));
	assert_true(rate_take(&r, 1000 + 1000000));
	assert_false(rate_has(&r, 1000 + 1000000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(devices_survive_a_restart),
		TEST(a_full_disk_admits_nobody),
		TEST(a_removed_device_is_out_even_on_a_full_disk),
		TEST(a_removal_that_was_not_saved_can_be_made_again),
		TEST(removed_devices_are_kept_until_the_relays_know),
		TEST(what_could_not_be_forgotten_is_said_once),
		TEST(removed_devices_have_a_limit),
		TEST(devices_have_a_limit),
		TEST(a_device_is_meant_by_name_or_fingerprint),
		TEST(a_damaged_file_is_an_error),
		TEST(a_time_that_never_comes_is_an_error),
		TEST(an_invite_is_used_by_one_key),
		TEST(the_same_key_may_come_again_until_it_expires),
		TEST(a_clock_before_the_issue_time_means_expired),
		TEST(a_wrong_guess_burns_nothing),
		TEST(uses_serve_several_keys),
		TEST(a_full_disk_uses_nothing_up),
		TEST(a_removed_key_does_not_come_back_by_its_code),
		TEST(a_removed_laptops_codes_die_with_it),
		TEST(invites_that_are_over_have_a_limit),
		TEST(uses_and_life_of_an_invite_have_a_limit),
		TEST(open_invites_have_a_limit),
		TEST(the_file_holds_no_secret),
		TEST(a_relay_that_goes_takes_its_bit_along),
		cmocka_unit_test(a_rate_gives_a_minutes_worth_and_fills_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

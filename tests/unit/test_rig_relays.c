/* SPDX-License-Identifier: MIT */
/* Where a rig can be reached, on disk: its relays, and its own ports. */
#include "folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/settings.h"
#include "rig/listening.h"
#include "rig/relays.h"

struct place {
	struct folder at;
	char file[80];
};

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));

	if (folder_init(&p->at) != 0)
		return -1;
	snprintf(p->file, sizeof(p->file), "%s/file", p->at.dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	unlink(p->file);
	rmdir(p->at.dir);
	free(p);
	return 0;
}

static void relays_survive_a_restart(void **state)
{
	struct place *p = *state;
	struct rig_relays r;
	struct rig_relay a = { .addr_count = 2 };
	char *err = NULL;

	memset(a.pin.b, 9, PIN_LEN);
	strcpy(a.addr[0], "relay.example.org:443");
	strcpy(a.addr[1], "[2001:db8::1]:7443");
	strcpy(a.fleet, "f-abc");
	assert_int_equal(relays_load(&r, p->file, &err), 0);
	assert_int_equal(relays_put(&r, &a), 0);
	relays_done(&r);
	assert_int_equal(relays_load(&r, p->file, &err), 0);
	assert_int_equal(r.count, 1);
	assert_string_equal(relays_find(&r, &a.pin)->addr[1], a.addr[1]);
	folder_lose(&p->at);
	memset(a.pin.b, 8, PIN_LEN);
	assert_true(relays_put(&r, &a) < 0);
	assert_int_equal(r.count, 1);
	folder_find(&p->at);
	relays_done(&r);
}

static struct rig_relay relay_at(uint8_t n, const char *addr)
{
	struct rig_relay r = { .addr_count = 1 };

	memset(r.pin.b, n, PIN_LEN);
	strcpy(r.addr[0], addr);
	strcpy(r.fleet, "f-abc");
	return r;
}

static void relays_have_a_limit(void **state)
{
	struct place *p = *state;
	struct rig_relay a = relay_at(1, "a:1");
	struct rig_relays r;
	char *err = NULL;

	assert_int_equal(relays_load(&r, p->file, &err), 0);
	for (int i = 0; i < RIG_RELAYS_MAX; i++, a.pin.b[0]++)
		assert_int_equal(relays_put(&r, &a), 0);
	assert_int_equal(relays_put(&r, &a), RW_ERR_LIMIT);
	relays_done(&r);
}

static void a_relay_is_left_by_its_address_or_fingerprint(void **state)
{
	struct place *p = *state;
	const struct rig_relay a = relay_at(1, "a.example.org:443"),
			       b = relay_at(2, "b.example.org:443"),
			       c = relay_at(3, "a.example.org:7443");
	struct rig_relays r;
	char pin[PIN_TEXT_LEN + 1], text[RELAYS_TEXT_CAP];
	char *err = NULL;
	size_t n = 9;

	assert_int_equal(relays_load(&r, p->file, &err), 0);
	assert_int_equal(relays_put(&r, &a), 0);
	assert_int_equal(relays_put(&r, &b), 0);
	assert_int_equal(relays_put(&r, &c), 0);
	assert_int_equal(relays_resolve(&r, "c.example.org", &n),
			 RW_ERR_NOT_FOUND);
	assert_int_equal(relays_resolve(&r, "a.example.org", &n),
			 RW_ERR_EXISTS);
	assert_int_equal(n, 9);
	relays_say_unknown("a.example.org", RW_ERR_EXISTS, text);
	assert_non_null(strstr(text, "more than one"));
	assert_int_equal(relays_resolve(&r, "a.example.org:7443", &n), 0);
	assert_int_equal(n, 2);
	pin_text(&b.pin, pin);
	assert_int_equal(relays_resolve(&r, pin, &n), 0);
	assert_int_equal(n, 1);
	folder_lose(&p->at);
	assert_true(relays_remove(&r, n) < 0);
	assert_int_equal(r.count, 3);
	assert_non_null(relays_find(&r, &b.pin));
	folder_find(&p->at);
	assert_int_equal(relays_remove(&r, n), 0);
	relays_done(&r);
	assert_int_equal(relays_load(&r, p->file, &err), 0);
	assert_int_equal(r.count, 2);
	assert_null(relays_find(&r, &b.pin));
	assert_non_null(relays_find(&r, &c.pin));
	relays_done(&r);
}

static void where_a_rig_listens_is_kept(void **state)
{
	struct place *p = *state;
	struct listening l = { "127.0.0.1:7000,7001", "a.example.org" }, got;
	struct settings s;
	char *err = NULL;

	settings_init(&s);
	assert_int_equal(listening_load(p->file, &got, &err), 0);
	assert_string_equal(got.listen, "");
	assert_int_equal(listening_apply(&got, &s, &err), 0);
	assert_int_equal(s.rig.listen.len, 0);
	listening_done(&got);
	assert_int_equal(listening_save(p->file, &l), 0);
	assert_int_equal(listening_load(p->file, &got, &err), 0);
	assert_int_equal(listening_apply(&got, &s, &err), 0);
	assert_int_equal(s.rig.listen.len, 2);
	assert_int_equal(s.rig.listen.items[1].port, 7001);
	assert_int_equal(s.rig.public.len, 1);
	listening_done(&got);
	/* What the settings say stays. */
	l.listen = "9";
	l.public = "";
	assert_int_equal(listening_apply(&l, &s, &err), 0);
	assert_int_equal(s.rig.listen.items[0].port, 7000);
	/* A disk that fails changes nothing; told to forget, it is forgotten,
	 * and once more is fine. */
	folder_lose(&p->at);
	assert_true(listening_save(p->file, &l) < 0);
	folder_find(&p->at);
	l.listen = "";
	assert_int_equal(listening_save(p->file, &l), 0);
	assert_int_equal(listening_save(p->file, &l), 0);
	assert_int_equal(listening_load(p->file, &got, &err), 0);
	assert_string_equal(got.listen, "");
	listening_done(&got);
	settings_done(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(relays_survive_a_restart),
		TEST(relays_have_a_limit),
		TEST(a_relay_is_left_by_its_address_or_fingerprint),
		TEST(where_a_rig_listens_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

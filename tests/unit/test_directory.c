/* SPDX-License-Identifier: MIT */
/* What a laptop keeps of a relay's list. */
#include "relay_world.h"

#include "client/directory.h"
#include "client/rigs.h"
#include "client/way.h"

static void on_done(void *user)
{
	*(bool *)user = true;
}

static const struct conn *control_of(struct world *w, const struct dev *dev)
{
	return relay_present(w->relay, key_pin(dev->key))->control;
}

/* A relay may list whom it likes: strangers take no room, and nothing away from
 * those who are known here. */
static void rows_of_strangers_are_not_kept(void **state)
{
	struct way_env env = { .incarnation = 1, .device = "laptop" };
	struct redeem_try stranger = { .role = RELAY_RIG, .name = "x" };
	struct rigs rigs = { .max = 4 };
	struct rigs_row row = { .relay_count = 1 };
	struct directory *d;
	struct world w;
	struct dev rig, laptop;
	struct fleet *f;
	const char *why;
	struct budget budget;
	bool is_done = false, is_released = false, is_new;

	(void)state;
	world_open(&w);
	w.settings.relay.max_devices = 65536;
	w.settings.relay.max_queued_bytes = 64 << 20;
	world_start_relay(&w, 0);
	make_two(&w, &rig, &laptop);
	f = book_find_device(w.book, key_pin(rig.key))->fleet;
	/* 5000 before it, so that it comes last. */
	struct list *own = &book_find_in(w.book, key_pin(rig.key), f)->link;

	list_del(own);
	for (uint32_t i = 0; i < 5000; i++) {
		put_be32(stranger.pin.b, i);
		assert_non_null(book_admit(w.book, f, &stranger, &is_new));
	}
	list_push(&f->devices, own);
	env.loop = &w.loop;
	env.key = laptop.key;
	list_init(&rigs.rows);
	list_init(&row.link);
	list_push(&rigs.rows, &row.link);
	row.pin = *key_pin(rig.key);
	row.relay_pin = *key_pin(w.key);
	str_copy(row.relays[0], sizeof(row.relays[0]), w.at);
	env.budget = &budget;
	budget_init(&budget, 1 << 24, 16384, 1 << 20);
	assert_int_equal(driver_new(&w.loop, &env.driver), 0);
	row.way = way_new(&env, &row);
	d = directory_new(&env, &rigs);
	directory_ask(d, on_done, &is_done);
	until(&w, is_done);
	assert_true(directory_knows(d, &row, &why));
	assert_non_null(directory_find(d, &row));
	assert_true(directory_find(d, &row)->online);
	/* Nobody else is there, even if asked for by name. */
	memset(&row.pin, 0, sizeof(row.pin));
	put_be32(row.pin.b, 7);
	assert_null(directory_find(d, &row));
	/* A relay that no rig names any more is left at the next question. */
	assert_non_null(control_of(&w, &laptop));
	row.relay_count = 0;
	directory_ask(d, on_done, &is_done);
	until(&w, control_of(&w, &laptop) == NULL);
	directory_free(d);
	way_release(row.way, on_done, &is_released);
	until(&w, is_released);
	driver_free(env.driver);
	dev_close(&rig);
	dev_close(&laptop);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_strangers_are_not_kept),
	};

	log_set_level(LOG_LEVEL_WARN);
	return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Devices meet through the relay, come back to it, and are removed from it. */
#include "relay_world.h"

#include <errno.h>
#include <netinet/in.h>

/* The rig is called for the laptop and does not answer by itself. Returns the
 * laptop's wish, as the relay has it. */
static struct conn *call_unanswered(struct world *w, struct dev *rig,
				    struct dev *laptop, bool waits)
{
	world_of_two(w, rig, laptop);
	rig->answers = false;
	dev_wish(laptop, rig, waits);
	until(w, rig->calls == 1);
	return map_get(&w->relay->calls, rig->call.rendezvous);
}

/* Somebody who takes his time has the only turn there is, and a newcomer waits
 * in the lobby: returns his socket. */
static int crowd_in(struct world *w)
{
	int fd;

	w->settings.relay.max_handshakes = 1;
	w->relay->newcomer_count++;
	fd = knock(w);
	until(w, w->relay->lobby.count == 1);
	return fd;
}

static void turn_ends(struct world *w)
{
	w->relay->newcomer_count--;
}

/* Connected through a relay that does not wait long for who must go. */
static void connect_in_hurry(struct world *w, struct dev *rig,
			     struct dev *laptop)
{
	world_open(w);
	w->settings.relay.flush_timeout_ms = 100;
	world_start_relay(w, 0);
	make_two(w, rig, laptop);
	connect_two(w, rig, laptop);
}

static void two_devices_meet_and_speak_past_the_relay(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	assert_true(pin_eq(chan_peer_pin(laptop.chan), key_pin(rig.key)));
	assert_true(pin_eq(chan_peer_pin(rig.chan), key_pin(laptop.key)));
	assert_int_equal(chan_write(laptop.chan, "to the rig", 10), 0);
	chan_flush(laptop.chan);
	assert_int_equal(chan_write(rig.chan, "to the laptop", 13), 0);
	chan_flush(rig.chan);
	until(&w, rig.got_len == 10 && laptop.got_len == 13);
	assert_memory_equal(rig.got, "to the rig", 10);
	assert_memory_equal(laptop.got, "to the laptop", 13);
	assert_int_equal(relay_counts(w.relay).pairs, 1);
	/* One end leaves; the other hears it; the pair is gone. */
	chan_finish(laptop.chan, 0);
	until(&w, rig.is_over && laptop.is_over);
	until(&w, relay_counts(w.relay).pairs == 0);
	world_end_two(&w, &rig, &laptop);
}

/* The number goes to the rig only, and only the rig may use it. */
static void a_rendezvous_is_bound_to_both_keys(void **state)
{
	struct world w;
	struct dev rig, laptop, thief;
	struct code code;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	dev_open(&thief, &w);
	rig_invite(&rig, 3600, &code);
	assert_int_equal(dev_redeem(&thief, &code, RELAY_CLIENT), 0);
	rig.answers = false;
	dev_wish(&laptop, &rig, false);
	until(&w, rig.calls == 1);
	assert_true(pin_eq(&rig.call.client, key_pin(laptop.key)));
	dev_answer(&thief, key_pin(laptop.key), rig.call.rendezvous);
	until(&w, thief.wish_err != 0);
	assert_int_equal(thief.wish_err, RW_ERR_GONE);
	/* A wrong number is nobody's. */
	dev_answer(&rig, key_pin(laptop.key), rig.call.rendezvous ^ 1);
	until(&w, rig.wish_err != 0);
	assert_int_equal(rig.wish_err, RW_ERR_GONE);
	rig.wish_err = 0;
	/* The rig itself may, once. */
	dev_answer(&rig, key_pin(laptop.key), rig.call.rendezvous);
	until(&w, laptop.chan != NULL && rig.chan != NULL);
	dev_answer(&thief, key_pin(laptop.key), rig.call.rendezvous);
	thief.wish_err = 0;
	until(&w, thief.wish_err != 0);
	assert_int_equal(thief.wish_err, RW_ERR_GONE);
	dev_close(&thief);
	world_end_two(&w, &rig, &laptop);
}

/* Whatever the relay pairs, the inner handshake judges. */
static void the_wrong_client_is_found_out_inside(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	call_unanswered(&w, &rig, &laptop, false);
	dev_answer(&rig, key_pin(rig.key), rig.call.rendezvous);
	until(&w, rig.wish_err != 0);
	assert_int_equal(rig.wish_err, RW_ERR_PIN);
	until(&w, laptop.wish_err != 0 || laptop.is_over);
	world_end_two(&w, &rig, &laptop);
}

static void a_rig_declines_and_the_client_hears_why(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	call_unanswered(&w, &rig, &laptop, true);
	control_decline(rig.control, rig.call.rendezvous, RW_ERR_NOT_ALLOWED,
			"this rig does not know that laptop");
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_NOT_ALLOWED);
	assert_string_equal(laptop.wish_text,
			    "this rig does not know that laptop");
	world_end_two(&w, &rig, &laptop);
}

static void a_wish_waits_for_an_absent_rig(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	control_stop(rig.control);
	rig.control = NULL;
	until(&w, relay_counts(w.relay).controls == 0);
	dev_wish(&laptop, &rig, false);
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_OFFLINE);
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.waits == 1);
	dev_control(&rig, RELAY_RIG, 2);
	until(&w, laptop.chan != NULL && rig.chan != NULL);
	world_end_two(&w, &rig, &laptop);
}

/* Its end is a reset: else the kernel would say again what did not arrive. */
static void who_is_silent_for_too_long_is_cut_off(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	list_for_each (l, &w.relay->controls)
		container_of(l, struct conn, silent)->heard_us = 0;
	presences_on_silence(w.relay);
	until(&w, rig.downs == 1);
	assert_int_equal(rig.down_err, -ECONNRESET);
	until(&w, rig.ups == 2);
	world_end_two(&w, &rig, &laptop);
}

static void the_newest_control_of_a_key_takes_over(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct control *old;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	old = rig.control;
	dev_control(&rig, RELAY_RIG, 2);
	until(&w, rig.downs == 1);
	assert_int_equal(rig.down_err, RW_ERR_REPLACED);
	assert_true(rig.down_next_ms == CONTROL_NEVER);
	assert_false(control_is_up(old));
	assert_true(control_is_up(rig.control));
	until(&w, relay_counts(w.relay).controls == 1);
	connect_two(&w, &rig, &laptop); /* calls go to the new one */
	control_stop(old);
	world_end_two(&w, &rig, &laptop);
}

static void removal_cuts_at_once(void **state)
{
	struct world w;
	struct dev rig, laptop;
	json_t *q, *reply;
	char *err;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	dev_control(&laptop, RELAY_CLIENT, 7);
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	q = json_pack("{s:s, s:s}", "do", "remove", "who", "laptop");
	assert_int_equal(desk_do(&w.desk, q, &reply, &err), 0);
	json_decref(q);
	json_decref(reply);
	until(&w, laptop.is_over && rig.is_over && laptop.downs > 0);
	assert_int_equal(laptop.down_err, RW_ERR_NOT_ALLOWED);
	assert_true(control_is_up(rig.control));
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_NOT_ALLOWED);
	world_end_two(&w, &rig, &laptop);
}

static void a_rig_that_drops_a_device_cuts_it(void **state)
{
	struct world w;
	struct dev rig, laptop;

	(void)state;
	connect_in_hurry(&w, &rig, &laptop);
	rig.dones = 0;
	assert_int_equal(control_drop_device(rig.control, key_pin(laptop.key),
					     dev_on_done, &rig),
			 0);
	until(&w, rig.dones == 1 && laptop.is_over);
	assert_int_equal(rig.done_err, 0);
	assert_null(book_find_device(w.book, key_pin(laptop.key)));
	world_end_two(&w, &rig, &laptop);
}

static void a_rig_that_leaves_is_forgotten_and_told_first(void **state)
{
	struct world w;
	struct dev rig, laptop;
	unsigned dones;

	(void)state;
	connect_in_hurry(&w, &rig, &laptop);
	dones = rig.dones;
	assert_int_equal(control_drop_device(rig.control, key_pin(rig.key),
					     dev_on_done, &rig),
			 0);
	until(&w, rig.dones > dones);
	assert_int_equal(rig.done_err, 0);
	assert_int_equal(book_device_count(w.book), 0);
	until(&w, rig.downs > 0);
	assert_int_equal(rig.first_down_err, RW_ERR_NOT_ALLOWED);
	until(&w, laptop.is_over && rig.is_over);
	dev_wish(&laptop, &rig, true);
	until(&w, laptop.wish_err != 0);
	assert_int_equal(laptop.wish_err, RW_ERR_NOT_ALLOWED);
	world_end_two(&w, &rig, &laptop);
}

static void on_list_row(void *user, const struct relay_row *row)
{
	struct dev *d = user;

	d->rows++;
	assert_int_equal(row->online, row->role == RELAY_RIG);
}

static void lost_rendezvous_are_closed_at_both_ends(void **state)
{
	struct world w;
	struct dev rig, laptop, other;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	control_lost(rig.control, rig.call.rendezvous);
	until(&w, laptop.is_over && rig.is_over);
	/* Not those of others, whoever guesses the number. */
	laptop.is_over = rig.is_over = false;
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	join_other(&w, &other);
	dev_control(&other, RELAY_RIG, 9);
	control_lost(other.control, rig.call.rendezvous);
	control_list(other.control, on_list_row, dev_on_done, &other);
	until(&w, other.dones == 2); /* it was read before that */
	assert_int_equal(relay_counts(w.relay).pairs, 1);
	dev_close(&other);
	world_end_two(&w, &rig, &laptop);
}

/* Nobody says that the old process is gone; the same one again loses nothing.
 */
static void a_new_process_of_a_rig_ends_what_the_old_one_had(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct control *old;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	until(&w, relay_counts(w.relay).pairs == 1);
	old = rig.control;
	dev_control(&rig, RELAY_RIG, 1);
	assert_int_equal(relay_counts(w.relay).pairs, 1);
	assert_false(laptop.is_over);
	control_stop(old);
	old = rig.control;
	dev_control(&rig, RELAY_RIG, 2);
	until(&w, laptop.is_over && rig.is_over);
	until(&w, relay_counts(w.relay).pairs == 0);
	control_stop(old);
	world_end_two(&w, &rig, &laptop);
}

static void devices_see_their_fleet(void **state)
{
	struct world w;
	struct dev rig, laptop, other;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	join_other(&w, &other);
	rig.dones = 0;
	assert_int_equal(
		control_list(rig.control, on_list_row, dev_on_done, &rig), 0);
	until(&w, rig.dones == 1);
	assert_int_equal(rig.done_err, 0);
	assert_int_equal(rig.rows, 2);
	dev_close(&other);
	world_end_two(&w, &rig, &laptop);
}

static void on_proven(void *user)
{
	++*(unsigned *)user;
}

static struct relay_presence presence_of(const struct dev *d)
{
	struct relay_presence p;

	relay_presence(d->w->relay,
		       book_find_device(d->w->book, key_pin(d->key)), &p);
	return p;
}

static void devices_are_asked_before_they_are_shown(void **state)
{
	struct world w;
	struct dev rig, laptop;
	unsigned proven = 0;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	assert_non_null(relay_prove(w.relay, on_proven, &proven));
	assert_int_equal(proven, 0);
	until(&w, proven == 1);
	assert_int_equal(presence_of(&rig).state, RELAY_ONLINE);
	assert_in_range(presence_of(&rig).heard_ms, 0, RELAY_PROVE_MS);
	assert_int_not_equal(presence_of(&rig).proven, 0);
	/* Who asks for nothing here, and who waits no more. */
	assert_int_equal(presence_of(&laptop).state, RELAY_AWAY);
	assert_true(presence_of(&laptop).heard_ms == UINT64_MAX);
	relay_prove_cancel(relay_prove(w.relay, on_proven, &proven));
	/* One that leaves owes nothing more. */
	assert_non_null(relay_prove(w.relay, on_proven, &proven));
	control_stop(rig.control);
	rig.control = NULL;
	until(&w, proven == 2);
	until(&w, presence_of(&rig).state == RELAY_AWAY);
	assert_int_not_equal(presence_of(&rig).proven, 0);
	/* Nobody is there to be asked; and the relay ends while one waits. */
	assert_null(relay_prove(w.relay, on_proven, &proven));
	assert_int_equal(proven, 3);
	dev_control(&rig, RELAY_RIG, 1);
	assert_non_null(relay_prove(w.relay, on_proven, &proven));
	control_stop(rig.control);
	rig.control = NULL;
	world_end_two(&w, &rig, &laptop);
	assert_int_equal(proven, 4);
}

static void passed_bytes_are_counted_for_both_devices(void **state)
{
	struct world w;
	struct dev rig, laptop;
	uint64_t up, down;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	assert_int_equal(chan_write(laptop.chan, "to the rig", 10), 0);
	chan_flush(laptop.chan);
	until(&w, rig.got_len == 10);
	relay_tally(w.relay);
	up = presence_of(&laptop).bytes[0];
	down = presence_of(&laptop).bytes[1];
	assert_true(up >= 10 && down > 0);
	assert_int_equal(presence_of(&rig).bytes[0], down);
	assert_int_equal(presence_of(&rig).bytes[1], up);
	assert_int_equal(presence_of(&rig).pairs, 1);
	/* A laptop is here while it has a connection. */
	assert_int_equal(presence_of(&laptop).state, RELAY_ONLINE);
	assert_int_equal(relay_online(w.relay), 2);
	assert_int_equal(relay_counts(w.relay).controls, 1);
	assert_int_not_equal(presence_of(&laptop).since, 0);
	assert_true(strncmp(presence_of(&laptop).addr, "127.0.0.1:", 10) == 0);
	/* Asked twice, or over, nothing counts twice. */
	relay_tally(w.relay);
	assert_int_equal(presence_of(&laptop).bytes[0], up);
	chan_finish(laptop.chan, 0);
	until(&w, relay_counts(w.relay).pairs == 0);
	assert_int_equal(relay_online(w.relay), 1);
	assert_true(presence_of(&laptop).bytes[0] >= up);
	assert_in_range(presence_of(&laptop).bytes[0], up, 2 * up);
	assert_int_equal(presence_of(&rig).bytes[1],
			 presence_of(&laptop).bytes[0]);
	assert_int_equal(presence_of(&rig).pairs, 0);
	assert_int_equal(presence_of(&laptop).state, RELAY_AWAY);
	assert_int_not_equal(presence_of(&laptop).proven, 0);
	world_end_two(&w, &rig, &laptop);
}

/* Keeps a port that nobody listens on from being taken by a connection of
 * another process; a listener may have it. Returns the socket. */
static int hold_port(uint16_t port)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void the_relay_comes_back_and_so_do_they(void **state)
{
	struct world w;
	struct dev rig, laptop;
	unsigned ups;
	uint16_t port;
	int held;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	connect_two(&w, &rig, &laptop);
	port = relay_port(w.relay);
	ups = rig.ups;
	world_stop_relay(&w);
	held = hold_port(port);
	/* Down, and its first dial refused. */
	until(&w, laptop.is_over && rig.is_over && rig.downs > 1);
	world_start_relay(&w, port);
	/* A wish that does not wait would come too early. */
	until(&w, rig.ups > ups);
	connect_two(&w, &rig, &laptop); /* the book is on disk */
	close(held);
	world_end_two(&w, &rig, &laptop);
}

static void on_stopped(void *user)
{
	*(bool *)user = true;
}

static void stopping_tells_everybody(void **state)
{
	struct world w;
	struct dev rig, laptop;
	bool stopped = false;

	(void)state;
	world_of_two(&w, &rig, &laptop);
	relay_stop(w.relay, on_stopped, &stopped);
	until(&w, stopped && rig.downs > 0);
	assert_int_equal(rig.first_down_err, RW_ERR_CLOSING);
	world_end_two(&w, &rig, &laptop);
}

/* The rig's answer may stand behind a thousand newcomers: the laptop hears that
 * it waits, and need not wish again. */
static void a_wish_waits_while_newcomers_do(void **state)
{
	struct world w;
	struct dev rig, laptop;
	int fd;

	(void)state;
	call_unanswered(&w, &rig, &laptop, true);
	assert_int_equal(laptop.waits, 0);
	rig.answers = true;
	fd = crowd_in(&w);
	wishes_rig_came(relay_present(w.relay, key_pin(rig.key)));
	until(&w, rig.calls == 2 && laptop.waits == 1);
	until(&w, w.relay->lobby.count == 2); /* the answer */
	turn_ends(&w);
	until(&w, laptop.chan != NULL);
	assert_int_equal(rig.calls, 2);
	close(fd);
	world_end_two(&w, &rig, &laptop);
}

/* Whoever left the lobby last may be the answer: its handshake has the time
 * that it has in a quiet relay. */
static void an_answer_that_left_the_lobby_is_in_time(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct conn *wish;
	uint64_t number;
	int fd;

	(void)state;
	wish = call_unanswered(&w, &rig, &laptop, true);
	fd = crowd_in(&w);
	wishes_rig_came(wish->rig);
	until(&w, rig.calls == 2 && laptop.waits == 1);
	turn_ends(&w);
	until(&w, w.relay->lobby.count == 0);
	number = wish->rendezvous;
	meet_on_timer(wish); /* RELAY_WAITING_MS after the call */
	assert_int_equal(wish->rendezvous, number);
	dev_answer(&rig, &rig.call.client, number);
	until(&w, laptop.chan != NULL);
	close(fd);
	world_end_two(&w, &rig, &laptop);
}

/* Its answer failed, and the lobby is never empty. */
static void a_call_that_is_lost_among_newcomers_is_made_anew(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct conn *wish;
	uint64_t number;
	int fd;

	(void)state;
	wish = call_unanswered(&w, &rig, &laptop, true);
	number = rig.call.rendezvous;
	fd = crowd_in(&w);
	meet_on_timer(wish);
	assert_int_equal(wish->rendezvous, number);
	wish->called_us -= 20000000;
	meet_on_timer(wish);
	until(&w, rig.calls == 2);
	assert_true(rig.call.rendezvous != number);
	assert_int_equal(wish->rendezvous, rig.call.rendezvous);
	assert_int_equal(w.relay->lobby.count, 1);
	turn_ends(&w);
	close(fd);
	world_end_two(&w, &rig, &laptop);
}

/* And each call anew: else silence means a dead relay to the laptop. */
static void who_waits_hears_it_while_the_rig_does_not_answer(void **state)
{
	struct world w;
	struct dev rig, laptop;
	struct conn *wish;

	(void)state;
	wish = call_unanswered(&w, &rig, &laptop, true);
	assert_false(wish->is_told);
	wish->good_us = 0; /* RELAY_CALL_MS later */
	timer_stop(wish->timer);
	meet_on_timer(wish);
	assert_int_equal(wish->rendezvous, 0);
	assert_true(wish->is_told);
	timer_stop(wish->timer); /* as when it fires */
	meet_on_timer(wish);
	until(&w, rig.calls == 2);
	assert_true(timer_is_running(wish->timer));
	assert_int_equal(wish->rendezvous, rig.call.rendezvous);
	meet_on_timer(wish);
	assert_int_equal(wish->rendezvous, rig.call.rendezvous);
	world_end_two(&w, &rig, &laptop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_devices_meet_and_speak_past_the_relay),
		cmocka_unit_test(a_rendezvous_is_bound_to_both_keys),
		cmocka_unit_test(the_wrong_client_is_found_out_inside),
		cmocka_unit_test(a_rig_declines_and_the_client_hears_why),
		cmocka_unit_test(a_wish_waits_for_an_absent_rig),
		cmocka_unit_test(a_wish_waits_while_newcomers_do),
		cmocka_unit_test(an_answer_that_left_the_lobby_is_in_time),
		cmocka_unit_test(
			a_call_that_is_lost_among_newcomers_is_made_anew),
		cmocka_unit_test(
			who_waits_hears_it_while_the_rig_does_not_answer),
		cmocka_unit_test(who_is_silent_for_too_long_is_cut_off),
		cmocka_unit_test(the_newest_control_of_a_key_takes_over),
		cmocka_unit_test(removal_cuts_at_once),
		cmocka_unit_test(a_rig_that_drops_a_device_cuts_it),
		cmocka_unit_test(a_rig_that_leaves_is_forgotten_and_told_first),
		cmocka_unit_test(lost_rendezvous_are_closed_at_both_ends),
		cmocka_unit_test(
			a_new_process_of_a_rig_ends_what_the_old_one_had),
		cmocka_unit_test(devices_see_their_fleet),
		cmocka_unit_test(devices_are_asked_before_they_are_shown),
		cmocka_unit_test(passed_bytes_are_counted_for_both_devices),
		cmocka_unit_test(the_relay_comes_back_and_so_do_they),
		cmocka_unit_test(stopping_tells_everybody),
	};

	log_set_level(LOG_LEVEL_WARN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

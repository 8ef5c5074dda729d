/* SPDX-License-Identifier: MIT */
/*
 * Stands up a relay, a rig and a laptop on this machine with throw-away keys,
 * starts Jupyter on the rig's side, and shows that what is open stays open
 * while the network is treated badly; --check proves it and ends.
 */
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/demo.h"
#include "cmd/show.h"

/* -- the terminal */

static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
	interrupted = signum;
}

static void catch_signals(void)
{
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
}

bool demo_is_interrupted(void)
{
	return interrupted != 0;
}

void demo_say(const char *text)
{
	fprintf(stderr, "  %s\n", text);
}

/* -- what the keys do */

static bool kill_relay(struct demo *d)
{
	kill(d->relay, SIGKILL);
	waitpid(d->relay, NULL, 0);
	d->relay = 0;
	if (d->wire.pid > 0) { /* for ssh: the machine between is gone */
		kill(-d->wire.pid, SIGKILL);
		waitpid(d->wire.pid, NULL, 0);
		d->wire.pid = 0;
	}
	return demo_start_relay(d, NULL, 0);
}

static void change_address(struct demo *d)
{
	demo_net_roam(&d->net);
	if (d->wire.pid > 0)
		demo_net_roam(&d->wire);
}

/* The laptop sleeps for some seconds while the figures go on. */
static void sleep_laptop(struct demo *d)
{
	kill(d->laptop, SIGSTOP);
	for (int i = 5; i > 0 && !demo_is_interrupted(); i--) {
		fprintf(stderr, "\r\033[K  the laptop sleeps, %d s more", i);
		poll(NULL, 0, 1000);
	}
	kill(d->laptop, SIGCONT);
}

/* Does what the key is for and returns a note of it; NULL for any other. */
static const char *press(struct demo *d, char key)
{
	switch (key) {
	case 'k': kill_relay(d); return "; the relay was killed";
	case 'n': change_address(d); return "; the address has changed";
	case 's': sleep_laptop(d); return "; the laptop slept";
	default: return NULL;
	}
}

/* -- looking at it */

/* The round trip to the rig, as `status --json` has it; negative: none. */
static double round_trip(struct demo *d)
{
	const char *argv[] = { NULL, "status", "--json", NULL };
	char text[16384];
	double rtt = -1;

	if (!demo_run(d->home[LAPTOP], d->log, argv, text, sizeof(text)))
		return -1;
	json_t *root = json_loads(text, 0, NULL);
	json_t *rig = json_array_get(json_object_get(root, "rigs"), 0);
	json_t *value = json_object_get(rig, "rtt_ms");

	if (json_is_number(value))
		rtt = json_number_value(value);
	json_decref(root);
	return rtt;
}

static void show(struct demo *d, const char *note)
{
	double rtt = round_trip(d);
	char line[160], ssh[64] = "", way[40] = "round trip not known yet";

	if (rtt >= 0)
		snprintf(way, sizeof(way), "round trip %.2f ms", rtt);
	if (d->ssh_port > 0)
		snprintf(ssh, sizeof(ssh), "; plain ssh -L: %u%s",
			 d->theirs.count, d->theirs.fd < 0 ? ", dead" : "");
	snprintf(line, sizeof(line), "open stream: %u lines%s; %s%s%s",
		 d->ours.count,
		 d->ours.fd < 0	  ? ", dead"
		 : d->ours.broken ? ", broken"
				  : "",
		 way, ssh, note);
	if (isatty(2))
		fprintf(stderr, "\r\033[K  %s", line);
	else
		fprintf(stderr, "  %s\n", line);
}

static void watch(struct demo *d)
{
	struct termios old, raw;
	bool tty = isatty(0) && tcgetattr(0, &old) == 0;
	const char *note = "", *news;

	if (tty) {
		raw = old;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(0, TCSANOW, &raw);
		demo_say("keys: k kills the relay (and starts it again), n "
			 "changes the address,\n        s puts the laptop to "
			 "sleep for 5 s; Ctrl-C ends it");
	}
	while (!demo_is_interrupted()) {
		struct pollfd pfd = { .fd = tty ? 0 : -1, .events = POLLIN };
		char key = 0;

		if (poll(&pfd, 1, tty ? 500 : 5000) > 0 &&
		    read(0, &key, 1) != 1)
			key = 0;
		news = press(d, key);
		if (news != NULL)
			note = news;
		ticker_read(&d->ours);
		ticker_read(&d->theirs);
		show(d, note);
	}
	if (tty)
		tcsetattr(0, TCSANOW, &old);
	fputc('\n', stderr);
}

/* -- the two forms */

/* Fetches the page through the tunnel, with its token. */
static bool fetch(struct demo *d)
{
	char path[96], body[512];
	int status;

	snprintf(path, sizeof(path), "%s%s",
		 d->has_jupyter ? "/api/contents?token=" : "/",
		 d->has_jupyter ? d->token : "");
	status = demo_get(d->local_page, path, body, sizeof(body));
	if (status != 200)
		return demo_failed(d, "the page through the tunnel answered %d",
				   status);
	if (strstr(body, d->has_jupyter ? "\"content\"" : "It works") == NULL)
		return demo_failed(
			d, "the page through the tunnel is not the page");
	return true;
}

static bool check(struct demo *d)
{
	if (!fetch(d))
		return false;
	demo_say(d->has_jupyter ? "Jupyter answers through the relay: good"
				: "the page came through the relay: good");
	if (!ticker_wait(&d->ours, 5, 20000))
		return demo_failed(d, "the open stream does not count");
	ticker_read(&d->theirs);
	d->cut_at = d->ours.count;
	if (!kill_relay(d))
		return false;
	if (!ticker_wait(&d->ours, d->cut_at + 20, 30000))
		return demo_failed(d,
				   "the open stream %s after the relay was "
				   "killed, at line %u",
				   d->ours.broken ? "broke" : "stopped",
				   d->ours.count);
	ticker_read(&d->theirs);
	fprintf(stderr,
		"  the relay was killed and started again; the open "
		"stream went on,\n  line %u to %u, none lost, none doubled: "
		"good\n",
		d->cut_at, d->ours.count);
	if (d->ssh_port > 0)
		fprintf(stderr, "  (a plain ssh -L over the same cut: %s)\n",
			d->theirs.fd < 0 ? "dead" : "alive");
	if (!fetch(d))
		return false;
	demo_say("and the page still answers: good");
	return true;
}

static void show_link(const struct demo *d)
{
	char link[160];

	snprintf(link, sizeof(link), "http://127.0.0.1:%d/%s%s", d->local_page,
		 d->has_jupyter ? "?token=" : "",
		 d->has_jupyter ? d->token : "");
	if (d->as_json)
		show_json_free(json_pack("{s:s}", "link", link));
	else
		printf("%s\n", link);
	fflush(stdout);
	if ((getenv("DISPLAY") == NULL && getenv("WAYLAND_DISPLAY") == NULL) ||
	    access("/usr/bin/xdg-open", X_OK) != 0)
		return;
	if (fork() == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execl("/usr/bin/xdg-open", "xdg-open", link, (char *)NULL);
		_exit(127);
	}
}

static void say_verdict(const struct demo *d, bool ok)
{
	fputs(ok ? "rigway demo: it works\n"
		 : "rigway demo: it does not work\n",
	      stderr);
	if (!d->as_json)
		return;
	show_json_free(
		json_pack("{s:b, s:s, s:I, s:I, s:o}", "works", (int)ok, "page",
			  d->has_jupyter ? "jupyter" : "own", "cut_at_line",
			  (json_int_t)d->cut_at, "went_on_to_line",
			  (json_int_t)d->ours.count, "ssh_survived",
			  d->ssh_port > 0 ? json_boolean(d->theirs.fd >= 0)
					  : json_null()));
}

static bool run(struct demo *d, bool checks)
{
	if (!demo_stand_up(d))
		return false;
	if (checks)
		return check(d);
	show_link(d);
	watch(d);
	return true;
}

int cmd_demo(int argc, char **argv)
{
	static const struct option options[] = {
		{ "check", no_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct demo d = { .ours.fd = -1, .theirs.fd = -1 };
	bool checks = false, ok;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == '?')
			return command_misuse(argv[0]);
		checks |= c == 'c';
		d.as_json |= c == 'j';
	}
	if (optind < argc)
		return command_misuse(argv[0]);
	catch_signals();
	fputs("rigway demo: all of it on this machine, with keys that are "
	      "thrown away\n",
	      stderr);
	ok = run(&d, checks);
	demo_clear(&d);
	if (checks)
		say_verdict(&d, ok);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

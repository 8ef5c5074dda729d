/* SPDX-License-Identifier: MIT */
/*
 * Stands up a relay, a rig and a laptop on this machine with throw-away keys,
 * starts Jupyter on the rig's side, and shows that what is open stays open
 * while the network is treated badly; --check proves it and ends. Over 500
 * lines because it is read from top to bottom, as it runs; what it is built
 * from is in demo_parts.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/demo_parts.h"
#include "cmd/show.h"
#include "crypto/hash.h"

#define JUPYTER "/usr/bin/jupyter-notebook"
#define SSHD	"/usr/sbin/sshd"

/* One line that counts: the stream under test, and ssh's beside it. */
struct ticker {
	int fd; /* -1: not there, or dead */
	unsigned count;
	bool broken; /* a number was missing or doubled */
	char part[16];
	size_t part_len;
};

struct demo {
	char dir[64]; /* everything lies here, and goes with it */
	char home[3][96];
	char log[96];
	pid_t relay, rig, laptop, jupyter, service, sshd, ssh;
	struct demo_net net;  /* all three reach the relay through it */
	struct demo_net wire; /* ssh reaches its sshd through it */
	int relay_port, service_port, page_port;
	int local_page, local_ticker, ssh_port;
	char token[33];
	struct ticker ours, theirs;
	bool has_jupyter, as_json;
	unsigned cut_at; /* the line at which --check killed the relay */
};

enum { RELAY, RIG, LAPTOP };

static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
	interrupted = signum;
}

/* -- clearing up */

static int remove_one(const char *path, const struct stat *st, int kind,
		      struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	remove(path);
	return 0;
}

static void demo_clear(struct demo *d)
{
	pid_t *all[] = { &d->ssh,     &d->sshd,	   &d->laptop,
			 &d->rig,     &d->relay,   &d->jupyter,
			 &d->service, &d->net.pid, &d->wire.pid };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		demo_end(all[i]);
	if (d->dir[0] != '\0')
		nftw(d->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Says what went wrong and shows the end of the log. */
__attribute__((format(printf, 2, 3))) static bool failed(struct demo *d,
							 const char *fmt, ...)
{
	char tail[2048];
	va_list ap;
	int fd = open(d->log, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	fputs("rigway demo: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (fd >= 0) {
		off_t size = lseek(fd, 0, SEEK_END);

		lseek(fd, size > 1500 ? size - 1500 : 0, SEEK_SET);
		n = read(fd, tail, sizeof(tail));
		close(fd);
	}
	if (n > 0)
		fprintf(stderr, "the end of its log:\n%.*s", (int)n, tail);
	return false;
}

static void say(const char *text)
{
	fprintf(stderr, "  %s\n", text);
}

/* -- standing up */

/* All three are on one machine, where rig and laptop find each other without
 * the relay, which is what the demo is about. */
static bool write_settings(struct demo *d, int who)
{
	static const char text[] = "rig:\n  probe_port: 0\n"
				   "client:\n  paths: relay\n";
	char path[sizeof(d->home[0]) + 16];
	int err = mkdir(d->home[who], 0700) < 0 ? -errno : 0;

	snprintf(path, sizeof(path), "%s/rigway.yml", d->home[who]);
	if (err == 0)
		err = file_write_atomic(path, text, sizeof(text) - 1, 0600);
	return err == 0 ||
	       failed(d, "cannot write %s: %s", path, err_text(err));
}

static bool make_places(struct demo *d)
{
	static const char *const names[] = { "relay", "rig", "laptop" };
	const char *tmp = getenv("TMPDIR");
	uint8_t token[16];

	snprintf(d->dir, sizeof(d->dir), "%.40s/rigway-demo-XXXXXX",
		 tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
	if (mkdtemp(d->dir) == NULL) {
		d->dir[0] = '\0';
		return failed(d, "cannot make a folder in /tmp: %s",
			      strerror(errno));
	}
	for (int i = 0; i < 3; i++)
		snprintf(d->home[i], sizeof(d->home[i]), "%s/%s", d->dir,
			 names[i]);
	snprintf(d->log, sizeof(d->log), "%s/log", d->dir);
	random_bytes(token, sizeof(token));
	str_hex_encode(token, sizeof(token), d->token);
	d->relay_port = demo_port();
	d->service_port = demo_port();
	d->page_port = demo_port();
	d->local_page = demo_port();
	d->local_ticker = demo_port();
	return write_settings(d, RIG) && write_settings(d, LAPTOP);
}

/* The relay; ret_code gets the first rig's code at its very first start. */
static bool start_relay(struct demo *d, char *ret_code, size_t cap)
{
	char listen[32], name[32];
	const char *argv[] = { NULL,	 "relay", "--listen", listen,
			       "--name", name,	  NULL };
	int out;

	snprintf(listen, sizeof(listen), "127.0.0.1:%d", d->relay_port);
	snprintf(name, sizeof(name), "127.0.0.1:%d", d->net.port);
	d->relay = demo_spawn(
		&(struct demo_spawn){ .home = d->home[RELAY],
				      .log = d->log,
				      .argv = argv,
				      .out = ret_code != NULL ? &out : NULL });
	if (ret_code != NULL) {
		bool ok = demo_line(out, ret_code, cap, 15000);

		close(out);
		if (!ok)
			return failed(d, "the relay did not start");
	}
	return demo_wait_port(d->relay_port, 15000) ||
	       failed(d, "the relay does not listen");
}

static bool start_rig(struct demo *d, const char *code, char *ret_code,
		      size_t cap)
{
	const char *join[] = { NULL,	 "join", code, "--no-start",
			       "--name", "desk", NULL };
	const char *rig[] = { NULL, "rig", NULL };

	if (!demo_run(d->home[RIG], d->log, join, ret_code, cap))
		return failed(d, "the rig could not join");
	demo_last_line(ret_code);
	d->rig = demo_spawn(&(struct demo_spawn){
		.home = d->home[RIG], .log = d->log, .argv = rig });
	return true;
}

static bool start_laptop(struct demo *d, const char *code)
{
	const char *daemon[] = { NULL, "daemon", "--ready-fd", "1", NULL };
	const char *join[] = { NULL, "join", code, "--no-authorize-key", NULL };
	char page[64], ticker[64];
	const char *forward[] = { NULL, "forward", "desk", page, ticker, NULL };
	bool is_ready;
	int ready;

	/* It must serve before a command asks, which would start one of its
	 * own otherwise. */
	d->laptop = demo_spawn(&(struct demo_spawn){ .home = d->home[LAPTOP],
						     .log = d->log,
						     .argv = daemon,
						     .out = &ready });
	is_ready = d->laptop > 0 && demo_byte(ready, 15000);
	if (d->laptop > 0)
		close(ready);
	if (!is_ready)
		return failed(d, "the laptop's process does not start");
	if (!demo_run(d->home[LAPTOP], d->log, join, NULL, 0))
		return failed(d, "the laptop could not join");
	snprintf(page, sizeof(page), "%d:127.0.0.1:%d", d->local_page,
		 d->page_port);
	snprintf(ticker, sizeof(ticker), "%d:127.0.0.1:%d", d->local_ticker,
		 d->service_port);
	if (!demo_run(d->home[LAPTOP], d->log, forward, NULL, 0))
		return failed(d, "the laptop could not forward the ports");
	return true;
}

static bool start_page(struct demo *d)
{
	char port[32], token[80], dir[128];
	const char *argv[] = {
		JUPYTER, "--allow-root",     "--no-browser", "--ip=127.0.0.1",
		port,	 "--port-retries=0", token,	     dir,
		NULL
	};

	d->has_jupyter = access(JUPYTER, X_OK) == 0;
	if (!d->has_jupyter) {
		d->jupyter = demo_serve(d->page_port);
		return demo_wait_port(d->page_port, 5000) ||
		       failed(d, "the page's server did not start");
	}
	snprintf(port, sizeof(port), "--port=%d", d->page_port);
	snprintf(token, sizeof(token), "--NotebookApp.token=%s", d->token);
	snprintf(dir, sizeof(dir), "--notebook-dir=%s", d->dir);
	setenv("JUPYTER_CONFIG_DIR", d->dir, 1);
	setenv("JUPYTER_DATA_DIR", d->dir, 1);
	setenv("JUPYTER_RUNTIME_DIR", d->dir, 1);
	d->jupyter = demo_spawn(&(struct demo_spawn){
		.home = d->home[RIG], .log = d->log, .argv = argv });
	return demo_wait_port(d->page_port, 60000) ||
	       failed(d, "Jupyter did not start");
}

/* sshd's key, which is the user's too, and its configuration. */
static bool make_sshd_files(struct demo *d, const char *key, const char *conf,
			    int port)
{
	const char *gen[] = { "/usr/bin/ssh-keygen",
			      "-q",
			      "-t",
			      "ed25519",
			      "-N",
			      "",
			      "-f",
			      key,
			      NULL };
	int status = -1;
	pid_t pid = demo_spawn(&(struct demo_spawn){
		.home = d->dir, .log = d->log, .argv = gen });
	FILE *f;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return false;
	f = fopen(conf, "we");
	if (f == NULL)
		return false;
	fprintf(f,
		"ListenAddress 127.0.0.1\nPort %d\nHostKey %s\n"
		"AuthorizedKeysFile %s.pub\nPidFile none\nStrictModes no\n"
		"UsePAM no\nPermitRootLogin prohibit-password\n",
		port, key, key);
	return fclose(f) == 0;
}

/* ssh -L to it, over the wire that the keys treat badly. */
static void start_ssh_tunnel(struct demo *d, const char *key)
{
	char port[16], tunnel[64];
	const char *argv[] = { "/usr/bin/ssh", "-F",
			       "/dev/null",    "-N",
			       "-i",	       key,
			       "-p",	       port,
			       "-o",	       "StrictHostKeyChecking=no",
			       "-L",	       tunnel,
			       "127.0.0.1",    NULL };

	d->ssh_port = demo_port();
	snprintf(port, sizeof(port), "%d", d->wire.port);
	snprintf(tunnel, sizeof(tunnel), "127.0.0.1:%d:127.0.0.1:%d",
		 d->ssh_port, d->service_port);
	setenv("SSH_AUTH_SOCK", "", 1);
	d->ssh = demo_spawn(&(struct demo_spawn){
		.home = d->dir, .log = d->log, .argv = argv });
	if (!demo_wait_port(d->ssh_port, 5000))
		d->ssh_port = 0;
}

/* A plain ssh -L beside it, for comparison, where an sshd is installed. */
static void start_ssh(struct demo *d)
{
	char key[96], conf[96];
	const char *sshd[] = { SSHD, "-D", "-e", "-f", conf, NULL };
	int port = demo_port();

	if (access(SSHD, X_OK) != 0 || access("/usr/bin/ssh", X_OK) != 0)
		return;
	snprintf(key, sizeof(key), "%s/key", d->dir);
	snprintf(conf, sizeof(conf), "%s/sshd_config", d->dir);
	if (!make_sshd_files(d, key, conf, port))
		return;
	if (getuid() == 0)
		mkdir("/run/sshd", 0755);
	d->sshd = demo_spawn(&(struct demo_spawn){
		.home = d->dir, .log = d->log, .argv = sshd });
	if (demo_wait_port(port, 3000) && demo_net_start(&d->wire, port))
		start_ssh_tunnel(d, key);
}

/* -- the counting lines */

static void ticker_open(struct ticker *t, int port)
{
	*t = (struct ticker){ .fd = port > 0 ? demo_connect(port) : -1 };
	if (t->fd >= 0)
		fcntl(t->fd, F_SETFL, O_NONBLOCK);
}

static void ticker_number(struct ticker *t)
{
	t->part[t->part_len] = '\0';
	t->part_len = 0;
	if (strtoul(t->part, NULL, 10) != t->count + 1)
		t->broken = true;
	t->count++;
}

static void ticker_read(struct ticker *t)
{
	char c;
	ssize_t n = 0;

	while (t->fd >= 0 && (n = read(t->fd, &c, 1)) == 1) {
		if (c == '\n')
			ticker_number(t);
		else if (t->part_len + 1 < sizeof(t->part))
			t->part[t->part_len++] = c;
	}
	if (t->fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN))) {
		close(t->fd);
		t->fd = -1;
	}
}

/* Until it has counted to `to`; false if it died, broke, or took too long. */
static bool ticker_wait(struct ticker *t, unsigned to, int ms)
{
	for (; ms > 0 && !interrupted; ms -= 50) {
		struct pollfd pfd = { .fd = t->fd, .events = POLLIN };

		poll(&pfd, 1, 50);
		ticker_read(t);
		if (t->fd < 0 || t->broken)
			return false;
		if (t->count >= to)
			return true;
	}
	return false;
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
	return start_relay(d, NULL, 0);
}

static void change_address(struct demo *d)
{
	demo_net_roam(&d->net);
	if (d->wire.pid > 0)
		demo_net_roam(&d->wire);
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

/* The laptop sleeps for some seconds while the figures go on. */
static void sleep_laptop(struct demo *d)
{
	kill(d->laptop, SIGSTOP);
	for (int i = 5; i > 0 && !interrupted; i--) {
		fprintf(stderr, "\r\033[K  the laptop sleeps, %d s more", i);
		poll(NULL, 0, 1000);
	}
	kill(d->laptop, SIGCONT);
}

static void watch(struct demo *d)
{
	struct termios old, raw;
	bool tty = isatty(0) && tcgetattr(0, &old) == 0;
	const char *note = "";

	if (tty) {
		raw = old;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(0, TCSANOW, &raw);
		say("keys: k kills the relay (and starts it again), n changes "
		    "the address,\n        s puts the laptop to sleep for 5 s; "
		    "Ctrl-C ends it");
	}
	while (!interrupted) {
		struct pollfd pfd = { .fd = tty ? 0 : -1, .events = POLLIN };
		char key = 0;

		if (poll(&pfd, 1, tty ? 500 : 5000) > 0 &&
		    read(0, &key, 1) != 1)
			key = 0;
		if (key == 'k') {
			note = "; the relay was killed";
			kill_relay(d);
		} else if (key == 'n') {
			note = "; the address has changed";
			change_address(d);
		} else if (key == 's') {
			note = "; the laptop slept";
			sleep_laptop(d);
		}
		ticker_read(&d->ours);
		ticker_read(&d->theirs);
		show(d, note);
	}
	if (tty)
		tcsetattr(0, TCSANOW, &old);
	fputc('\n', stderr);
}

/* -- the two forms */

static bool stand_up(struct demo *d)
{
	char code[4096], code2[4096];

	if (!make_places(d))
		return false;
	if (!demo_net_start(&d->net, d->relay_port))
		return failed(d, "no free port on this machine");
	say("a relay ...");
	if (!start_relay(d, code, sizeof(code)))
		return false;
	say("a rig, and a laptop that knows it ...");
	if (!start_rig(d, code, code2, sizeof(code2)) ||
	    !start_laptop(d, code2))
		return false;
	d->service = demo_serve(d->service_port);
	say(access(JUPYTER, X_OK) == 0 ? "Jupyter, on the rig ..."
				       : "a page, on the rig ...");
	if (!start_page(d))
		return false;
	start_ssh(d);
	ticker_open(&d->ours, d->local_ticker);
	ticker_open(&d->theirs, d->ssh_port);
	return true;
}

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
		return failed(d, "the page through the tunnel answered %d",
			      status);
	if (strstr(body, d->has_jupyter ? "\"content\"" : "It works") == NULL)
		return failed(d, "the page through the tunnel is not the page");
	return true;
}

static bool check(struct demo *d)
{
	if (!fetch(d))
		return false;
	say(d->has_jupyter ? "Jupyter answers through the relay: good"
			   : "the page came through the relay: good");
	if (!ticker_wait(&d->ours, 5, 20000))
		return failed(d, "the open stream does not count");
	ticker_read(&d->theirs);
	d->cut_at = d->ours.count;
	if (!kill_relay(d))
		return false;
	if (!ticker_wait(&d->ours, d->cut_at + 20, 30000))
		return failed(d,
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
	say("and the page still answers: good");
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
	if (!stand_up(d))
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
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	fputs("rigway demo: all of it on this machine, with keys that are "
	      "thrown away\n",
	      stderr);
	ok = run(&d, checks);
	demo_clear(&d);
	if (checks)
		say_verdict(&d, ok);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

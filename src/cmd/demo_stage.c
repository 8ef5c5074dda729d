/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/str.h"
#include "cmd/demo.h"
#include "crypto/hash.h"

/* Of the folder for all of it: sockets lie below, whose paths may not be long.
 */
#define PLACE_MAX 40

/* -- clearing up */

static int remove_one(const char *path, const struct stat *st, int kind,
		      struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	remove(path);
	return 0;
}

void demo_clear(struct demo *d)
{
	pid_t *all[] = { &d->ssh,     &d->sshd,	   &d->laptop,
			 &d->rig,     &d->relay,   &d->jupyter,
			 &d->service, &d->net.pid, &d->wire.pid };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		demo_end(all[i]);
	if (d->dir[0] != '\0')
		nftw(d->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool demo_failed(struct demo *d, const char *fmt, ...)
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
	       demo_failed(d, "cannot write %s: %s", path, err_text(err));
}

static const char *place(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp != NULL && tmp[0] == '/' && strlen(tmp) <= PLACE_MAX
		       ? tmp
		       : "/tmp";
}

static bool make_places(struct demo *d)
{
	static const char *const names[] = { "relay", "rig", "laptop" };
	const char *tmp = place();
	uint8_t token[16];

	snprintf(d->dir, sizeof(d->dir), "%s/rigway-demo-XXXXXX", tmp);
	if (mkdtemp(d->dir) == NULL) {
		d->dir[0] = '\0';
		return demo_failed(d,
				   "cannot make a folder in %s: %s; "
				   "TMPDIR may name another place",
				   tmp, strerror(errno));
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

bool demo_start_relay(struct demo *d, char *ret_code, size_t cap)
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
			return demo_failed(d, "the relay did not start");
	}
	return demo_wait_port(d->relay_port, 15000) ||
	       demo_failed(d, "the relay does not listen");
}

static bool start_rig(struct demo *d, const char *code, char *ret_code,
		      size_t cap)
{
	const char *join[] = { NULL,	 "join", code, "--no-start",
			       "--name", "desk", NULL };
	const char *rig[] = { NULL, "rig", NULL };

	if (!demo_run(d->home[RIG], d->log, join, ret_code, cap))
		return demo_failed(d, "the rig could not join");
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
		return demo_failed(d, "the laptop's process does not start");
	if (!demo_run(d->home[LAPTOP], d->log, join, NULL, 0))
		return demo_failed(d, "the laptop could not join");
	snprintf(page, sizeof(page), "%d:127.0.0.1:%d", d->local_page,
		 d->page_port);
	snprintf(ticker, sizeof(ticker), "%d:127.0.0.1:%d", d->local_ticker,
		 d->service_port);
	if (!demo_run(d->home[LAPTOP], d->log, forward, NULL, 0))
		return demo_failed(d, "the laptop could not forward the ports");
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
		       demo_failed(d, "the page's server did not start");
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
	       demo_failed(d, "Jupyter did not start");
}

bool demo_stand_up(struct demo *d)
{
	char code[4096], code2[4096];

	if (!make_places(d))
		return false;
	if (!demo_net_start(&d->net, d->relay_port))
		return demo_failed(d, "no free port on this machine");
	demo_say("a relay ...");
	if (!demo_start_relay(d, code, sizeof(code)))
		return false;
	demo_say("a rig, and a laptop that knows it ...");
	if (!start_rig(d, code, code2, sizeof(code2)) ||
	    !start_laptop(d, code2))
		return false;
	d->service = demo_serve(d->service_port);
	demo_say(access(JUPYTER, X_OK) == 0 ? "Jupyter, on the rig ..."
					    : "a page, on the rig ...");
	if (!start_page(d))
		return false;
	demo_start_ssh(d);
	ticker_open(&d->ours, d->local_ticker);
	ticker_open(&d->theirs, d->ssh_port);
	return true;
}

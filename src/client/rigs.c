/* SPDX-License-Identifier: MIT */
/* Over 500 lines because every field of a row is read, judged and written in
 * one place: what is written must be what is read. */
#include "client/rigs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"

static const char *const rigs_keys[] = {
	"name",	      "pin",	    "relays",	   "relay_pin", "fleet",
	"added",      "welcomed",   "user",	   "host",	"sshd_port",
	"host_keys",  "version",    "role",	   "addrs",	"lan",
	"said_addrs", "probe_port", "said_relays", NULL,
};

/* Of a file's line; what a rig says beyond it is not written down. */
#define SAID_RELAYS_CAP 4096

static struct state_format rigs_format(size_t max)
{
	return (struct state_format){
		.kind = "rigs",
		.version = 1,
		.max_rows = max,
		.keys = rigs_keys,
	};
}

/* -- reading */

static int read_pin(struct state_row *row, const char *key, struct pin *ret)
{
	const char *text;
	int err = state_str(row, key, &text);

	if (err == 0 && pin_parse(text, ret) < 0)
		err = state_refuse(row, key, "is not a fingerprint");
	return err;
}

/* "host:port,host:port" into count places of at; -1 when it is none. */
static int split_list(const char *text, size_t len, char (*at)[HOSTPORT_CAP],
		      int max)
{
	int n = 0;

	for (;;) {
		size_t part = strcspn(text, ",");

		part = MIN(part, len);
		if (n == max || part == 0 || part >= HOSTPORT_CAP)
			return -1;
		memcpy(at[n], text, part);
		at[n++][part] = '\0';
		if (part == len)
			return n;
		text += part + 1;
		len -= part + 1;
	}
}

/* None for a rig that is reached without one. */
static int read_relays(struct state_row *row, struct rigs_row *ret)
{
	const char *text = state_get(row, "relays");
	int n;

	if (text == NULL)
		return 0;
	n = split_list(text, strlen(text), ret->relays, CODE_RELAYS_MAX);
	if (n < 0)
		return state_refuse(row, "relays",
				    "is not a list of "
				    "addresses");
	ret->relay_count = (uint8_t)n;
	return read_pin(row, "relay_pin", &ret->relay_pin);
}

/* "PIN@host:port,host:port PIN@..." */
static int read_said_relays(struct state_row *row, struct rig_info *ret)
{
	const char *text = state_get(row, "said_relays");

	while (text != NULL && *text != '\0') {
		struct rig_relay_info *relay = &ret->relays[ret->relay_count];
		size_t len = strcspn(text, " ");
		char pin[PIN_TEXT_LEN + 1] = "";
		int n = -1;

		if (len > PIN_TEXT_LEN && text[PIN_TEXT_LEN] == '@' &&
		    ret->relay_count < RIG_INFO_RELAYS) {
			memcpy(pin, text, PIN_TEXT_LEN);
			n = split_list(text + PIN_TEXT_LEN + 1,
				       len - PIN_TEXT_LEN - 1, relay->at,
				       RIG_INFO_RELAY_AT);
		}
		if (n < 0 || pin_parse(pin, &relay->pin) < 0)
			return state_refuse(row, "said_relays",
					    "is not a list of relays");
		relay->count = (uint8_t)n;
		ret->relay_count++;
		text += len + (text[len] == ' ' ? 1 : 0);
	}
	return 0;
}

static void read_text(const struct state_row *row, const char *key, char *out,
		      size_t cap)
{
	const char *text = state_get(row, key);

	if (text != NULL)
		str_copy(out, cap, text);
}

static int read_number(struct state_row *row, const char *key, int64_t max,
		       int64_t *ret)
{
	*ret = 0;
	return state_get(row, key) != NULL ? state_int(row, key, 0, max, ret)
					   : 0;
}

/* A name of its own in the book. */
static int read_name(const struct rigs *r, struct state_row *row,
		     struct rigs_row *ret)
{
	const char *name;
	int err = state_str(row, "name", &name);

	if (err == 0 && !str_is_name(name))
		err = state_refuse(row, "name", "is not a name");
	if (err == 0 && rigs_find(r, name) != NULL)
		err = state_refuse(row, "name", "is there twice");
	if (err == 0)
		str_copy(ret->name, sizeof(ret->name), name);
	return err;
}

/* What the rig said about itself in its last WELCOME. */
static int read_info(struct state_row *row, struct rig_info *ret)
{
	int64_t port, probe_port;
	int err = read_said_relays(row, ret);

	if (err == 0)
		err = read_number(row, "sshd_port", 65535, &port);
	if (err == 0)
		err = read_number(row, "probe_port", 65535, &probe_port);
	if (err < 0)
		return err;
	ret->sshd_port = (uint16_t)port;
	ret->probe_port = (uint16_t)probe_port;
	read_text(row, "said_addrs", ret->addrs, sizeof(ret->addrs));
	read_text(row, "user", ret->user, sizeof(ret->user));
	read_text(row, "host", ret->host, sizeof(ret->host));
	read_text(row, "version", ret->version, sizeof(ret->version));
	read_text(row, "role", ret->role, sizeof(ret->role));
	read_text(row, "host_keys", ret->host_keys, sizeof(ret->host_keys));
	return 0;
}

static int read_row(struct rigs *r, struct state_row *row, struct rigs_row *ret)
{
	int err = read_name(r, row, ret);

	if (err == 0)
		err = read_pin(row, "pin", &ret->pin);
	if (err == 0)
		err = read_relays(row, ret);
	if (err == 0)
		err = read_number(row, "added", STATE_TIME_MAX, &ret->added);
	if (err == 0)
		err = read_number(row, "welcomed", STATE_TIME_MAX,
				  &ret->welcomed);
	if (err == 0)
		err = read_info(row, &ret->info);
	if (err < 0)
		return err;
	read_text(row, "addrs", ret->addrs, sizeof(ret->addrs));
	read_text(row, "lan", ret->lan, sizeof(ret->lan));
	read_text(row, "fleet", ret->fleet, sizeof(ret->fleet));
	return 0;
}

static int on_row(void *user, struct state_row *row)
{
	struct rigs *r = user;
	struct rigs_row *made = xcalloc(1, sizeof(*made));
	int err = read_row(r, row, made);

	if (err < 0) {
		free(made);
		return err;
	}
	list_push(&r->rows, &made->link);
	r->count++;
	return 0;
}

int rigs_load(struct rigs *r, const char *path, size_t max, char **ret_err)
{
	struct state_format format = rigs_format(max);
	int err;

	*r = (struct rigs){ .max = max, .path = xstrdup(path) };
	list_init(&r->rows);
	err = state_load(path, &format, on_row, r, ret_err);
	return err == -ENOENT ? 0 : err;
}

void rigs_done(struct rigs *r)
{
	struct list *it;

	while ((it = list_pop(&r->rows)) != NULL)
		free(container_of(it, struct rigs_row, link));
	free(r->path);
	r->path = NULL;
}

/* -- writing */

static void write_text(struct state_writer *w, const char *key,
		       const char *value)
{
	state_add_str(w, key, value[0] != '\0' ? value : NULL);
}

/* Appends the places, joined by ','. What does not fit any more is left out:
 * the rig says it again. */
static void join_list(char *out, size_t cap, const char (*at)[HOSTPORT_CAP],
		      size_t count)
{
	size_t len = strlen(out);

	for (size_t i = 0; i < count; i++) {
		size_t more = strlen(at[i]) + (i > 0 ? 1 : 0);

		if (len + more >= cap)
			return;
		snprintf(out + len, cap - len, "%s%s", i > 0 ? "," : "", at[i]);
		len += more;
	}
}

static void write_said_relays(struct state_writer *w,
			      const struct rig_info *info)
{
	char all[SAID_RELAYS_CAP] = "", pin[PIN_TEXT_LEN + 1];

	for (size_t i = 0; i < info->relay_count; i++) {
		const struct rig_relay_info *relay = &info->relays[i];
		size_t len = strlen(all);

		if (len + PIN_TEXT_LEN + 2 + HOSTPORT_CAP >= sizeof(all))
			break;
		snprintf(all + len, sizeof(all) - len, "%s%s@",
			 i > 0 ? " " : "", pin_text(&relay->pin, pin));
		join_list(all, sizeof(all), relay->at, relay->count);
	}
	write_text(w, "said_relays", all);
}

static void write_row(struct state_writer *w, const struct rigs_row *row)
{
	char relays[CODE_RELAYS_MAX * HOSTPORT_CAP] = "";
	char pin[PIN_TEXT_LEN + 1];

	join_list(relays, sizeof(relays), row->relays, row->relay_count);
	state_add_row(w);
	state_add_str(w, "name", row->name);
	state_add_str(w, "pin", pin_text(&row->pin, pin));
	write_text(w, "relays", relays);
	if (row->relay_count > 0)
		state_add_str(w, "relay_pin", pin_text(&row->relay_pin, pin));
	write_text(w, "fleet", row->fleet);
	state_add_int(w, "added", row->added);
	state_add_int(w, "welcomed", row->welcomed);
	write_text(w, "user", row->info.user);
	write_text(w, "host", row->info.host);
	state_add_int(w, "sshd_port", row->info.sshd_port);
	write_text(w, "version", row->info.version);
	write_text(w, "role", row->info.role);
	write_text(w, "host_keys", row->info.host_keys);
	write_text(w, "addrs", row->addrs);
	write_text(w, "lan", row->lan);
	write_text(w, "said_addrs", row->info.addrs);
	state_add_int(w, "probe_port", row->info.probe_port);
	write_said_relays(w, &row->info);
}

int rigs_save(const struct rigs *r)
{
	struct state_format format = rigs_format(r->max);
	struct state_writer w;

	state_begin(&w, &format);
	list_for_each (it, &r->rows) {
		const struct rigs_row *row =
			container_of(it, struct rigs_row, link);

		if (!row->pending)
			write_row(&w, row);
	}
	return state_commit(&w, r->path);
}

/* -- looking up */

/* Whether word names the row: "desk", "Desk" and "desk.rig" do. */
static bool is_named(const struct rigs_row *row, const char *word)
{
	size_t len = strlen(row->name);

	return strncasecmp(word, row->name, len) == 0 &&
	       (word[len] == '\0' || strcasecmp(word + len, ".rig") == 0);
}

struct rigs_row *rigs_find(const struct rigs *r, const char *name)
{
	list_for_each (it, &r->rows) {
		struct rigs_row *row = container_of(it, struct rigs_row, link);

		if (is_named(row, name))
			return row;
	}
	return NULL;
}

struct rigs_row *rigs_find_pin(const struct rigs *r, const struct pin *pin)
{
	list_for_each (it, &r->rows) {
		struct rigs_row *row = container_of(it, struct rigs_row, link);

		if (pin_eq(&row->pin, pin))
			return row;
	}
	return NULL;
}

/* The names a user can mean, borrowed from the rows; *ret_len of them. */
static const char **known_names(const struct rigs *r, size_t *ret_len)
{
	const char **names = xcalloc(r->count + 1, sizeof(*names));
	size_t n = 0;

	list_for_each (it, &r->rows) {
		struct rigs_row *row = container_of(it, struct rigs_row, link);

		if (!row->pending)
			names[n++] = row->name;
	}
	*ret_len = n;
	return names;
}

static char *join_names(const char *const *names, size_t count)
{
	char *all = xstrdup(count > 0 ? names[0] : "");

	for (size_t i = 1; i < count; i++) {
		char *more = xasprintf("%s, %s", all, names[i]);

		free(all);
		all = more;
	}
	return all;
}

static char *unknown_text(const char *name, const char *const *names,
			  size_t count)
{
	const char *near = str_near(name, names, count);
	char *all, *text;

	if (near != NULL)
		return xasprintf("no rig is named '%s'; did you mean '%s'?",
				 name, near);
	all = join_names(names, count);
	text = xasprintf("no rig is named '%s'; there is %s", name, all);
	free(all);
	return text;
}

static char *which_text(const char *const *names, size_t count)
{
	char *all = join_names(names, count);
	char *text = xasprintf("say which rig: %s", all);

	free(all);
	return text;
}

int rigs_resolve(const struct rigs *r, const char *name, struct rigs_row **ret,
		 char **ret_err)
{
	size_t count;
	const char **names = known_names(r, &count);
	struct rigs_row *row = NULL;

	if (name != NULL)
		row = rigs_find(r, name);
	else if (count == 1)
		row = rigs_find(r, names[0]);
	if (row != NULL && !row->pending)
		*ret = row;
	else if (count == 0)
		*ret_err = xstrdup("this machine knows no rig yet; type "
				   "`rigway join CODE` with the code that "
				   "the rig printed");
	else if (name != NULL)
		*ret_err = unknown_text(name, names, count);
	else
		*ret_err = which_text(names, count);
	free(names);
	return row != NULL && !row->pending ? 0 : RW_ERR_NOT_FOUND;
}

/* -- changing */

/* A label as a name that nobody takes for a port: not all digits. */
static void clean_label(const char *label, char *out, size_t cap)
{
	bool has_other = false;
	size_t n = 0;

	for (const char *p = label; *p != '\0' && n < cap - 1; p++) {
		bool alnum = isalnum((unsigned char)*p) != 0;

		if (!alnum && (n == 0 || strchr("._-", *p) == NULL))
			continue;
		has_other |= isdigit((unsigned char)*p) == 0;
		out[n++] = *p;
	}
	if (n > 4 && strncasecmp(out + n - 4, ".rig", 4) == 0)
		n -= 4; /* which is what ssh calls it anyway */
	out[n] = '\0';
	if (!has_other)
		snprintf(out, cap, "rig%s%.20s", n > 0 ? "-" : "",
			 n > 0 ? label : "");
}

struct rigs_row *rigs_add(struct rigs *r, const struct pin *pin,
			  const char *label)
{
	char base[RIGS_NAME_CAP - 8], name[RIGS_NAME_CAP];
	struct rigs_row *row;

	if (r->count >= r->max)
		return NULL;
	clean_label(label, base, sizeof(base));
	str_copy(name, sizeof(name), base);
	for (unsigned i = 2; rigs_find(r, name) != NULL; i++)
		snprintf(name, sizeof(name), "%s-%u", base, i);
	row = xcalloc(1, sizeof(*row));
	str_copy(row->name, sizeof(row->name), name);
	row->pin = *pin;
	row->pending = true;
	list_push(&r->rows, &row->link);
	r->count++;
	return row;
}

void rigs_forget(struct rigs *r, struct rigs_row *row)
{
	list_del(&row->link);
	r->count--;
}

static bool same_relays(const struct rig_info *a, const struct rig_info *b)
{
	bool same = a->relay_count == b->relay_count;

	for (size_t i = 0; i < a->relay_count && same; i++) {
		const struct rig_relay_info *x = &a->relays[i];
		const struct rig_relay_info *y = &b->relays[i];

		same = pin_eq(&x->pin, &y->pin) && x->count == y->count;
		for (size_t k = 0; k < x->count && same; k++)
			same = strcmp(x->at[k], y->at[k]) == 0;
	}
	return same;
}

bool rigs_learn(struct rigs_row *row, const struct rig_info *info)
{
	struct rig_info *old = &row->info;
	bool same = old->sshd_port == info->sshd_port &&
		    old->probe_port == info->probe_port &&
		    strcmp(old->user, info->user) == 0 &&
		    strcmp(old->host, info->host) == 0 &&
		    strcmp(old->version, info->version) == 0 &&
		    strcmp(old->role, info->role) == 0 &&
		    strcmp(old->host_keys, info->host_keys) == 0 &&
		    strcmp(old->addrs, info->addrs) == 0 &&
		    same_relays(old, info);

	*old = *info;
	return !same;
}

bool rigs_learn_addr(struct rigs_row *row, const char *at)
{
	char all[RIG_INFO_ADDRS_MAX + 1];
	size_t len = strlen(at);
	const char *rest = row->addrs;
	unsigned count = 1;

	if (len > RIG_INFO_ADDRS_MAX || strchr(at, ',') != NULL)
		return false;
	if (strncmp(rest, at, len) == 0 &&
	    (rest[len] == ',' || rest[len] == '\0'))
		return false;
	memcpy(all, at, len + 1);
	/* The others behind it, as many as a code has. */
	while (count < CODE_ADDRS_MAX && *rest != '\0') {
		size_t part = strcspn(rest, ",");

		if ((part != strlen(at) || strncmp(rest, at, part) != 0) &&
		    len + 1 + part < sizeof(all)) {
			all[len++] = ',';
			memcpy(all + len, rest, part);
			len += part;
			all[len] = '\0';
			count++;
		}
		rest += part + (rest[part] == ',' ? 1 : 0);
	}
	memcpy(row->addrs, all, len + 1);
	return true;
}

/* SPDX-License-Identifier: MIT */
#include "rig/sshd_config.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/file.h"
#include "base/str.h"

#define ETC_SSH "/etc/ssh"

static void sshd_config_file(const char *path, struct sshd_config *c);

/* The next word of a line, quotes taken off; NULL at its end or a comment. */
static char *next_word(char **line)
{
	char *p = *line + strspn(*line, " \t\r=");

	if (*p == '\0' || *p == '#')
		return NULL;

	char *end, *word = p;

	if (*p == '"') {
		word = p + 1;
		end = word + strcspn(word, "\"");
	} else {
		end = p + strcspn(p, " \t\r=");
	}
	*line = *end != '\0' ? end + 1 : end;
	*end = '\0';
	return word;
}

static void take_port(struct sshd_config *c, char *args)
{
	const char *word = next_word(&args);
	uint16_t port;

	if (word != NULL && parse_port(word, &port) == 0 &&
	    c->port_count < SSHD_PORTS_MAX)
		c->ports[c->port_count++] = port;
}

static void take_listen(struct sshd_config *c, char *args)
{
	const char *word = next_word(&args);
	struct hostport hp = { 0 };

	if (word == NULL || c->listen_count == SSHD_LISTEN_MAX)
		return;
	if (parse_hostport(word, 0, &hp) != 0) {
		/* No port in it: 1 stands in, so that the host is parsed. */
		if (parse_hostport(word, 1, &hp) != 0)
			return;
		hp.port = 0;
	}
	c->listen[c->listen_count++] = hp;
}

static void take_host_key(struct sshd_config *c, char *args)
{
	const char *word = next_word(&args);

	if (word != NULL && word[0] == '/' && c->key_count < SSHD_KEYS_MAX &&
	    str_copy(c->keys[c->key_count], SSHD_PATH_CAP, word))
		c->key_count++;
}

/* sshd takes the first value it meets. */
static void take_authorized(struct sshd_config *c, char *args)
{
	const char *word = next_word(&args);

	if (word != NULL && c->authorized[0] == '\0' &&
	    !str_copy(c->authorized, sizeof(c->authorized), word))
		c->authorized[0] = '\0';
}

static void take_include(struct sshd_config *c, const char *dir, char *args)
{
	char path[SSHD_PATH_CAP];

	for (char *word; (word = next_word(&args)) != NULL;) {
		glob_t g;
		int n = snprintf(path, sizeof(path), "%s%s%s",
				 word[0] == '/' ? "" : dir,
				 word[0] == '/' ? "" : "/", word);

		if (n < 0 || (size_t)n >= sizeof(path) ||
		    glob(path, 0, NULL, &g) != 0)
			continue;
		for (size_t i = 0; i < g.gl_pathc; i++)
			sshd_config_file(g.gl_pathv[i], c);
		globfree(&g);
	}
}

/* False at a Match: what follows in this file holds for some only. */
static bool take_line(struct sshd_config *c, const char *dir, char *line)
{
	static const struct {
		const char *key;
		void (*take)(struct sshd_config *c, char *args);
	} rows[] = {
		{ "Port", take_port },
		{ "ListenAddress", take_listen },
		{ "HostKey", take_host_key },
		{ "AuthorizedKeysFile", take_authorized },
	};
	const char *key = next_word(&line);

	if (key == NULL)
		return true;
	if (strcasecmp(key, "Match") == 0)
		return false;
	if (strcasecmp(key, "Include") == 0)
		take_include(c, dir, line);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcasecmp(key, rows[i].key) == 0)
			rows[i].take(c, line);
	return true;
}

void sshd_config_parse(const char *text, const char *dir, struct sshd_config *c)
{
	char line[2 * SSHD_PATH_CAP];

	while (*text != '\0') {
		const size_t len = strcspn(text, "\n");

		/* A longer line holds nothing that is looked for here. */
		if (len < sizeof(line)) {
			memcpy(line, text, len);
			line[len] = '\0';
			if (!take_line(c, dir, line))
				return;
		}
		text += len + (text[len] == '\n');
	}
}

static void sshd_config_file(const char *path, struct sshd_config *c)
{
	struct buf b;

	if (c->files >= SSHD_INCLUDES_MAX)
		return;
	c->files++;
	buf_init(&b);
	if (file_read(path, SSHD_FILE_MAX, &b) == 0)
		sshd_config_parse(buf_text(&b), ETC_SSH, c);
	buf_done(&b);
}

void sshd_config_read(const char *path, struct sshd_config *ret)
{
	static const char *const default_keys[] = {
		ETC_SSH "/ssh_host_rsa_key",
		ETC_SSH "/ssh_host_ecdsa_key",
		ETC_SSH "/ssh_host_ed25519_key",
	};

	*ret = (struct sshd_config){ 0 };
	sshd_config_file(path, ret);
	if (ret->port_count == 0)
		ret->ports[ret->port_count++] = 22;
	for (size_t i = 0; ret->key_count == 0 && i < ARRAY_LEN(default_keys);
	     i++)
		str_copy(ret->keys[i], SSHD_PATH_CAP, default_keys[i]);
	if (ret->key_count == 0)
		ret->key_count = ARRAY_LEN(default_keys);
	if (ret->authorized[0] == '\0')
		str_copy(ret->authorized, sizeof(ret->authorized),
			 ".ssh/authorized_keys");
}

static void add_addr(struct hostport *ret, size_t *count, const char *host,
		     uint16_t port)
{
	if (*count == SSHD_LISTEN_MAX)
		return;
	str_copy(ret[*count].host, sizeof(ret[*count].host), host);
	ret[(*count)++].port = port;
}

size_t sshd_config_addrs(const struct sshd_config *c,
			 struct hostport ret[SSHD_LISTEN_MAX])
{
	size_t count = 0;

	for (size_t p = 0; c->listen_count == 0 && p < c->port_count; p++) {
		add_addr(ret, &count, "127.0.0.1", c->ports[p]);
		add_addr(ret, &count, "::1", c->ports[p]);
	}
	for (size_t i = 0; i < c->listen_count; i++) {
		const struct hostport *hp = &c->listen[i];
		const char *host = hp->host;

		if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "*") == 0)
			host = "127.0.0.1";
		else if (strcmp(host, "::") == 0)
			host = "::1";
		if (hp->port != 0)
			add_addr(ret, &count, host, hp->port);
		for (size_t p = 0; hp->port == 0 && p < c->port_count; p++)
			add_addr(ret, &count, host, c->ports[p]);
	}
	return count;
}

/* "type base64", without the comment; 0 unless it is such a line. */
static size_t public_key_len(const char *text)
{
	size_t type = strcspn(text, " \t\r\n");

	if (text[type] != ' ' || !str_is_printable(text, type))
		return 0;

	size_t data = strcspn(text + type + 1, " \t\r\n");

	if (data == 0 || !str_is_printable(text + type + 1, data))
		return 0;
	return type + 1 + data;
}

size_t sshd_config_host_keys(const struct sshd_config *c, char *ret, size_t cap)
{
	size_t len = 0;
	char path[SSHD_PATH_CAP + 4];

	for (size_t i = 0; i < c->key_count; i++) {
		struct buf b;

		snprintf(path, sizeof(path), "%s.pub", c->keys[i]);
		buf_init(&b);
		if (file_read(path, 16384, &b) == 0) {
			const char *text = buf_text(&b);
			size_t n = public_key_len(text);

			if (n > 0 && len + n + 2 <= cap) {
				memcpy(ret + len, text, n);
				ret[len + n] = '\n';
				len += n + 1;
			}
		}
		buf_done(&b);
	}
	ret[len] = '\0';
	return len;
}

bool sshd_config_authorized(const struct sshd_config *c, const char *home,
			    const char *user, char ret[SSHD_PATH_CAP])
{
	char out[SSHD_PATH_CAP];
	size_t len = 0;
	const char *p = c->authorized;

	if (p[0] != '/' && strncmp(p, "%h", 2) != 0)
		len = (size_t)snprintf(out, sizeof(out), "%s/", home);
	for (; *p != '\0' && len < sizeof(out) - 1; p++) {
		const char *word = NULL;

		if (*p != '%') {
			out[len++] = *p;
			continue;
		}
		p++;
		if (*p == 'h')
			word = home;
		else if (*p == 'u')
			word = user;
		else if (*p == '%')
			word = "%";
		if (word == NULL)
			return false;

		int n = snprintf(out + len, sizeof(out) - len, "%s", word);

		if (n < 0 || (size_t)n >= sizeof(out) - len)
			return false;
		len += (size_t)n;
	}
	if (*p != '\0' || len >= sizeof(out))
		return false;
	out[len] = '\0';
	memcpy(ret, out, sizeof(out));
	return true;
}

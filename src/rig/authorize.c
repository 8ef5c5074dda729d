/* SPDX-License-Identifier: MIT */
#include "rig/authorize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static const char *const types[] = {
	"ssh-ed25519",
	"ssh-rsa",
	"ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com",
	"sk-ecdsa-sha2-nistp256@openssh.com",
};

static int base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* RFC 4648 with its padding. False unless all of text is that. */
static bool base64_decode(const char *text, size_t len, struct buf *ret)
{
	size_t pad = 0;

	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	if (len == 0 || len % 4 != 0)
		return false;

	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < len - pad; i++) {
		int v = base64_value(text[i]);

		if (v < 0)
			return false;
		bits = (bits << 6 | (uint32_t)v) & 0xffffff;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;

		uint8_t byte = (uint8_t)(bits >> have);

		if (buf_append(ret, &byte, 1) != 0)
			return false;
	}
	return true;
}

/* The blob of a key begins with its type as a string (RFC 4253, 6.6). */
static bool blob_is_of(const char *text, size_t len, const char *type)
{
	struct buf b;
	struct reader r;
	size_t blob_len;

	buf_init(&b);

	bool ok = base64_decode(text, len, &b);
	const uint8_t *blob = buf_peek(&b, &blob_len);

	reader_init(&r, blob, blob_len);

	uint32_t n = ok ? reader_u32(&r) : 0;
	const uint8_t *name = ok ? reader_bytes(&r, n) : NULL;

	ok = name != NULL && n == strlen(type) && memcmp(name, type, n) == 0 &&
	     r.left > 0;
	buf_done(&b);
	return ok;
}

int authorize_parse(const char *line, size_t len, struct buf *ret)
{
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		len--;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	/* One line, and nothing that could forge another. */
	if (!str_is_clean(line, len))
		return RW_ERR_FORMAT;

	const char *blob = memchr(line, ' ', len);
	const char *type = NULL;

	for (size_t i = 0; blob != NULL && i < ARRAY_LEN(types); i++)
		if (strlen(types[i]) == (size_t)(blob - line) &&
		    memcmp(types[i], line, strlen(types[i])) == 0)
			type = types[i];
	if (type == NULL)
		return RW_ERR_FORMAT;
	blob++;

	const char *end = line + len;
	const char *blob_end = memchr(blob, ' ', (size_t)(end - blob));

	if (blob_end == NULL)
		blob_end = end;
	if (!blob_is_of(blob, (size_t)(blob_end - blob), type))
		return RW_ERR_FORMAT;
	return buf_append(ret, line, len);
}

/* Whether some line of the file has this key, behind options or not. */
static bool has_key(const char *text, size_t len, const char *key)
{
	const char *blob = strchr(key, ' ') + 1;
	const size_t n = strcspn(blob, " ");
	const char *at = text;
	const char *end = text + len;

	while (n > 0 &&
	       (at = memmem(at, (size_t)(end - at), blob, n)) != NULL) {
		const char *line = at;

		while (line > text && line[-1] != '\n')
			line--;

		bool whole =
			at > text && (at[-1] == ' ' || at[-1] == '\t') &&
			(at + n == end || strchr(" \t\r\n", at[n]) != NULL);

		if (whole && *line != '#')
			return true;
		at += n;
	}
	return false;
}

/* sshd trusts neither a file nor a folder that others may write to. */
static int own_it(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return RW_ERR_PERM;
	if (st.st_uid == geteuid() && (st.st_mode & 022) != 0 &&
	    fchmod(fd, st.st_mode & 07777 & ~(mode_t)022) != 0)
		return -errno;
	return 0;
}

static int own_folder(const char *path)
{
	char *dir = xstrdup(path), *slash = strrchr(dir, '/');
	int err = 0, fd;

	if (slash == NULL || slash == dir)
		goto out;
	*slash = '\0';
	err = file_mkdirs(dir, 0700);
	if (err != 0)
		goto out;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	/* Only ~/.ssh is ours to tighten; a home or /etc is not. */
	slash = strrchr(dir, '/');
	if (slash != NULL && strcmp(slash, "/.ssh") == 0)
		err = own_it(fd);
	close(fd);
out:
	free(dir);
	return err;
}

static int append_line(int fd, const struct buf *line)
{
	struct stat st;
	size_t len;
	const uint8_t *data = buf_peek(line, &len);

	if (fstat(fd, &st) != 0)
		return -errno;

	ssize_t n = write(fd, data, len);

	if (n == (ssize_t)len && fsync(fd) == 0)
		return 0;

	int err = n >= 0 && n < (ssize_t)len ? -ENOSPC : -errno;

	/* Half a line would spoil the next one. */
	if (ftruncate(fd, st.st_size) != 0)
		return -errno;
	return err;
}

static int add_to(int fd, const char *path, struct buf *key, bool *ret_added)
{
	struct buf old, line;
	size_t len;
	int err;

	buf_init(&old);
	buf_init(&line);
	err = file_read(path, AUTHORIZE_FILE_MAX, &old);
	if (err != 0)
		goto out;

	const char *text = (const char *)buf_peek(&old, &len);

	*ret_added = len == 0 || !has_key(text, len, buf_text(key));
	if (!*ret_added)
		goto out;
	err = buf_printf(&line, "%s%s\n",
			 len > 0 && text[len - 1] != '\n' ? "\n" : "",
			 buf_text(key));
	if (err == 0)
		err = append_line(fd, &line);
out:
	buf_done(&old);
	buf_done(&line);
	return err;
}

int authorize_add(const char *path, const char *line, size_t len,
		  bool *ret_added)
{
	struct buf key;
	int fd = -1;

	buf_init(&key);

	int err = authorize_parse(line, len, &key);

	if (err == 0)
		err = own_folder(path);
	if (err != 0)
		goto out;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = own_it(fd);
	if (err == 0 && flock(fd, LOCK_EX) != 0)
		err = -errno;
	if (err == 0)
		err = add_to(fd, path, &key, ret_added);
	close(fd);
out:
	buf_done(&key);
	return err;
}

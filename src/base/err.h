/* SPDX-License-Identifier: MIT */
/*
 * Error codes. Everywhere a call returns 0 (or a count) on success and a
 * negative int on failure: -errno, libuv's codes as they come, or one of ours.
 * Ours may travel in messages, so a number is never given to another meaning;
 * new rows go to the end.
 */
#pragma once

/* X(name, number, text): the text completes "cannot reach desk: ...". */
#define RW_ERRORS(X)                                                           \
	X(PROTO, -20001, "the other side broke the protocol")                  \
	X(LIMIT, -20002, "a limit is reached")                                 \
	X(CLOSING, -20003, "it is closing down")                               \
	X(CRYPTO, -20004, "a cryptographic operation failed")                  \
	X(PIN, -20005, "the other side's key is not the expected one")         \
	X(REFUSED, -20006, "the other side refused")                           \
	X(NOT_ALLOWED, -20007, "this key is not allowed to do that")           \
	X(TIMEOUT, -20008, "no answer in time")                                \
	X(NO_HOST, -20009, "no such host")                                     \
	X(UNREACHABLE, -20010, "it cannot be reached")                         \
	X(CANCELLED, -20011, "cancelled")                                      \
	X(REPLACED, -20012, "another process with this key took over")         \
	X(RESTARTED, -20013, "the rig restarted")                              \
	X(EXPIRED, -20014, "it has expired")                                   \
	X(USED, -20015, "it was used already")                                 \
	X(MANGLED, -20016, "some of its characters are wrong")                 \
	X(FORMAT, -20017, "it is not in the expected form")                    \
	X(PERM, -20018, "the key file can be read by others")                  \
	X(EXISTS, -20019, "it exists already")                                 \
	X(NOT_FOUND, -20020, "not found")                                      \
	X(TRUNCATED, -20021, "it was cut off")                                 \
	X(IO, -20022, "reading or writing failed")                             \
	X(NOMEM, -20023, "out of memory")                                      \
	X(BUSY, -20024, "it is in use")                                        \
	X(GONE, -20025, "it is gone")                                          \
	X(SUSPECT, -20026, "no answer to a ping")                              \
	X(OTHER_MACHINE, -20027, "the key belongs to another machine")         \
	X(VERSION, -20028, "it needs another version of rigway")               \
	X(KEY_MISSING, -20029, "the key file beside this state is missing")    \
	X(OFFLINE, -20030, "it is offline")                                    \
	X(EOF, -20031, "the stream ended too early")

enum rw_err {
#define RW_ERR_ROW(name, number, text) RW_ERR_##name = (number),
	RW_ERRORS(RW_ERR_ROW)
#undef RW_ERR_ROW
};

/* A sentence part for people. Takes our codes, -errno and libuv's name
 * resolution codes; never NULL. The text of an unknown code is static per
 * thread and holds until the next call. */
const char *err_text(int err);
/* The code's name ("PROTO") for logs and JSON; "OTHER" for codes that are not
 * ours. */
const char *err_name(int err);

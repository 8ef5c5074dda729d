/* SPDX-License-Identifier: MIT */
/* Addresses of sockets, as the system has them. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* "1.2.3.4:80", "[::1]:80" or "unix"; NUL ended, cut at cap. Returns text. */
char *sockaddr_text(const struct sockaddr *addr, char *text, size_t cap);
/* A numeric IPv4 or IPv6 address ("fe80::1%eth0", too) and a port. False when
 * it is none. */
bool sockaddr_parse(const char *host, uint16_t port,
		    struct sockaddr_storage *ret);
/* How far an address reaches. */
enum sockaddr_scope {
	SOCKADDR_ANY,	   /* unspecified: to listen, everywhere; to dial, here
			    */
	SOCKADDR_LOOPBACK, /* this machine */
	SOCKADDR_LINK,	   /* one network, where an interface must be named */
	SOCKADDR_PRIVATE,  /* behind NAT, a carrier's too: RFC 1918, 6598, 4193
			    */
	SOCKADDR_GLOBAL,
};

/* Of an IPv4 or IPv6 address; IPv4 ones in the form of IPv6 as themselves. */
enum sockaddr_scope sockaddr_scope(const struct sockaddr *addr);
/* Whether addr is an IPv4 address in the form of an IPv6 one (RFC 4291,
 * 2.5.5.2), and which one it is. */
bool sockaddr_unmap(const struct sockaddr *addr, struct sockaddr_in *ret);

/* SPDX-License-Identifier: MIT */
/*
 * A small UDP socket: datagrams of a kilobyte at most, to one address or to a
 * multicast group of one network. What does not leave at once does not leave.
 * Loop thread only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#define UDP_LEN_MAX 1024

struct udp;

/* A datagram came; longer ones are dropped. data is valid until the call
 * returns; udp_close() is fine inside. */
typedef void udp_on_datagram(void *user, const uint8_t *data, size_t len,
			     const struct sockaddr *from);

struct udp_params {
	int family;	  /* AF_INET or AF_INET6, which then takes no IPv4 */
	const char *host; /* a number, also a group's; NULL: every address */
	uint16_t port;	  /* 0: any free one */
	bool is_shared;	  /* other sockets that say so may have it, too */
	udp_on_datagram *on_datagram;
	void *user;
};

/* 0; -EADDRINUSE, -EAFNOSUPPORT, another -errno. */
int udp_open(uv_loop_t *loop, const struct udp_params *p, struct udp **ret);
/* The port that was bound. */
uint16_t udp_port(const struct udp *u);
/* Hears what is sent to the group on the network of this interface. 0, also
 * when it does already, or -errno. */
int udp_join(struct udp *u, const char *group, unsigned iface);
/* Also for an interface that is gone. 0 or -errno. */
int udp_leave(struct udp *u, const char *group, unsigned iface);
/* 0 or -errno. */
int udp_send(struct udp *u, const struct sockaddr *to, const void *data,
	     size_t len);
struct udp_group {
	const char *addr;
	uint16_t port;
	unsigned iface;
};
/* To the group, out of this interface, no further than its network. 0 or
 * -errno. */
int udp_send_group(struct udp *u, const struct udp_group *to, const void *data,
		   size_t len);
/* No on_datagram any more; the port is free at once. NULL is fine. */
void udp_close(struct udp *u);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Network namespaces, by the name of their file, and what the kernel says of TCP's
 * source ports in one. Another namespace than this process's own is entered for a moment,
 * which takes CAP_SYS_ADMIN; this process has to have one thread, or that moment
 * would be all of its threads' affair.
 */
#ifndef TD_HOST_NETNS_H
#define TD_HOST_NETNS_H

#include "lib/util.h"

#define TD_NETNS_PORT_WORDS 1024u /* of 64 bits: a bit for each port */

struct td_netns_facts {
	uint16_t first, last;			/* net.ipv4.ip_local_port_range */
	uint64_t reserved[TD_NETNS_PORT_WORDS]; /* net.ipv4.ip_local_reserved_ports */
	uint8_t tw_reuse;			/* net.ipv4.tcp_tw_reuse */
	uint32_t tw_reuse_delay_ms; /* net.ipv4.tcp_tw_reuse_delay; 1000 where there is none */
	uint32_t tw_limit;	    /* net.ipv4.tcp_max_tw_buckets */
	uint32_t tw;		    /* in TIME_WAIT now, of both families */
	/* Since the namespace was made, by /proc/net/netstat. */
	uint64_t tw_entered, tw_recycled, tw_killed, tw_overflow;
};

/* "/run/netns/NAME" or "/proc/PID/ns/net". Returns 0 or with a sentence -ENOENT (it is not
 * there), -EINVAL (it is something else), -EACCES, or another. */
int td_host_netns_open(const char *path, int *ret_fd, struct td_error *error);

/* Whether a path leads to that namespace still. Returns 0, or with a sentence what
 * td_host_netns_open does, or -ESTALE (to another one). */
int td_host_netns_check(const char *path, int fd, struct td_error *error);

/* @fd: of td_host_netns_open; -1: this process's own. Returns 0 or with a sentence. */
int td_host_netns_read(int fd, struct td_netns_facts *ret, struct td_error *error);

/* "8080,9000-9100" into bits: what the kernel prints. Returns 0 or -EINVAL. */
int td_host_ports_parse(const char *text, uint64_t ret[TD_NETNS_PORT_WORDS]);

#endif

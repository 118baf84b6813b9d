/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ports that the kernel gives to no socket by itself: net.ipv4.ip_local_reserved_ports of
 * this process's own network namespace, which several programs may add to.
 */
#ifndef TD_HOST_RESERVED_H
#define TD_HOST_RESERVED_H

#include "host/netns.h"

/* "8080,9000-9100", "" for none. Returns -ENOSPC where it does not fit, `buffer` "" then. */
int td_reserved_print(const uint64_t bits[TD_NETNS_PORT_WORDS], char *buffer, size_t size);

/*
 * Adds ports and takes others away, in one write; what neither names stays. *ret_changed
 * (may be NULL): something was written. Returns 0 or with a sentence.
 */
int td_host_reserve(const uint64_t add[TD_NETNS_PORT_WORDS],
		    const uint64_t take_away[TD_NETNS_PORT_WORDS], bool *ret_changed,
		    struct td_error *error);

#endif

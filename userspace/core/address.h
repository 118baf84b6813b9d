/* SPDX-License-Identifier: GPL-2.0-only */
/* Text of addresses, ports and MAC addresses. */
#ifndef TD_CORE_ADDRESS_H
#define TD_CORE_ADDRESS_H

#include <arpa/inet.h>

#include <tundish/addr.h>

#include "lib/util.h"

#define TD_ADDRESS_TEXT INET6_ADDRSTRLEN

/* "192.0.2.1" or "2001:db8::1" to an address; IPv4 becomes IPv4-mapped, and an
 * IPv4-mapped IPv6 text is refused. Returns 0 or -EINVAL, *ret untouched. */
int td_address_parse(const char *text, struct tundish_addr *ret);

/* Writes the address without brackets into `buffer` of TD_ADDRESS_TEXT bytes
 * and returns it. IPv4-mapped prints as IPv4. */
const char *td_address_print(const struct tundish_addr *address, char *buffer);

/* "1.2.3.4:80", "[2001:db8::1]:80", or without the port (then *ret_port is 0,
 * host byte order). Returns 0 or -EINVAL. */
int td_endpoint_parse(const char *text, struct tundish_addr *ret_address, uint16_t *ret_port);

/* AF_INET or AF_INET6. */
int td_address_family(const struct tundish_addr *address);

#endif

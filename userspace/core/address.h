/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses and prefixes, and their text. */
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

/* An address and how many of its bits count, from the front: 128 for all, and 96
 * more than the number behind an IPv4 prefix's slash. */
struct td_prefix {
	struct tundish_addr address;
	uint8_t length;
};

#define TD_PREFIX_ALL  128
#define TD_PREFIX_V4   96
#define TD_PREFIX_TEXT (TD_ADDRESS_TEXT + 4)

/* "192.0.2.0/24", or an address alone. Bits behind the length are left as they
 * are. Returns 0 or -EINVAL, *ret untouched. */
int td_prefix_parse(const char *text, struct td_prefix *ret);

/* Writes into `buffer` of TD_PREFIX_TEXT bytes and returns it; an address of all
 * its bits prints without a slash. */
const char *td_prefix_print(const struct td_prefix *prefix, char *buffer);

/* The address with zeros behind the length. */
struct tundish_addr td_address_mask(const struct tundish_addr *address, unsigned int length);

bool td_prefix_holds(const struct td_prefix *prefix, const struct tundish_addr *address);

/* Of struct td_prefix, by address, and the wider one first: in this order a prefix
 * comes before all that lies in it, and nothing else comes between. */
int td_prefix_compare(const void *a, const void *b);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses and prefixes, and their text. The C library's inet_pton is strict already (four decimal
 * octets without leading zeros, no zone index); what is added is that one
 * address has one spelling of its family: IPv4 written as IPv4-mapped IPv6 is
 * refused, since it would be a second name for the same key.
 */
#include "core/address.h"

int td_address_parse(const char *text, struct tundish_addr *ret)
{
	struct tundish_addr a;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*ret = tundish_addr_v4(v4.s_addr);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &a) != 1 || tundish_addr_is_v4(&a))
		return -EINVAL;
	*ret = a;
	return 0;
}

const char *td_address_print(const struct tundish_addr *address, char *buffer)
{
	/* Neither can fail: both families are known and the buffer holds the longer. */
	if (tundish_addr_is_v4(address))
		inet_ntop(AF_INET, &address->word[3], buffer, TD_ADDRESS_TEXT);
	else
		inet_ntop(AF_INET6, address, buffer, TD_ADDRESS_TEXT);
	return buffer;
}

int td_address_family(const struct tundish_addr *address)
{
	return tundish_addr_is_v4(address) ? AF_INET : AF_INET6;
}

/* 1 to 65535 in decimal, without sign or leading zero: 0 says "no port". */
static int port_parse(const char *text, uint16_t *ret)
{
	uint32_t port = 0;

	if (*text == '0' || !*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (uint32_t)(*text - '0');
		if (port > UINT16_MAX)
			return -EINVAL;
	}
	*ret = (uint16_t)port;
	return 0;
}

int td_endpoint_parse(const char *text, struct tundish_addr *ret_address, uint16_t *ret_port)
{
	const char *host = text, *end, *colon = NULL;
	bool bracketed = *text == '[';
	char buffer[TD_ADDRESS_TEXT];
	struct tundish_addr address;
	uint16_t port = 0;
	size_t length;

	if (bracketed) {
		host++;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		if (end[1])
			colon = end + 1;
	} else {
		colon = strchr(text, ':');
		if (colon && strchr(colon + 1, ':'))
			colon = NULL; /* IPv6 alone */
		end = colon ? colon : text + strlen(text);
	}

	length = (size_t)(end - host);
	if (length >= sizeof(buffer))
		return -EINVAL;
	memcpy(buffer, host, length);
	buffer[length] = '\0';
	if (td_address_parse(buffer, &address) < 0)
		return -EINVAL;
	if (bracketed && tundish_addr_is_v4(&address))
		return -EINVAL;
	if (colon && port_parse(colon + 1, &port) < 0)
		return -EINVAL;
	*ret_address = address;
	*ret_port = port;
	return 0;
}

/* ---- prefixes ---------------------------------------------------------------- */

struct tundish_addr td_address_mask(const struct tundish_addr *address, unsigned int length)
{
	struct tundish_addr a = *address;

	for (unsigned int i = 0; i < TD_ARRAY_SIZE(a.word); i++) {
		unsigned int bits = length > 32 * i ? TD_MIN(length - 32 * i, 32u) : 0;

		a.word[i] &= bits ? htonl(UINT32_MAX << (32 - bits)) : 0;
	}
	return a;
}

bool td_prefix_holds(const struct td_prefix *prefix, const struct tundish_addr *address)
{
	struct tundish_addr a = td_address_mask(address, prefix->length);

	return tundish_addr_equal(&a, &prefix->address);
}

int td_prefix_compare(const void *a, const void *b)
{
	const struct td_prefix *x = a, *y = b;
	int r = memcmp(&x->address, &y->address, sizeof(x->address));

	return r ? r : (x->length > y->length) - (x->length < y->length);
}

int td_prefix_parse(const char *text, struct td_prefix *ret)
{
	const char *slash = strchr(text, '/');
	char buffer[TD_ADDRESS_TEXT];
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	struct tundish_addr address;
	unsigned int length = 0, bits;

	if (n >= sizeof(buffer))
		return -EINVAL;
	memcpy(buffer, text, n);
	buffer[n] = '\0';
	if (td_address_parse(buffer, &address) < 0)
		return -EINVAL;
	bits = tundish_addr_is_v4(&address) ? 32 : 128;
	if (slash) {
		const char *p = slash + 1;

		/* Without sign or leading zero. */
		if (!*p || strspn(p, "0123456789") != strlen(p) || strlen(p) > 3 ||
		    (*p == '0' && p[1]))
			return -EINVAL;
		for (; *p; p++)
			length = length * 10 + (unsigned int)(*p - '0');
		if (length > bits)
			return -EINVAL;
	} else {
		length = bits;
	}
	ret->address = address;
	ret->length = (uint8_t)(length + TD_PREFIX_ALL - bits);
	return 0;
}

const char *td_prefix_print(const struct td_prefix *prefix, char *buffer)
{
	unsigned int base = tundish_addr_is_v4(&prefix->address) ? TD_PREFIX_V4 : 0;
	size_t used;

	td_address_print(&prefix->address, buffer);
	used = strlen(buffer);
	if (prefix->length < TD_PREFIX_ALL)
		snprintf(buffer + used, TD_PREFIX_TEXT - used, "/%u",
			 (uint8_t)(prefix->length - base));
	return buffer;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers of addresses, prefixes and endpoints; see value.c for the others.
 *
 * An address of a server or of a VIP has to be one that a host can have for
 * itself and others can reach. Which ones are not stands in one table, that
 * judges single addresses and prefixes alike.
 */
#include "config/value.h"
#include "core/address.h"

#define V4(a, b, c, d)                                                                             \
	{                                                                                          \
		{                                                                                  \
			0, 0, TUNDISH_BE32(0xffff),                                                \
				TUNDISH_BE32((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))     \
		}                                                                                  \
	}
#define V6(first, last)                                                                            \
	{                                                                                          \
		{                                                                                  \
			TUNDISH_BE32(first), 0, 0, TUNDISH_BE32(last)                              \
		}                                                                                  \
	}

static const struct flaw {
	struct td_prefix of;
	const char *name;
	bool listens; /* a program may listen there */
} flaws[] = {
	{{V4(0, 0, 0, 0), 128}, "the unspecified address", true},
	{{V4(255, 255, 255, 255), 128}, "the broadcast address", false},
	{{V4(127, 0, 0, 0), 96 + 8}, "a loopback address", true},
	{{V4(224, 0, 0, 0), 96 + 4}, "a multicast address", false},
	{{V4(169, 254, 0, 0), 96 + 16}, "a link-local address", false},
	{{V6(0, 0), 128}, "the unspecified address", true},
	{{V6(0, 1), 128}, "a loopback address", true},
	{{V6(0xff000000u, 0), 8}, "a multicast address", false},
	{{V6(0xfe800000u, 0), 10}, "a link-local address", false},
};

/* The first kind of address that the prefix is of, or has among its own; or NULL. */
static const struct flaw *flaw_of(const struct td_prefix *p)
{
	for (size_t i = 0; i < TD_ARRAY_SIZE(flaws); i++)
		if (td_prefix_holds(&flaws[i].of, &p->address) ||
		    td_prefix_holds(p, &flaws[i].of.address))
			return &flaws[i];
	return NULL;
}

static const char *flaw_of_address(const struct tundish_addr *a, bool listens)
{
	const struct flaw *f = flaw_of(&(struct td_prefix){*a, TD_PREFIX_ALL});

	return f && !(listens && f->listens) ? f->name : NULL;
}

static int fail_mapped(const char *key, const char *text, const struct tundish_addr *a,
		       struct td_error *error)
{
	char quoted[TD_QUOTED], v4[TD_ADDRESS_TEXT];

	return td_fail(error, EINVAL, "%s %s is an IPv4-mapped address; write %s", key,
		       td_quote(text, quoted), td_address_print(a, v4));
}

static int read_address(const char *key, const char *text, struct tundish_addr *ret,
			struct td_error *error)
{
	char quoted[TD_QUOTED];
	struct tundish_addr a;
	const char *flaw;

	if (td_address_parse(text, &a) < 0) {
		if (inet_pton(AF_INET6, text, &a) == 1)
			return fail_mapped(key, text, &a, error);
		return td_fail(error, EINVAL,
			       "%s %s is not an address; valid: one such as 192.0.2.10 "
			       "or \"2001:db8::10\"",
			       key, td_quote(text, quoted));
	}
	flaw = flaw_of_address(&a, false);
	if (flaw)
		return td_fail(error, EINVAL, "%s %s is %s; give a unicast address", key,
			       td_quote(text, quoted), flaw);
	*ret = a;
	return 0;
}

int td_value_read_address(const struct td_row *row, const char *text, void *object,
			  struct td_error *error)
{
	return read_address(row->key, text, (struct tundish_addr *)((char *)object + row->offset),
			    error);
}

int td_value_read_source(const struct td_row *row, const char *text, struct td_source_conf *ret,
			 struct td_error *error)
{
	return read_address(strcmp(row->key, "sources") ? "address" : "source", text, &ret->address,
			    error);
}

/* Any prefix: these are others' addresses. */
int td_value_read_prefix(const struct td_row *row, const char *text, struct td_vip_conf *ret,
			 struct td_error *error)
{
	char quoted[TD_QUOTED], valid[TD_PREFIX_TEXT];
	struct td_prefix p, clean;

	if (td_prefix_parse(text, &p) < 0)
		return td_fail(error, EINVAL,
			       "%s %s is not a prefix; valid: one such as 10.0.0.0/8 or "
			       "\"2001:db8::/32\", or an address",
			       row->key, td_quote(text, quoted));
	clean = (struct td_prefix){td_address_mask(&p.address, p.length), p.length};
	if (!tundish_addr_equal(&clean.address, &p.address))
		return td_fail(error, EINVAL, "%s %s has bits behind its length; valid: %s",
			       row->key, td_quote(text, quoted), td_prefix_print(&clean, valid));
	ret->address = p.address;
	ret->prefix = p.length;
	return 0;
}

/* ---- VIPs -------------------------------------------------------------------- */

/* A wider one would take over more of the Internet than one host can mean. */
#define WIDEST_V4 8
#define WIDEST_V6 32

static int read_prefix(const char *text, struct td_prefix *ret, struct td_error *error)
{
	char quoted[TD_QUOTED], valid[TD_PREFIX_TEXT], alone[TD_ADDRESS_TEXT];
	static const struct tundish_addr mapped = V4(0, 0, 0, 0);
	struct td_prefix p, clean;
	const struct flaw *flaw;
	unsigned int length;
	bool v4;

	td_quote(text, quoted);
	if (td_prefix_parse(text, &p) < 0)
		return td_fail(error, EINVAL,
			       "VIP %s is not a prefix; valid: one such as 198.51.100.0/24 or "
			       "\"2001:db8:1::/64\"",
			       quoted);
	v4 = tundish_addr_is_v4(&p.address);
	length = p.length - (v4 ? TD_PREFIX_V4 : 0);
	if (length < (v4 ? WIDEST_V4 : WIDEST_V6))
		return td_fail(error, EINVAL, "VIP %s is wider than /%u; valid: /%u to /%u", quoted,
			       v4 ? WIDEST_V4 : WIDEST_V6, v4 ? WIDEST_V4 : WIDEST_V6,
			       v4 ? 32 : 128);
	clean = (struct td_prefix){td_address_mask(&p.address, p.length), p.length};
	if (!tundish_addr_equal(&clean.address, &p.address))
		return td_fail(error, EINVAL,
			       "VIP %s has bits behind its length; valid: %s, or the address %s "
			       "alone",
			       quoted, td_prefix_print(&clean, valid),
			       td_address_print(&p.address, alone));
	if (!v4 && td_prefix_holds(&p, &mapped))
		return td_fail(error, EINVAL,
			       "VIP %s has IPv4-mapped addresses in it; write those as IPv4",
			       quoted);
	flaw = flaw_of(&p);
	if (flaw && p.length < TD_PREFIX_ALL)
		return td_fail(error, EINVAL, "VIP %s has %s in it; give unicast addresses", quoted,
			       flaw->name);
	if (flaw)
		return td_fail(error, EINVAL, "VIP %s is %s; give a unicast address", quoted,
			       flaw->name);
	*ret = p;
	return 0;
}

int td_value_read_vip(const char *text, struct td_vip_conf *ret, struct td_error *error)
{
	struct td_prefix p = {.length = TD_PREFIX_ALL};
	int r = strchr(text, '/') ? read_prefix(text, &p, error)
				  : read_address("VIP", text, &p.address, error);

	if (r < 0)
		return r;
	ret->address = p.address;
	ret->prefix = p.length;
	return 0;
}

/* ---- endpoints ----------------------------------------------------------------- */

int td_value_read_listen(const char *text, struct td_listen_conf *ret, struct td_error *error)
{
	struct tundish_addr address;
	char quoted[TD_QUOTED];
	const char *flaw;
	uint16_t port;

	if (td_endpoint_parse(text, &address, &port) < 0 || !port)
		return td_fail(error, EINVAL,
			       "listen %s is not ADDRESS:PORT; valid: one such as \"[::]:8080\" or "
			       "\"0.0.0.0:8080\"",
			       td_quote(text, quoted));
	flaw = flaw_of_address(&address, true);
	if (flaw)
		return td_fail(error, EINVAL,
			       "listen %s is on %s, where no connection arrives; valid: one such "
			       "as \"[::]:%u\"",
			       td_quote(text, quoted), flaw, port);
	ret->address = address;
	ret->port = port;
	return 0;
}

const char *td_listen_print(const struct td_listen_conf *listen, char buffer[TD_LISTEN_TEXT])
{
	bool v4 = tundish_addr_is_v4(&listen->address);
	char address[TD_ADDRESS_TEXT];

	td_address_print(&listen->address, address);
	snprintf(buffer, TD_LISTEN_TEXT, v4 ? "%s:%u" : "[%s]:%u", address, listen->port);
	return buffer;
}

int td_value_read_endpoint(const struct td_row *row, const char *text, void *object,
			   struct td_error *error)
{
	struct tundish_addr address;
	char quoted[TD_QUOTED];
	uint16_t port;
	bool off = row->choices && !strcmp(text, row->choices->name);

	if (!off &&
	    (strlen(text) >= row->size || td_endpoint_parse(text, &address, &port) < 0 || !port))
		return td_fail(error, EINVAL,
			       "%s %s is not ADDRESS:PORT; valid: one such as "
			       "\"127.0.0.1:9799\" or \"[::]:9799\"%s%s",
			       row->key, td_quote(text, quoted), row->choices ? ", or " : "",
			       row->choices ? row->choices->name : "");
	memset((char *)object + row->offset, 0, row->size);
	if (!off)
		memcpy((char *)object + row->offset, text, strlen(text));
	return 0;
}

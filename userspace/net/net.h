/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's network, over rtnetlink (libmnl): where a backend is, which
 * addresses this host has, and the VIPs it shall own. One handle, opened with
 * CAP_NET_ADMIN and CAP_NET_RAW; every call is bounded in time.
 */
#ifndef TD_NET_H
#define TD_NET_H

#include <tundish/maps.h>

#include "core/address.h"
#include "core/config.h"

struct td_net;

int td_net_open(struct td_net **ret, struct td_error *error);
struct td_net *td_net_close(struct td_net *n); /* NULL is allowed; returns NULL */

/* A descriptor that becomes readable when links, addresses, routes or
 * neighbours change. */
int td_net_event_fd(const struct td_net *n);

/* Reads all that is waiting. Returns a bit set of what changed (0: nothing that
 * matters), or a negative errno. A lost event (ENOBUFS) counts as "all". */
enum td_net_change {
	TD_NET_LINKS = 1 << 0,
	TD_NET_ADDRESSES = 1 << 1, /* and local routes of ours that went */
	TD_NET_ROUTES = 1 << 2,
	TD_NET_NEIGHBOURS = 1 << 3,
};
int td_net_drain_events(struct td_net *n);

/*
 * Where packets to `address` go now: route, neighbour, link. Fills MAC
 * addresses, ifindex (of the lower device where the route's is a VLAN, with
 * the tag), MTU (the smaller of route's and link's) and the preferred source
 * address (in the address's family; from the route, else the first address of
 * the output device).
 *
 * Where the neighbour is not resolved yet it asks the kernel to resolve it and
 * to keep it so (NTF_EXT_MANAGED, NTF_USE where that is refused), and returns
 * -EAGAIN with everything but the MAC filled in.
 * Others: -ENETUNREACH no route; -ENETDOWN the link is down; -EMEDIUMTYPE the
 * device has no Ethernet addresses (error->text says which). A local address
 * gives TUNDISH_NEXTHOP_LOCAL and 0. `ret_via_gateway` may be NULL.
 */
int td_net_nexthop(struct td_net *n, const struct tundish_addr *address,
		   struct tundish_nexthop *ret, bool *ret_via_gateway, struct td_error *error);

/* What a NIC does to packets before a program sees them. */
struct td_link_facts {
	uint32_t mtu;
	bool partial; /* checksums may be left for a NIC to finish: the link is a virtual one */
	bool strips;  /* VLAN tags are taken away, and VLAN devices stand on it */
};
/* -ENODEV where there is none of that index. */
int td_net_link_facts(struct td_net *n, unsigned int ifindex, struct td_link_facts *ret);
bool td_link_driver_is_partial(const char *driver);

/* All unicast addresses of this host but loopback's own; the caller frees. */
int td_net_addresses(struct td_net *n, struct tundish_addr **ret, size_t *ret_n);

/* How this host itself would send to an address. */
struct td_net_way {
	unsigned int ifindex;
	bool local, on_link; /* its own address; without a gateway */
	bool has_source;
	struct tundish_addr source;
};

/* 0, or a negative errno where there is no way. */
int td_net_way(struct td_net *n, const struct tundish_addr *to, struct td_net_way *ret);

struct td_net_address {
	struct tundish_addr address;
	unsigned int ifindex;
	uint8_t prefix; /* of the network that it is in, in the 128-bit form */
	bool ours;	/* added by td_net_own_vips */
	bool preferred; /* may be chosen as a source */
};

/* All of this host but loopback's own, with their networks; the caller frees. */
int td_net_networks(struct td_net *n, struct td_net_address **ret, size_t *ret_n);

/*
 * Owning VIPs. An added address carries IFA_PROTO TD_NET_PROTO, so it is known
 * again as ours after any crash; one that was there already is never touched.
 * IPv4: /32 on the first of the interfaces that is up; IPv6: /128, without
 * duplicate address detection, preferred lifetime 0 so that it is never chosen
 * as a source, on each interface, since neighbour discovery answers only
 * there. Interfaces by ifindex. A prefix is owned by a local route on lo with
 * that protocol, for both families, and nothing is announced: what leads it here
 * is a route of others, or ARP for IPv4 on the link.
 */
#define TD_NET_PROTO 0x74 /* 't' */

/*
 * Makes the set of our added addresses equal to `vips`: adds the missing,
 * announces those added (gratuitous ARP, unsolicited neighbour advertisement),
 * and removes ours of `former` that are no longer wanted, or wanted elsewhere.
 * Interfaces that are down or gone are left out; call again when links change.
 * -ENETDOWN where none is left for a missing VIP.
 *
 * `ret_changes` (may be NULL) becomes one line per change, "" where none, to
 * free. One VIP's failure does not stop the others: the first is returned, and
 * `ret_changes` is set all the same (NULL only without memory).
 */
int td_net_own_vips(struct td_net *n, const struct td_prefix *vips, size_t n_vips,
		    const struct td_prefix *former, size_t n_former, const unsigned int *interfaces,
		    size_t n_interfaces, char **ret_changes, struct td_error *error);

/* Around many look-ups in a row: the last link, source and neighbour are kept from one to the
 * next, since most backends are behind one gateway. What changes meanwhile is an event, as
 * always, and found by the next round. */
void td_net_lately_begin(struct td_net *n);
void td_net_lately_end(struct td_net *n);

/* Around a look-up of everything that is needed: what td_net_nexthop asked the kernel
 * to keep resolved before, and did not ask for again in between, is given back. */
void td_net_care_begin(struct td_net *n);
void td_net_care_end(struct td_net *n);

/* Ends the kernel's care for the neighbours that td_net_nexthop has asked it to
 * keep resolved (known by protocol TD_NET_PROTO); for `unload`. */
int td_net_release_neighbours(struct td_net *n, struct td_error *error);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inside of net/: what is asked of the kernel about links, routes, neighbours
 * and addresses. Each parser takes one message, of any content, and is apart
 * from the request so that a test can feed it.
 */
#ifndef TD_NET_QUERY_H
#define TD_NET_QUERY_H

#include "net/session.h"

#ifndef RTEXT_FILTER_SKIP_STATS
#define RTEXT_FILTER_SKIP_STATS (1 << 3)
#endif

struct td_link {
	unsigned int index;
	char name[IFNAMSIZ];
	uint16_t type;	    /* ARPHRD_ */
	unsigned int flags; /* IFF_ */
	uint32_t mtu;
	bool has_mac;
	uint8_t mac[6];
	bool vlan;
	uint16_t vlan_id;
	uint16_t vlan_protocol; /* host byte order, 0x8100 unless told */
	unsigned int lower;	/* ifindex of the device below, 0: none */
	bool lower_elsewhere;	/* ... which lies in another network namespace */
};

/* Both 0; -EBADMSG for a message that is none of a link. */
int td_link_parse(const struct nlmsghdr *h, struct td_link *ret);
/* -ENODEV where there is none of that index. */
int td_link_get(struct td_net *n, unsigned int index, struct td_link *ret);

struct td_route {
	uint8_t type;	  /* RTN_ */
	unsigned int oif; /* 0: none */
	uint32_t mtu;	  /* of the route, 0: none */
	bool has_gateway, has_source, encapsulates;
	struct tundish_addr gateway; /* may be of the other family */
	struct tundish_addr source;
};

int td_route_parse(const struct nlmsghdr *h, struct td_route *ret);
/* A route of type RTN_BLACKHOLE and the like is success here. -ENETUNREACH
 * where there is none. */
int td_route_get(struct td_net *n, const struct tundish_addr *to, struct td_route *ret);

struct td_neigh {
	unsigned int ifindex;
	struct tundish_addr address;
	uint16_t state; /* NUD_ */
	uint8_t flags;	/* NTF_ */
	uint8_t protocol;
	bool managed;
	bool has_mac;
	uint8_t mac[6];
};

int td_neigh_parse(const struct nlmsghdr *h, struct td_neigh *ret);
/* -ENOENT where there is none. */
int td_neigh_get(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a,
		 struct td_neigh *ret);
/* The kernel would send to its MAC address now. */
bool td_neigh_usable(const struct td_neigh *g);
/* Asks for resolution, and for keeping it so; `known` is the present entry or NULL. */
int td_neigh_resolve(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a,
		     const struct td_neigh *known);

/* Ends the kernel's care, where it is ours; 0 also where there is nothing to end. */
int td_neigh_release(struct td_net *n, unsigned int ifindex, const struct tundish_addr *a);

struct td_host_address {
	struct tundish_addr address;
	unsigned int ifindex;
	uint32_t flags; /* IFA_F_ */
	uint8_t prefix_length;
	uint8_t protocol; /* IFA_PROTO, 0: none */
};

/* 1: taken, 0: of no family of ours, or a negative errno. */
int td_host_address_parse(const struct nlmsghdr *h, struct td_host_address *ret);
/* All, sorted by address and ifindex; of one device unless ifindex is 0. */
int td_host_addresses(struct td_net *n, unsigned int ifindex, struct td_host_address **ret,
		      size_t *ret_n);
int td_addr_compare(const void *a, const void *b); /* of struct tundish_addr */

/* MAC, device, tag and MTU from the route's link and (for a VLAN) the link below it. */
int td_nexthop_apply_link(const struct td_link *link, const struct td_link *lower,
			  struct tundish_nexthop *ret, struct td_error *error);

#endif

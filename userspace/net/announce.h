/* SPDX-License-Identifier: GPL-2.0-only */
/* Inside of net/: telling the link's other hosts where an address is now. */
#ifndef TD_NET_ANNOUNCE_H
#define TD_NET_ANNOUNCE_H

#include "net/query.h"

#define TD_FRAME_ARP_BYTES 42
#define TD_FRAME_NA_BYTES  86

/* Gratuitous ARP, as a request or as a reply: sender and target are the VIP. */
void td_frame_arp(uint8_t frame[TD_FRAME_ARP_BYTES], const uint8_t mac[6], __be32 vip_be,
		  bool reply);

/* Unsolicited neighbour advertisement with override, to all nodes (RFC 4861, 7.2.6). */
void td_frame_na(uint8_t frame[TD_FRAME_NA_BYTES], const uint8_t mac[6],
		 const struct tundish_addr *vip);

/* Sends them for `vip` by this link: 0, also where the link is no Ethernet, or
 * a negative errno. */
int td_announce(struct td_net *n, const struct td_link *link, const struct tundish_addr *vip);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Announcements of addresses that this host has just taken. Whole frames on a
 * packet socket, since no other socket sends ARP, nor ICMPv6 from an address
 * that is deprecated. Some hosts take news from ARP requests only, some from
 * replies only, so both forms are sent (RFC 5227, section 3).
 */
#include "net/announce.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <poll.h>

#define SEND_WAIT_MS 20

static uint8_t *put16(uint8_t *p, unsigned int v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put(uint8_t *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

void td_frame_arp(uint8_t frame[TD_FRAME_ARP_BYTES], const uint8_t mac[6], __be32 vip_be,
		  bool reply)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, none[6];
	uint8_t *p = frame;

	p = put(p, all, 6);
	p = put(p, mac, 6);
	p = put16(p, ETH_P_ARP);
	p = put16(p, ARPHRD_ETHER);
	p = put16(p, ETH_P_IP);
	*p++ = 6;
	*p++ = 4;
	p = put16(p, reply ? ARPOP_REPLY : ARPOP_REQUEST);
	p = put(p, mac, 6);
	p = put(p, &vip_be, 4);
	p = put(p, reply ? mac : none, 6);
	put(p, &vip_be, 4);
}

static uint32_t sum16(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

void td_frame_na(uint8_t frame[TD_FRAME_NA_BYTES], const uint8_t mac[6],
		 const struct tundish_addr *vip)
{
	static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t all_nodes[16] = {0xff, 0x02, [15] = 1};
	enum { IP = 14, ICMP = IP + 40, LENGTH = 32 };
	uint32_t sum;
	uint8_t *p;

	memset(frame, 0, TD_FRAME_NA_BYTES);
	p = put(frame, all_nodes_mac, 6);
	p = put(p, mac, 6);
	put16(p, ETH_P_IPV6);

	frame[IP] = 6 << 4;
	put16(frame + IP + 4, LENGTH);
	frame[IP + 6] = IPPROTO_ICMPV6;
	frame[IP + 7] = 255; /* a receiver takes nothing less */
	p = put(frame + IP + 8, vip, 16);
	put(p, all_nodes, 16);

	frame[ICMP] = 136;	/* neighbour advertisement */
	frame[ICMP + 4] = 0x20; /* override; neither router nor solicited */
	put(frame + ICMP + 8, vip, 16);
	frame[ICMP + 24] = 2; /* option: target link-layer address, */
	frame[ICMP + 25] = 1; /* of eight bytes */
	put(frame + ICMP + 26, mac, 6);

	/* Both addresses lie in a row, then length and next header. */
	sum = sum16(LENGTH + IPPROTO_ICMPV6, frame + IP + 8, 32);
	sum = sum16(sum, frame + ICMP, LENGTH);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(frame + ICMP + 2, ~sum & 0xffff);
}

static int send_frame(struct td_net *n, const struct td_link *link, const uint8_t *frame,
		      size_t length)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)link->index,
		.sll_halen = 6,
	};

	/* With protocol 0 on the socket the kernel takes the frame's from here. */
	memcpy(&to.sll_protocol, frame + 12, 2);
	memcpy(to.sll_addr, frame, 6);
	for (int i = 0; i < 2; i++) {
		struct pollfd p = {.fd = n->packet_fd, .events = POLLOUT};

		if (sendto(n->packet_fd, frame, length, 0, (void *)&to, sizeof(to)) >= 0)
			return 0;
		if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
			return -errno;
		poll(&p, 1, SEND_WAIT_MS);
	}
	return -EAGAIN;
}

int td_announce(struct td_net *n, const struct td_link *link, const struct tundish_addr *vip)
{
	uint8_t frame[TD_FRAME_NA_BYTES];
	int r;

	if (link->type != ARPHRD_ETHER || !link->has_mac || (link->flags & IFF_LOOPBACK))
		return 0;
	if (!tundish_addr_is_v4(vip)) {
		td_frame_na(frame, link->mac, vip);
		return send_frame(n, link, frame, TD_FRAME_NA_BYTES);
	}
	td_frame_arp(frame, link->mac, vip->word[3], false);
	r = send_frame(n, link, frame, TD_FRAME_ARP_BYTES);
	if (r < 0)
		return r;
	td_frame_arp(frame, link->mac, vip->word[3], true);
	return send_frame(n, link, frame, TD_FRAME_ARP_BYTES);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the table of translated connections is asked in, whether its maps are the kernel's
 * (nat_rig.h) or plain memory (native/rig_nat.h).
 */
#ifndef TESTS_NAT_WORLD_H
#define TESTS_NAT_WORLD_H

#include <string.h>

#include <tundish/lane.h>
#include <tundish/nat.h>

static const struct tundish_nat_timeouts nat_world_timeouts = {
	.syn = 57,
	.established = 6931,
	.half_closed = 225,
	.closing = 57,
	.resting = 11,
	.reset_client = 57,
	.reset_server = 11,
	.udp_new = 29,
	.udp = 169,
};

/* A lane from `source` to host `number`, 10.0.2.number, with the ports first..last; with none
 * (first 0) it keeps the clients'. */
static void nat_world_lane(struct tundish_lane *l, struct tundish_lane_ports *ports, uint32_t lane,
			   uint32_t source, uint16_t number, uint16_t port, uint16_t first,
			   uint16_t last)
{
	memset(l, 0, sizeof(*l));
	memset(ports, 0, sizeof(*ports));
	l->source = tundish_addr_v4(TUNDISH_BE32(source));
	l->host = tundish_addr_v4(TUNDISH_BE32(0x0a000200 + number));
	l->number = number;
	l->port_be = TUNDISH_BE16(port);
	l->protocol = 6;
	l->first = first;
	l->last = last;
	l->stride = 1;
	l->usable = TUNDISH_LANE_UNBOUNDED;
	if (!first)
		return;
	l->flags = TUNDISH_LANE_SOURCE;
	l->ports = lane;
	l->usable = last - first + 1u;
	memset(ports->taken, 0xff, sizeof(ports->taken));
	for (uint32_t p = first; p <= last; p++)
		ports->taken[p / 64] &= ~(1ull << (p % 64));
}

#endif

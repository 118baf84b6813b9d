/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Source ports of translated connections, as the daemon keeps them:
 *
 *   lanes.c      which ports each lane has; ports kept from this host's own sockets;
 *                lanes that are not used any more
 *   lane_host.c  what of this host lanes depend on: sources, settings, near networks
 *   lane_hops.c  where lanes' servers are
 */
#ifndef TD_DAEMON_LANES_H
#define TD_DAEMON_LANES_H

#include "core/lanes.h"
#include "daemon/daemon.h"
#include "host/netns.h"

struct td_lane_way {
	struct tundish_addr host;
	struct td_net_way way;
};

/* By number of the host. */
struct td_lane_host {
	struct tundish_addr address;
	struct td_backend_memory memory; /* of the look-up alone */
	uint32_t pass;			 /* when it was looked up last */
	uint32_t hop;			 /* index in nexthops */
};

struct td_lanes {
	const struct td_config *config; /* of the plan that is being carried out */
	struct td_port_bits **blocked;	/* [lanes_max]; NULL: it has no ports, or there is none */
	struct td_range_conf *ports;	/* [lanes_max], as the plan wants them */
	uint64_t *unused_ns;		/* [lanes_max]: GONE and without a connection since */
	uint32_t n_pending;		/* ports that are to go, and are in use */

	struct td_port_bits local; /* for this host's sockets, or reserved by others */
	uint16_t local_first, local_last;
	uint64_t reserved[TUNDISH_LANE_WORDS]; /* as last read */
	struct td_port_bits ours;	       /* of them, put there by us */
	char trouble[256];		       /* why they could not be; "" */
	bool near_cut;			       /* more near networks than can be noted */

	struct td_lane_way *ways; /* towards servers, as far as they matter */
	size_t n_ways;
	struct td_towards *towards;
	struct tundish_addr *own;
	size_t n_own;

	struct td_lane_host *hosts; /* [TUNDISH_NAT_HOSTS_MAX] */
	uint32_t pass, n_unresolved;
	uint8_t *auto_mss; /* [services_max]: bytes of headers, where the MSS follows the links */
};

/* ---- lane_host.c ---------------------------------------------------------------- */
int td_lane_host_look(struct td_daemon *d, const struct td_config *c, struct td_plan_host *ret,
		      struct td_error *error);
/* Whether the ports that this host's sockets get are others than they were. */
bool td_lane_host_changed(struct td_daemon *d);
/* Whether this host would send to servers in another way than at the last plan. */
bool td_lane_host_moved(struct td_daemon *d);
/* Networks of clients that servers would answer directly. */
int td_lane_host_near(struct td_daemon *d, const struct td_config *c);

#endif

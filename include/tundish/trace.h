/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tracing twin of the data path tells about one packet. It is the
 * same text over the same maps, compiled without anything that writes.
 */
#ifndef TUNDISH_TRACE_H
#define TUNDISH_TRACE_H

#include <linux/types.h>

#define TUNDISH_TRACE_STEPS_MAX 16u

/*
 * X(name, sentence); a step has one argument. In the sentence %u is its number, and %s what the
 * number stands for, which who prints it looks up in the maps: a service, a backend, a next hop.
 */
#define TUNDISH_TRACE_STEPS(X)                                                                     \
	X(end, "")                                                                                 \
	X(vlan, "carries VLAN tag %u")                                                             \
	X(no_vip, "destination is no virtual IP")                                                  \
	X(vip, "destination is virtual IP %s")                                                     \
	X(decapsulated, "tunnel ends here, with %s in it")                                         \
	X(no_port, "no service on port %u")                                                        \
	X(service, "service %s")                                                                   \
	X(slot, "Maglev slot %u")                                                                  \
	X(owner, "slot belongs to %s")                                                             \
	X(ask, "flow table is asked, %u half-open in the slot")                                    \
	X(flow_hit, "flow is known in state %s")                                                   \
	X(flow_miss, "flow is not known")                                                          \
	X(flow_backend, "flow belongs to %s")                                                      \
	X(flow_disabled, "the flow's %s is disabled, it is moved")                                 \
	X(nexthop, "next hop is %s")                                                               \
	X(fib, "the route table is asked: %s")                                                     \
	X(mtu, "path takes packets of %u bytes")                                                   \
	X(icmp_error, "ICMP error about a flow on port %u")                                        \
	X(group, "worker group %s")                                                                \
	X(search, "the next ticket of the group is %u")                                            \
	X(worker, "worker %s has the shortest queue")                                              \
	X(no_worker, "refused: %s")                                                                \
	X(gue, "GUE from UDP port %u")                                                             \
	X(nat_known, "connection is known in state %s")                                            \
	X(lane, "sent on %s")                                                                      \
	X(lane_used, "source ports: %s")                                                           \
	X(return_hop, "way back to the client: %s")                                                \
	X(quic, "QUIC connection id names %s")                                                     \
	X(quic_unroutable, "QUIC connection id names no usable backend")                           \
	X(fragment, "a later fragment follows its first one to %s")                                \
	X(chosen, "of the service's backends %s is chosen")                                        \
	X(crowded, "all backends have their max_connections")

enum tundish_trace_step {
#define TUNDISH_X(name, sentence) TUNDISH_STEP_##name,
	TUNDISH_TRACE_STEPS(TUNDISH_X)
#undef TUNDISH_X
};

/* ---- trace: array of one ----------------------------------------------------- */
struct tundish_trace {
	__u32 action;	 /* XDP_* */
	__u32 counter;	 /* enum tundish_counter: the verdict's reason */
	__u32 service;	 /* 0: none */
	__u32 backend;	 /* 0: none */
	__u32 from_flow; /* 1: the flow table decided, 0: Maglev alone */
	__u32 n_steps;
	struct {
		__u32 step; /* enum tundish_trace_step */
		__u32 argument;
	} steps[TUNDISH_TRACE_STEPS_MAX];
};

#endif

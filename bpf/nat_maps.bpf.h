/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pinned maps of translated connections. Their layouts stand in
 * include/tundish/nat.h and lane.h; the loader sets max_entries.
 */
#ifndef TUNDISH_NAT_MAPS_BPF_H
#define TUNDISH_NAT_MAPS_BPF_H

#include <tundish/lane.h>
#include <tundish/nat_state.h>

#include "maps.bpf.h"

#define NAT_ARRAY(name, flags, entry)                                                              \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, flags);                                                          \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, entry);                                                              \
	} name SEC(".maps")

NAT_ARRAY(nat_settings, 0, struct tundish_nat_settings);
NAT_ARRAY(nat, BPF_F_MMAPABLE, struct tundish_nat);
NAT_ARRAY(nat_tags, BPF_F_MMAPABLE, struct tundish_nat_bucket);
NAT_ARRAY(lanes, BPF_F_MMAPABLE, struct tundish_lane);
NAT_ARRAY(lane_ports, BPF_F_MMAPABLE, struct tundish_lane_ports);
NAT_ARRAY(fans, BPF_F_MMAPABLE, struct tundish_fan);
NAT_ARRAY(deliveries, BPF_F_MMAPABLE, struct tundish_deliver);
NAT_ARRAY(returns, BPF_F_MMAPABLE, struct tundish_return);

#define NAT_HASH(kind, name, n, flags, from, entry)                                                \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__uint(map_flags, flags);                                                          \
		__uint(max_entries, n);                                                            \
		__type(key, from);                                                                 \
		__type(value, entry);                                                              \
	} name SEC(".maps")

NAT_HASH(BPF_MAP_TYPE_HASH, nat_hosts, 1, BPF_F_NO_PREALLOC, struct tundish_addr,
	 struct tundish_nat_host);
NAT_HASH(BPF_MAP_TYPE_LPM_TRIE, nat_near, TUNDISH_NAT_NEAR_MAX, BPF_F_NO_PREALLOC,
	 struct tundish_prefix, __u32);
NAT_HASH(BPF_MAP_TYPE_HASH, return_ids, TUNDISH_NAT_HOPS, BPF_F_NO_PREALLOC,
	 struct tundish_return_key, __u32);
NAT_HASH(BPF_MAP_TYPE_HASH, links, TUNDISH_LINKS_MAX, BPF_F_NO_PREALLOC, __u32,
	 struct tundish_link);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tundish_lane_cursor);
} lane_cursor SEC(".maps");

#endif

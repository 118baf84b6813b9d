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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tundish_lane_cursor);
} lane_cursor SEC(".maps");

#endif

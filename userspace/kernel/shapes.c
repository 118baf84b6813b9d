// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each pinned map looks like, in one table: for making it, and for telling
 * whether one that is pinned is of this layout.
 */
#include <linux/bpf.h>

#include <bpf/bpf.h>

#include <tundish/fragment.h>

#include "kernel/private.h"

struct map_shape {
	uint32_t type, flags, key_bytes, value_bytes, entries;
};

static struct map_shape shape_of(enum td_map m, const struct tundish_settings *s)
{
	const uint32_t index = sizeof(uint32_t);

	switch (m) {
	case TD_MAP_vips:
		return (struct map_shape){BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_addr), sizeof(struct tundish_vip),
					  s->vips_max};
	case TD_MAP_services:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_service), s->services_max};
	case TD_MAP_maglev:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_maglev), s->services_max};
	case TD_MAP_backends:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_backend), s->backends_max};
	case TD_MAP_nexthops:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_nexthop),
					  TUNDISH_NEXTHOPS_OF(s->backends_max + s->lanes_max)};
	case TD_MAP_flows:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_flow_bucket), s->flow_buckets};
	case TD_MAP_flows6:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_flow6_bucket), s->flow6_buckets};
	case TD_MAP_tuples:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_tuple_bucket), s->tuple_buckets};
	case TD_MAP_traffic:
		return (struct map_shape){BPF_MAP_TYPE_PERCPU_ARRAY, 0, index,
					  sizeof(struct tundish_traffic), s->backends_max};
	case TD_MAP_counters:
		return (struct map_shape){BPF_MAP_TYPE_PERCPU_ARRAY, 0, index,
					  sizeof(struct tundish_counters), 1};
	case TD_MAP_settings:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_settings), 1};
	case TD_MAP_trace:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_trace), 1};
	case TD_MAP_prefixes:
		return (struct map_shape){BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_prefix), sizeof(struct tundish_vip),
					  s->vips_max};
	case TD_MAP_listens:
		return (struct map_shape){BPF_MAP_TYPE_HASH, 0, sizeof(struct tundish_listen),
					  sizeof(uint32_t), TUNDISH_LISTENS_OF(s->groups_max)};
	case TD_MAP_groups:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_group), s->groups_max};
	case TD_MAP_steering:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_steering), s->services_max};
	case TD_MAP_workers:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_worker), s->workers_max};
	case TD_MAP_listeners:
		return (struct map_shape){BPF_MAP_TYPE_SOCKMAP, 0, index, sizeof(uint64_t),
					  s->workers_max};
	case TD_MAP_sinks:
		return (struct map_shape){BPF_MAP_TYPE_SOCKMAP, 0, index, sizeof(uint64_t), 2};
	case TD_MAP_queues:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_queue), s->workers_max};
	case TD_MAP_worker_waits:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_waits), s->workers_max};
	case TD_MAP_service_waits:
	case TD_MAP_syn_waits:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_waits), s->services_max};
	case TD_MAP_origin:
		return (struct map_shape){BPF_MAP_TYPE_SK_STORAGE, BPF_F_NO_PREALLOC | BPF_F_CLONE,
					  sizeof(int), sizeof(struct tundish_origin), 0};
	case TD_MAP_members:
		return (struct map_shape){BPF_MAP_TYPE_LRU_HASH, 0, sizeof(uint64_t), index,
					  TUNDISH_MEMBERS_OF(s->workers_max)};
	case TD_MAP_worker_events:
		return (struct map_shape){BPF_MAP_TYPE_RINGBUF, 0, 0, 0, 1 << 16};
	case TD_MAP_trusted:
		return (struct map_shape){BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_trusted), index,
					  TUNDISH_TRUSTED_MAX};
	case TD_MAP_toa:
		return (struct map_shape){BPF_MAP_TYPE_SK_STORAGE, BPF_F_NO_PREALLOC, sizeof(int),
					  sizeof(struct tundish_toa), 0};
	case TD_MAP_spaces:
		return (struct map_shape){BPF_MAP_TYPE_HASH, 0, sizeof(uint64_t),
					  sizeof(struct tundish_space), TUNDISH_SPACES_MAX};
	case TD_MAP_ports:
		return (struct map_shape){BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_port_key),
					  sizeof(struct tundish_ports), s->ports_max};
	case TD_MAP_port_scan:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_port_scan), 1};
	case TD_MAP_port_bits:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_port_bits), TUNDISH_SPACES_MAX};
	case TD_MAP_port_owners:
		return (struct map_shape){
			BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, sizeof(struct tundish_port_owner_key),
			sizeof(struct tundish_port_owner), TUNDISH_PORT_OWNERS_MAX};
	case TD_MAP_port_search:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_waits), 1};
	case TD_MAP_closers:
		return (struct map_shape){BPF_MAP_TYPE_LRU_HASH, 0,
					  sizeof(struct tundish_closer_key),
					  sizeof(struct tundish_closer), TUNDISH_CLOSERS_MAX};
	case TD_MAP_opening:
		return (struct map_shape){BPF_MAP_TYPE_SK_STORAGE, BPF_F_NO_PREALLOC, sizeof(int),
					  sizeof(struct tundish_opening), 0};
	case TD_MAP_port_events: return (struct map_shape){BPF_MAP_TYPE_RINGBUF, 0, 0, 0, 1 << 16};
	case TD_MAP_egress:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_egress), TUNDISH_EGRESS_MAX};
	case TD_MAP_egress_except:
		return (struct map_shape){BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_egress_prefix), index,
					  TUNDISH_EGRESS_EXCEPT_MAX};
	case TD_MAP_egress_cgroups:
		return (struct map_shape){BPF_MAP_TYPE_CGROUP_STORAGE, 0, sizeof(uint64_t), index,
					  0};
	case TD_MAP_egress_passed:
		return (struct map_shape){BPF_MAP_TYPE_LRU_HASH, 0, sizeof(struct tundish_port_key),
					  sizeof(uint64_t), TUNDISH_EGRESS_PASSED};
	case TD_MAP_egress_asked:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_egress_question), 1};
	case TD_MAP_own:
		return (struct map_shape){BPF_MAP_TYPE_SK_STORAGE, BPF_F_NO_PREALLOC, sizeof(int),
					  sizeof(struct tundish_own), 0};
	case TD_MAP_nat_settings:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, 0, index,
					  sizeof(struct tundish_nat_settings), 1};
	case TD_MAP_nat:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_nat),
					  s->nat_buckets * TUNDISH_NAT_SLOTS};
	case TD_MAP_nat_tags:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_nat_bucket), 2 * s->nat_buckets};
	case TD_MAP_nat_hosts:
		return (struct map_shape){BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_addr),
					  sizeof(struct tundish_nat_host), TUNDISH_NAT_HOSTS_MAX};
	case TD_MAP_nat_near:
		return (struct map_shape){BPF_MAP_TYPE_LPM_TRIE, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_prefix), index,
					  TUNDISH_NAT_NEAR_MAX};
	case TD_MAP_lanes:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_lane), s->lanes_max};
	case TD_MAP_lane_ports: /* of a lane, under the same index */
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_lane_ports), s->lanes_max};
	case TD_MAP_fans:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_fan), s->backends_max};
	case TD_MAP_deliveries:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_deliver), s->services_max};
	case TD_MAP_returns:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_return), TUNDISH_NAT_HOPS};
	case TD_MAP_return_ids:
		return (struct map_shape){BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_return_key), index,
					  TUNDISH_NAT_HOPS};
	case TD_MAP_links:
		return (struct map_shape){BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC, index,
					  sizeof(struct tundish_link), TUNDISH_LINKS_MAX};
	case TD_MAP_quic_ids:
		return (struct map_shape){BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC,
					  sizeof(struct tundish_quic_key), index,
					  TUNDISH_QUIC_IDS_OF(s->backends_max)};
	case TD_MAP_fragments:
		return (struct map_shape){BPF_MAP_TYPE_LRU_HASH, 0,
					  sizeof(struct tundish_fragment_key),
					  sizeof(struct tundish_fragment), s->fragments_max};
	case TD_MAP_capture: /* a variable, as libbpf makes them */
		return (struct map_shape){BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE, index,
					  sizeof(struct tundish_capture), 1};
	case TD_MAP_capture_ring:
		return (struct map_shape){BPF_MAP_TYPE_ARRAY_OF_MAPS, 0, index, index, 1};
	case TD_MAP_COUNT: break;
	}
	return (struct map_shape){0};
}

uint32_t td_map_entries(enum td_map m, const struct tundish_settings *settings)
{
	return shape_of(m, settings).entries;
}

int td_map_check(enum td_map m, int fd, const struct tundish_settings *settings)
{
	struct map_shape s = shape_of(m, settings);
	struct bpf_map_info info = {0};
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &length) < 0)
		return -errno;
	if (info.type != s.type || info.map_flags != s.flags || info.key_size != s.key_bytes ||
	    info.value_size != s.value_bytes || info.max_entries != s.entries)
		return -EPROTO;
	return 0;
}

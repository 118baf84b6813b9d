/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of translated connections in the kernel (nat.bpf.c), for its test and its
 * measurement: maps of a size, lanes and fans in them, a program run many times over.
 */
#ifndef TESTS_NAT_RIG_H
#define TESTS_NAT_RIG_H

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <tundish/lane.h>
#include <tundish/maps.h>
#include <tundish/nat_state.h>

#include "bpf/nat_asked.h"
#include "bpf/nat_world.h"

enum { NAT_RIG_LANES = 32, NAT_RIG_BACKENDS = 4, NAT_RIG_CPUS = 64 };

static struct {
	struct bpf_object *object;
	struct tundish_nat *nat;
	struct tundish_nat_bucket *tags;
	struct tundish_lane *lanes;
	struct tundish_lane_ports *ports;
	struct tundish_fan *fans;
	struct tundish_backend *backends;
	uint32_t buckets;
} nat_rig;

static int nat_rig_fd(const char *map)
{
	return bpf_object__find_map_fd_by_name(nat_rig.object, map);
}

static void *nat_rig_view(const char *name)
{
	struct bpf_map *m = bpf_object__find_map_by_name(nat_rig.object, name);
	size_t n = ((size_t)bpf_map__value_size(m) + 7) / 8 * 8 * bpf_map__max_entries(m);
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(m), 0);

	if (p == MAP_FAILED) {
		perror(name);
		abort();
	}
	return p;
}

static int nat_rig_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return getenv("V") ? vfprintf(stderr, format, args) : 0;
}

/* A lane of the ports first..last; 0: it has none. */
static void nat_rig_lane(uint32_t lane, uint16_t first, uint16_t last)
{
	nat_world_lane(&nat_rig.lanes[lane], &nat_rig.ports[lane], lane, 0x0a640000 + lane, 7, 8443,
		       first, last);
}

/* Backend 1 has lanes 1..n with ports of their own, backend 2 the lane n + 1 without. */
static void nat_rig_lanes(uint32_t n, uint16_t first, uint16_t last)
{
	struct tundish_fan f = {.n_addresses = 1,
				.n_sources = (uint8_t)n,
				.flags = TUNDISH_FAN_EARLY,
				.time_wait = TUNDISH_NAT_TICKS(60)};

	for (uint32_t i = 0; i < n; i++) {
		nat_rig_lane(i + 1, first, last);
		f.lane[i] = i + 1;
	}
	nat_rig.fans[1] = f;
	nat_rig_lane(n + 1, 0, 0);
	f.n_sources = 1;
	f.lane[0] = n + 1;
	nat_rig.fans[2] = f;
}

/* 0, or a negative errno where this kernel or user cannot. */
static int nat_rig_open(uint32_t connections)
{
	const char *build = getenv("BUILD");
	uint32_t buckets = TUNDISH_NAT_BUCKETS_OF(connections), zero = 0;
	struct tundish_nat_settings settings = {.secret = {0x1234567890abcdef, 0xfedcba0987654321},
						.timeouts = nat_world_timeouts,
						.buckets = buckets,
						.lanes_max = NAT_RIG_LANES};
	const struct {
		const char *map;
		uint32_t entries;
	} sizes[] = {{"nat", buckets * TUNDISH_NAT_SLOTS},
		     {"nat_tags", 2 * buckets},
		     {"lanes", NAT_RIG_LANES},
		     {"lane_ports", NAT_RIG_LANES},
		     {"lane_cursor", NAT_RIG_LANES},
		     {"fans", NAT_RIG_BACKENDS},
		     {"backends", NAT_RIG_BACKENDS}};
	char path[512];
	int r;

	if (geteuid() != 0)
		return -EPERM;
	libbpf_set_print(nat_rig_quiet);
	snprintf(path, sizeof(path), "%s/tests/nat.bpf.o", build ? build : "build");
	nat_rig.object = bpf_object__open_file(path, NULL);
	if (!nat_rig.object) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		abort();
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		bpf_map__set_max_entries(bpf_object__find_map_by_name(nat_rig.object, sizes[i].map),
					 sizes[i].entries);
	r = bpf_object__load(nat_rig.object);
	if (r < 0)
		return r;
	nat_rig.buckets = buckets;
	nat_rig.nat = nat_rig_view("nat");
	nat_rig.tags = nat_rig_view("nat_tags");
	nat_rig.lanes = nat_rig_view("lanes");
	nat_rig.ports = nat_rig_view("lane_ports");
	nat_rig.fans = nat_rig_view("fans");
	nat_rig.backends = nat_rig_view("backends");
	return bpf_map_update_elem(nat_rig_fd("nat_settings"), &zero, &settings, 0);
}

static void nat_rig_close(void)
{
	size_t records = (size_t)nat_rig.buckets * TUNDISH_NAT_SLOTS;

	munmap(nat_rig.nat, records * sizeof(*nat_rig.nat));
	munmap(nat_rig.tags, 2 * records * sizeof(uint64_t));
	bpf_object__close(nat_rig.object);
	memset(&nat_rig, 0, sizeof(nat_rig));
}

/* What each CPU is asked from now on. */
static void nat_rig_ask(const struct nat_asked *a)
{
	struct nat_asked all[NAT_RIG_CPUS];
	uint32_t zero = 0;

	for (int i = 0; i < NAT_RIG_CPUS; i++)
		all[i] = *a;
	bpf_map_update_elem(nat_rig_fd("asked"), &zero, all, 0);
}

/* The answers of all CPUs. */
static struct nat_asked nat_rig_answers(void)
{
	struct nat_asked all[NAT_RIG_CPUS] = {0}, sum = {0};
	uint32_t zero = 0;

	bpf_map_lookup_elem(nat_rig_fd("asked"), &zero, all);
	for (int i = 0; i < NAT_RIG_CPUS && i < libbpf_num_possible_cpus(); i++) {
		sum.found += all[i].found;
		sum.made += all[i].made;
		sum.taken += all[i].taken;
		sum.refused += all[i].refused;
	}
	return sum;
}

/* Runs a program n times on this CPU; returns ns for each. */
static uint32_t nat_rig_run(const char *program, uint32_t n)
{
	uint8_t frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = (int)n);
	int fd = bpf_program__fd(bpf_object__find_program_by_name(nat_rig.object, program));

	if (bpf_prog_test_run_opts(fd, &o) < 0) {
		perror(program);
		abort();
	}
	return o.duration;
}

#endif

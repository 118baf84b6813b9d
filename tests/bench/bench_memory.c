// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel memory of the flow tables by flow, and whether a table that is made for
 * N flows (`limits: flows: N`) does hold N.
 *
 * The bytes are those that the kernel accounts for the map; the flows are those
 * that the configuration asked for. What rounding the number of buckets does is
 * in it: the second row says for how many flows the same memory would do at the
 * same load. Every flow is opened through the data path, so those that
 * found no place in a table of the promised size are counted, not reckoned.
 */
#include "bench.h"

static uint64_t available_bytes(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "r");
	unsigned long long kib = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	return kib << 10;
}

static void measure(bool v6, uint32_t flows, const char *size)
{
	const double limit = v6 ? 68 : 34;
	const char *family = v6 ? "_v6" : "";
	uint64_t bytes, placed;
	char name[96];
	double each;
	struct rig *r;

	if (available_bytes() < 3ull * flows * (v6 ? 128 : 64)) {
		fprintf(stderr, "not enough memory to measure %s flows\n", size);
		return;
	}
	r = rig_open(v6 ? 1 : flows, v6 ? flows : 1);
	bytes = rig_map_bytes(rig_map_fd(r, v6 ? "flows6" : "flows"));
	each = (double)bytes / flows;
	snprintf(name, sizeof(name), "flow_table_bytes_per_flow_%s%s", size, family);
	report((struct row){name, each, "bytes", 0, v6 ? "at most 68" : "at most 34",
			    AT_MOST(each, limit)});

	rig_establish(r, v6, 0, flows);
	placed = rig_count(r, v6, TUNDISH_FLOW_ESTABLISHED);
	snprintf(name, sizeof(name), "flow_table_without_place_%s%s", size, family);
	report((struct row){name, 1e6 * (double)(flows - placed) / flows, "ppm", 0,
			    "at most 100 ppm",
			    AT_MOST(1e6 * (double)(flows - placed) / flows, 100)});
	snprintf(name, sizeof(name), "flow_table_load_%s%s", size, family);
	report((struct row){
		name,
		100.0 * (double)placed *
			(v6 ? sizeof(struct tundish_flow6) : sizeof(struct tundish_flow)) /
			(double)bytes,
		"percent", 0, NULL, NO_GOAL});
	if (flows == 1000000 && !v6) {
		bytes = rig_map_bytes(rig_map_fd(r, "tuples"));
		report((struct row){"tuple_table_bytes_per_tuple", (double)bytes / 262144, "bytes",
				    0, NULL, NO_GOAL});
	}
	rig_close(r);
}

int main(void)
{
	pin_cpu();
	measure(false, 1000000, "1m");
	measure(false, 10000000, "10m");
	measure(true, 1000000, "1m");
	measure(true, 10000000, "10m");
	return 0;
}

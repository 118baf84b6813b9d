// SPDX-License-Identifier: GPL-2.0-only
/*
 * The BPF object. It is opened for one of two purposes: to make the maps and
 * load the tracing twin, or to load the program that is attached (by libxdp,
 * which decides whether as a program of its own or as a part of its
 * dispatcher). In both cases it stands over the pinned maps where there are
 * some, so that any number of loads share one set of tables.
 *
 * Which build made the maps is told by a hash of the object's bytes.
 */
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <tundish/fragment.h>

#include "kernel/private.h"
#include "kernel/work.h"
#include "tundish.skel.h"

/* A variable of the BPF program: the map is its section's. */
#define capture data_capture

static struct bpf_map *map_of(struct tundish *o, enum td_map m)
{
	struct bpf_map *const maps[TD_MAP_COUNT] = {
#define TUNDISH_X(name) o->maps.name,
		TUNDISH_MAPS(TUNDISH_X)
#undef TUNDISH_X
	};

	return maps[m];
}
#undef capture

/* FNV-1a (Fowler, Noll, Vo), over words of a byte: told apart, not protected. */
static uint64_t fnv(uint64_t h, const unsigned char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return h;
}

static const unsigned char *object_bytes(size_t *ret_n)
{
	return tundish__elf_bytes(ret_n);
}

uint64_t td_object_hash(void)
{
	const unsigned char *(*const objects[])(size_t * ret_n) = {
		object_bytes,	 td_steering_bytes, td_ports_bytes,
		td_egress_bytes, td_own_bytes,	    td_checks_bytes};
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < TD_ARRAY_SIZE(objects); i++) {
		size_t n;
		const unsigned char *bytes = objects[i](&n);

		h = fnv(h, bytes, n);
	}

	return h ? h : 1; /* 0: no build at all, while programs are being replaced */
}

/* ---- sizes ------------------------------------------------------------------- */

static int check_limit(const char *what, uint32_t value, uint32_t most, struct td_error *error)
{
	if (value >= 1 && value <= most)
		return 0;
	return td_fail(error, EINVAL, "limits: %s %u is outside 1-%u", what, value, most);
}

int td_object_settings(const struct td_limits_conf *limits, struct tundish_settings *ret,
		       struct td_error *error)
{
	struct tundish_settings s = {
		.magic = TUNDISH_MAGIC,
		.layout_version = TUNDISH_LAYOUT_VERSION,
		.object_hash = td_object_hash(),
	};
	int r;

	if ((r = check_limit("flows", limits->flows, 1u << 29, error)) < 0 ||
	    (r = check_limit("flows6", limits->flows6, 1u << 29, error)) < 0 ||
	    (r = check_limit("tuples", limits->tuples, 1u << 29, error)) < 0 ||
	    (r = check_limit("services", limits->services, TUNDISH_SERVICES_MAX - 1, error)) < 0 ||
	    (r = check_limit("backends", limits->backends, TUNDISH_BACKENDS_MAX - 1, error)) < 0 ||
	    (r = check_limit("vips", limits->vips, TUNDISH_VIPS_MAX - 1, error)) < 0 ||
	    (r = check_limit("workers", limits->workers, TUNDISH_WORKERS_MAX, error)) < 0 ||
	    (r = check_limit("groups", limits->groups, TUNDISH_GROUPS_MAX - 1, error)) < 0 ||
	    (r = check_limit("ports", limits->ports, TUNDISH_PORTS_MAX, error)) < 0 ||
	    (r = check_limit("nat", limits->nat, TUNDISH_NAT_MAX, error)) < 0 ||
	    (r = check_limit("lanes", limits->lanes, TUNDISH_LANES_MAX - 1, error)) < 0 ||
	    (r = check_limit("fragments", limits->fragments, TUNDISH_FRAGMENTS_MAX, error)) < 0)
		return r;

	s.flow_buckets = TUNDISH_BUCKETS_OF(limits->flows);
	s.flow6_buckets = TUNDISH_BUCKETS_OF(limits->flows6);
	s.tuple_buckets = TUNDISH_BUCKETS_OF(limits->tuples);
	s.services_max = limits->services + 1; /* index 0 is "none" */
	s.backends_max = limits->backends + 1;
	s.vips_max = limits->vips;
	s.workers_max = limits->workers;
	s.groups_max = limits->groups + 1;
	s.ports_max = limits->ports;
	s.nat_buckets = TUNDISH_NAT_BUCKETS_OF(limits->nat);
	s.lanes_max = limits->lanes + 1;
	s.fragments_max = limits->fragments;
	if (getrandom(&s.secret, sizeof(s.secret), 0) != sizeof(s.secret))
		return td_fail(error, EIO,
			       "the kernel gives no random numbers for the tables' secret");
	*ret = s;
	return 0;
}

/* ---- opening ------------------------------------------------------------------- */

int td_object_open(const struct tundish_settings *settings, const int map_fd[TD_MAP_COUNT],
		   bool attachable, struct tundish **ret, struct td_error *error)
{
	_cleanup_(td_object_closep) struct tundish *o = NULL;

	td_kernel_prints();
	o = tundish__open();
	if (!o)
		return td_fail(error, errno, "cannot read tundish's BPF object: %s",
			       strerror(errno));

	o->rodata->flow_buckets = settings->flow_buckets;
	o->rodata->flow6_buckets = settings->flow6_buckets;
	o->rodata->tuple_buckets = settings->tuple_buckets;
	_Static_assert(sizeof(*o->rodata) == 3 * sizeof(uint32_t),
		       "set each constant of the BPF object here");

	for (enum td_map m = 0; m < TD_MAP_COUNT; m++) {
		int r = map_fd[m] >= 0 ? bpf_map__reuse_fd(map_of(o, m), map_fd[m])
				       : bpf_map__set_max_entries(map_of(o, m),
								  td_map_entries(m, settings));

		if (r < 0)
			return td_fail(error, -r, "cannot use the map %s: %s", td_map_names[m],
				       strerror(-r));
	}
	if (bpf_map__set_max_entries(o->maps.lane_cursor, settings->lanes_max) < 0)
		return td_fail(error, EINVAL, "cannot size the map lane_cursor");
	bpf_program__set_autoload(o->progs.tundish_xdp, attachable);
	bpf_program__set_autoload(o->progs.tundish_trace, !attachable);
	*ret = TD_TAKE_PTR(o);
	return 0;
}

int td_object_load_failed(struct td_error *error, int code)
{
	switch (code) {
	case EPERM:
		return td_fail(
			error, EPERM,
			"no permission to load BPF programs; run as root, or with CAP_BPF, CAP_NET_ADMIN, "
			"CAP_PERFMON and CAP_SYS_ADMIN");
	case EACCES: /* the verifier's word, for a program or for a privilege that it takes */
		return td_fail(
			error, EACCES,
			"the kernel's verifier refuses tundish's BPF program; run as root or with "
			"CAP_PERFMON, and --debug shows its reason");
	case ENOMEM:
	case E2BIG:
		return td_fail(
			error, code,
			"the kernel has no memory for tundish's tables (%s); lower flows, flows6, tuples or "
			"services under limits:",
			strerror(code));
	case ENOSYS:
		return td_fail(error, ENOSYS,
			       "this kernel has no BPF; tundish needs Linux 6.1 or later");
	}
	return td_fail(
		error, code,
		"this kernel refuses tundish's BPF program (%s); tundish needs Linux 6.1 or later and "
		"CAP_PERFMON, and --debug shows the verifier's reason",
		strerror(code));
}

int td_object_may_load(struct td_error *error)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = {0};
	const struct {
		unsigned int capability;
		const char *name;
	} needed[] = {{CAP_BPF, "CAP_BPF"}, {CAP_PERFMON, "CAP_PERFMON"}};

	if (syscall(SYS_capget, &head, caps) < 0 ||
	    caps[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN))
		return 0; /* where it is not known the kernel says */
	for (size_t i = 0; i < TD_ARRAY_SIZE(needed); i++)
		if (!(caps[CAP_TO_INDEX(needed[i].capability)].effective &
		      CAP_TO_MASK(needed[i].capability)))
			return td_fail(error, EPERM,
				       "no permission to load BPF programs, which takes %s; run as "
				       "root, or with the capabilities of the unit",
				       needed[i].name);
	return 0;
}

int td_object_load(struct tundish *o, struct td_error *error)
{
	int r = td_object_may_load(error);

	if (r < 0)
		return r;
	r = td_work_load(o->obj);

	return r < 0 ? td_object_load_failed(error, -r) : 0;
}

struct tundish *td_object_close(struct tundish *o)
{
	tundish__destroy(o);
	return NULL;
}

struct bpf_object *td_object_bpf(struct tundish *o)
{
	return o->obj;
}

struct bpf_program *td_object_xdp(struct tundish *o)
{
	return o->progs.tundish_xdp;
}

int td_object_trace_fd(struct tundish *o)
{
	return bpf_program__fd(o->progs.tundish_trace);
}

int td_object_map_fd(struct tundish *o, enum td_map m)
{
	return bpf_map__fd(map_of(o, m));
}

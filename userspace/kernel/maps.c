// SPDX-License-Identifier: GPL-2.0-only
/*
 * Typed access to the maps. The large tables are mapped into memory and shared
 * with the data path word by word; the small ones are read and written by
 * system call, one element at a time.
 */
#include <sys/mman.h>

#include <bpf/bpf.h>

#include "kernel/private.h"

/* The kernel strides array elements by eight bytes. */
#define STRIDE(type) ((sizeof(type) + 7) & ~(size_t)7)
_Static_assert(STRIDE(struct tundish_backend) == sizeof(struct tundish_backend),
	       "stride of backends");
_Static_assert(STRIDE(struct tundish_maglev) == sizeof(struct tundish_maglev), "stride of maglev");
_Static_assert(STRIDE(struct tundish_tuple_bucket) == sizeof(struct tundish_tuple_bucket),
	       "stride of tuples");

/* ---- mapping --------------------------------------------------------------------- */

static int map_one(struct td_kernel *k, enum td_map m, size_t element, size_t n,
		   struct td_error *error)
{
	void *p = mmap(NULL, element * n, PROT_READ | PROT_WRITE, MAP_SHARED, k->map_fd[m], 0);

	if (p == MAP_FAILED)
		return td_fail(error, errno, "cannot map the table %s into memory: %s",
			       td_map_names[m], strerror(errno));
	k->mapped[m] = p;
	k->mapped_bytes[m] = element * n;
	return 0;
}

int td_maps_map(struct td_kernel *k, struct td_error *error)
{
	const struct tundish_settings *s = &k->settings;
	int r;

	if ((r = map_one(k, TD_MAP_backends, sizeof(struct tundish_backend), s->backends_max,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_maglev, sizeof(struct tundish_maglev), s->services_max, error)) <
		    0 ||
	    (r = map_one(k, TD_MAP_flows, sizeof(struct tundish_flow_bucket), s->flow_buckets,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_flows6, sizeof(struct tundish_flow6_bucket), s->flow6_buckets,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_tuples, sizeof(struct tundish_tuple_bucket), s->tuple_buckets,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_groups, sizeof(struct tundish_group), s->groups_max, error)) <
		    0 ||
	    (r = map_one(k, TD_MAP_steering, sizeof(struct tundish_steering), s->services_max,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_workers, sizeof(struct tundish_worker), s->workers_max, error)) <
		    0 ||
	    (r = map_one(k, TD_MAP_worker_waits, sizeof(struct tundish_waits), s->workers_max,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_service_waits, sizeof(struct tundish_waits), s->services_max,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_syn_waits, sizeof(struct tundish_waits), s->services_max,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_port_bits, sizeof(struct tundish_port_bits), TUNDISH_SPACES_MAX,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_port_search, sizeof(struct tundish_waits), 1, error)) < 0 ||
	    (r = map_one(k, TD_MAP_egress, sizeof(struct tundish_egress), TUNDISH_EGRESS_MAX,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_nat, sizeof(struct tundish_nat),
			 (size_t)s->nat_buckets * TUNDISH_NAT_SLOTS, error)) < 0 ||
	    (r = map_one(k, TD_MAP_nat_tags, sizeof(struct tundish_nat_bucket),
			 2 * (size_t)s->nat_buckets, error)) < 0 ||
	    (r = map_one(k, TD_MAP_lanes, sizeof(struct tundish_lane), s->lanes_max, error)) < 0 ||
	    (r = map_one(k, TD_MAP_lane_ports, sizeof(struct tundish_lane_ports), s->lanes_max,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_fans, sizeof(struct tundish_fan), s->backends_max, error)) < 0 ||
	    (r = map_one(k, TD_MAP_deliveries, sizeof(struct tundish_deliver), s->services_max,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_returns, sizeof(struct tundish_return), TUNDISH_NAT_HOPS,
			 error)) < 0 ||
	    (r = map_one(k, TD_MAP_capture, sizeof(struct tundish_capture), 1, error)) < 0)
		return r;
	return 0;
}

void td_maps_unmap(struct td_kernel *k)
{
	for (size_t i = 0; i < TD_MAP_COUNT; i++)
		if (k->mapped[i])
			munmap(k->mapped[i], k->mapped_bytes[i]);
}

struct tundish_backend *td_kernel_backends(struct td_kernel *k)
{
	return k->mapped[TD_MAP_backends];
}

struct tundish_maglev *td_kernel_maglev(struct td_kernel *k, uint32_t service)
{
	if (service >= k->settings.services_max)
		return NULL;
	return (struct tundish_maglev *)k->mapped[TD_MAP_maglev] + service;
}

struct tundish_flow_bucket *td_kernel_flows(struct td_kernel *k)
{
	return k->mapped[TD_MAP_flows];
}

struct tundish_flow6_bucket *td_kernel_flows6(struct td_kernel *k)
{
	return k->mapped[TD_MAP_flows6];
}

struct tundish_tuple_bucket *td_kernel_tuples(struct td_kernel *k)
{
	return k->mapped[TD_MAP_tuples];
}

struct tundish_group *td_kernel_groups(struct td_kernel *k)
{
	return k->mapped[TD_MAP_groups];
}

struct tundish_steering *td_kernel_steering(struct td_kernel *k)
{
	return k->mapped[TD_MAP_steering];
}

struct tundish_worker *td_kernel_workers(struct td_kernel *k)
{
	return k->mapped[TD_MAP_workers];
}

const struct tundish_waits *td_kernel_worker_waits(struct td_kernel *k)
{
	return k->mapped[TD_MAP_worker_waits];
}

struct tundish_waits *td_kernel_service_waits(struct td_kernel *k)
{
	return k->mapped[TD_MAP_service_waits];
}

struct tundish_waits *td_kernel_syn_waits(struct td_kernel *k)
{
	return k->mapped[TD_MAP_syn_waits];
}

/* ---- settings ---------------------------------------------------------------------- */

const struct tundish_settings *td_kernel_settings(const struct td_kernel *k)
{
	return &k->settings;
}

int td_kernel_set_timeouts(struct td_kernel *k, const struct tundish_settings *with_timeouts)
{
	struct tundish_settings s = k->settings;
	uint32_t zero = 0;

	s.syn_timeout = with_timeouts->syn_timeout;
	s.established_timeout = with_timeouts->established_timeout;
	s.closing_timeout = with_timeouts->closing_timeout;
	s.udp_new_timeout = with_timeouts->udp_new_timeout;
	s.udp_timeout = with_timeouts->udp_timeout;
	if (bpf_map_update_elem(k->map_fd[TD_MAP_settings], &zero, &s, BPF_ANY) < 0)
		return -errno;
	k->settings = s;
	return 0;
}

int td_kernel_set_gue_port(struct td_kernel *k, uint16_t port)
{
	struct tundish_settings s = k->settings;
	uint32_t zero = 0;

	s.gue_port_be = htons(port);
	if (bpf_map_update_elem(k->map_fd[TD_MAP_settings], &zero, &s, BPF_ANY) < 0)
		return -errno;
	k->settings = s;
	return 0;
}

/* ---- single elements ------------------------------------------------------------------ */

static int put(struct td_kernel *k, enum td_map m, const void *key, const void *value)
{
	return bpf_map_update_elem(k->map_fd[m], key, value, BPF_ANY) < 0 ? -errno : 0;
}

int td_kernel_put_service(struct td_kernel *k, uint32_t id, const struct tundish_service *value)
{
	return put(k, TD_MAP_services, &id, value);
}

int td_kernel_put_row_state(struct td_kernel *k, uint32_t id, bool chooses, bool unsettled)
{
	struct tundish_service s;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_services], &id, &s) < 0)
		return -errno;
	if (s.chooses == chooses)
		return 0;
	s.chooses = unsettled ? TUNDISH_ROW_UNSETTLED : chooses;
	return td_kernel_put_service(k, id, &s);
}

static struct tundish_prefix prefix_key(const struct td_prefix *p)
{
	return (struct tundish_prefix){.length = p->length, .address = p->address};
}

/* The data path asks for prefixes only where there are some. */
static int count_prefixes(struct td_kernel *k, int by)
{
	struct tundish_settings s = k->settings;
	uint32_t zero = 0;

	s.n_prefixes += (uint32_t)by;
	if (bpf_map_update_elem(k->map_fd[TD_MAP_settings], &zero, &s, BPF_ANY) < 0)
		return -errno;
	k->settings = s;
	return 0;
}

int td_kernel_put_vip(struct td_kernel *k, const struct td_prefix *prefix,
		      const struct tundish_vip *value)
{
	struct tundish_prefix key = prefix_key(prefix);
	struct tundish_vip old;
	int r;

	if (prefix->length == TD_PREFIX_ALL)
		return put(k, TD_MAP_vips, &key.address, value);
	/* Counted before it is there: a count that is too high costs a look in vain. */
	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_prefixes], &key, &old) < 0) {
		r = count_prefixes(k, 1);
		if (r < 0)
			return r;
	}
	return put(k, TD_MAP_prefixes, &key, value);
}

int td_kernel_delete_vip(struct td_kernel *k, const struct td_prefix *prefix)
{
	struct tundish_prefix key = prefix_key(prefix);

	if (prefix->length == TD_PREFIX_ALL)
		return bpf_map_delete_elem(k->map_fd[TD_MAP_vips], &key.address) < 0 ? -errno : 0;
	if (bpf_map_delete_elem(k->map_fd[TD_MAP_prefixes], &key) < 0)
		return -errno;
	return k->settings.n_prefixes ? count_prefixes(k, -1) : 0;
}

int td_kernel_put_nexthop(struct td_kernel *k, uint32_t index, const struct tundish_nexthop *value)
{
	return put(k, TD_MAP_nexthops, &index, value);
}

int td_kernel_get_nexthop(struct td_kernel *k, uint32_t index, struct tundish_nexthop *ret)
{
	struct tundish_nexthop n;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_nexthops], &index, &n) < 0)
		return -errno;
	*ret = n;
	return 0;
}

int td_kernel_put_server_id(struct td_kernel *k, const struct tundish_quic_key *key,
			    uint32_t backend)
{
	return put(k, TD_MAP_quic_ids, key, &backend);
}

int td_kernel_get_server_id(struct td_kernel *k, const struct tundish_quic_key *key,
			    uint32_t *ret_backend)
{
	uint32_t backend;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_quic_ids], key, &backend) < 0)
		return -errno;
	*ret_backend = backend;
	return 0;
}

int td_kernel_delete_server_id(struct td_kernel *k, const struct tundish_quic_key *key)
{
	if (bpf_map_delete_elem(k->map_fd[TD_MAP_quic_ids], key) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

#define STORE(field) __atomic_store_n(&to->field, value->field, __ATOMIC_RELAXED)

void td_kernel_put_backend(struct td_kernel *k, uint32_t id, const struct tundish_backend *value)
{
	struct tundish_backend *to = td_kernel_backends(k) + id;

	if (id >= k->settings.backends_max)
		return;
	for (size_t i = 0; i < sizeof(to->name); i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, value->name + i, sizeof(word));
		__atomic_store_n((uint64_t *)(void *)(to->name + i), word, __ATOMIC_RELAXED);
	}
	for (size_t i = 0; i < TD_ARRAY_SIZE(to->address.word); i++)
		STORE(address.word[i]);
	STORE(service);
	STORE(gue_port_be);
	STORE(max_connections);
	STORE(drain_deadline);
	for (size_t i = 0; i < sizeof(to->server_id); i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, (const char *)&value->server_id + i, sizeof(word));
		__atomic_store_n((uint64_t *)((char *)&to->server_id + i), word, __ATOMIC_RELAXED);
	}
	/* A packet that sees delivery gue sees its port. */
	__atomic_store_n(&to->delivery, value->delivery, __ATOMIC_RELEASE);
	STORE(weight);
	STORE(file_weight);
	STORE(run_weight);
	STORE(file_state);
	STORE(run_state);
	STORE(adjust);
	STORE(health_since_ns);
	STORE(ejected_s);
	STORE(ejections);
	STORE(flags);
	STORE(nexthop);
	/* Last: what it makes usable is complete. */
	__atomic_store_n(&to->state, value->state, __ATOMIC_RELEASE);
}

/* ---- the installed state -------------------------------------------------------------------- */

static int read_services(struct td_kernel *k, struct td_state *s)
{
	struct entry {
		uint32_t key;
		struct tundish_service value;
	};
	_cleanup_free_ struct entry *all = NULL;
	size_t n = 0;
	int r = TD_READ_TABLE(k, TD_MAP_services, k->settings.services_max, struct entry, &all, &n);

	for (size_t i = 0; r == 0 && all && i < n; i++) {
		struct td_service_state e = {.id = all[i].key, .value = all[i].value};

		if (!e.id || e.value.state == TUNDISH_SERVICE_FREE)
			continue;
		e.value.name[sizeof(e.value.name) - 1] = '\0';
		e.deliver = td_kernel_deliveries(k)[e.id];
		r = td_grow(&s->services, s->n_services, sizeof(e));
		if (r == 0)
			s->services[s->n_services++] = e;
	}
	return r;
}

static int read_backends(struct td_kernel *k, struct td_state *s)
{
	const struct tundish_backend *b = td_kernel_backends(k);

	for (uint32_t id = 1; id < k->settings.backends_max; id++) {
		struct td_backend_state e = {.id = id};
		int r;

		if (__atomic_load_n(&b[id].state, __ATOMIC_ACQUIRE) == TUNDISH_BACKEND_FREE)
			continue;
		e.value = b[id];
		e.value.name[sizeof(e.value.name) - 1] = '\0';
		r = td_grow(&s->backends, s->n_backends, sizeof(e));
		if (r < 0)
			return r;
		s->backends[s->n_backends++] = e;
	}
	return 0;
}

static int add_vip(struct td_state *s, const struct tundish_addr *address, uint8_t prefix,
		   const struct tundish_vip *value)
{
	struct td_vip_state e = {*address, prefix, *value};
	int r = td_grow(&s->vips, s->n_vips, sizeof(e));

	if (r < 0)
		return r;
	if (e.value.n_ranges > TUNDISH_RANGES_MAX)
		e.value.n_ranges = TUNDISH_RANGES_MAX;
	s->vips[s->n_vips++] = e;
	return 0;
}

/* Where an entry is deleted meanwhile another may come twice: doubles are dropped. */
static int read_vips(struct td_kernel *k, struct td_state *s)
{
	struct vip {
		struct tundish_addr key;
		struct tundish_vip value;
	};
	struct prefix {
		struct tundish_prefix key;
		struct tundish_vip value;
	};
	const size_t most = 2 * (size_t)k->settings.vips_max;
	_cleanup_free_ struct vip *vips = NULL;
	_cleanup_free_ struct prefix *prefixes = NULL;
	size_t n_vips = 0, n_prefixes = 0, n = 0;
	int r;

	if ((r = TD_READ_TABLE(k, TD_MAP_vips, most, struct vip, &vips, &n_vips)) < 0 ||
	    (r = TD_READ_TABLE(k, TD_MAP_prefixes, most, struct prefix, &prefixes, &n_prefixes)) <
		    0)
		return r;
	for (size_t i = 0; r == 0 && vips && i < n_vips; i++)
		r = add_vip(s, &vips[i].key, TD_PREFIX_ALL, &vips[i].value);
	for (size_t i = 0; r == 0 && prefixes && i < n_prefixes; i++)
		r = add_vip(s, &prefixes[i].key.address, (uint8_t)prefixes[i].key.length,
			    &prefixes[i].value);
	if (r < 0)
		return r;
	if (s->n_vips)
		qsort(s->vips, s->n_vips, sizeof(*s->vips), td_vip_state_compare);
	for (size_t i = 0; i < s->n_vips; i++)
		if (n == 0 || td_vip_state_compare(&s->vips[n - 1], &s->vips[i]))
			s->vips[n++] = s->vips[i];
	s->n_vips = n;
	return 0;
}

static int read_server_ids(struct td_kernel *k, struct td_state *s)
{
	struct entry {
		struct tundish_quic_key key;
		uint32_t value;
	};
	_cleanup_free_ struct entry *all = NULL;
	size_t n = 0;
	int r = TD_READ_TABLE(k, TD_MAP_quic_ids, TUNDISH_QUIC_IDS_OF(k->settings.backends_max),
			      struct entry, &all, &n);

	for (size_t i = 0; r == 0 && all && i < n; i++) {
		r = td_grow(&s->quic, s->n_quic, sizeof(*s->quic));
		if (r == 0)
			s->quic[s->n_quic++] = (struct td_quic_state){all[i].key, all[i].value};
	}
	if (r == 0 && s->n_quic)
		qsort(s->quic, s->n_quic, sizeof(*s->quic), td_quic_state_compare);
	return r;
}

int td_kernel_read_state(struct td_kernel *k, struct td_state *ret)
{
	struct td_state s = {0};
	int r;

	if ((r = read_services(k, &s)) < 0 || (r = read_backends(k, &s)) < 0 ||
	    (r = read_vips(k, &s)) < 0 || (r = read_server_ids(k, &s)) < 0) {
		td_state_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

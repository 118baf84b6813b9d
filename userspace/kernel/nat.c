// SPDX-License-Identifier: GPL-2.0-only
/*
 * The maps of translated connections. Their settings are written whole, since the
 * data path reads one field here and one there and none depends on another.
 */
#include <sys/random.h>

#include <bpf/bpf.h>

#include "kernel/private.h"

/* ---- settings ---------------------------------------------------------------------- */

static int write_settings(struct td_kernel *k, const struct tundish_nat_settings *s)
{
	uint32_t zero = 0;

	if (bpf_map_update_elem(k->map_fd[TD_MAP_nat_settings], &zero, s, BPF_ANY) < 0)
		return -errno;
	k->nat_settings = *s;
	return 0;
}

int td_nat_settings_make(struct td_kernel *k, struct td_error *error)
{
	struct tundish_nat_settings s = {
		.buckets = k->settings.nat_buckets,
		.lanes_max = k->settings.lanes_max,
	};
	int r;

	if (getrandom(&s.secret, sizeof(s.secret), 0) != sizeof(s.secret))
		return td_fail(error, EIO,
			       "the kernel gives no random numbers for the tables' secret");
	r = write_settings(k, &s);
	return r < 0 ? td_fail(error, -r, "cannot write the settings of nat: %s", strerror(-r)) : 0;
}

int td_nat_settings_read(struct td_kernel *k, struct td_error *error)
{
	_cleanup_free_ struct tundish_nat_host *values = NULL;
	_cleanup_free_ struct tundish_addr *hosts = NULL;
	struct tundish_nat_settings s;
	uint32_t zero = 0, partial = 0;
	size_t n = 0;
	int r;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_nat_settings], &zero, &s) < 0)
		return td_fail(error, errno, "cannot read the settings of nat: %s",
			       strerror(errno));
	k->nat_settings = s;
	r = td_kernel_hosts(k, &hosts, &values, &n);
	r = r ?: td_links_partial(k, &partial);
	if (r == 0 &&
	    (s.n_hosts != n || s.n_partial != partial || s.buckets != k->settings.nat_buckets ||
	     s.lanes_max != k->settings.lanes_max)) {
		/* A daemon died between a host, or a NIC, and its count. */
		s.n_hosts = (uint32_t)n;
		s.n_partial = partial;
		s.buckets = k->settings.nat_buckets;
		s.lanes_max = k->settings.lanes_max;
		r = write_settings(k, &s);
	}
	return r < 0 ? td_fail(error, -r, "cannot read the hosts of nat: %s", strerror(-r)) : 0;
}

const struct tundish_nat_settings *td_kernel_nat_settings(const struct td_kernel *k)
{
	return &k->nat_settings;
}

int td_kernel_set_nat_timeouts(struct td_kernel *k, const struct tundish_nat_timeouts *t)
{
	struct tundish_nat_settings s = k->nat_settings;

	s.timeouts = *t;
	return write_settings(k, &s);
}

int td_nat_count_partial(struct td_kernel *k, int by)
{
	struct tundish_nat_settings s = k->nat_settings;

	s.n_partial += (uint32_t)by;
	return write_settings(k, &s);
}

/* ---- hosts -------------------------------------------------------------------------- */

/* The data path asks whose a packet is only where there are some. */
static int count_hosts(struct td_kernel *k, int by)
{
	struct tundish_nat_settings s = k->nat_settings;

	s.n_hosts += (uint32_t)by;
	return write_settings(k, &s);
}

int td_kernel_put_host(struct td_kernel *k, const struct tundish_addr *address,
		       const struct tundish_nat_host *value)
{
	int fd = k->map_fd[TD_MAP_nat_hosts], r = 0;
	struct tundish_nat_host old;
	bool fresh = bpf_map_lookup_elem(fd, address, &old) < 0;

	/* Counted before it is there: a count that is too high costs a look in vain. */
	if (fresh)
		r = count_hosts(k, 1);
	if (r == 0 && bpf_map_update_elem(fd, address, value, BPF_ANY) < 0) {
		r = -errno;
		if (fresh)
			count_hosts(k, -1);
	}
	return r;
}

int td_kernel_delete_host(struct td_kernel *k, const struct tundish_addr *address)
{
	if (bpf_map_delete_elem(k->map_fd[TD_MAP_nat_hosts], address) < 0)
		return -errno;
	return k->nat_settings.n_hosts ? count_hosts(k, -1) : 0;
}

/* All keys of a hash or a trie that nobody else changes; the caller frees *ret. */
static int read_keys(int fd, size_t size, size_t most, void **ret, size_t *ret_n)
{
	char *keys = calloc(most, size);
	size_t n = 0;

	if (!keys)
		return -ENOMEM;
	while (n < most &&
	       bpf_map_get_next_key(fd, n ? keys + (n - 1) * size : NULL, keys + n * size) == 0)
		n++;
	*ret = keys;
	*ret_n = n;
	return 0;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tundish_addr));
}

int td_kernel_hosts(struct td_kernel *k, struct tundish_addr **ret,
		    struct tundish_nat_host **ret_value, size_t *ret_n)
{
	int fd = k->map_fd[TD_MAP_nat_hosts], r;
	struct tundish_nat_host *values;
	struct tundish_addr *keys;
	void *found;
	size_t n;

	r = read_keys(fd, sizeof(*keys), TUNDISH_NAT_HOSTS_MAX, &found, &n);
	if (r < 0)
		return r;
	keys = found;
	values = calloc(n + 1, sizeof(*values));
	if (!values) {
		free(keys);
		return -ENOMEM;
	}
	if (n)
		qsort(keys, n, sizeof(*keys), by_address);
	for (size_t i = 0; i < n; i++)
		bpf_map_lookup_elem(fd, &keys[i], &values[i]);
	*ret = keys;
	*ret_value = values;
	*ret_n = n;
	return 0;
}

/* ---- lanes and fans --------------------------------------------------------------------- */

#define STORE(to, field, value) __atomic_store_n(&(to)->field, value, __ATOMIC_RELAXED)

void td_kernel_put_lane(struct td_kernel *k, uint32_t id, const struct tundish_lane *value)
{
	struct tundish_lane *to = td_kernel_lanes(k) + id;
	struct tundish_lane_ports *p = td_kernel_lane_ports(k) + id;
	bool ports = value->flags & TUNDISH_LANE_SOURCE;

	if (!id || id >= k->settings.lanes_max)
		return;
	if (to->number) {
		STORE(to, flags, value->flags);
		return;
	}
	/* Nobody refers to it yet; `number` makes it an entry. */
	memset(p->taken, ports ? 0xff : 0, sizeof(p->taken));
	memset(p->yielding, 0, sizeof(p->yielding));
	*to = (struct tundish_lane){
		.source = value->source,
		.host = value->host,
		.port_be = value->port_be,
		.protocol = value->protocol,
		.flags = value->flags,
		.stride = 1,
		.ports = ports ? id : 0,
		.usable = ports ? 0 : TUNDISH_LANE_UNBOUNDED,
	};
	__atomic_store_n(&to->number, value->number, __ATOMIC_RELEASE);
}

void td_kernel_delete_lane(struct td_kernel *k, uint32_t id)
{
	struct tundish_lane *to = td_kernel_lanes(k) + id;

	if (!id || id >= k->settings.lanes_max)
		return;
	__atomic_store_n(&to->number, 0, __ATOMIC_RELEASE);
	memset(to, 0, sizeof(*to));
}

static uint32_t lanes_of(const struct tundish_fan *f)
{
	uint32_t direct = f->flags & TUNDISH_FAN_DIRECT ? 1 : 0;

	return (f->n_ports ?: 1u) * f->n_addresses * (f->n_sources + direct);
}

/*
 * The data path reads what a fan has and then its lanes, in no one moment. So its lanes are
 * written while none of them, or the former ones, can be met at a place that means
 * something else: where each port has its own, those that move are taken out first.
 */
void td_kernel_put_fan(struct td_kernel *k, uint32_t backend, const struct tundish_fan *value)
{
	struct tundish_fan *to = td_kernel_fans(k) + backend;
	bool grows, by_port;
	uint32_t head;

	if (backend >= k->settings.backends_max)
		return;
	grows = lanes_of(value) >= lanes_of(to);
	by_port = value->n_ports > 1 || value->n_ports != to->n_ports ||
		  (to->flags ^ value->flags) & TUNDISH_FAN_DIRECT;
	_Static_assert(offsetof(struct tundish_fan, time_wait) == sizeof(head), "head of a fan");
	memcpy(&head, value, sizeof(head));
	STORE(to, time_wait, value->time_wait);
	if (by_port)
		for (size_t i = 0; i < TUNDISH_FAN_LANES; i++)
			if (to->lane[i] != value->lane[i])
				__atomic_store_n(&to->lane[i], 0, __ATOMIC_RELEASE);
	if (by_port || !grows)
		__atomic_store_n((uint32_t *)(void *)to, head, __ATOMIC_RELEASE);
	for (size_t i = 0; i < TUNDISH_FAN_PORTS; i++)
		STORE(to, port_be[i], value->port_be[i]);
	for (size_t i = 0; i < TUNDISH_FAN_LANES; i++)
		STORE(to, lane[i], value->lane[i]);
	__atomic_store_n((uint32_t *)(void *)to, head, __ATOMIC_RELEASE);
}

void td_kernel_put_deliver(struct td_kernel *k, uint32_t service,
			   const struct tundish_deliver *value)
{
	struct tundish_deliver *to = td_kernel_deliveries(k) + service;

	if (service >= k->settings.services_max)
		return;
	STORE(to, flags, value->flags);
	STORE(to, mss, value->mss);
}

static int read_fans(struct td_kernel *k, struct td_state *s)
{
	const struct tundish_fan *fans = td_kernel_fans(k);

	for (uint32_t id = 1; id < k->settings.backends_max; id++) {
		if (!fans[id].time_wait)
			continue;
		if (td_grow(&s->fans, s->n_fans, sizeof(*s->fans)) < 0)
			return -ENOMEM;
		s->fans[s->n_fans++] = (struct td_fan_state){id, fans[id]};
	}
	return 0;
}

int td_kernel_read_lanes(struct td_kernel *k, struct td_state *s)
{
	_cleanup_free_ struct tundish_nat_host *values = NULL;
	_cleanup_free_ struct tundish_addr *hosts = NULL;
	const struct tundish_lane *lanes = td_kernel_lanes(k);
	size_t n = 0;
	int r;

	for (uint32_t id = 1; id < k->settings.lanes_max; id++) {
		if (!__atomic_load_n(&lanes[id].number, __ATOMIC_ACQUIRE))
			continue;
		if (td_grow(&s->lanes, s->n_lanes, sizeof(*s->lanes)) < 0)
			return -ENOMEM;
		s->lanes[s->n_lanes++] = (struct td_lane_state){.id = id, .value = lanes[id]};
	}
	r = read_fans(k, s);
	if (r == 0)
		r = td_kernel_hosts(k, &hosts, &values, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = td_grow(&s->hosts, s->n_hosts, sizeof(*s->hosts));
		if (r == 0)
			s->hosts[s->n_hosts++] = (struct td_host_state){hosts[i], values[i]};
	}
	return r;
}

/* ---- near networks -------------------------------------------------------------------- */

int td_kernel_put_near(struct td_kernel *k, const struct td_prefix *prefix)
{
	struct tundish_prefix key = {.length = prefix->length, .address = prefix->address};
	uint32_t one = 1;

	return bpf_map_update_elem(k->map_fd[TD_MAP_nat_near], &key, &one, BPF_ANY) < 0 ? -errno
											: 0;
}

int td_kernel_delete_near(struct td_kernel *k, const struct td_prefix *prefix)
{
	struct tundish_prefix key = {.length = prefix->length, .address = prefix->address};

	return bpf_map_delete_elem(k->map_fd[TD_MAP_nat_near], &key) < 0 ? -errno : 0;
}

int td_kernel_near(struct td_kernel *k, struct td_prefix **ret, size_t *ret_n)
{
	const struct tundish_prefix *keys;
	struct td_prefix *list;
	void *found;
	size_t n;
	int r;

	r = read_keys(k->map_fd[TD_MAP_nat_near], sizeof(*keys), TUNDISH_NAT_NEAR_MAX, &found, &n);
	if (r < 0)
		return r;
	keys = found;
	list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; list && i < n; i++)
		list[i] = (struct td_prefix){keys[i].address, (uint8_t)keys[i].length};
	free(found);
	if (!list)
		return -ENOMEM;
	*ret = list;
	*ret_n = n;
	return 0;
}

/* ---- mapped tables ---------------------------------------------------------------------- */

struct tundish_nat *td_kernel_nat(struct td_kernel *k)
{
	return k->mapped[TD_MAP_nat];
}

struct tundish_nat_bucket *td_kernel_nat_tags(struct td_kernel *k)
{
	return k->mapped[TD_MAP_nat_tags];
}

struct tundish_lane *td_kernel_lanes(struct td_kernel *k)
{
	return k->mapped[TD_MAP_lanes];
}

struct tundish_lane_ports *td_kernel_lane_ports(struct td_kernel *k)
{
	return k->mapped[TD_MAP_lane_ports];
}

struct tundish_fan *td_kernel_fans(struct td_kernel *k)
{
	return k->mapped[TD_MAP_fans];
}

struct tundish_deliver *td_kernel_deliveries(struct td_kernel *k)
{
	return k->mapped[TD_MAP_deliveries];
}

struct tundish_return *td_kernel_returns(struct td_kernel *k)
{
	return k->mapped[TD_MAP_returns];
}

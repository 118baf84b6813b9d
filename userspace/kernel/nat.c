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
	uint32_t zero = 0;
	size_t n = 0;
	int r;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_nat_settings], &zero, &s) < 0)
		return td_fail(error, errno, "cannot read the settings of nat: %s",
			       strerror(errno));
	k->nat_settings = s;
	r = td_kernel_hosts(k, &hosts, &values, &n);
	if (r == 0 && (s.n_hosts != n || s.buckets != k->settings.nat_buckets ||
		       s.lanes_max != k->settings.lanes_max)) {
		/* A daemon died between a host and its count. */
		s.n_hosts = (uint32_t)n;
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
	int fd = k->map_fd[TD_MAP_nat_hosts], r;
	struct tundish_nat_host old;

	/* Counted before it is there: a count that is too high costs a look in vain. */
	if (bpf_map_lookup_elem(fd, address, &old) < 0) {
		r = count_hosts(k, 1);
		if (r < 0)
			return r;
	}
	return bpf_map_update_elem(fd, address, value, BPF_ANY) < 0 ? -errno : 0;
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

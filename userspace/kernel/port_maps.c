// SPDX-License-Identifier: GPL-2.0-only
/* What was counted of source ports. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"

/* ---- tables as a whole ------------------------------------------------------------------ */

struct td_ports_reading {
	struct td_table table;
	size_t seen;
};

int td_kernel_ports_begin(struct td_ports_reading **ret)
{
	struct td_ports_reading *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->table = TD_TABLE_OF(struct td_port_entry);
	*ret = r;
	return 0;
}

int td_kernel_ports_next(struct td_kernel *k, struct td_ports_reading *reading,
			 const struct td_port_entry **ret, size_t *ret_n)
{
	struct td_table *t = &reading->table;
	int r;

	t->n = 0;
	r = td_table_read(k, TD_MAP_ports, t, k->settings.ports_max - reading->seen);
	if (r < 0)
		return r;
	reading->seen += t->n;
	*ret = (const struct td_port_entry *)(const void *)t->entries;
	*ret_n = t->n;
	return r;
}

struct td_ports_reading *td_kernel_ports_end(struct td_ports_reading *reading)
{
	if (reading)
		td_table_done(&reading->table);
	free(reading);
	return NULL;
}

int td_kernel_ports(struct td_kernel *k, struct td_port_entry **ret, size_t *ret_n)
{
	return TD_READ_TABLE(k, TD_MAP_ports, k->settings.ports_max, struct td_port_entry, ret,
			     ret_n);
}

int td_kernel_port_owners(struct td_kernel *k, struct td_port_owner **ret, size_t *ret_n)
{
	return TD_READ_TABLE(k, TD_MAP_port_owners, TUNDISH_PORT_OWNERS_MAX, struct td_port_owner,
			     ret, ret_n);
}

int td_kernel_closers(struct td_kernel *k, struct td_closer **ret, size_t *ret_n)
{
	return TD_READ_TABLE(k, TD_MAP_closers, TUNDISH_CLOSERS_MAX, struct td_closer, ret, ret_n);
}

/* ---- entries --------------------------------------------------------------------------------- */

int td_kernel_port(struct td_kernel *k, const struct tundish_port_key *key,
		   struct tundish_ports *ret)
{
	struct tundish_ports found;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_ports], key, &found) < 0)
		return -errno;
	*ret = found;
	return 0;
}

int td_kernel_delete_port(struct td_kernel *k, const struct tundish_port_key *key)
{
	return bpf_map_delete_elem(k->map_fd[TD_MAP_ports], key) < 0 ? -errno : 0;
}

int td_kernel_delete_port_owner(struct td_kernel *k, const struct tundish_port_owner_key *key)
{
	return bpf_map_delete_elem(k->map_fd[TD_MAP_port_owners], key) < 0 ? -errno : 0;
}

struct tundish_port_bits *td_kernel_port_bits(struct td_kernel *k, uint32_t space)
{
	return (struct tundish_port_bits *)k->mapped[TD_MAP_port_bits] + space;
}

const struct tundish_waits *td_kernel_port_search(struct td_kernel *k)
{
	return k->mapped[TD_MAP_port_search];
}

/* ---- spaces ------------------------------------------------------------------------------------ */

/* With the place for all tuples of it that find none of their own. */
int td_kernel_put_space(struct td_kernel *k, uint64_t cookie, const struct tundish_space *space)
{
	struct tundish_port_key others = {.space = space->index};
	struct tundish_ports none = {0};

	if (!space->index || space->index >= TUNDISH_SPACES_MAX)
		return -EINVAL;
	if (bpf_map_update_elem(k->map_fd[TD_MAP_ports], &others, &none, BPF_NOEXIST) < 0 &&
	    errno != EEXIST && errno != E2BIG)
		return -errno;
	return bpf_map_update_elem(k->map_fd[TD_MAP_spaces], &cookie, space, BPF_ANY) < 0 ? -errno
											  : 0;
}

int td_kernel_get_space(struct td_kernel *k, uint64_t cookie, struct tundish_space *ret)
{
	struct tundish_space found;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_spaces], &cookie, &found) < 0)
		return -errno;
	*ret = found;
	return 0;
}

int td_kernel_delete_space(struct td_kernel *k, uint64_t cookie)
{
	return bpf_map_delete_elem(k->map_fd[TD_MAP_spaces], &cookie) < 0 ? -errno : 0;
}

int td_kernel_spaces(struct td_kernel *k, uint64_t **ret_cookies, struct tundish_space **ret,
		     size_t *ret_n)
{
	_cleanup_free_ uint64_t *cookies = calloc(TUNDISH_SPACES_MAX, sizeof(*cookies));
	_cleanup_free_ struct tundish_space *spaces = calloc(TUNDISH_SPACES_MAX, sizeof(*spaces));
	const uint64_t *from = NULL;
	uint64_t cookie;
	size_t n = 0;

	if (!cookies || !spaces)
		return -ENOMEM;
	while (n < TUNDISH_SPACES_MAX &&
	       bpf_map_get_next_key(k->map_fd[TD_MAP_spaces], from, &cookie) == 0) {
		cookies[n] = cookie;
		from = &cookies[n];
		if (bpf_map_lookup_elem(k->map_fd[TD_MAP_spaces], &cookie, &spaces[n]) == 0)
			n++;
	}
	*ret_cookies = TD_TAKE_PTR(cookies);
	*ret = TD_TAKE_PTR(spaces);
	*ret_n = n;
	return 0;
}

/* ---- events -------------------------------------------------------------------------------------- */

static struct reader {
	void (*each)(const struct tundish_port_event *e, void *context);
	void *context;
} reader; /* of the call that is under way: libbpf's own context is fixed when it is opened */

static int on_event(void *context, void *data, size_t size)
{
	if (reader.each && size >= sizeof(struct tundish_port_event))
		reader.each(data, reader.context);
	return 0;
}

int td_port_events_open(struct td_kernel *k)
{
	if (!k->port_events)
		k->port_events =
			ring_buffer__new(k->map_fd[TD_MAP_port_events], on_event, NULL, NULL);
	return k->port_events ? 0 : -errno;
}

int td_kernel_port_events_fd(const struct td_kernel *k)
{
	return k->port_events ? ring_buffer__epoll_fd(k->port_events) : -1;
}

int td_kernel_read_port_events(struct td_kernel *k,
			       void (*each)(const struct tundish_port_event *e, void *context),
			       void *context)
{
	int r;

	if (!k->port_events)
		return 0;
	reader = (struct reader){each, context};
	r = ring_buffer__consume(k->port_events);
	reader = (struct reader){0};
	return r;
}

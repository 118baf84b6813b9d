// SPDX-License-Identifier: GPL-2.0-only
/*
 * Worker groups: their maps, and the sockets in them.
 *
 * A descriptor of somebody's listener is held for a moment only, by who calls;
 * the SOCKMAP holds none, so a worker that closes is gone from it.
 */
#include <linux/bpf.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

/* ---- listens ------------------------------------------------------------------------ */

int td_kernel_put_listen(struct td_kernel *k, const struct tundish_listen *l, uint32_t group)
{
	return bpf_map_update_elem(k->map_fd[TD_MAP_listens], l, &group, BPF_ANY) < 0 ? -errno : 0;
}

int td_kernel_delete_listen(struct td_kernel *k, const struct tundish_listen *l)
{
	return bpf_map_delete_elem(k->map_fd[TD_MAP_listens], l) < 0 ? -errno : 0;
}

int td_kernel_listens(struct td_kernel *k, struct tundish_listen **ret, uint32_t **ret_groups,
		      size_t *ret_n)
{
	const size_t most = TUNDISH_LISTENS_OF(k->settings.groups_max);
	_cleanup_free_ struct tundish_listen *list = calloc(most + 1, sizeof(*list));
	_cleanup_free_ uint32_t *groups = calloc(most + 1, sizeof(*groups));
	const void *from = NULL;
	struct tundish_listen key;
	size_t n = 0;

	if (!list || !groups)
		return -ENOMEM;
	while (n < most && bpf_map_get_next_key(k->map_fd[TD_MAP_listens], from, &key) == 0) {
		list[n] = key;
		from = &list[n];
		if (bpf_map_lookup_elem(k->map_fd[TD_MAP_listens], &key, &groups[n]) == 0)
			n++;
	}
	*ret = TD_TAKE_PTR(list);
	*ret_groups = TD_TAKE_PTR(groups);
	*ret_n = n;
	return 0;
}

/* ---- whose word is taken ------------------------------------------------------------- */

static struct tundish_trusted trusted_key(uint32_t service, const struct td_prefix *p)
{
	return (struct tundish_trusted){32u + p->length, service, p->address};
}

int td_kernel_put_trusted(struct td_kernel *k, uint32_t service, const struct td_prefix *prefix)
{
	struct tundish_trusted key = trusted_key(service, prefix);
	uint32_t one = 1;

	return bpf_map_update_elem(k->map_fd[TD_MAP_trusted], &key, &one, BPF_ANY) < 0 ? -errno : 0;
}

int td_kernel_delete_trusted(struct td_kernel *k, uint32_t service, const struct td_prefix *prefix)
{
	struct tundish_trusted key = trusted_key(service, prefix);

	return bpf_map_delete_elem(k->map_fd[TD_MAP_trusted], &key) < 0 ? -errno : 0;
}

int td_kernel_trusted(struct td_kernel *k, uint32_t service, struct td_prefix **ret, size_t *ret_n)
{
	_cleanup_free_ struct td_prefix *all = NULL;
	struct tundish_trusted key, former;
	size_t n = 0;
	int r;

	for (size_t read = 0; read < 2 * TUNDISH_TRUSTED_MAX; read++) {
		if (bpf_map_get_next_key(k->map_fd[TD_MAP_trusted], read ? &former : NULL, &key) <
		    0)
			break;
		former = key;
		if (key.service != service || key.length < 32)
			continue;
		r = td_grow(&all, n, sizeof(*all));
		if (r < 0)
			return r;
		all[n++] = (struct td_prefix){key.address, (uint8_t)(key.length - 32)};
	}
	*ret = TD_TAKE_PTR(all);
	*ret_n = n;
	return 0;
}

/* ---- sockets ------------------------------------------------------------------------- */

int td_kernel_scan_listeners(struct td_kernel *k, struct td_error *error)
{
	int r = td_hook_iterate_all(k, TD_HOOK_prog_scan, -1);

	return r < 0 ? td_fail(error, -r, "cannot look for listeners that are there already: %s",
			       strerror(-r))
		     : 0;
}

int td_kernel_scan_udp(struct td_kernel *k, struct td_error *error)
{
	int r = td_hook_iterate_all(k, TD_HOOK_prog_scan_udp, -1);

	return r < 0 ? td_fail(error, -r, "cannot look for UDP sockets: %s", strerror(-r)) : 0;
}

int td_kernel_measure_queues(struct td_kernel *k)
{
	return td_hook_iterate_all(k, TD_HOOK_prog_depths, k->map_fd[TD_MAP_listeners]);
}

static void fill(struct tundish_worker *w, const struct tundish_worker *about, uint32_t group,
		 uint64_t now)
{
	struct tundish_worker fresh = {
		.inode = about->inode,
		.pid = about->pid,
		.uid = about->uid,
		.flags = about->flags,
		.limit = about->limit,
		.group = group,
		.progress = now,
		.joined = now,
	};

	memcpy(fresh.command, about->command, sizeof(fresh.command));
	*w = fresh; /* its cookie is 0: nobody asks it yet */
}

int td_kernel_adopt_listener(struct td_kernel *k, uint32_t group, int fd,
			     const struct tundish_worker *about, uint32_t *ret_index)
{
	struct tundish_group *g;
	struct tundish_worker *all = td_kernel_workers(k);
	uint64_t cookie, value = (uint64_t)fd;
	socklen_t length = sizeof(cookie);
	struct timespec ts;
	uint64_t now;

	if (!group || group >= k->settings.groups_max)
		return -EINVAL;
	g = &td_kernel_groups(k)[group];
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) < 0)
		return -errno;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
	for (uint32_t i = 0; i < g->used; i++)
		if (g->first + i < k->settings.workers_max && all[g->first + i].cookie == cookie)
			return -EEXIST;
	for (uint32_t i = 0; i < g->size && g->first + i < k->settings.workers_max; i++) {
		uint32_t index = g->first + i;
		struct tundish_origin o = {.cookie = cookie, .worker = index};
		struct tundish_worker *w = &all[index];

		if (w->cookie)
			continue;
		if (bpf_map_update_elem(k->map_fd[TD_MAP_listeners], &index, &value, BPF_NOEXIST) <
		    0) {
			if (errno == EEXIST)
				continue;
			return -errno;
		}
		if (bpf_map_update_elem(k->map_fd[TD_MAP_origin], &fd, &o, BPF_ANY) < 0 ||
		    bpf_map_update_elem(k->map_fd[TD_MAP_members], &cookie, &index, BPF_ANY) < 0) {
			int r = -errno;

			bpf_map_delete_elem(k->map_fd[TD_MAP_listeners], &index);
			return r;
		}
		fill(w, about, group, now);
		__atomic_store_n(&w->cookie, cookie, __ATOMIC_RELEASE);
		if (g->used < i + 1)
			__atomic_store_n(&g->used, i + 1, __ATOMIC_RELAXED);
		__atomic_store_n(&g->empty_since, 0, __ATOMIC_RELAXED);
		*ret_index = index;
		return 0;
	}
	return -ENOSPC;
}

bool td_kernel_worker_lives(struct td_kernel *k, uint32_t index)
{
	uint64_t cookie;

	return bpf_map_lookup_elem(k->map_fd[TD_MAP_listeners], &index, &cookie) == 0;
}

void td_kernel_remove_worker(struct td_kernel *k, uint32_t index)
{
	if (index >= k->settings.workers_max)
		return;
	__atomic_store_n(&td_kernel_workers(k)[index].cookie, 0, __ATOMIC_RELAXED);
	bpf_map_delete_elem(k->map_fd[TD_MAP_listeners], &index);
}

int td_kernel_attach_migrate(struct td_kernel *k, int fd)
{
	int program = k->hook_fd[TD_HOOK_prog_migrate];

	if (program < 0)
		return -ENOENT;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof(program)) < 0
		       ? -errno
		       : 0;
}

int td_kernel_set_sink(struct td_kernel *k, bool udp, int fd)
{
	uint64_t value = (uint64_t)fd;
	uint32_t index = udp;

	return bpf_map_update_elem(k->map_fd[TD_MAP_sinks], &index, &value, BPF_ANY) < 0 ? -errno
											 : 0;
}

/* ---- who comes and goes ----------------------------------------------------------------- */

struct reader {
	void (*each)(const struct tundish_worker_event *e, void *context);
	void *context;
};

static struct reader reader; /* libbpf's callback is set when the buffer is opened */

static int on_event(void *context, void *data, size_t size)
{
	if (size >= sizeof(struct tundish_worker_event) && reader.each)
		reader.each(data, reader.context);
	return 0;
}

int td_kernel_worker_events_fd(const struct td_kernel *k)
{
	return k->worker_events ? ring_buffer__epoll_fd(k->worker_events) : -1;
}

int td_kernel_read_worker_events(struct td_kernel *k,
				 void (*each)(const struct tundish_worker_event *e, void *context),
				 void *context)
{
	int r;

	if (!k->worker_events)
		return 0;
	reader = (struct reader){each, context};
	r = ring_buffer__consume(k->worker_events);
	reader = (struct reader){0};
	return r;
}

int td_worker_events_open(struct td_kernel *k)
{
	if (!k->worker_events)
		k->worker_events =
			ring_buffer__new(k->map_fd[TD_MAP_worker_events], on_event, NULL, NULL);
	return k->worker_events ? 0 : -errno;
}

/* ---- asking ------------------------------------------------------------------------------ */

int td_kernel_trace_worker(struct td_kernel *k, uint8_t protocol, const struct tundish_addr *source,
			   uint16_t source_port, const struct tundish_addr *destination,
			   uint16_t port, uint32_t *ret_worker, uint32_t *ret_refusal)
{
	bool v4 = tundish_addr_is_v4(destination);
	struct bpf_sk_lookup c = {
		.family = v4 ? AF_INET : AF_INET6,
		.protocol = protocol,
		.remote_port = htons(source_port),
		.local_port = port,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &c, .ctx_size_in = sizeof(c), .ctx_out = &c,
		    .ctx_size_out = sizeof(c), .repeat = 1);
	struct tundish_trace t = {0};
	uint32_t zero = 0;

	if (v4) {
		c.remote_ip4 = source->word[3];
		c.local_ip4 = destination->word[3];
	} else {
		memcpy(c.remote_ip6, source->word, sizeof(c.remote_ip6));
		memcpy(c.local_ip6, destination->word, sizeof(c.local_ip6));
	}
	if (k->hook_fd[TD_HOOK_prog_steer] < 0)
		return -ENOENT;
	if (bpf_map_update_elem(k->map_fd[TD_MAP_trace], &zero, &t, BPF_ANY) < 0 ||
	    bpf_prog_test_run_opts(k->hook_fd[TD_HOOK_prog_steer], &opts) < 0 ||
	    bpf_map_lookup_elem(k->map_fd[TD_MAP_trace], &zero, &t) < 0)
		return -errno;
	*ret_worker = UINT32_MAX;
	*ret_refusal = TUNDISH_REFUSAL_MAX;
	for (uint32_t i = 0; i < t.n_steps && i < TUNDISH_TRACE_STEPS_MAX; i++) {
		if (t.steps[i].step == TUNDISH_STEP_worker)
			*ret_worker = t.steps[i].argument;
		if (t.steps[i].step == TUNDISH_STEP_no_worker)
			*ret_refusal = t.steps[i].argument;
	}
	return 0;
}

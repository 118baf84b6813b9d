// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets for people: the filter and its lease are a mapped entry, the ring is made for each capture
 * and hung into an array of one, where the data path finds it. Nobody else keeps it, so it is
 * freed with the capture, and that of a daemon that was killed by the next one.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"

struct td_packets {
	struct ring_buffer *ring;
	td_capture_each each; /* NULL: nobody's any more */
	void *context;
	uint64_t dropped;
};

static struct tundish_capture *filter_of(struct td_kernel *k)
{
	return k->mapped[TD_MAP_capture];
}

static int on_packet(void *context, void *data, size_t size)
{
	struct td_packets *p = context;
	const struct tundish_captured *head = data;

	if (size < sizeof(*head) || head->captured > size - sizeof(*head))
		return 0;
	if (!p->each) {
		p->dropped++;
		return 0;
	}
	return p->each(p->context, head, head + 1) ? 0 : -EAGAIN;
}

void td_kernel_capture_end(struct td_kernel *k)
{
	uint32_t zero = 0;

	__atomic_store_n(&filter_of(k)->until, 0, __ATOMIC_RELEASE);
	if (k->packets)
		ring_buffer__free(k->packets->ring);
	free(k->packets);
	k->packets = NULL;
	bpf_map_delete_elem(k->map_fd[TD_MAP_capture_ring], &zero); /* ENOENT where there is none */
}

/* The filter, while nobody reads it. */
static void put_filter(struct tundish_capture *to, const struct tundish_capture *filter)
{
	struct tundish_capture f = *filter;

	f.until = f.nothing = f.sampled = f.full = 0;
	f.unmatched = TUNDISH_CAPTURE_UNMATCHED_IS_NOTHING;
	if (f.points & TUNDISH_CAPTURE_OUT)
		f.unmatched = f.service ? TUNDISH_CAPTURE_UNMATCHED_IS_NOTED
					: TUNDISH_CAPTURE_UNMATCHED_MAY_LEAVE;
	*to = f;
}

int td_kernel_capture_begin(struct td_kernel *k, const struct tundish_capture *filter,
			    uint32_t ring_bytes, td_capture_each each, void *context,
			    struct td_error *error)
{
	_cleanup_close_ int fd = -1;
	struct td_packets *p;
	uint32_t zero = 0;

	td_kernel_prints();
	td_kernel_capture_end(k);
	put_filter(filter_of(k), filter);
	fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "captured", 0, 0, ring_bytes, NULL);
	if (fd < 0)
		return td_fail(error, errno, "the kernel makes no ring of %u bytes for packets: %s",
			       ring_bytes, strerror(errno));
	p = calloc(1, sizeof(*p));
	if (!p)
		return td_fail(error, ENOMEM, "no memory for captured packets");
	p->each = each;
	p->context = context;
	p->ring = ring_buffer__new(fd, on_packet, p, NULL);
	if (!p->ring ||
	    bpf_map_update_elem(k->map_fd[TD_MAP_capture_ring], &zero, &fd, BPF_ANY) < 0) {
		int code = errno;

		ring_buffer__free(p->ring);
		free(p);
		return td_fail(error, code, "cannot give the ring for packets to the data path: %s",
			       strerror(code));
	}
	k->packets = p;
	return 0;
}

void td_kernel_capture_renew(struct td_kernel *k, uint64_t until_ns)
{
	if (k->packets)
		__atomic_store_n(&filter_of(k)->until, until_ns, __ATOMIC_RELEASE);
}

int td_kernel_capture_fd(const struct td_kernel *k)
{
	return k->packets ? ring_buffer__epoll_fd(k->packets->ring) : -1;
}

void td_kernel_capture_read(struct td_kernel *k)
{
	if (k->packets)
		ring_buffer__consume(k->packets->ring);
}

uint64_t td_kernel_capture_drop(struct td_kernel *k)
{
	if (!k->packets)
		return 0;
	k->packets->each = NULL;
	ring_buffer__consume(k->packets->ring);
	return k->packets->dropped;
}

void td_kernel_capture_lost(struct td_kernel *k, uint64_t *ret_sampled, uint64_t *ret_full)
{
	*ret_sampled = __atomic_load_n(&filter_of(k)->sampled, __ATOMIC_RELAXED);
	*ret_full = __atomic_load_n(&filter_of(k)->full, __ATOMIC_RELAXED);
}

int td_kernel_service_name(struct td_kernel *k, uint32_t id, char ret[TUNDISH_NAME_LEN])
{
	struct tundish_service s;

	if (id >= k->settings.services_max ||
	    bpf_map_lookup_elem(k->map_fd[TD_MAP_services], &id, &s) < 0)
		return -ENOENT;
	if (s.state == TUNDISH_SERVICE_FREE)
		return -ENOENT;
	memcpy(ret, s.name, TUNDISH_NAME_LEN);
	ret[TUNDISH_NAME_LEN - 1] = '\0';
	return 0;
}

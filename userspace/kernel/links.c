// SPDX-License-Identifier: GPL-2.0-only
/* What the data path knows of NICs, and the ways back to clients that it has learned. */
#include <bpf/bpf.h>

#include "kernel/private.h"

static bool is_partial(struct td_kernel *k, uint32_t ifindex)
{
	struct tundish_link l;

	return bpf_map_lookup_elem(k->map_fd[TD_MAP_links], &ifindex, &l) == 0 &&
	       l.flags & TUNDISH_LINK_PARTIAL;
}

int td_kernel_put_link(struct td_kernel *k, uint32_t ifindex, const struct tundish_link *value)
{
	bool was = is_partial(k, ifindex), is = value->flags & TUNDISH_LINK_PARTIAL;
	int r = 0;

	/* Counted before it is so: a count that is too high costs a look in vain. */
	if (is && !was)
		r = td_nat_count_partial(k, 1);
	if (r == 0 && bpf_map_update_elem(k->map_fd[TD_MAP_links], &ifindex, value, BPF_ANY) < 0) {
		r = -errno;
		if (is && !was)
			td_nat_count_partial(k, -1);
	}
	if (r == 0 && was && !is)
		r = td_nat_count_partial(k, -1);
	return r;
}

int td_kernel_delete_link(struct td_kernel *k, uint32_t ifindex)
{
	bool was = is_partial(k, ifindex);

	if (bpf_map_delete_elem(k->map_fd[TD_MAP_links], &ifindex) < 0)
		return -errno;
	return was ? td_nat_count_partial(k, -1) : 0;
}

/* An entry deleted meanwhile makes the kernel begin anew: so deletions are the caller's, behind
 * this. */
int td_kernel_links(struct td_kernel *k, uint32_t ret_ifindex[TUNDISH_LINKS_MAX],
		    struct tundish_link ret[TUNDISH_LINKS_MAX], size_t *ret_n)
{
	const uint32_t *from = NULL;
	uint32_t ifindex;
	size_t n = 0;

	while (n < TUNDISH_LINKS_MAX &&
	       bpf_map_get_next_key(k->map_fd[TD_MAP_links], from, &ifindex) == 0) {
		ret_ifindex[n] = ifindex;
		from = &ret_ifindex[n];
		if (bpf_map_lookup_elem(k->map_fd[TD_MAP_links], &ifindex, &ret[n]) < 0)
			return -errno;
		n++;
	}
	*ret_n = n;
	return 0;
}

int td_links_partial(struct td_kernel *k, uint32_t *ret)
{
	struct tundish_link links[TUNDISH_LINKS_MAX];
	uint32_t ifindex[TUNDISH_LINKS_MAX], partial = 0;
	size_t n = 0;
	int r = td_kernel_links(k, ifindex, links, &n);

	for (size_t i = 0; i < n; i++)
		partial += !!(links[i].flags & TUNDISH_LINK_PARTIAL);
	if (r == 0)
		*ret = partial;
	return r;
}

int td_kernel_forget_return(struct td_kernel *k, const struct tundish_return_key *key,
			    uint32_t index)
{
	uint32_t found;

	if (bpf_map_lookup_elem(k->map_fd[TD_MAP_return_ids], key, &found) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (found != index)
		return 0;
	return bpf_map_delete_elem(k->map_fd[TD_MAP_return_ids], key) < 0 ? -errno : 0;
}

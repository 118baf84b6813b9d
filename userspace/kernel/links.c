// SPDX-License-Identifier: GPL-2.0-only
/* What the data path knows of NICs, and the ways back to clients that it has learned. */
#include <bpf/bpf.h>

#include "kernel/private.h"

int td_kernel_put_link(struct td_kernel *k, uint32_t ifindex, const struct tundish_link *value)
{
	return bpf_map_update_elem(k->map_fd[TD_MAP_links], &ifindex, value, BPF_ANY) < 0 ? -errno
											  : 0;
}

int td_kernel_delete_link(struct td_kernel *k, uint32_t ifindex)
{
	return bpf_map_delete_elem(k->map_fd[TD_MAP_links], &ifindex) < 0 ? -errno : 0;
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

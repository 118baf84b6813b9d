/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Worker groups: which of them the configuration asks for, and which id and
 * indices each gets among those that stand.
 *
 * Pure: no I/O, no clock, no log.
 */
#ifndef TD_CORE_GROUPS_H
#define TD_CORE_GROUPS_H

#include <tundish/workers.h>

#include "core/config.h"

#define TD_GROUP_NONE UINT32_MAX

struct td_group_want {
	struct td_listen_conf listen[TUNDISH_GROUP_LISTENS]; /* ascending by (address, port) */
	size_t n_listen;
	char name[TUNDISH_NAME_LEN]; /* "[::]:8080,0.0.0.0:8081", "[::]:53/udp"; cut where it is
				      * longer */
	uint32_t size;
	uint32_t services; /* how many stand in front */
	bool account;	   /* one of them has a share, or there are several */
	bool udp;	   /* its workers are UDP sockets */

	/* Of td_groups_place; 0 before. */
	uint32_t id;	/* index in `groups`, 1.. */
	uint32_t first; /* index in `workers` */
	bool installed; /* stands under this id and `first` already (its size may be another) */
};

/*
 * The groups in front of which the configuration's services stand, in the order
 * of the first service of each; none where no service names listeners.
 * @config must have passed its checks. Returns 0 and an array to free (NULL
 * where *ret_n is 0), -EINVAL with the sentence where lists overlap but differ,
 * or -ENOMEM; *ret and *ret_n untouched then.
 */
int td_groups_make(const struct td_config *config, struct td_group_want **ret, size_t *ret_n,
		   struct td_error *error);

/* The index in `groups` of the one that the service stands in front of, or
 * TD_GROUP_NONE: no `workers`, or listeners on the VIPs themselves. */
uint32_t td_group_of(const struct td_group_want *groups, size_t n,
		     const struct td_service_conf *service);

/* One pair of the map `listens`. */
struct td_group_listen {
	struct tundish_listen listen;
	uint32_t group; /* id */
};

struct td_groups_installed {
	const struct tundish_group *groups; /* [groups_max]; 0 is none */
	uint32_t groups_max;
	uint32_t workers_max;
	const struct td_group_listen *listens; /* in any order */
	size_t n_listens;
};

/*
 * Gives each wanted group an id and `size` indices from `first` on. One that
 * stands (the same set of listens) keeps its id and `first`; where its size
 * changed, only if those that it uses and those that it shall have fit there.
 * Others get a free id and the first free range, which are not those of groups
 * that leave unless there is no other way: so take away those that leave before
 * putting those that are new.
 *
 * @ret_leaving: [groups_max], true for each id that is active and that no wanted
 *               group keeps; what it has in `listens` goes with it
 * Returns 0, or -ENOSPC with the sentence which limit to raise; nothing is
 * written then.
 */
int td_groups_place(struct td_group_want *wanted, size_t n, const struct td_groups_installed *in,
		    bool *ret_leaving, struct td_error *error);

#endif

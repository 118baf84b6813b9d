// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses of this host, read with one dump and kept sorted, so that a
 * thousand VIPs are looked up in it without a thousand walks.
 */
#include <linux/if_addr.h>

#include "core/address.h"
#include "net/query.h"

/* In linux/if_addr.h from 5.18 on. */
#define ATTRIBUTE_PROTO 11

int td_addr_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tundish_addr));
}

static int compare(const void *a, const void *b)
{
	const struct td_host_address *x = a, *y = b;
	int r = td_addr_compare(&x->address, &y->address);

	return r ? r : (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

int td_host_address_parse(const struct nlmsghdr *h, struct td_host_address *ret)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct td_host_address x = {0};
	bool has_local = false, has_address = false;
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return -EBADMSG;
	if (m->ifa_family != AF_INET && m->ifa_family != AF_INET6)
		return 0;
	x.ifindex = m->ifa_index;
	x.flags = m->ifa_flags;
	x.prefix_length = m->ifa_prefixlen;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case IFA_LOCAL: /* with a peer, IFA_ADDRESS is the peer's */
			has_local = td_attr_addr(a, m->ifa_family, &x.address);
			break;
		case IFA_ADDRESS:
			if (!has_local)
				has_address = td_attr_addr(a, m->ifa_family, &x.address);
			break;
		case IFA_FLAGS: td_attr_u32(a, &x.flags); break;
		case ATTRIBUTE_PROTO:
			if (mnl_attr_get_payload_len(a) >= 1)
				x.protocol = *(const uint8_t *)mnl_attr_get_payload(a);
			break;
		default: break;
		}
	}
	if (!has_local && !has_address)
		return 0;
	*ret = x;
	return 1;
}

struct list {
	struct td_host_address *items;
	size_t n;
	unsigned int ifindex;
};

static int on_address(const struct nlmsghdr *h, void *data)
{
	struct list *l = data;
	struct td_host_address x;
	int r;

	r = td_host_address_parse(h, &x);
	/* A kernel without strict checking gives those of all devices. */
	if (r <= 0 || (l->ifindex && x.ifindex != l->ifindex))
		return r < 0 ? r : 0;
	r = td_grow(&l->items, l->n, sizeof(*l->items));
	if (r < 0)
		return r;
	l->items[l->n++] = x;
	return 0;
}

int td_host_addresses(struct td_net *n, unsigned int ifindex, struct td_host_address **ret,
		      size_t *ret_n)
{
	struct list l = {.ifindex = ifindex};
	struct td_request q;
	struct ifaddrmsg *m;
	int r = -EINTR;

	for (int i = 0; i < TD_NET_DUMP_TRIES && r == -EINTR; i++) {
		l.n = 0;
		m = td_request_init(&q, RTM_GETADDR, 0, sizeof(*m));
		m->ifa_family = AF_UNSPEC;
		m->ifa_index = ifindex;
		r = td_net_request(n, &q, TD_NET_REPLY_DUMP, on_address, &l);
	}
	if (r < 0) {
		free(l.items);
		return r == -EINTR ? -EBUSY : r;
	}
	if (l.n)
		qsort(l.items, l.n, sizeof(*l.items), compare);
	*ret = l.items;
	*ret_n = l.n;
	return 0;
}

static bool is_loopback(const struct tundish_addr *a)
{
	static const struct tundish_addr one = {{0, 0, 0, TUNDISH_BE32(1)}};

	if (tundish_addr_is_v4(a))
		return (TUNDISH_BE32(a->word[3]) >> 24) == 127;
	return tundish_addr_equal(a, &one);
}

/* All of this host but loopback's own, and room for a list of as many elements; the caller frees
 * both. */
static int read_others(struct td_net *n, size_t element_size, struct td_host_address **ret,
		       size_t *ret_n, void **ret_list)
{
	struct td_host_address *all = NULL;
	size_t n_all = 0, kept = 0;
	void *list;
	int r;

	r = td_host_addresses(n, 0, &all, &n_all);
	if (r < 0)
		return r;
	list = calloc(n_all + 1, element_size);
	if (!list) {
		free(all);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n_all; i++)
		if (!is_loopback(&all[i].address))
			all[kept++] = all[i];
	*ret = all;
	*ret_n = kept;
	*ret_list = list;
	return 0;
}

int td_net_addresses(struct td_net *n, struct tundish_addr **ret, size_t *ret_n)
{
	_cleanup_free_ struct td_host_address *all = NULL;
	size_t n_all = 0, count = 0;
	struct tundish_addr *list;
	void *room;
	int r;

	r = read_others(n, sizeof(*list), &all, &n_all, &room);
	if (r < 0)
		return r;
	list = room;
	for (size_t i = 0; i < n_all; i++) {
		const struct tundish_addr *a = &all[i].address;

		/* Sorted, so that an address on two devices stands twice in a row. */
		if ((all[i].flags & IFA_F_DADFAILED && !tundish_addr_is_v4(a)) ||
		    (count && tundish_addr_equal(a, &list[count - 1])))
			continue;
		list[count++] = *a;
	}
	*ret = list;
	*ret_n = count;
	return 0;
}

int td_net_networks(struct td_net *n, struct td_net_address **ret, size_t *ret_n)
{
	_cleanup_free_ struct td_host_address *all = NULL;
	struct td_net_address *list;
	size_t n_all = 0;
	void *room;
	int r;

	r = read_others(n, sizeof(*list), &all, &n_all, &room);
	if (r < 0)
		return r;
	list = room;
	for (size_t i = 0; i < n_all; i++) {
		bool v4 = tundish_addr_is_v4(&all[i].address);

		list[i] = (struct td_net_address){
			.address = all[i].address,
			.ifindex = all[i].ifindex,
			.prefix = (uint8_t)(all[i].prefix_length + (v4 ? TD_PREFIX_V4 : 0)),
			.ours = all[i].protocol == TD_NET_PROTO,
			.preferred =
				!(all[i].flags & (IFA_F_DEPRECATED | (v4 ? IFA_F_SECONDARY : 0))),
		};
	}
	*ret = list;
	*ret_n = n_all;
	return 0;
}

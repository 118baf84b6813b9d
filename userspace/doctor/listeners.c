// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP listeners of this network namespace and their queues, by inet_diag: what waits for
 * accept(), the limit, and what each has let go (sk_drops). Half-open connections have no
 * count of their own that could be read, so they are walked: bounded, and not on a host with
 * very many sockets.
 */
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "private.h"

static struct tundish_addr address_of(const struct inet_diag_msg *m)
{
	struct tundish_addr a;

	if (m->idiag_family == AF_INET)
		return tundish_addr_v4(m->id.idiag_src[0]);
	memcpy(&a, m->id.idiag_src, sizeof(a));
	return a;
}

static int compare(const void *a, const void *b)
{
	const struct td_listen *x = a, *y = b;
	int order = memcmp(&x->address, &y->address, sizeof(x->address));

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (order)
		return order;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static int on_listener(const struct nlmsghdr *h, void *data)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
	struct td_facts *f = data;
	const struct nlattr *a;
	uint32_t memory[SK_MEMINFO_VARS];
	struct td_listen l;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) || m->idiag_state != TCP_LISTEN ||
	    f->n_listeners == TD_DOCTOR_LISTENERS_MAX)
		return 0;
	l = (struct td_listen){
		.address = address_of(m),
		.port = ntohs(m->id.idiag_sport),
		.inode = m->idiag_inode,
		.queue = m->idiag_rqueue,
		.limit = m->idiag_wqueue,
		.drops = -1,
	};
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) != INET_DIAG_SKMEMINFO ||
		    mnl_attr_get_payload_len(a) < sizeof(memory))
			continue;
		memcpy(memory, mnl_attr_get_payload(a), sizeof(memory));
		l.drops = memory[SK_MEMINFO_DROPS];
	}
	if (td_grow(&f->listeners, f->n_listeners, sizeof(*f->listeners)) < 0)
		return -ENOMEM;
	f->listeners[f->n_listeners++] = l;
	return 0;
}

struct half_open {
	struct td_facts *facts;
	size_t n;
};

/* The first listener of an address and port. */
static struct td_listen *find(struct td_facts *f, const struct tundish_addr *a, uint16_t port)
{
	struct td_listen key = {.address = *a, .port = port}; /* inode 0: before all */
	size_t low = 0, high = f->n_listeners;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&f->listeners[middle], &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == f->n_listeners || f->listeners[low].port != port ||
	    !tundish_addr_equal(&f->listeners[low].address, a))
		return NULL;
	return &f->listeners[low];
}

static int on_half_open(const struct nlmsghdr *h, void *data)
{
	static const struct tundish_addr any6 = {{0}};
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(h);
	struct tundish_addr any4 = tundish_addr_v4(0), a;
	struct half_open *x = data;
	struct td_listen *l;
	uint16_t port;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m))
		return 0;
	if (x->n++ == TD_DOCTOR_HALF_OPEN_MAX)
		return -E2BIG;
	a = address_of(m);
	port = ntohs(m->id.idiag_sport);
	l = find(x->facts, &a, port);
	if (!l && tundish_addr_is_v4(&a))
		l = find(x->facts, &any4, port);
	if (!l)
		l = find(x->facts, &any6, port);
	if (l)
		l->half_open++;
	return 0;
}

static int dump(int family, uint32_t states, int (*message)(const struct nlmsghdr *h, void *data),
		void *data)
{
	uint8_t room[128] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(room);
	struct inet_diag_req_v2 *q;

	h->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	q = mnl_nlmsg_put_extra_header(h, sizeof(*q));
	q->sdiag_family = (uint8_t)family;
	q->sdiag_protocol = IPPROTO_TCP;
	q->idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
	q->idiag_states = states;
	return td_doctor_dump(NETLINK_SOCK_DIAG, h, message, data);
}

int td_doctor_listeners(struct td_facts *f)
{
	struct half_open x = {.facts = f};
	int r4, r6;

	r4 = dump(AF_INET, 1 << TCP_LISTEN, on_listener, f);
	r6 = dump(AF_INET6, 1 << TCP_LISTEN, on_listener, f);
	if (r4 == -ENOMEM || r6 == -ENOMEM)
		return -ENOMEM;
	if (r4 < 0 || r6 < 0) {
		f->unseen |= TD_UNSEEN_LISTENERS | TD_UNSEEN_HALF_OPEN;
		return 0;
	}
	if (f->n_listeners)
		qsort(f->listeners, f->n_listeners, sizeof(*f->listeners), compare);
	if (f->counter[TD_COUNTER_ESTABLISHED] + f->counter[TD_COUNTER_TIME_WAIT] >
	    TD_DOCTOR_WALK_MAX) {
		f->unseen |= TD_UNSEEN_HALF_OPEN;
		return 0;
	}
	r4 = dump(AF_INET, 1 << TCP_SYN_RECV, on_half_open, &x);
	r6 = dump(AF_INET6, 1 << TCP_SYN_RECV, on_half_open, &x);
	if (r4 == -ENOMEM || r6 == -ENOMEM)
		return -ENOMEM;
	if (r4 < 0 || r6 < 0)
		f->unseen |= TD_UNSEEN_HALF_OPEN;
	return 0;
}

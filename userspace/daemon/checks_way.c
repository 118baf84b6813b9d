// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks of VIPs by way of the delivery (`dsr`, `ipip`, `gue`): the programs that lead their
 * packets, on the configuration's interfaces and those that next hops leave by, while there are such
 * checks; and the sockets, each on its way.
 *
 * A check whose packets were not led says nothing. Then somebody has taken the programs off,
 * or a route leads past them, so they are put on again.
 */
#include <netinet/in.h>

#include "core/address.h"
#include "daemon/checks.h"

#define INTERFACES_MAX 256u
#define LOOK_NS	       (TD_NS_PER_S / 2)

static bool is_led(const struct td_check *c)
{
	return td_check_is_led(c->delivery) && !c->local && c->type != TD_CHECK_EXEC &&
	       c->type != TD_CHECK_NONE;
}

/* The next hop that traffic to a backend has now; NULL: none yet. */
static const struct tundish_nexthop *hop_of(const struct td_daemon *d, uint32_t backend)
{
	return td_hop_at(d, td_kernel_backends(d->kernel)[backend].nexthop);
}

/* ---- interfaces ------------------------------------------------------------------------------ */

struct interfaces {
	unsigned int index[INTERFACES_MAX];
	size_t n;
};

static void add(struct interfaces *all, unsigned int ifindex)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->index[i] == ifindex)
			return;
	if (ifindex && all->n < INTERFACES_MAX)
		all->index[all->n++] = ifindex;
}

/* Whether there are such checks; *ret: what they need. */
static bool wanted(const struct td_daemon *d, struct interfaces *ret)
{
	bool any = false;

	ret->n = 0;
	for (size_t i = 0; i < d->config->n_interfaces; i++)
		add(ret, if_nametoindex(d->config->interfaces[i].name));
	for (uint32_t i = 0; i < d->checks->n_ids; i++) {
		const struct td_check *c = d->checks->of[d->checks->ids[i]];
		const struct tundish_nexthop *hop;

		if (!is_led(c))
			continue;
		any = true;
		hop = hop_of(d, c->backend);
		if (hop)
			add(ret, hop->ifindex);
		if (tundish_addr_is_v4(&c->address) != tundish_addr_is_v4(&c->own))
			add(ret, TD_LOOPBACK);
	}
	return any;
}

static void tell(struct td_daemon *d, const char *why)
{
	if (why[0] && strcmp(d->checks->way_trouble, why))
		td_log(TD_LOG_WARNING, "health checks: %s", why);
	snprintf(d->checks->way_trouble, sizeof(d->checks->way_trouble), "%.255s", why);
}

/* Those of a former configuration, or of a former daemon, that nobody needs any more. */
static void let_go(struct td_daemon *d, const struct interfaces *all)
{
	_cleanup_free_ unsigned int *there = NULL;
	size_t n = 0;

	if (td_kernel_checks_attached(d->kernel, &there, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		bool needed = false;

		for (size_t j = 0; j < all->n; j++)
			needed |= all->index[j] == there[i];
		if (!needed)
			td_kernel_checks_detach(d->kernel, there[i]);
	}
}

static void put_on(struct td_daemon *d, const struct interfaces *all)
{
	struct td_error e = {0}, first = {0};

	if (td_kernel_checks_open(d->kernel, &first) < 0) {
		tell(d, first.text);
		return;
	}
	for (size_t i = 0; i < all->n; i++)
		if (td_kernel_checks_attach(d->kernel, all->index[i], &e) < 0 && !first.text[0])
			first = e;
	tell(d, first.text);
}

void td_checks_way_configure(struct td_daemon *d)
{
	struct interfaces all;

	if (!wanted(d, &all)) {
		if (!d->checks->way_clear)
			td_kernel_checks_close(d->kernel);
		d->checks->way_clear = true;
		d->checks->interfaces = 0;
		tell(d, "");
		return;
	}
	d->checks->way_clear = false;
	d->checks->astray = false;
	d->checks->interfaces = 0;
	for (size_t i = 0; i < all.n; i++)
		d->checks->interfaces = d->checks->interfaces * 31 + all.index[i];
	put_on(d, &all);
	let_go(d, &all);
}

void td_checks_way_look(struct td_daemon *d)
{
	const uint64_t at = td_now_ns();
	struct interfaces all;
	uint64_t now = 0;

	if (d->checks->way_clear || at - d->checks->looked_ns < LOOK_NS)
		return;
	d->checks->looked_ns = at;
	wanted(d, &all);
	for (size_t i = 0; i < all.n; i++)
		now = now * 31 + all.index[i];
	if (d->checks->astray || now != d->checks->interfaces)
		td_checks_way_configure(d);
}

/* ---- sockets ------------------------------------------------------------------------------ */

/* An address of this host that a VIP of this family can answer to: on the way to the backend,
 * if there is one. */
static struct tundish_addr source_for(struct td_daemon *d, bool v4, unsigned int ifindex)
{
	_cleanup_free_ struct td_net_address *all = NULL;
	struct tundish_addr found = {0};
	unsigned int rank = 0;
	size_t n = 0;

	if (td_net_networks(d->net, &all, &n) < 0)
		return found;
	for (size_t i = 0; i < n; i++) {
		const bool link_local = !v4 && (ntohl(all[i].address.word[0]) >> 22) == 0xfe80 >> 6;
		unsigned int this;

		if (tundish_addr_is_v4(&all[i].address) != v4 || all[i].ours || link_local ||
		    all[i].ifindex == TD_LOOPBACK)
			continue;
		this = 1 + all[i].preferred + 2 * (all[i].ifindex == ifindex);
		if (this > rank) {
			rank = this;
			found = all[i].address;
		}
	}
	return found;
}

static int filter_of(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	int value = 0;

	return f && fscanf(f, "%d", &value) == 1 ? value : 0;
}

/* Whether an answer over IPv4 that is put onto loopback would be thrown away there: a healthy
 * backend would look dead. The larger of both settings is in force. */
static bool is_filtered(struct td_daemon *d)
{
	const struct tundish_addr stand_in = td_kernel_check_far();
	int all = filter_of("/proc/sys/net/ipv4/conf/all/rp_filter"),
	    lo = filter_of("/proc/sys/net/ipv4/conf/lo/rp_filter"), value = TD_MAX(all, lo);
	struct td_net_way way;

	if (!value || (value == 2 && td_net_way(d->net, &stand_in, &way) == 0))
		return false;
	tell(d,
	     value == 1
		     ? "net.ipv4.conf.lo.rp_filter is 1, which keeps answers from IPv4 VIPs on IPv6 "
		       "backends away; set it to 2"
		     : "net.ipv4.conf.lo.rp_filter is 2 and there is no default route over IPv4, which "
		       "keeps answers from IPv4 VIPs on IPv6 backends away; add one, or set it to 0");
	return true;
}

/* What the kernel says of this host, for checks of a VIP of this family: asked for all of them once
 * in half a second. */
static const struct td_check_host *host_of(struct td_daemon *d, bool v4, unsigned int ifindex)
{
	struct td_check_host *h = &d->checks->host[v4];
	uint64_t now = td_now_ns();

	if (h->at_ns && h->ifindex == ifindex && now - h->at_ns < LOOK_NS)
		return h;
	*h = (struct td_check_host){
		.at_ns = now,
		.ifindex = ifindex,
		.filtered = v4 && is_filtered(d),
	};
	if (!h->filtered)
		h->source = source_for(d, v4, ifindex);
	return h;
}

int td_check_lead(struct td_daemon *d, const struct td_check *c, int fd,
		  struct sockaddr_storage *to, uint16_t *ret_port)
{
	struct td_check_way way = {.vip = c->address, .backend = c->backend};
	const struct tundish_nexthop *hop = hop_of(d, c->backend);
	const bool v4 = tundish_addr_is_v4(&c->address);
	struct td_error e = {0};
	int r;

	if (!hop)
		return -EHOSTUNREACH;
	if (hop->flags & TUNDISH_NEXTHOP_LOCAL)
		return 0; /* the VIP is here */
	if (v4 == tundish_addr_is_v4(&c->own))
		way.source = hop->tunnel_source;
	else if (host_of(d, v4, hop->ifindex)->filtered)
		return -EADDRNOTAVAIL; /* that of this host, no verdict on the backend */
	else
		way.source = host_of(d, v4, hop->ifindex)->source;
	r = td_kernel_check_way(d->kernel, fd, &way, to, ret_port, &e);
	if (r < 0)
		tell(d, e.text);
	return r < 0 ? -EADDRNOTAVAIL : 0; /* this host's trouble, no verdict on the backend */
}

bool td_check_was_led(struct td_daemon *d, uint8_t protocol, uint16_t port)
{
	bool led = td_kernel_check_done(d->kernel, protocol, port);

	d->checks->astray |= !led;
	return led;
}

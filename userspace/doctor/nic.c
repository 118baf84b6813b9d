// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interfaces: names, programs and statistics by one rtnetlink dump, rings and the driver's
 * own counters by the ethtool ioctl.
 *
 * What a driver counts and under which name is its affair; told apart are "no descriptor
 * was free" and what XDP drops or fails at. Many drivers count per queue and in total: where
 * a name without a digit exists, the others are left out. Where a loss stands in several
 * counters (missed, fifo, the driver's), they are the same packets, so the largest is taken.
 */
#include <ctype.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "private.h"

#define STATISTICS_MAX 16384u

static int64_t clamped(uint64_t n)
{
	return (int64_t)TD_MIN(n, (uint64_t)INT64_MAX);
}

static void take_statistics(const struct nlattr *a, struct td_nic *nic)
{
	struct rtnl_link_stats64 s = {0};
	uint64_t lost;

	memcpy(&s, mnl_attr_get_payload(a), TD_MIN(mnl_attr_get_payload_len(a), sizeof(s)));
	lost = TD_MAX(s.rx_missed_errors, s.rx_fifo_errors);
	nic->lost = clamped(TD_MAX(lost, s.rx_over_errors));
	nic->packets = clamped(s.rx_packets);
	nic->stack_drops = clamped(s.rx_dropped);
	nic->transmit_drops = clamped(s.tx_dropped);
}

static void take_xdp(const struct nlattr *xdp, struct td_nic *nic)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, xdp)
	{
		if (mnl_attr_get_type(a) == IFLA_XDP_ATTACHED && mnl_attr_get_payload_len(a) >= 1)
			nic->xdp = mnl_attr_get_u8(a);
	}
}

static int on_link(const struct nlmsghdr *h, void *data)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	struct td_facts *f = data;
	const struct nlattr *a;
	struct td_nic nic = {
		.packets = -1,
		.lost = -1,
		.stack_drops = -1,
		.transmit_drops = -1,
		.xdp_drops = -1,
		.xdp_errors = -1,
		.ring = -1,
		.ring_max = -1,
	};

	if (h->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(h) < sizeof(*m) ||
	    f->n_nics == TD_DOCTOR_NICS_MAX)
		return 0;
	nic.index = (unsigned int)m->ifi_index;
	nic.up = m->ifi_flags & IFF_UP;
	nic.loopback = m->ifi_flags & IFF_LOOPBACK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			snprintf(nic.name, sizeof(nic.name), "%.*s",
				 (int)mnl_attr_get_payload_len(a),
				 (const char *)mnl_attr_get_payload(a));
			break;
		case IFLA_STATS64: take_statistics(a, &nic); break;
		case IFLA_XDP: take_xdp(a, &nic); break;
		default: break;
		}
	}
	if (td_grow(&f->nics, f->n_nics, sizeof(*f->nics)) < 0)
		return -ENOMEM;
	f->nics[f->n_nics++] = nic;
	return 0;
}

/* ---- ethtool --------------------------------------------------------------------- */

static int ethtool(int fd, const char *name, void *command)
{
	struct ifreq q = {0};

	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	q.ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, &q) < 0 ? -errno : 0;
}

enum kind { OTHER, LOST, XDP_DROPS, XDP_ERRORS, N_KINDS };

static enum kind kind_of(const char *name)
{
	static const char *const lost[] = {"out_of_buffer", "no_dma_resources", "no_desc",
					   "nodesc",	    "discards_phy",	"rx_missed"};
	static const char *const errors[] = {"err",	"exception", "abort",
					     "invalid", "full",	     "fail"};
	const char *xdp = strstr(name, "xdp");

	if (xdp) {
		for (size_t i = 0; i < TD_ARRAY_SIZE(errors); i++)
			if (strstr(xdp, errors[i]))
				return XDP_ERRORS;
		return strstr(xdp, "xdp_drop") ? XDP_DROPS : OTHER;
	}
	for (size_t i = 0; i < TD_ARRAY_SIZE(lost); i++)
		if (strstr(name, lost[i]))
			return LOST;
	return OTHER;
}

struct sum {
	bool total, each;
	uint64_t of_total, of_each;
};

static int64_t sum_of(const struct sum *s)
{
	return s->total ? clamped(s->of_total) : s->each ? clamped(s->of_each) : -1;
}

void td_doctor_statistics(struct td_nic *nic, const char *names, const uint64_t *values,
			  unsigned int n)
{
	struct sum sums[N_KINDS] = {0};

	for (unsigned int i = 0; i < n; i++) {
		char name[ETH_GSTRING_LEN + 1] = "";
		bool each = false;
		struct sum *s;

		memcpy(name, names + (size_t)i * ETH_GSTRING_LEN, ETH_GSTRING_LEN);
		for (char *c = name; *c; c++) {
			each = each || isdigit((unsigned char)*c);
			*c = (char)tolower((unsigned char)*c);
		}
		s = &sums[kind_of(name)];
		*(each ? &s->each : &s->total) = true;
		*(each ? &s->of_each : &s->of_total) += values[i];
	}
	nic->lost = TD_MAX(nic->lost, sum_of(&sums[LOST]));
	nic->xdp_drops = sum_of(&sums[XDP_DROPS]);
	nic->xdp_errors = sum_of(&sums[XDP_ERRORS]);
}

/* The number of statistics may change between the calls; the kernel is told the first
 * one, and writes no more where it heeds it, so room is left beside. */
static int read_statistics(int fd, struct td_nic *nic)
{
	_cleanup_free_ struct ethtool_gstrings *names = NULL;
	_cleanup_free_ struct ethtool_stats *values = NULL;
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	unsigned int n;

	if (ethtool(fd, nic->name, &info) < 0 || info.n_stats == 0 || info.n_stats > STATISTICS_MAX)
		return 0;
	n = info.n_stats;
	names = calloc(1, sizeof(*names) + (size_t)n * 2 * ETH_GSTRING_LEN);
	values = calloc(1, sizeof(*values) + (size_t)n * 2 * sizeof(values->data[0]));
	if (!names || !values)
		return -ENOMEM;
	*names = (struct ethtool_gstrings){ETHTOOL_GSTRINGS, ETH_SS_STATS, n};
	*values = (struct ethtool_stats){ETHTOOL_GSTATS, n};
	if (ethtool(fd, nic->name, names) == 0 && ethtool(fd, nic->name, values) == 0)
		td_doctor_statistics(nic, (const char *)names->data, (const uint64_t *)values->data,
				     TD_MIN(n, TD_MIN(names->len, values->n_stats)));
	return 0;
}

int td_doctor_nics(struct td_facts *f)
{
	uint8_t room[64] __attribute__((aligned(8))) = {0};
	struct nlmsghdr *q = mnl_nlmsg_put_header(room);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	q->nlmsg_type = RTM_GETLINK;
	mnl_nlmsg_put_extra_header(q, sizeof(struct ifinfomsg));
	r = td_doctor_dump(NETLINK_ROUTE, q, on_link, f);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		f->unseen |= TD_UNSEEN_LINKS;
	for (size_t i = 0; fd >= 0 && i < f->n_nics; i++) {
		struct ethtool_ringparam ring = {.cmd = ETHTOOL_GRINGPARAM};
		struct td_nic *nic = &f->nics[i];

		if (!nic->up || nic->loopback)
			continue;
		if (ethtool(fd, nic->name, &ring) == 0 && ring.rx_max_pending > 0) {
			nic->ring = ring.rx_pending;
			nic->ring_max = ring.rx_max_pending;
		}
		if (read_statistics(fd, nic) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < f->n_nics; i++)
		td_doctor_harmless(f->nics[i].name);
	return 0;
}

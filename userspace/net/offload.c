// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a NIC does to packets before a program sees them: by its driver's name and its
 * features, which the ethtool ioctl tells without a privilege. Links between machines carry
 * whole checksums; links that never leave this one (or its hypervisor) may carry partial ones.
 *
 * A NIC that takes VLAN tags away tells them beside the packet, where an XDP program does not
 * see them. That matters where VLAN devices stand on it: then there are tags.
 */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "net/query.h"

static const char *const partial_drivers[] = {"veth",	 "virtio_net", "tun",	     "vif",
					      "vmxnet3", "hv_netvsc",  "bonding",    "team",
					      "netkit",	 "ifb",	       "openvswitch"};

static int ethtool(int fd, const char *name, void *command)
{
	struct ifreq q = {0};

	snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	q.ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, &q) < 0 ? -errno : 0;
}

bool td_link_driver_is_partial(const char *driver)
{
	bool is = false;

	for (size_t i = 0; i < TD_ARRAY_SIZE(partial_drivers) && !is; i++)
		is = !strcmp(driver, partial_drivers[i]);
	return is;
}

struct search {
	unsigned int lower;
	bool found;
};

static int on_link(const struct nlmsghdr *h, void *data)
{
	struct search *s = data;
	struct td_link l;

	if (td_link_parse(h, &l) == 0 && l.vlan && l.lower == s->lower && !l.lower_elsewhere)
		s->found = true;
	return 0;
}

static int has_vlans(struct td_net *n, unsigned int ifindex, bool *ret)
{
	struct search s = {.lower = ifindex};
	struct td_request q;
	struct ifinfomsg *m;
	int r = -EINTR;

	for (int i = 0; i < TD_NET_DUMP_TRIES && r == -EINTR; i++) {
		s.found = false;
		m = td_request_init(&q, RTM_GETLINK, 0, sizeof(*m));
		m->ifi_family = AF_UNSPEC;
		mnl_attr_put_u32(&q.header, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
		r = td_net_request(n, &q, TD_NET_REPLY_DUMP, on_link, &s);
	}
	if (r < 0)
		return r;
	*ret = s.found;
	return 0;
}

int td_net_link_facts(struct td_net *n, unsigned int ifindex, struct td_link_facts *ret)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
	struct td_link_facts f = {0};
	_cleanup_close_ int fd = -1;
	struct td_link l;
	int r = td_link_get(n, ifindex, &l);

	if (r < 0)
		return r;
	f.mtu = l.mtu;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ethtool(fd, l.name, &info) == 0) {
		info.driver[sizeof(info.driver) - 1] = '\0';
		f.partial = td_link_driver_is_partial(info.driver);
	}
	if (ethtool(fd, l.name, &flags) == 0 && flags.data & ETH_FLAG_RXVLAN)
		r = has_vlans(n, ifindex, &f.strips);
	if (r == 0)
		*ret = f;
	return r;
}

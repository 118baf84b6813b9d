// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the data path has to know of the NICs that carry it (the map `links`): whether
 * checksums may be partial there, and whether VLAN tags are taken away before it sees a packet.
 * It follows changes of links, among which the kernel counts those of features.
 */
#include "daemon/nat.h"

static const char *name_of(const struct td_daemon *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n_attachments; i++)
		if (d->attachments[i].ifindex == ifindex && d->attachments[i].mode != TD_MODE_NONE)
			return d->attachments[i].name;
	return NULL;
}

static const struct tundish_link *find(const uint32_t *ifindex, const struct tundish_link *links,
				       size_t n, uint32_t wanted)
{
	for (size_t i = 0; i < n; i++)
		if (ifindex[i] == wanted)
			return &links[i];
	return NULL;
}

static void put(struct td_daemon *d, const struct td_attachment *a, const struct tundish_link *old)
{
	struct tundish_link new = {0};
	struct td_link_facts f;
	int r;

	if (td_net_link_facts(d->net, a->ifindex, &f) < 0)
		return; /* it is going: an event will tell */
	if (a->mode == TD_MODE_GENERIC)
		new.flags |= TUNDISH_LINK_GENERIC | TUNDISH_LINK_PARTIAL;
	if (f.partial)
		new.flags |= TUNDISH_LINK_PARTIAL;
	if (f.strips)
		new.flags |= TUNDISH_LINK_STRIPS;
	new.mtu = (uint16_t)TD_MIN(f.mtu, UINT16_MAX);
	if (old && !memcmp(old, &new, sizeof(new)))
		return;
	r = td_kernel_put_link(d->kernel, a->ifindex, &new);
	if (r < 0)
		td_log(TD_LOG_WARNING, "%s: what it does to packets cannot be noted: %s", a->name,
		       strerror(-r));
	td_step_done(d);
}

void td_links_refresh(struct td_daemon *d, bool forget)
{
	struct tundish_link links[TUNDISH_LINKS_MAX];
	uint32_t ifindex[TUNDISH_LINKS_MAX];
	size_t n = 0;

	if (td_kernel_links(d->kernel, ifindex, links, &n) < 0)
		return;
	for (size_t i = 0; i < d->n_attachments; i++)
		if (d->attachments[i].mode != TD_MODE_NONE)
			put(d, &d->attachments[i],
			    find(ifindex, links, n, d->attachments[i].ifindex));
	for (size_t i = 0; forget && i < n; i++)
		if (!name_of(d, ifindex[i]))
			td_kernel_delete_link(d->kernel, ifindex[i]);
}

void td_links_attention(struct td_daemon *d, td_attention_add add, json_t *list)
{
	struct tundish_link links[TUNDISH_LINKS_MAX];
	uint32_t ifindex[TUNDISH_LINKS_MAX];
	size_t n = 0;

	if (td_kernel_links(d->kernel, ifindex, links, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		const char *name = name_of(d, ifindex[i]);
		char what[IFNAMSIZ + 16], remedy[100];

		if (!name || !(links[i].flags & TUNDISH_LINK_STRIPS))
			continue;
		snprintf(what, sizeof(what), "interface %s", name);
		snprintf(remedy, sizeof(remedy),
			 "`ethtool -K %s rxvlan off`, or let this host forward", name);
		add(list, what,
		    "it takes VLAN tags away before tundish sees a packet: answers of translated "
		    "connections are left to the route table, which answers where the NIC forwards",
		    remedy);
	}
}

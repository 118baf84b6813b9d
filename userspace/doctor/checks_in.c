// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the wire to TCP: receive rings, the backlog of softirqs, XDP, conntrack.
 */
#include <linux/if_link.h>

#include "checks.h"

static const struct td_nic *before(const struct td_look *l, const struct td_nic *nic)
{
	for (size_t i = 0; l->was && i < l->was->n_nics; i++)
		if (l->was->nics[i].index == nic->index)
			return &l->was->nics[i];
	return NULL;
}

static bool serves(const struct td_nic *nic)
{
	return nic->up && !nic->loopback;
}

void td_check_rings(struct td_look *l)
{
	size_t rows = 0;

	for (size_t i = 0; i < l->now->n_nics; i++) {
		const struct td_nic *nic = &l->now->nics[i], *was = before(l, nic);
		struct td_row *row;

		/* What has no ring (veth, bridges) and lost nothing is no row. */
		if (!serves(nic) || (nic->ring < 0 && nic->lost <= 0) ||
		    rows++ == TD_DOCTOR_EACH_MAX)
			continue;
		row = td_row_add(l, "nic", "nic_ring", "receive ring of %s", nic->name);
		row->unit = "packets";
		row->value = nic->ring;
		row->limit = nic->ring_max;
		td_row_drops(l, row, nic->lost, was ? was->lost : -1);
		if (td_row_hurts(row) && nic->ring >= 0 && nic->ring < nic->ring_max) {
			td_row_say(
				row, TD_VERDICT_BAD,
				"%s loses %.0f packets/s because no receive descriptor is free; the "
				"card allows a longer ring",
				nic->name, row->drops_now);
			td_row_set(row, "ethtool -G %s rx %lld", nic->name,
				   (long long)nic->ring_max);
		} else if (td_row_hurts(row)) {
			td_row_say(
				row, TD_VERDICT_BAD,
				"%s loses %.0f packets/s because no receive descriptor is free, and "
				"its ring is as long as it can be: spread its queues over more CPUs",
				nic->name, row->drops_now);
			td_row_set(row, "ethtool -L %s combined N (`ethtool -l %s` shows the most)",
				   nic->name, nic->name);
		} else {
			td_row_past(row, nic->packets, "packets lost in the card");
		}
	}
}

static const struct td_cpu *cpu_before(const struct td_look *l, unsigned int id)
{
	for (size_t i = 0; l->was && i < l->was->n_cpus; i++)
		if (l->was->cpus[i].id == id)
			return &l->was->cpus[i];
	return NULL;
}

void td_check_backlog(struct td_look *l)
{
	int64_t limit = TD_SYSCTL(l, NETDEV_MAX_BACKLOG), longest = -1, now = 0, was = 0, most = 0;
	unsigned int at = 0, worst = 0;
	struct td_row *row;

	if (!l->now->n_cpus)
		return;
	for (size_t i = 0; i < l->now->n_cpus; i++) {
		const struct td_cpu *c = &l->now->cpus[i], *b = cpu_before(l, c->id);

		if (c->backlog > longest) {
			longest = c->backlog;
			at = c->id;
		}
		now += TD_MAX(c->dropped, 0);
		was += b ? TD_MAX(b->dropped, 0) : 0;
		if (b && c->dropped - b->dropped > most) {
			most = c->dropped - b->dropped;
			worst = c->id;
		}
	}
	row = td_row_add(l, "softirq", "softnet_backlog", "backlog of each CPU");
	row->unit = "packets";
	row->value = longest;
	row->limit = limit;
	td_row_drops(l, row, now, l->was ? was : -1);
	if (td_row_hurts(row))
		td_row_say(
			row, TD_VERDICT_BAD,
			"packets are dropped before the stack sees them, most by CPU %u: its backlog "
			"is full (of loopback, veth and RPS; a card's own queues do not pass here)",
			worst);
	else if (td_is_near(longest, limit))
		td_row_say(row, TD_VERDICT_WARN, "CPU %u's backlog is nearly full", at);
	else
		td_row_past(row, -1, "packets dropped at a CPU's backlog");
	if (row->verdict >= TD_VERDICT_WARN)
		td_row_set(row, "sysctl -w net.core.netdev_max_backlog=%lld",
			   (long long)td_doubled(limit, 4096, 65536));
}

/* A squeeze is a softirq that ended with work left: it goes on a little later, and nothing is
 * dropped. It matters only beside drops. */
void td_check_squeeze(struct td_look *l)
{
	int64_t now = 0, was = 0;
	bool drops = false;
	struct td_row *row;

	if (!l->now->n_cpus)
		return;
	for (size_t i = 0; i < l->now->n_cpus; i++) {
		const struct td_cpu *b = cpu_before(l, l->now->cpus[i].id);

		now += TD_MAX(l->now->cpus[i].squeezed, 0);
		was += b ? TD_MAX(b->squeezed, 0) : 0;
	}
	for (size_t i = 0; i < l->report->n; i++)
		drops |= l->report->rows[i].verdict == TD_VERDICT_BAD;
	row = td_row_add(l, "softirq", "softnet_squeeze", "softirqs cut short");
	row->unit = "times";
	td_row_drops(l, row, now, l->was ? was : -1);
	row->limit = TD_SYSCTL(l, NETDEV_BUDGET);
	if (td_row_hurts(row) && drops) {
		td_row_say(
			row, TD_VERDICT_NOTE,
			"softirqs end with packets left, %.0f times/s, while packets are dropped: "
			"more of them at a time may help",
			row->drops_now);
		if (TD_SYSCTL(l, NETDEV_BUDGET) > 0 && TD_SYSCTL(l, NETDEV_BUDGET_USECS) > 0)
			td_row_set(row,
				   "sysctl -w net.core.netdev_budget=%lld "
				   "net.core.netdev_budget_usecs=%lld",
				   (long long)TD_SYSCTL(l, NETDEV_BUDGET) * 2,
				   (long long)TD_SYSCTL(l, NETDEV_BUDGET_USECS) * 2);
	}
}

/* rx_dropped counts frames of protocols that nobody asked for (LLDP, STP, foreign VLANs), and
 * some drivers' XDP_DROP: no trouble by itself, so never more than a note. */
void td_check_stack_drops(struct td_look *l)
{
	size_t rows = 0;

	for (size_t i = 0; i < l->now->n_nics; i++) {
		const struct td_nic *nic = &l->now->nics[i], *was = before(l, nic);
		struct td_row *row;

		if (!serves(nic) || !was || nic->stack_drops <= was->stack_drops ||
		    was->stack_drops < 0 || rows++ == TD_DOCTOR_EACH_MAX)
			continue;
		row = td_row_add(l, "nic", "nic_dropped", "frames let go at %s", nic->name);
		row->unit = "frames";
		td_row_drops(l, row, nic->stack_drops, was->stack_drops);
		td_row_say(
			row, TD_VERDICT_NOTE,
			"rx_dropped of %s rises: frames of protocols that nobody here asked for, or "
			"an XDP program's own drops; no queue of this list",
			nic->name);
	}
}

void td_check_xdp(struct td_look *l)
{
	size_t rows = 0;

	for (size_t i = 0; i < l->now->n_nics; i++) {
		const struct td_nic *nic = &l->now->nics[i], *was = before(l, nic);
		struct td_row *row;

		if (!serves(nic) || nic->xdp == XDP_ATTACHED_NONE || rows++ == TD_DOCTOR_EACH_MAX)
			continue;
		row = td_row_add(l, "xdp", "xdp_errors", "XDP of %s: failures", nic->name);
		row->unit = "packets";
		td_row_drops(l, row, nic->xdp_errors, was ? was->xdp_errors : -1);
		if (td_row_hurts(row)) {
			td_row_say(
				row, TD_VERDICT_BAD,
				"%s loses packets that its XDP program sends on (aborted, or no room to "
				"transmit): `perf trace -e xdp:xdp_exception` shows which; on veth the "
				"peer needs an XDP program or GRO",
				nic->name);
		} else if (row->drops_boot > 0) {
			td_row_past(row, nic->packets, "packets lost by XDP");
		} else if (nic->xdp == XDP_ATTACHED_SKB) {
			td_row_say(
				row, TD_VERDICT_NOTE,
				"the program of %s runs in generic mode, several times dearer per packet "
				"than native: right for a driver without XDP only",
				nic->name);
		} else if (nic->xdp_errors < 0) {
			td_row_say(row, TD_VERDICT_OK, "the driver of %s counts no failures of XDP",
				   nic->name);
		}
		if (nic->xdp_drops < 0)
			continue;
		row = td_row_add(l, "xdp", "xdp_drops", "XDP of %s: drops", nic->name);
		row->unit = "packets";
		td_row_drops(l, row, nic->xdp_drops, was ? was->xdp_drops : -1);
		td_row_say(
			row, TD_VERDICT_OK,
			"the program drops them on purpose; `tundish status` says for which reasons");
	}
}

void td_check_conntrack(struct td_look *l)
{
	int64_t value = TD_SYSCTL(l, CONNTRACK_COUNT), limit = TD_SYSCTL(l, CONNTRACK_MAX), now,
		was = -1;
	struct td_row *row;

	if (limit < 0)
		return; /* not loaded: nothing is tracked */
	row = td_row_add(l, "conntrack", "conntrack", "conntrack table");
	row->unit = "entries";
	row->value = value;
	row->limit = limit;
	now = TD_COUNTER(l, CONNTRACK_DROPS);
	if (now >= 0)
		now += TD_MAX(TD_COUNTER(l, CONNTRACK_EARLY_DROPS), 0);
	if (l->was && l->was->counter[TD_COUNTER_CONNTRACK_DROPS] >= 0)
		was = l->was->counter[TD_COUNTER_CONNTRACK_DROPS] +
		      TD_MAX(l->was->counter[TD_COUNTER_CONNTRACK_EARLY_DROPS], 0);
	td_row_drops(l, row, now, was);
	if (limit > 0 && value >= limit)
		td_row_say(row, TD_VERDICT_BAD,
			   "the conntrack table is full: packets of new connections are dropped");
	else if (td_row_hurts(row) && td_is_near(value, limit))
		td_row_say(
			row, TD_VERDICT_BAD,
			"conntrack drops packets, or entries of others for new ones: its table is as "
			"good as full");
	else if (td_row_hurts(row))
		td_row_say(
			row, TD_VERDICT_WARN,
			"conntrack drops packets though its table has room: a helper refuses them, or "
			"memory is short");
	else if (td_is_near(value, limit))
		td_row_say(row, TD_VERDICT_WARN, "the conntrack table is nearly full");
	else
		td_row_past(row, -1, "packets or entries dropped by conntrack");
	if (row->verdict == TD_VERDICT_BAD || td_is_near(value, limit))
		td_row_set(
			row,
			"sysctl -w net.netfilter.nf_conntrack_max=%lld (or leave the service's ports "
			"untracked: nft `notrack`)",
			(long long)td_doubled(limit, 65536, 1LL << 31));
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of a trace as sentences. The tracing twin has numbers alone, which are places in the
 * maps; people know names, addresses and interfaces, which are looked up here.
 */
#include <net/if.h>
#include <netinet/in.h>

#include "api/api.h"
#include "api/flows.h"
#include "core/address.h"

static void backend_text(const struct td_state *s, uint32_t id, char *buffer, size_t size)
{
	const struct td_backend_state *b = td_state_backend_by_id(s, id);

	if (!id)
		snprintf(buffer, size, "no backend");
	else
		snprintf(buffer, size, "backend %.63s", b ? b->value.name : "unknown");
}

/* "02:00:00:00:00:01 by eth0, VLAN 5" */
static void link_text(const uint8_t mac[6], uint32_t ifindex, bool tagged, __be16 tci_be,
		      char *buffer, size_t size)
{
	char name[IF_NAMESIZE], vlan[16] = "";

	if (tagged)
		snprintf(vlan, sizeof(vlan), ", VLAN %u", ntohs(tci_be) & 0xfff);
	snprintf(buffer, size, "%02x:%02x:%02x:%02x:%02x:%02x by %s%s", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5],
		 if_indextoname(ifindex, name) ?: "an interface that is gone", vlan);
}

static void nexthop_text(struct td_daemon *d, uint32_t index, char *buffer, size_t size)
{
	struct tundish_nexthop hop;

	if (td_kernel_get_nexthop(d->kernel, index, &hop) < 0 ||
	    !(hop.flags & TUNDISH_NEXTHOP_VALID))
		snprintf(buffer, size, "not known");
	else if (hop.flags & TUNDISH_NEXTHOP_LOCAL)
		snprintf(buffer, size, "this host");
	else
		link_text(hop.destination, hop.ifindex, hop.flags & TUNDISH_NEXTHOP_VLAN,
			  hop.vlan_tci_be, buffer, size);
}

static void return_text(struct td_daemon *d, uint32_t index, char *buffer, size_t size)
{
	const struct tundish_return *r;

	if (!index || index >= TUNDISH_NAT_HOPS) {
		snprintf(buffer, size, "the route table");
		return;
	}
	r = &td_kernel_returns(d->kernel)[index];
	if (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != TUNDISH_RETURN_VALID)
		snprintf(buffer, size, "the route table");
	else
		link_text(r->key.to, r->key.ifindex, r->key.tagged, r->key.vlan_tci_be, buffer,
			  size);
}

/* What bpf_fib_lookup answered, BPF_FIB_LKUP_RET_* of <linux/bpf.h>. */
static const char *fib_text(uint32_t answer)
{
	static const char *const answers[] = {
		"it knows it",
		"the route is a blackhole",
		"the route is unreachable",
		"the route is prohibited",
		"the address is this host's own, or there is no route",
		"forwarding is off on the interface",
		"the route has an encapsulation of its own",
		"no neighbour is known",
		"the packet is too large",
		"no source address",
	};

	return answer < TD_ARRAY_SIZE(answers) ? answers[answer] : "it failed";
}

static const struct tundish_lane *lane_of(struct td_daemon *d, uint32_t id)
{
	return id && id < td_kernel_settings(d->kernel)->lanes_max ? &td_kernel_lanes(d->kernel)[id]
								   : NULL;
}

/* "from 10.0.0.1 to 10.0.1.11, port 8080" */
static void lane_text(const struct tundish_lane *l, char *buffer, size_t size)
{
	char source[TD_ADDRESS_TEXT] = "the client's address", host[TD_ADDRESS_TEXT], port[16] = "";

	if (!l) {
		snprintf(buffer, size, "unknown");
		return;
	}
	if (l->flags & TUNDISH_LANE_SOURCE)
		td_address_print(&l->source, source);
	if (l->port_be)
		snprintf(port, sizeof(port), ", port %u", ntohs(l->port_be));
	snprintf(buffer, size, "from %s to %s%s", source, td_address_print(&l->host, host), port);
}

/* The lane itself is told by a later step. */
static void lane_used_text(struct td_daemon *d, const struct tundish_trace *t, uint32_t i,
			   char *buffer, size_t size)
{
	const struct tundish_lane *l = NULL;
	char way[2 * TD_ADDRESS_TEXT + 32];

	for (uint32_t n = i + 1; !l && n < t->n_steps && n < TUNDISH_TRACE_STEPS_MAX; n++)
		if (t->steps[n].step == TUNDISH_STEP_lane)
			l = lane_of(d, t->steps[n].argument);
	lane_text(l, way, sizeof(way));
	if (!l)
		snprintf(buffer, size, "%u are in use", t->steps[i].argument);
	else if (l->usable == TUNDISH_LANE_UNBOUNDED)
		snprintf(buffer, size, "each client keeps its own, %u connections %s",
			 t->steps[i].argument, way);
	else
		snprintf(buffer, size, "%u of %u %s are in use", t->steps[i].argument, l->usable,
			 way);
}

static const char *flow_state(uint32_t state)
{
	return state < TUNDISH_FLOW_BUSY ? td_flow_state_names[state] ?: "free" : "busy";
}

static const char *nat_state(uint32_t state)
{
	return state < TUNDISH_NAT_STATE_MAX ? td_nat_state_names[state] ?: "free" : "unknown";
}

/* What the argument of a step stands for. */
static void meaning(struct td_daemon *d, const struct td_state *s, const struct tundish_trace *t,
		    uint32_t i, char *buffer, size_t size)
{
	const struct tundish_settings *limits = td_kernel_settings(d->kernel);
	uint32_t step = t->steps[i].step, n = t->steps[i].argument;
	char vip[TD_PREFIX_TEXT];
	const char *text = NULL;

	switch (step) {
	case TUNDISH_STEP_vip: text = td_vip_text(s, n, vip); break;
	case TUNDISH_STEP_service: text = td_service_name(s, n); break;
	case TUNDISH_STEP_decapsulated: text = n == IPPROTO_IPV6 ? "IPv6" : "IPv4"; break;
	case TUNDISH_STEP_flow_hit: text = flow_state(n); break;
	case TUNDISH_STEP_nat_known: text = nat_state(n); break;
	case TUNDISH_STEP_fib: text = fib_text(n); break;
	case TUNDISH_STEP_no_worker:
		text = n < TUNDISH_REFUSAL_MAX ? td_refusal_name(n) : NULL;
		break;
	case TUNDISH_STEP_group:
		text = n < limits->groups_max ? td_kernel_groups(d->kernel)[n].name : NULL;
		break;
	case TUNDISH_STEP_worker:
		if (n < limits->workers_max) {
			td_worker_name(d, n, buffer, size);
			return;
		}
		break;
	case TUNDISH_STEP_nexthop: nexthop_text(d, n, buffer, size); return;
	case TUNDISH_STEP_return_hop: return_text(d, n, buffer, size); return;
	case TUNDISH_STEP_lane: lane_text(lane_of(d, n), buffer, size); return;
	case TUNDISH_STEP_lane_used: lane_used_text(d, t, i, buffer, size); return;
	default: backend_text(s, n, buffer, size); return;
	}
	snprintf(buffer, size, "%.63s", text ?: "unknown");
}

void td_trace_step_text(struct td_daemon *d, const struct td_state *s,
			const struct tundish_trace *t, uint32_t i, char *line, size_t size)
{
	static const char *const sentences[] = {
#define TUNDISH_X(name, sentence) sentence,
		TUNDISH_TRACE_STEPS(TUNDISH_X)
#undef TUNDISH_X
	};
	const char *sentence, *place;
	char text[200];

	if (t->steps[i].step >= TD_ARRAY_SIZE(sentences)) {
		snprintf(line, size, "step %u", t->steps[i].step);
		return;
	}
	sentence = sentences[t->steps[i].step];
	/* It is ours, but not a literal here: put the argument in by hand. */
	place = strchr(sentence, '%');
	if (!place) {
		snprintf(line, size, "%s", sentence);
		return;
	}
	if (place[1] == 's')
		meaning(d, s, t, i, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%u", t->steps[i].argument);
	snprintf(line, size, "%.*s%s%s", (int)(place - sentence), sentence, text, place + 2);
}

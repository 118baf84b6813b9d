// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections as JSON, beside flows. A record is read as the data path does:
 * word, a copy, word again; whoever ends it meanwhile has moved its generation on.
 */
#include "api/api.h"
#include "api/flows.h"
#include "core/address.h"

const char *const td_nat_state_names[] = {
	[TUNDISH_NAT_SYN_SENT] = "syn",
	[TUNDISH_NAT_SYN_RECEIVED] = "syn-received",
	[TUNDISH_NAT_ESTABLISHED] = "established",
	[TUNDISH_NAT_FIN_CLIENT] = "fin-client",
	[TUNDISH_NAT_FIN_SERVER] = "fin-server",
	[TUNDISH_NAT_CLOSING] = "closing",
	[TUNDISH_NAT_RESTING] = "resting",
	[TUNDISH_NAT_TIME_WAIT] = "time-wait",
	[TUNDISH_NAT_RESET_SERVER] = "reset-server",
	[TUNDISH_NAT_RESET_CLIENT] = "reset-client",
	[TUNDISH_NAT_UDP_NEW] = "udp-new",
	[TUNDISH_NAT_UDP_LIVE] = "udp",
};
_Static_assert(TD_ARRAY_SIZE(td_nat_state_names) == TUNDISH_NAT_STATE_MAX, "a name for each");

/* A copy that was whole at one moment. */
static bool read_record(const struct tundish_nat *from, uint64_t tag, struct tundish_nat *ret)
{
	union tundish_nat_word word = {.raw = __atomic_load_n(&from->word.raw, __ATOMIC_ACQUIRE)};

	if (!tag || tag == TUNDISH_NAT_TAG_BUSY || word.state == TUNDISH_NAT_FREE ||
	    word.state >= TUNDISH_NAT_STATE_MAX ||
	    word.generation != tundish_nat_tag_generation(tag))
		return false;
	memcpy(ret, from, sizeof(*ret));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	ret->word = word;
	return !((__atomic_load_n(&from->word.raw, __ATOMIC_ACQUIRE) ^ word.raw) >> 48);
}

/* What the server sees of it. */
static json_t *translated_json(const struct td_nat_tables *t, const struct tundish_nat *r)
{
	uint32_t lane = TUNDISH_NAT_LANE(r->lane_hop);
	const struct tundish_lane *l = lane && lane < t->lanes_max ? &t->lanes[lane] : NULL;
	char source[TD_ADDRESS_TEXT], host[TD_ADDRESS_TEXT];

	if (!l)
		return json_null();
	return json_pack("{s:s s:i s:s s:i}", "source",
			 td_address_print(tundish_lane_source(l, &r->client), source),
			 "source_port", __builtin_bswap16(r->source_port_be), "backend_address",
			 td_address_print(&l->host, host), "backend_port",
			 __builtin_bswap16(tundish_lane_port(l, r->port_be)));
}

static void one(struct td_flow_listing *l, const struct td_nat_tables *t,
		const struct tundish_nat *r)
{
	json_t *row = td_flow_list(
		l, &(struct td_flow_row){
			   .client = &r->client,
			   .vip = &r->vip,
			   .client_port = r->client_port_be,
			   .port = r->port_be,
			   .udp = r->word.udp,
			   .backend = r->word.backend,
			   .state = td_nat_state_names[r->word.state],
			   .idle = tundish_nat_idle(r->word, r->seen[0], r->seen[1], l->tick),
			   .age = r->word.state == TUNDISH_NAT_SYN_SENT ||
						  r->word.state == TUNDISH_NAT_UDP_NEW
					  ? tundish_nat_age(l->tick, r->word.since)
					  : UINT32_MAX,
		   });

	if (row)
		json_object_set_new(row, "translated", translated_json(t, r));
}

void td_nat_list_flows(struct td_flow_listing *l)
{
	struct td_nat_tables t;
	struct tundish_nat copy;
	uint64_t n;

	if (!td_nat_is_on(l->d))
		return;
	td_nat_tables_of(l->d, &t);
	n = (uint64_t)t.settings.buckets * TUNDISH_NAT_SLOTS;
	for (l->at = td_flow_list_from(l); l->at < n && !td_flow_list_is_full(l); l->at++) {
		uint32_t i = (uint32_t)l->at;
		uint64_t tag = __atomic_load_n(
			&t.out[i / TUNDISH_NAT_SLOTS].tag[i % TUNDISH_NAT_SLOTS], __ATOMIC_ACQUIRE);

		if (tag && read_record(&t.nat[i], tag, &copy))
			one(l, &t, &copy);
	}
}

uint64_t td_nat_count_flows(struct td_daemon *d)
{
	struct td_nat_tables t;
	uint64_t n = 0;

	if (!td_nat_is_on(d))
		return 0;
	td_nat_tables_of(d, &t);
	for (uint32_t i = 0; i < t.settings.buckets; i++)
		for (uint32_t k = 0; k < TUNDISH_NAT_SLOTS; k++)
			n += !!__atomic_load_n(&t.out[i].tag[k], __ATOMIC_RELAXED);
	return n;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is true of the tables whenever no packet is under way, and of any packet that
 * was let out, whatever came in.
 */
#ifndef TESTS_INVARIANTS_H
#define TESTS_INVARIANTS_H

#include "bpf/world.h"

/* One flow, of either table. */
struct seen_flow {
	struct tundish_addr client;
	uint16_t client_port_be, port_be;
	union tundish_flow_value v;
};

static inline bool flow_at(uint32_t i, struct seen_flow *f)
{
	uint32_t half = rig.flow_buckets * TUNDISH_BUCKET_ENTRIES;

	if (i < half) {
		struct tundish_flow *e = &rig.flows[i / 4].entry[i % 4];

		*f = (struct seen_flow){tundish_addr_v4(e->client_be), e->client_port_be,
					e->port_be, e->value};
	} else {
		struct tundish_flow6 *e = &rig.flows6[(i - half) / 4].entry[(i - half) % 4];

		*f = (struct seen_flow){e->client, e->client_port_be, e->port_be, e->value};
	}
	return f->v.raw != 0;
}

static inline uint32_t flow_entries(void)
{
	return 2 * rig.flow_buckets * TUNDISH_BUCKET_ENTRIES;
}

static inline bool flow_same(const struct seen_flow *a, const struct seen_flow *b)
{
	return tundish_addr_equal(&a->client, &b->client) &&
	       a->client_port_be == b->client_port_be && a->port_be == b->port_be &&
	       a->v.live.vip == b->v.live.vip && a->v.live.udp == b->v.live.udp;
}

static inline struct tundish_tuple *tuple_at(uint32_t i)
{
	return &rig.tuples[i / 4].entry[i % 4];
}

static inline bool flow_counted(const struct seen_flow *f)
{
	return tundish_flow_open(f->v) && f->v.live.counted;
}

static inline bool tuple_of(const struct tundish_tuple *t, const struct seen_flow *f)
{
	return tundish_addr_equal(&t->client, &f->client) &&
	       t->vip == ((uint32_t)f->v.live.vip | (f->v.live.udp ? TUNDISH_TUPLE_UDP : 0)) &&
	       t->port_be == f->port_be;
}

/* Each of these returns NULL, or what is wrong. */
static inline const char *flows_wrong(void)
{
	uint64_t active[RIG_BACKENDS] = {0};
	struct seen_flow f, g;

	for (uint32_t i = 0; i < flow_entries(); i++) {
		if (!flow_at(i, &f))
			continue;
		if (f.v.raw == ~0ull)
			return "a flow entry is left busy";
		if (f.v.live.backend == 0 || f.v.live.backend >= RIG_BACKENDS ||
		    rig.backends[f.v.live.backend].state == TUNDISH_BACKEND_FREE ||
		    f.v.live.vip == 0)
			return "a flow of no backend or no VIP";
		if (f.v.live.udp != (f.v.live.state >= TUNDISH_FLOW_UDP_NEW))
			return "a flow in a state of the other protocol";
		if (tundish_flow_open(f.v))
			active[f.v.live.backend]++;
		for (uint32_t j = i + 1; j < flow_entries(); j++)
			if (flow_at(j, &g) && flow_same(&f, &g))
				return "a flow has two entries";
	}
	for (int k = K_DSR; k < RIG_BACKENDS; k++)
		if (rig.backends[k].delivery < TUNDISH_DELIVERY_NAT &&
		    rig.backends[k].connections_active != active[k])
			return "a backend's active connections are not its flows";
	return NULL;
}

static inline const char *slots_wrong(void)
{
	static uint32_t half_open[K_MAX][TUNDISH_MAGLEV_SLOTS];
	const char *wrong = NULL;
	struct seen_flow f;

	for (uint32_t i = 0; i < flow_entries(); i++)
		if (flow_at(i, &f) && tundish_flow_half_open(f.v))
			half_open[rig.backends[f.v.live.backend].service][tundish_choice_slot(
				tundish_choice_hash(&f.client, f.client_port_be, f.port_be))]++;
	for (int k = K_DSR; k < K_MAX; k++) {
		for (uint32_t s = 0; s < TUNDISH_MAGLEV_SLOTS; s++) {
			if (rig.maglev[k].slot[s] / TUNDISH_SLOT_PENDING_ONE != half_open[k][s])
				wrong = "a slot's half-open count is not its half-open flows";
			half_open[k][s] = 0;
		}
	}
	return wrong;
}

static inline const char *tuples_wrong(void)
{
	struct seen_flow f;

	for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++) {
		struct tundish_tuple *t = tuple_at(i);
		uint64_t count = 0;

		if (!t->value.raw)
			continue;
		if (t->value.raw == ~0ull)
			return "a tuple entry is left busy";
		for (uint32_t j = i + 1; j < rig.tuple_buckets * 4; j++) {
			struct tundish_tuple *u = tuple_at(j);

			if (u->value.raw && tundish_addr_equal(&t->client, &u->client) &&
			    t->vip == u->vip && t->port_be == u->port_be)
				return "a tuple has two entries";
		}
		for (uint32_t j = 0; j < flow_entries(); j++)
			count += flow_at(j, &f) && flow_counted(&f) && tuple_of(t, &f);
		if (count != t->value.active)
			return "a tuple's active connections are not its flows";
		if (t->value.total < t->value.active)
			return "a tuple has more active connections than ever";
	}
	return NULL;
}

static inline const char *tables_wrong(void)
{
	const char *wrong = flows_wrong();

	if (!wrong)
		wrong = tuples_wrong();
	return wrong ? wrong : slots_wrong();
}

static inline void check_tables(const char *name)
{
	const char *wrong = tables_wrong();

	if (wrong)
		fail_msg("%s: %s", name, wrong);
}

/* ---- packets ---------------------------------------------------------------------- */

/* Bytes of the IP packet at `at`, by its own header; 0: it has none. */
static inline uint32_t ip_length(const struct packet *p, uint32_t at)
{
	if (at + 20 > p->len)
		return 0;
	if (p->data[at] >> 4 == 4)
		return get16(p->data + at + 2);
	return at + 40 <= p->len && p->data[at] >> 4 == 6 ? 40 + get16(p->data + at + 4) : 0;
}

/* How far a header's checksum is from right: 0 where it is right. */
static inline uint32_t v4_error(const uint8_t *ip)
{
	return naive_error(naive_add(0, ip, (ip[0] & 15u) * 4));
}

/* The same packet but for one hop. A checksum that was wrong stays wrong by as much. */
static inline const char *forwarded_wrong(const struct packet *in, uint32_t from,
					  const struct packet *out, uint32_t at)
{
	const uint8_t *a = in->data + from, *b = out->data + at;
	uint32_t n = in->len - from, v6 = a[0] >> 4 == 6, ttl = v6 ? 7 : 8;

	if (out->len - at != n)
		return "length changed on the way";
	if (a[ttl] < 2 || b[ttl] != a[ttl] - 1)
		return "hop limit";
	for (uint32_t i = 0; i < n; i++)
		if (i != ttl && (v6 || (i != 10 && i != 11)) && a[i] != b[i])
			return "bytes changed on the way";
	if (!v6 && naive_add(0, a, (a[0] & 15u) * 4) % 0xffff !=
			   naive_add(0, b, (b[0] & 15u) * 4) % 0xffff)
		return "checksum not carried on";
	return NULL;
}

/* NULL, or what is wrong with what came out. */
static inline const char *packet_wrong(const struct packet *in, int action,
				       const struct packet *out, uint32_t end)
{
	uint32_t from, at, length, inner;
	struct packet want;

	switch (action) {
	case XDP_DROP: return NULL;
	case XDP_PASS:
		if (end != TUNDISH_COUNTER_pass_decapsulated)
			return out->len == in->len && !memcmp(out->data, in->data, in->len)
				       ? NULL
				       : "a passed packet changed";
		from = network_at(in);
		if (out->len >= in->len)
			return "unwrapped packet is no smaller";
		unwrapped(&want, in, in->len - out->len);
		if (memcmp(want.data, out->data, out->len))
			return "unwrapped packet changed";
		length = ip_length(out, from);
		return length && from + length <= out->len ? NULL : "unwrapped packet's length";
	case XDP_TX:
	case XDP_REDIRECT: break;
	default: return "verdict";
	}
	if (out->len < 14 + 20)
		return "sent packet is too short";
	from = network_at(in);
	at = network_at(out);
	length = ip_length(out, at);
	if (!length || at + length > out->len)
		return "sent packet's length";
	if (get16(out->data + at - 2) != (out->data[at] >> 4 == 4 ? 0x0800u : 0x86ddu))
		return "sent packet's type";
	switch (end) {
	case TUNDISH_COUNTER_sent_ping:
		if (out->len != in->len || memcmp(in->data, out->data + 6, 6) ||
		    memcmp(in->data + 6, out->data, 6))
			return "answer to a ping";
		return NULL;
	case TUNDISH_COUNTER_sent_icmp_too_big:
		if (at != from || at + length != out->len || out->len > in->len + 48)
			return "too big: length";
		if (out->data[at] >> 4 == 4)
			return v4_error(out->data + at) ||
					       naive_error(naive_add(0, out->data + at + 20,
								     length - 20))
				       ? "too big: checksum"
				       : NULL;
		return naive_error(naive_add(pseudo_sum(out->data + at, P_ICMP6, length - 40),
					     out->data + at + 40, length - 40))
			       ? "too big: checksum"
			       : NULL;
	case TUNDISH_COUNTER_sent_dsr: return forwarded_wrong(in, from, out, at);
	case TUNDISH_COUNTER_sent_gue:
		if (out->data[at] >> 4 == 4 && v4_error(out->data + at))
			return "outer checksum";
		inner = at + (out->data[at] >> 4 == 4 ? 20 : 40);
		if (out->data[at] >> 4 == 4 ? out->data[at + 9] != P_UDP
					    : out->data[at + 6] != P_UDP)
			return "outer protocol is not UDP";
		if (get16(out->data + inner) < 0xc000 || get16(out->data + inner + 2) != GUE_OUT ||
		    get16(out->data + inner + 4) != at + length - inner ||
		    get16(out->data + inner + 6))
			return "UDP header";
		if (out->data[inner + 8] ||
		    out->data[inner + 9] != (out->data[inner + 12] >> 4 == 4 ? P_IPIP : P_IPV6) ||
		    get16(out->data + inner + 10))
			return "GUE header";
		inner += 12;
		if (ip_length(out, inner) + inner != at + length)
			return "outer length is not the inner one's";
		return forwarded_wrong(in, from, out, inner);
	case TUNDISH_COUNTER_sent_ipip:
		if (out->data[at] >> 4 == 4 && v4_error(out->data + at))
			return "outer checksum";
		inner = at + (out->data[at] >> 4 == 4 ? 20 : 40);
		if (ip_length(out, inner) + inner != at + length)
			return "outer length is not the inner one's";
		if (out->data[at] >> 4 == 4
			    ? out->data[at + 9] != (out->data[inner] >> 4 == 4 ? 4 : 41)
			    : out->data[at + 6] != (out->data[inner] >> 4 == 4 ? 4 : 41))
			return "outer protocol";
		return forwarded_wrong(in, from, out, inner);
	}
	return "sent, but not counted so";
}

/* Runs a packet of which nothing is known and checks what can be. Returns the exit that
 * was counted; *ret_action may be NULL. */
static inline uint32_t check_any(const char *name, const struct packet *in, int *ret_action)
{
	struct tundish_counters before, after;
	uint32_t end = TUNDISH_COUNTER_MAX, ends = 0;
	const char *wrong;
	struct packet out;
	int r;

	rig_counters(&before);
	r = rig_run(in, &out);
	if (r < 0)
		fail_msg("%s: refused: %d", name, r);
	rig_counters(&after);
	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++) {
		uint64_t by = ((uint64_t *)&after)[i] - ((uint64_t *)&before)[i];

		if (counter_is_exit(i) && by) {
			ends += (uint32_t)by;
			end = i;
		}
	}
	wrong = ends != 1 ? "not one exit" : packet_wrong(in, r, &out, end);
	if (!wrong && (r == XDP_DROP) != !strncmp(counter_name(end), "drop", 4))
		wrong = "verdict and counter disagree";
	if (wrong) {
		packet_print("in", in);
		packet_print("out", &out);
		fail_msg("%s: %s (%s, %s)", name, wrong, action_name(r), counter_name(end));
	}
	if (ret_action)
		*ret_action = r;
	return end;
}

#endif

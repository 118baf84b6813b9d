/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is true of any packet that a translation let out, and of its tables whenever no
 * packet is under way; whatever came in. And packets that come near: of each kind, from
 * either side, of connections that are there. `draw` gives the numbers.
 */
#ifndef TESTS_NAT_JUDGE_H
#define TESTS_NAT_JUDGE_H

#include "bpf/cases_nat.h"
#include "bpf/invariants.h"

#define SECOND4	     ip4(192, 0, 2, 61) /* another VIP before the servers of NATVIP4:2000 */
#define JUDGE_PLACES (RIG_NAT_BUCKETS * TUNDISH_NAT_SLOTS)
#define JUDGE_VIPS   (ID_NATVIP6 + 2) /* SECOND4's is the last */

static uint32_t (*draw)(void);

/* ---- packets, read ------------------------------------------------------------------------ */

struct seen_ip {
	const uint8_t *ip;
	uint32_t v6, header, length; /* header: all of it, extensions too */
	uint32_t protocol, ttl;
	struct tundish_addr src, dst;
	uint16_t sport, dport; /* as they lie */
	bool later;	       /* a fragment without ports */
};

/* `have` bytes are there; a quote is less than what it says to be. */
static bool read_ip(const uint8_t *ip, uint32_t have, struct seen_ip *s)
{
	*s = (struct seen_ip){.ip = ip};
	if (have < 20)
		return false;
	s->v6 = ip[0] >> 4 == 6;
	if (s->v6) {
		if (have < 40)
			return false;
		s->length = 40 + get16(ip + 4);
		s->protocol = ip[6];
		s->ttl = ip[7];
		s->header = 40;
		memcpy(&s->src, ip + 8, 16);
		memcpy(&s->dst, ip + 24, 16);
		while (s->header + 8 <= have &&
		       (s->protocol == 0 || s->protocol == 43 || s->protocol == 44 ||
			s->protocol == 51 || s->protocol == 60)) {
			const uint8_t *x = ip + s->header;

			s->later |= s->protocol == 44 && (get16(x + 2) & 0xfff8);
			s->header += s->protocol == 44	 ? 8u
				     : s->protocol == 51 ? (x[1] + 2) * 4u
							 : (x[1] + 1) * 8u;
			s->protocol = x[0];
		}
	} else {
		uint32_t a, b;

		memcpy(&a, ip + 12, 4);
		memcpy(&b, ip + 16, 4);
		s->src = tundish_addr_v4(a);
		s->dst = tundish_addr_v4(b);
		s->header = (ip[0] & 15u) * 4;
		s->length = get16(ip + 2);
		s->protocol = ip[9];
		s->ttl = ip[8];
		s->later = get16(ip + 6) & 0x1fff;
	}
	if (s->header + 4 > have || s->header < 20)
		return false;
	memcpy(&s->sport, ip + s->header, 2);
	memcpy(&s->dport, ip + s->header + 2, 2);
	return true;
}

static struct seen_ip turned(struct seen_ip s)
{
	struct tundish_addr a = s.src;
	uint16_t port = s.sport;

	s.src = s.dst;
	s.dst = a;
	s.sport = s.dport;
	s.dport = port;
	return s;
}

/* How far the transport's checksum is from right, 0 where it is. Of a first fragment: how far by what is
 * there, which is all that may change. */
static uint32_t transport_error(const struct seen_ip *s)
{
	const uint8_t *t = s->ip + s->header;
	uint32_t have = s->length - s->header, n = have, sum = 0;

	if (s->protocol == P_UDP)
		n = get16(t + 4);
	if (s->protocol != P_ICMP)
		sum = pseudo_sum(s->ip, s->protocol, n);
	return naive_add(sum, t, n < have ? n : have) % 0xffff;
}

/* Of a quote, which is not all there: addresses, ports and checksum weigh the same before
 * and after. */
static uint32_t quote_weight(const struct seen_ip *s)
{
	return naive_add(
		       naive_add(s->v6 ? naive_add(0, s->ip + 8, 32) : naive_add(0, s->ip + 12, 8),
				 s->ip + s->header, 4),
		       s->ip + s->header + (s->protocol == P_UDP ? 6 : 16), 2) %
	       0xffff;
}

/* ---- what must hold of what leaves -------------------------------------------------------- */

/* The record of a packet as the client sends it and as the server gets it. */
static const struct tundish_nat *record_from(uint32_t i, const struct seen_ip *client,
					     const struct seen_ip *server)
{
	for (; i < JUDGE_PLACES; i++) {
		const struct tundish_nat *r = &rig.nat[i];
		const struct tundish_lane *l = &rig.lanes[TUNDISH_NAT_LANE(r->lane_hop)];
		bool own = l->flags & TUNDISH_LANE_SOURCE;

		if (r->word.state && r->word.udp == (client->protocol == P_UDP) &&
		    tundish_addr_equal(&r->client, &client->src) &&
		    tundish_addr_equal(&r->vip, &client->dst) &&
		    tundish_addr_equal(own ? &l->source : &r->client, &server->src) &&
		    tundish_addr_equal(&l->host, &server->dst) &&
		    (client->later ||
		     (r->client_port_be == client->sport && r->port_be == client->dport &&
		      r->source_port_be == server->sport &&
		      (l->port_be ? l->port_be : r->port_be) == server->dport)))
			return r;
	}
	return NULL;
}

static const struct tundish_nat *record_of(const struct seen_ip *client,
					   const struct seen_ip *server)
{
	return record_from(0, client, server);
}

static const char *link_wrong(const struct tundish_nat *r, int reply, const struct packet *out,
			      uint32_t at)
{
	const struct tundish_return *back = &rig.returns[TUNDISH_NAT_HOP(r->lane_hop)];
	uint8_t want[12];
	uint32_t tagged = 0;

	if (!reply) {
		struct way_out w =
			way_of((enum kind)rig.lanes[TUNDISH_NAT_LANE(r->lane_hop)].nexthop);

		memcpy(want, w.dmac, 6);
		memcpy(want + 6, w.smac, 6);
	} else if (TUNDISH_NAT_HOP(r->lane_hop) && back->state == TUNDISH_RETURN_VALID) {
		memcpy(want, back->key.to, 6);
		memcpy(want + 6, back->key.from, 6);
		tagged = back->key.tagged;
		if (tagged && memcmp(out->data + 14, &back->key.vlan_tci_be, 2))
			return "another VLAN";
	} else {
		memcpy(want, rig_fib.dmac, 6);
		memcpy(want + 6, rig_fib.smac, 6);
	}
	if (memcmp(out->data, want, 12) || at != (tagged ? 18u : 14u))
		return "link header";
	return NULL;
}

static const char *error_wrong(const struct seen_ip *a, const struct seen_ip *b, int reply,
			       const struct tundish_nat **ret)
{
	struct seen_ip qa, qb, ca, cb;
	const uint8_t *quote_a = a->ip + a->header + 8, *quote_b = b->ip + b->header + 8;
	uint32_t have_a = a->length - a->header - 8, have_b = b->length - b->header - 8, check;

	if (!read_ip(quote_a, have_a, &qa) || !read_ip(quote_b, have_b, &qb) ||
	    qa.protocol != qb.protocol)
		return "quote";
	ca = reply ? qb : turned(qa);
	cb = reply ? qa : turned(qb);
	*ret = record_of(&ca, &cb);
	if (!*ret)
		return "the quote is of no connection";
	if (!tundish_addr_equal(&qa.src, &a->dst) || !tundish_addr_equal(&qb.src, &b->dst))
		return "the error is not for who sent what it quotes";
	if (transport_error(b) != (a->v6 == b->v6 ? transport_error(a) : 0))
		return "checksum of the error";
	if (!qb.v6 &&
	    naive_add(0, quote_b, 20 > qb.header ? 20 : qb.header) % 0xffff !=
		    (qa.v6 ? 0 : naive_add(0, quote_a, qa.header) % 0xffff) &&
	    (qa.v6 == qb.v6 || naive_add(0, quote_b, qb.header) % 0xffff))
		return "header checksum of the quote";
	check = qa.protocol == P_UDP ? 8 : 18;
	if (qa.header + check > have_a || qb.header + check > have_b ||
	    (qa.protocol == P_UDP && !get16(quote_a + qa.header + 6)))
		return NULL;
	return quote_weight(&qa) == quote_weight(&qb) ? NULL : "checksum of the quote";
}

/* A packet of a connection. @told: its client's address was put in. */
/* A later fragment belongs to one of the connections between its addresses. */
static const char *later_wrong(const struct seen_ip *a, const struct seen_ip *b,
			       const struct seen_ip *client, const struct seen_ip *server,
			       int reply, const struct packet *out, uint32_t at)
{
	const struct tundish_nat *r = record_of(client, server);
	const char *wrong = "a fragment of no connection";

	if (a->v6 != b->v6 || a->length - a->header != b->length - b->header ||
	    memcmp(a->ip + a->header, b->ip + b->header, a->length - a->header))
		return "payload of a fragment";
	for (; r && wrong; r = record_from((uint32_t)(r - rig.nat) + 1, client, server))
		wrong = link_wrong(r, reply, out, at);
	return wrong;
}

static const char *translated_wrong(const struct packet *in, const struct packet *out, int reply,
				    bool told, bool changed, bool partial)
{
	const struct tundish_nat *r = NULL;
	uint32_t from = network_at(in), at = network_at(out), na, nb, ha, hb, udp_none;
	const char *wrong = NULL;
	struct seen_ip a, b, ca, cb;
	const uint8_t *ta, *tb;

	if (!read_ip(in->data + from, in->len - from, &a) ||
	    !read_ip(out->data + at, out->len - at, &b) || at + b.length > out->len)
		return "length";
	if (b.ttl != a.ttl - 1)
		return "hop limit";
	if (!b.v6 && naive_add(0, b.ip, b.header) % 0xffff !=
			     (a.v6 ? 0 : naive_add(0, a.ip, a.header) % 0xffff))
		return "header checksum";
	if (a.protocol == P_ICMP || a.protocol == P_ICMP6) {
		if (b.protocol != (b.v6 ? P_ICMP6 : P_ICMP))
			return "protocol";
		wrong = error_wrong(&a, &b, reply, &r);
		return wrong ? wrong : link_wrong(r, reply, out, at);
	}
	if (b.protocol != a.protocol)
		return "protocol";
	ca = reply ? turned(b) : a;
	cb = reply ? turned(a) : b;
	if (a.later || b.later)
		return a.later == b.later ? later_wrong(&a, &b, &ca, &cb, reply, out, at)
					  : "a fragment";
	r = record_of(&ca, &cb);
	if (!r)
		return "of no connection";
	wrong = link_wrong(r, reply, out, at);
	if (wrong)
		return wrong;
	na = a.length - a.header;
	nb = b.length - b.header;
	ta = a.ip + a.header;
	tb = b.ip + b.header;
	if (nb - na != (!told ? 0u : tundish_addr_is_v4(&r->client) ? 8u : 20u))
		return "length of the segment";
	udp_none = a.protocol == P_UDP && !get16(ta + 6);
	if (udp_none && (a.v6 || !b.v6)) {
		if (get16(tb + 6))
			return "a checksum where there was none";
	} else if (!partial && transport_error(&b) != (udp_none ? 0 : transport_error(&a))) {
		return "checksum";
	}
	ha = a.protocol == P_UDP ? 8 : (ta[12] >> 4) * 4u;
	hb = a.protocol == P_UDP ? 8 : (tb[12] >> 4) * 4u;
	if (hb - ha != nb - na || na - ha != nb - hb || memcmp(ta + ha, tb + hb, na - ha))
		return "payload";
	if (a.protocol == P_UDP)
		return memcmp(ta + 4, tb + 4, 2) ? "UDP length" : NULL;
	if (memcmp(ta + 4, tb + 4, 8) || ((ta[12] ^ tb[12]) & 15) || memcmp(ta + 13, tb + 13, 3) ||
	    memcmp(ta + 18, tb + 18, 2))
		return "TCP header";
	if (!changed && memcmp(ta + 20, tb + hb - (ha - 20), ha - 20))
		return "TCP options";
	return NULL;
}

static const char *reset_wrong(const struct packet *in, const struct packet *out)
{
	uint32_t from = network_at(in), at = network_at(out);
	struct seen_ip a, b;

	if (!read_ip(in->data + from, in->len - from, &a) ||
	    !read_ip(out->data + at, out->len - at, &b) || at != from || a.v6 != b.v6)
		return "reset";
	a = turned(a);
	if (b.protocol != P_TCP || !tundish_addr_equal(&a.src, &b.src) ||
	    !tundish_addr_equal(&a.dst, &b.dst) || a.sport != b.sport || a.dport != b.dport)
		return "reset is not for its cause";
	if (b.length != b.header + 20 || b.header != (b.v6 ? 40u : 20u) ||
	    at + b.length > out->len || out->len > (in->len > 60 ? in->len : 60))
		return "length of a reset";
	if (!(b.ip[b.header + 13] & F_RST) || (a.ip[a.header + 13] & F_RST))
		return "a reset for a reset";
	if (memcmp(in->data, out->data + 6, 6) || memcmp(in->data + 6, out->data, 6))
		return "way of a reset";
	if (transport_error(&b) || (!b.v6 && v4_error(b.ip)))
		return "checksum of a reset";
	return NULL;
}

/* Runs a packet and ends the test where anything is wrong. Returns the exit. @partial: its
 * checksum may have been completed. */
static uint32_t judge(const char *name, const struct packet *in, uint32_t linear, bool partial,
		      uint32_t *seen)
{
	struct tundish_counters before, after;
	uint32_t end = TUNDISH_COUNTER_MAX, ends = 0;
	counter_set met = 0;
	const char *wrong = NULL;
	struct packet out;
	int r;

	rig_counters(&before);
	r = rig_run_split(in, &out, linear);
	rig_counters(&after);
	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++) {
		uint64_t by = ((uint64_t *)&after)[i] - ((uint64_t *)&before)[i];

		if (!by)
			continue;
		met |= (counter_set)1 << i;
		if (seen)
			seen[i]++;
		if (counter_is_exit(i)) {
			ends += (uint32_t)by;
			end = i;
		}
	}
	if (ends != 1)
		wrong = "not one exit";
	else if ((r == XDP_DROP) != !strncmp(counter_name(end), "drop", 4))
		wrong = "verdict and counter disagree";
	else if (end == TUNDISH_COUNTER_sent_nat || end == TUNDISH_COUNTER_sent_fullnat ||
		 end == TUNDISH_COUNTER_sent_reply)
		wrong = translated_wrong(in, &out, end == TUNDISH_COUNTER_sent_reply,
					 met & C(toa_added),
					 met & (C(mss_lowered) | C(toa_stripped)), partial);
	else if (end == TUNDISH_COUNTER_sent_rst_ports || end == TUNDISH_COUNTER_sent_rst_unknown ||
		 end == TUNDISH_COUNTER_sent_rst_disabled)
		wrong = r == XDP_TX ? reset_wrong(in, &out) : "verdict of a reset";
	else
		wrong = packet_wrong(in, r, &out, end);
	if (wrong) {
		packet_print("in", in);
		packet_print("out", &out);
		fail_msg("%s: %s (%s, %s)", name, wrong, action_name(r), counter_name(end));
	}
	return end;
}

/* ---- the tables ---------------------------------------------------------------------------- */

static bool judge_find(struct nat_query query, uint32_t place)
{
	struct nat_query *q = rig_value(M_NAT_QUERIES, NAT_QUERY_DRY, 0);

	*q = query;
	return nat_find(q) && q->place == place;
}

static bool bit_of(const __u64 *words, uint32_t port)
{
	return words[port / 64] >> (port % 64) & 1;
}

/* A sentence; NULL: all is right. */
static const char *nat_tables_wrong(void)
{
	static uint8_t owner[RIG_LANES][NAT_PORTS];
	uint32_t used[RIG_LANES] = {0}, live = 0, tags = 0;
	int64_t active[N_MAX] = {0};
	uint64_t counted[JUDGE_VIPS][2] = {0}, in_tuples[JUDGE_VIPS][2] = {0};

	memset(owner, 0, sizeof(owner));
	for (uint32_t i = 0; i < JUDGE_PLACES; i++) {
		const struct tundish_nat *r = &rig.nat[i];
		uint64_t out = rig.nat_tags[i / 8].tag[i % 8];
		uint32_t lane = TUNDISH_NAT_LANE(r->lane_hop), on;
		uint32_t port = TUNDISH_BE16(r->source_port_be);
		const struct tundish_lane *l = &rig.lanes[lane < RIG_LANES ? lane : 0];

		tags += rig.nat_tags[RIG_NAT_BUCKETS + i / 8].tag[i % 8] != 0;
		if (out == TUNDISH_NAT_TAG_BUSY)
			return "a tag is busy for ever";
		if (!r->word.state) {
			if (out)
				return "a tag of a record that is free";
			continue;
		}
		if (tundish_nat_tag_generation(out) != r->word.generation ||
		    tundish_nat_tag_place(out) != i)
			return "a record without its tag";
		if (!lane || lane >= RIG_LANES || !l->number || r->word.backend < N_NAT ||
		    r->word.backend >= N_MAX)
			return "a record of no lane or backend";
		if (r->word.udp != (r->word.state >= TUNDISH_NAT_UDP_NEW))
			return "a state of the other protocol";
		if (TUNDISH_NAT_HOP(r->lane_hop) &&
		    rig.returns[TUNDISH_NAT_HOP(r->lane_hop)].state != TUNDISH_RETURN_VALID)
			return "a way back that is none";
		live++;
		on = tundish_nat_is_active(r->word.state);
		active[r->word.backend] += on;
		if (r->vip_id < ID_NATVIP4 || r->vip_id >= JUDGE_VIPS)
			return "a record of no VIP that translates";
		counted[r->vip_id][r->word.udp] += on && r->word.counted;
		used[lane]++;
		if (l->ports) {
			if (port < l->first || port > l->last)
				return "a port out of its range";
			if (owner[lane][port - l->first]++)
				return "two connections on one port";
			if (!bit_of(rig.lane_ports[lane].taken, port))
				return "a port in use that is not taken";
			if (bit_of(rig.lane_ports[lane].yielding, port) !=
			    tundish_nat_is_marked(r->word.state))
				return "a port's mark is not its state's";
		}
		if (!judge_find((struct nat_query){.far = r->client,
						   .vip = r->vip,
						   .far_port = r->client_port_be,
						   .port = r->port_be,
						   .id = r->vip_id,
						   .udp = r->word.udp},
				i))
			return "not found, or twice, from the client's side";
		if (!judge_find((struct nat_query){.far = l->ports ? l->source : r->client,
						   .far_port = r->source_port_be,
						   .port = l->port_be ? l->port_be : r->port_be,
						   .id = l->number,
						   .udp = r->word.udp,
						   .side = TUNDISH_NAT_SERVER},
				i))
			return "not found, or twice, from the server's side";
	}
	if (tags != live)
		return "tags of the server's side that belong to nobody";
	for (uint32_t lane = 1; lane < RIG_LANES; lane++) {
		const struct tundish_lane *l = &rig.lanes[lane];
		uint32_t bits = 0, marks = 0;

		if (l->used != used[lane])
			return "a lane's count is not its connections";
		for (uint32_t p = l->first; l->ports && p <= l->last; p++) {
			bits += bit_of(rig.lane_ports[lane].taken, p);
			marks += bit_of(rig.lane_ports[lane].yielding, p);
		}
		if (l->ports && (bits != l->used || marks != l->yielding))
			return "a lane's bits are not its count";
	}
	for (int k = N_NAT; k < N_MAX; k++)
		if ((int64_t)rig.backends[k].connections_active != active[k])
			return "a backend's count is not its connections";
	for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++) {
		const struct tundish_tuple *t = tuple_at(i);
		uint32_t vip = t->vip & (TUNDISH_TUPLE_UDP - 1);

		if (t->value.raw == ~0ull)
			return "a tuple entry is left busy";
		if (vip >= JUDGE_VIPS)
			return "a tuple of no VIP";
		in_tuples[vip][!!(t->vip & TUNDISH_TUPLE_UDP)] += t->value.active;
	}
	/* The other VIPs' are flows, to which a changed address leads now and then. */
	for (uint32_t vip = ID_NATVIP4; vip < JUDGE_VIPS; vip++)
		for (int udp = 0; udp < 2; udp++)
			if (in_tuples[vip][udp] != counted[vip][udp])
				return "the tuples' counts are not the connections";
	return NULL;
}

static void judge_tables(const char *name)
{
	const char *wrong = nat_tables_wrong();

	if (wrong)
		fail_msg("%s: %s", name, wrong);
}

/* ---- the world ----------------------------------------------------------------------------- */

/* nat_world(), and two VIPs before one server, and a service with two backends. */
static void judge_world(void)
{
	struct tundish_addr a = SECOND4;
	struct tundish_vip v = {.id = ID_NATVIP6 + 1,
				.flags = TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS,
				.n_ranges = 2};

	nat_world();
	for (int udp = 0; udp < 2; udp++)
		v.ranges[udp] = (struct tundish_port_range){.first = 2000,
							    .last = 2000,
							    .service = N_NAT,
							    .protocol = udp ? P_UDP : P_TCP,
							    .delivery = TUNDISH_DELIVERY_NAT};
	rig_set_vip(&a, &v);
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i += 2)
		rig.maglev[N_FULL].slot[i] = N_FROM6;
}

/* ---- packets that come near ------------------------------------------------------------------ */

static void set_check(struct packet *p)
{
	uint32_t at = network_at(p);
	struct seen_ip s;
	uint32_t field, sum, n;
	uint8_t *t;

	if (at >= p->len || !read_ip(p->data + at, p->len - at, &s) || at + s.length > p->len ||
	    s.length < s.header + 20)
		return;
	if (!s.v6)
		fix_v4(p->data + at);
	t = p->data + at + s.header;
	n = s.length - s.header;
	field = s.protocol == P_TCP ? 16 : s.protocol == P_UDP ? 6 : 2;
	if (s.protocol == P_UDP && (get16(t + 4) < 8 || get16(t + 4) > n))
		return;
	if (s.protocol != P_TCP && s.protocol != P_UDP && s.protocol != P_ICMP &&
	    s.protocol != P_ICMP6)
		return;
	put16(t + field, 0);
	sum = naive_error(transport_error(&s));
	put16(t + field, sum ? sum : 0xffff);
}

/* TCP options in the place that build() left for them. */
static void put_options(struct packet *p, uint8_t *t, uint32_t n)
{
	uint32_t what = draw();

	if ((what & 1) && n >= 4) {
		put16(t, 0x0204);
		put16(t + 2, 500 + (what >> 1 & 1023));
		t += 4;
		n -= 4;
	}
	if ((what & 2) && n >= 12) {
		put32(t, 0x0101080a);
		put32(t + 4, (uint32_t)(rig_now_ns >> 20));
		put32(t + 8, what);
		t += 12;
		n -= 12;
	}
	if ((what & 4) && n >= 8) {
		put16(t, 0xfe08);
		memset(t + 2, (int)what, 6);
		n -= 8;
	}
	set_check(p);
}

/* The packet of a description, with what may come along. */
static void near_build(struct packet *p, struct spec *s)
{
	static uint8_t ext[8];
	uint32_t x = draw();

	memcpy(ext, (uint8_t[8]){s->protocol ? s->protocol : P_TCP, 0, 1, 4, 0, 0, 0, 0}, 8);
	if (!(x & 15))
		s->tags = 1 + (x >> 4 & 1);
	s->tag[0] = (uint16_t)(x >> 5 & 0x3003);
	if (!(x >> 6 & 7)) {
		s->options = (x >> 9 & 3) * 4;
		s->ext = ext;
		s->ext_first = x >> 10 & 1 ? 51 : 60;
		s->ext_len = 8;
		if (s->ext_first == 51)
			ext[1] = 0;
	}
	if (!(x >> 12 & 15))
		s->smac[0] = 2, s->smac[5] = (uint8_t)(8 + (x >> 16 & 7));
	if (!(x >> 7 & 31))
		s->ttl = (uint8_t)(1 + (x >> 12 & 1));
	if (s->protocol == P_TCP && !(x >> 13 & 3))
		s->doff = (uint8_t)(6 + (x >> 15) % 10);
	build(p, s);
	if (s->protocol == P_UDP && (x >> 14 & 3))
		nat_sum_udp(p);
	if (s->protocol == P_TCP && s->doff > 5)
		put_options(p,
			    p->data + network_at(p) +
				    (spec_v6(s) ? 40 + s->ext_len : 20 + s->options) + 20,
			    (s->doff - 5) * 4u);
}

static uint32_t near_payload(void)
{
	uint32_t x = draw();

	return x & 7 ? x >> 3 & 63 : x >> 3 & 2047;
}

/* Of whatever connection: most are new. */
static void near_client(struct packet *p)
{
	static const uint8_t flags[] = {F_SYN, F_SYN, F_SYN, F_ACK, F_FIN | F_ACK, F_RST};
	uint32_t x = draw();
	struct spec s = nat_request((int)(x & 1), (uint16_t)(2000 + (x >> 1) % 3),
				    x >> 3 & 3 ? P_TCP : P_UDP, flags[(x >> 5) % 6]);

	s.sport = (uint16_t)(40000 + draw() % 48);
	s.payload = near_payload();
	if (!(x & 1) && s.dport == 2000 && (x >> 8 & 1))
		s.dst = SECOND4;
	if (!(x >> 9 & 15))
		s.src = x & 1 ? SERVER6 : SERVER4;
	else if (!(x >> 13 & 63))
		s.src = nat_vip((int)(x & 1));
	near_build(p, &s);
}

static const struct tundish_nat *near_record(void)
{
	uint32_t from = draw() % JUDGE_PLACES;

	for (uint32_t i = 0; i < JUDGE_PLACES; i++)
		if (rig.nat[(from + i) % JUDGE_PLACES].word.state)
			return &rig.nat[(from + i) % JUDGE_PLACES];
	return NULL;
}

/* What the record's client sends, or its server; as it is on their side of this host. */
static struct spec near_spec(const struct tundish_nat *r, int server)
{
	static const uint8_t flags[] = {F_ACK, F_ACK, F_ACK | F_PSH, F_FIN | F_ACK, F_RST};
	const struct tundish_lane *l = &rig.lanes[TUNDISH_NAT_LANE(r->lane_hop)];
	uint32_t x = draw(), state = r->word.state;
	struct spec s = {.protocol = r->word.udp ? P_UDP : P_TCP, .flags = flags[x % 5]};

	if (server) {
		s.src = l->host;
		s.sport = TUNDISH_BE16(l->port_be ? l->port_be : r->port_be);
		s.dst = l->flags & TUNDISH_LANE_SOURCE ? l->source : r->client;
		s.dport = TUNDISH_BE16(r->source_port_be);
	} else {
		s.src = r->client;
		s.sport = TUNDISH_BE16(r->client_port_be);
		s.dst = r->vip;
		s.dport = TUNDISH_BE16(r->port_be);
	}
	s.payload = near_payload();
	s.seq = server ? 5001 : 1000;
	s.ack = server ? 1000 : 5001;
	if (state >= TUNDISH_NAT_FIN_CLIENT)
		s.ack = server ? r->client_seq : r->server_seq;
	if (server && (state == TUNDISH_NAT_SYN_SENT || !(x >> 3 & 15))) {
		s.flags = F_SYN | F_ACK;
		s.seq = 5000;
		s.ack = r->client_seq + 1;
		s.payload = 0;
	} else if (!server && !(x >> 3 & 15)) {
		s.flags = F_SYN;
		s.seq = x >> 7 & 1 ? 999 : x;
		s.payload = 0;
	}
	if (s.flags == F_RST && (x >> 8 & 3)) /* not so often */
		s.flags = F_ACK;
	return s;
}

static void near_known(struct packet *p, int server)
{
	const struct tundish_nat *r = near_record();
	struct spec s;

	if (!r) {
		near_client(p);
		return;
	}
	s = near_spec(r, server);
	near_build(p, &s);
}

/* An error about what went to the server, or to the client. */
static void near_error(struct packet *p, int server)
{
	static const uint8_t types[] = {3, 3, 11, 12}, types6[] = {1, 2, 3, 4};
	const struct tundish_nat *r = near_record();
	struct packet quoted;
	struct spec s, e;
	uint32_t x = draw(), v6;

	if (!r) {
		near_client(p);
		return;
	}
	s = near_spec(r, !server); /* of the other's packet, before it was translated... */
	{			   /* ...after that, its addresses are those of this side, turned */
		struct spec t = near_spec(r, server);

		s.src = t.dst;
		s.dst = t.src;
		s.sport = t.dport;
		s.dport = t.sport;
	}
	v6 = spec_v6(&s);
	build(&quoted, &s);
	if (s.protocol == P_UDP && (x >> 6 & 3))
		nat_sum_udp(&quoted);
	e = (struct spec){.src = x >> 4 & 1 ? s.dst
				 : v6	    ? ROUTER6
					    : ROUTER4,
			  .dst = s.src,
			  .type = v6 ? types6[x & 3] : types[x & 3],
			  .code = (uint8_t)(x >> 8 & 7),
			  .sport = (uint16_t)(x >> 5 & 1 ? x >> 12 & 0x3f1f : 0),
			  .dport = (uint16_t)(1200 + (x >> 9 & 511))};
	build_error(p, &e, &quoted, 24 + draw() % 300);
}

static void near_ping(struct packet *p)
{
	int v6 = (int)(draw() & 1);
	struct spec s = {.src = nat_client(v6),
			 .dst = nat_vip(v6),
			 .protocol = v6 ? P_ICMP6 : P_ICMP,
			 .type = v6 ? 128 : 8,
			 .payload = near_payload()};

	build(p, &s);
}

static void near_packet(struct packet *p)
{
	switch (draw() % 16) {
	case 0:
	case 1:
	case 2: near_client(p); break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7: near_known(p, 0); break;
	case 8:
	case 9:
	case 10:
	case 11:
	case 12: near_known(p, 1); break;
	case 13: near_error(p, 0); break;
	case 14: near_error(p, 1); break;
	default: near_ping(p);
	}
}

/* What may change between two packets, but time. */
static void near_change(void)
{
	static const uint8_t states[] = {TUNDISH_BACKEND_UP, TUNDISH_BACKEND_UP,
					 TUNDISH_BACKEND_DOWN, TUNDISH_BACKEND_DRAIN,
					 TUNDISH_BACKEND_DISABLED};
	uint32_t x = draw(), k = N_NAT + (x >> 3) % (N_MAX - N_NAT);

	switch (x & 3) {
	case 0: rig.backends[k].state = states[(x >> 6) % sizeof(states)]; break;
	case 1:
		rig.deliveries[k].flags = x >> 6 & 1 ? TUNDISH_DELIVER_TOA : 0;
		rig.deliveries[k].mss = x >> 7 & 1 ? 900 : 0;
		break;
	case 2:
		rig_fib_result = x >> 6 & 1 ? 0 : BPF_FIB_LKUP_RET_NO_NEIGH;
		rig_fib.ifindex = x >> 7 & 1 ? RIG_INGRESS : 9;
		rig_fib.mtu_result = 1500;
		memset(rig_fib.dmac, 4, 6);
		memset(rig_fib.smac, 6, 6);
		break;
	default: rig.backends[k].state = TUNDISH_BACKEND_UP;
	}
}

/* Whether checksums may wait to be completed, which native XDP does here. */
static void near_partial(bool may)
{
	struct tundish_link l = {.flags = may ? TUNDISH_LINK_PARTIAL : 0, .mtu = 1500};
	uint32_t ifindex = RIG_INGRESS;

	rig_put("links", &ifindex, &l);
	rig.nat_settings.n_partial = may;
	rig_set_settings();
}

#endif

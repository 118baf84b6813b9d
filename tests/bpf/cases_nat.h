/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections packet by packet, in both directions: what goes out is built
 * from its description anew, so each checksum is compared with one computed from
 * nothing. Run in the kernel and natively.
 */
#ifndef TESTS_CASES_NAT_H
#define TESTS_CASES_NAT_H

#include "bpf/cases_icmp.h"

#define NATVIP4 ip4(192, 0, 2, 60)
#define NATVIP6 ip6(0x60)
#define SERVER4 ip4(10, 0, 1, 31)
#define SERVER6 ip6(0x10031)
#define SOURCE4 ip4(10, 0, 1, 250)
#define SOURCE6 ip6(0x10250)

enum { ID_NATVIP4 = 9, ID_NATVIP6 };

/* Services, backends, next hops and lanes have one number each here too. */
enum nat_kind {
	N_NAT = K_MAX, /* port 2000 of both VIPs, to 8443; of the VIP's family */
	N_NAT6,
	N_FULL, /* port 2001, from four ports of a source, to the service's port */
	N_FULL6,
	N_FROM6, /* port 2002 of the IPv6 VIP, IPv4 server */
	N_FROM4, /* and the other way round */
	N_MAX,
	N_HAIRPIN = N_MAX, /* a lane more */
};
_Static_assert((int)N_MAX <= (int)RIG_SERVICES && (int)N_MAX <= (int)RIG_NEXTHOPS, "numbers");

#define NAT_FIRST 30000u
#define NAT_PORTS 4u

static inline uint32_t nat_lane_of(enum nat_kind k)
{
	return k - K_MAX + 1;
}

static inline struct tundish_addr nat_vip(int v6)
{
	return v6 ? NATVIP6 : NATVIP4;
}

static inline struct tundish_addr nat_client(int v6)
{
	return v6 ? CLIENT6 : CLIENT4;
}

static inline int server_is_v6(enum nat_kind k)
{
	return k == N_NAT6 || k == N_FULL6 || k == N_FROM4;
}

static inline struct tundish_addr server_of(enum nat_kind k)
{
	return server_is_v6(k) ? SERVER6 : SERVER4;
}

static inline struct tundish_addr nat_source(enum nat_kind k, int v6)
{
	if (k == N_NAT || k == N_NAT6)
		return nat_client(v6);
	return server_is_v6(k) ? SOURCE6 : SOURCE4;
}

static inline void nat_lane(uint32_t lane, enum nat_kind k, uint16_t port, int hairpin)
{
	struct tundish_lane *l = &rig.lanes[lane];
	struct tundish_lane_ports *p = &rig.lane_ports[lane];

	memset(l, 0, sizeof(*l));
	memset(p, 0, sizeof(*p));
	l->host = server_of(k);
	l->number = server_is_v6(k) ? 6 : 4;
	l->port_be = TUNDISH_BE16(port);
	l->nexthop = k;
	l->usable = TUNDISH_LANE_UNBOUNDED;
	if ((k == N_NAT || k == N_NAT6) && !hairpin)
		return;
	l->flags = TUNDISH_LANE_SOURCE | (hairpin ? TUNDISH_LANE_HAIRPIN : 0);
	l->source = server_is_v6(k) ? SOURCE6 : SOURCE4;
	l->first = NAT_FIRST;
	l->last = NAT_FIRST + NAT_PORTS - 1;
	l->stride = 1;
	l->usable = NAT_PORTS;
	l->ports = lane;
	memset(p->taken, 0xff, sizeof(p->taken));
	for (uint32_t i = l->first; i <= l->last; i++)
		p->taken[i / 64] &= ~(1ull << i % 64);
}

static inline void nat_reset(void)
{
	for (int k = N_NAT; k < N_MAX; k++) {
		rig.backends[k].state = TUNDISH_BACKEND_UP;
		rig.backends[k].connections_active = rig.backends[k].connections_total = 0;
		rig_set_traffic((uint32_t)k, (struct tundish_traffic){0});
		rig.deliveries[k] = (struct tundish_deliver){0};
		nat_lane(nat_lane_of(k), k, k == N_NAT || k == N_NAT6 ? 8443 : 0, 0);
	}
	nat_lane(nat_lane_of(N_HAIRPIN), N_NAT, 8443, 1);
	memset(rig.nat, 0, sizeof(*rig.nat) * RIG_NAT_BUCKETS * TUNDISH_NAT_SLOTS);
	memset(rig.nat_tags, 0, sizeof(*rig.nat_tags) * 2 * RIG_NAT_BUCKETS);
	memset(rig.tuples, 0, sizeof(*rig.tuples) * rig.tuple_buckets);
	rig_clear_counters();
}

static inline void nat_world(void)
{
	const struct tundish_nat_host four = {4, TUNDISH_NAT_HOST_BACKEND},
				      six = {6, TUNDISH_NAT_HOST_BACKEND},
				      own = {9, TUNDISH_NAT_HOST_SOURCE};
	const struct tundish_addr server4 = SERVER4, server6 = SERVER6, source4 = SOURCE4,
				  source6 = SOURCE6;

	rig.nat_settings = (struct tundish_nat_settings){.secret = {3, 4},
							 .timeouts = {.syn = 57,
								      .established = 6931,
								      .half_closed = 225,
								      .closing = 57,
								      .resting = 11,
								      .reset_client = 57,
								      .reset_server = 11,
								      .udp_new = 29,
								      .udp = 169},
							 .buckets = RIG_NAT_BUCKETS,
							 .lanes_max = RIG_LANES,
							 .n_hosts = 4};
	rig_set_settings();
	rig_put("nat_hosts", &server4, &four);
	rig_put("nat_hosts", &server6, &six);
	rig_put("nat_hosts", &source4, &own);
	rig_put("nat_hosts", &source6, &own);
	for (int v6 = 0; v6 < 2; v6++) {
		struct tundish_vip v = {.id = v6 ? ID_NATVIP6 : ID_NATVIP4,
					.flags = TUNDISH_VIP_SERVICE | TUNDISH_VIP_FORWARDS};
		struct tundish_addr a = nat_vip(v6);

		for (int udp = 0; udp < 2; udp++)
			for (uint16_t i = 0; i < 3; i++)
				v.ranges[v.n_ranges++] = (struct tundish_port_range){
					.first = (uint16_t)(2000 + i),
					.last = (uint16_t)(2000 + i),
					.service = (uint16_t)(i == 0   ? N_NAT + v6
							      : i == 1 ? N_FULL + v6
							      : v6     ? N_FROM6
								       : N_FROM4),
					.protocol = udp ? P_UDP : P_TCP,
					.delivery = i ? TUNDISH_DELIVERY_FULLNAT
						      : TUNDISH_DELIVERY_NAT};
		rig_set_vip(&a, &v);
	}
	for (int k = N_NAT; k < N_MAX; k++) {
		struct way_out w = way_of((enum kind)k);
		struct tundish_nexthop h = {
			.flags = TUNDISH_NEXTHOP_VALID, .mtu = 1500, .ifindex = 7};
		struct tundish_service s = {.state = TUNDISH_SERVICE_ACTIVE,
					    .delivery = k < N_FULL ? TUNDISH_DELIVERY_NAT
								   : TUNDISH_DELIVERY_FULLNAT,
					    .n_backends = 1};

		memcpy(h.destination, w.dmac, 6);
		memcpy(h.source, w.smac, 6);
		rig_set_nexthop((uint32_t)k, &h);
		rig_set_service((uint32_t)k, &s);
		rig.backends[k] = (struct tundish_backend){.nexthop = (uint32_t)k,
							   .service = (uint16_t)k,
							   .delivery = s.delivery,
							   .state = TUNDISH_BACKEND_UP,
							   .address = server_of(k),
							   .weight = 100};
		rig.fans[k] = (struct tundish_fan){
			.n_addresses = 1,
			.n_sources = 1,
			.time_wait = 57,
			.flags = TUNDISH_FAN_EARLY | (k < N_FULL ? TUNDISH_FAN_DIRECT : 0),
			.lane = {nat_lane_of(k), k == N_NAT ? nat_lane_of(N_HAIRPIN) : 0}};
		if (k == N_NAT6)
			rig.fans[k].n_sources = 0;
		for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
			rig.maglev[k].slot[i] = (uint32_t)k;
	}
	nat_reset();
}

/* ---- packets ----------------------------------------------------------------------------- */

/* UDP that has a checksum: build() leaves it out. */
static inline void nat_sum_udp(struct packet *p)
{
	uint32_t ip = network_at(p), v6 = p->data[ip] >> 4 == 6;
	uint32_t at = ip + (v6 ? 40 : 20), length = p->len - at, sum;

	put16(p->data + at + 6, 0);
	sum = naive_error(naive_add(pseudo_sum(p->data + ip, P_UDP, length), p->data + at, length));
	put16(p->data + at + 6, sum ? sum : 0xffff);
}

static inline struct packet *nat_build(struct packet *p, const struct spec *s)
{
	build(p, s);
	if (s->protocol == P_UDP)
		nat_sum_udp(p);
	return p;
}

static inline struct spec nat_request(int v6, uint16_t port, uint8_t protocol, uint8_t flags)
{
	return (struct spec){.src = nat_client(v6),
			     .dst = nat_vip(v6),
			     .sport = 40000,
			     .dport = port,
			     .seq = flags & F_SYN ? 999 : 1000,
			     .ack = flags & F_ACK ? 5001 : 0,
			     .flags = flags,
			     .protocol = protocol,
			     .payload = flags & F_SYN ? 0 : 100,
			     .tos = 0x28};
}

static inline enum nat_kind nat_kind_of(int v6, uint16_t port)
{
	if (port == 2000)
		return v6 ? N_NAT6 : N_NAT;
	if (port == 2001)
		return v6 ? N_FULL6 : N_FULL;
	return v6 ? N_FROM6 : N_FROM4;
}

/* The request as the server gets it. */
static inline struct spec nat_forwarded(const struct spec *s, uint16_t source_port)
{
	int v6 = spec_v6(s);
	enum nat_kind k = nat_kind_of(v6, s->dport);
	struct way_out w = way_of((enum kind)k);
	struct spec to = *s;

	to.src = nat_source(k, v6);
	to.dst = server_of(k);
	to.dport = k == N_NAT || k == N_NAT6 ? 8443 : s->dport;
	to.sport = source_port;
	to.ttl = 63;
	memcpy(to.dmac, w.dmac, 6);
	memcpy(to.smac, w.smac, 6);
	return to;
}

/* What the server answers, on whatever NIC. */
static inline struct spec nat_answer(const struct spec *s, uint16_t source_port, uint8_t flags)
{
	struct spec to = nat_forwarded(s, source_port), a = to;

	a.src = to.dst;
	a.dst = to.src;
	a.sport = to.dport;
	a.dport = to.sport;
	a.ttl = 0;
	a.flags = flags;
	a.seq = flags & F_SYN ? 5000 : 5001;
	a.ack = 1000;
	a.payload = flags & F_SYN ? 0 : 200;
	memset(a.dmac, 0, 6);
	memset(a.smac, 0, 6);
	return a;
}

/* The answer as the client gets it: by the way that the request came. */
static inline struct spec nat_returned(const struct spec *s, const struct spec *answer)
{
	static const uint8_t edge[6] = {2, 0, 0, 0, 0, 1}, router[6] = {2, 0, 0, 0, 0, 2};
	struct spec a = *answer;

	a.src = s->dst;
	a.dst = s->src;
	a.sport = s->dport;
	a.dport = s->sport;
	a.ttl = 63;
	memcpy(a.dmac, router, 6);
	memcpy(a.smac, edge, 6);
	return a;
}

/* Where an IPv6 packet became IPv4, its id is drawn: taken over, and all else compared. */
static inline void nat_expect(const char *name, const struct packet *in, int action,
			      struct packet *want, counter_set moved)
{
	uint32_t from = network_at(in), to = network_at(want);
	struct tundish_counters before;
	struct packet out;

	if (in->data[from] >> 4 == 4 || want->data[to] >> 4 == 6) {
		/* a header made anew has neither id nor flow label */
		expect(name, in, action, want, moved);
		return;
	}
	rig_counters(&before);
	assert_int_equal(rig_run(in, &out), action);
	check_counters(name, &before, moved);
	memcpy(want->data + to + 4, out.data + to + 4, 2);
	if (get16(want->data + to + 2) > 1260) /* not to be cut (RFC 7915, 5.1) */
		put16(want->data + to + 6, 0x4000);
	fix_v4(want->data + to);
	if (out.len != want->len || memcmp(out.data, want->data, out.len)) {
		packet_print("out", &out);
		packet_print("wanted", want);
		fail_msg("%s: packet out", name);
	}
}

static inline const struct tundish_nat *nat_record(void)
{
	for (uint32_t i = 0; i < RIG_NAT_BUCKETS * TUNDISH_NAT_SLOTS; i++)
		if (rig.nat[i].word.state)
			return &rig.nat[i];
	return NULL;
}

static inline uint16_t nat_port(const struct spec *s)
{
	const struct tundish_nat *r = nat_record();

	assert_non_null(r);
	return s->dport == 2000 ? s->sport : TUNDISH_BE16(r->source_port_be);
}

static inline uint64_t nat_sent(const struct spec *s)
{
	return s->dport == 2000 ? C(sent_nat) : C(sent_fullnat);
}

/* A client's packet, as it must leave. */
static inline void nat_out(const char *name, const struct spec *s, uint16_t port, counter_set moved)
{
	struct spec to = nat_forwarded(s, port);
	struct packet in, want;

	nat_expect(name, nat_build(&in, s), XDP_REDIRECT, nat_build(&want, &to), moved);
}

/* A SYN, whose port is only known when it has gone. */
static inline uint16_t nat_open(const char *name, const struct spec *s)
{
	struct tundish_counters before;
	struct packet in, out, want;
	struct spec to;
	uint16_t port;

	rig_counters(&before);
	nat_build(&in, s);
	assert_int_equal(rig_run(&in, &out), XDP_REDIRECT);
	check_counters(name, &before, nat_sent(s));
	port = (uint16_t)get16(out.data + network_at(&out) +
			       (server_is_v6(nat_kind_of(spec_v6(s), s->dport)) ? 40 : 20));
	to = nat_forwarded(s, port);
	nat_build(&want, &to);
	if (want.data[14] >> 4 == 4 && in.data[14] >> 4 == 6) {
		memcpy(want.data + 18, out.data + 18, 2);
		fix_v4(want.data + 14);
	}
	if (want.data[14] >> 4 == 4 && in.data[14] >> 4 == 4)
		memcpy(want.data + 18, in.data + 18, 2);
	if (out.len != want.len || memcmp(out.data, want.data, out.len)) {
		packet_print("out", &out);
		packet_print("wanted", &want);
		fail_msg("%s: packet out", name);
	}
	if (s->dport == 2000)
		assert_int_equal(port, s->sport);
	else
		assert_in_range(port, NAT_FIRST, NAT_FIRST + NAT_PORTS - 1);
	return port;
}

static inline void nat_back(const char *name, const struct spec *s, uint16_t port, uint8_t flags)
{
	struct spec answer = nat_answer(s, port, flags), to = nat_returned(s, &answer);
	struct packet in, want;

	nat_expect(name, nat_build(&in, &answer), XDP_TX, nat_build(&want, &to), C(sent_reply));
}

/* ---- cases -------------------------------------------------------------------------------- */

static inline void case_nat_tcp(void **state)
{
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2000; port < 2003; port++) {
			struct spec s = nat_request(v6, port, P_TCP, F_SYN);
			enum nat_kind k = nat_kind_of(v6, port);
			uint16_t source;

			snprintf(name, sizeof(name), "TCP %u over IPv%d", port, v6 ? 6 : 4);
			nat_reset();
			source = nat_open(name, &s);
			assert_int_equal(nat_record()->word.state, TUNDISH_NAT_SYN_SENT);
			nat_back(name, &s, source, F_SYN | F_ACK);
			assert_int_equal(nat_record()->word.state, TUNDISH_NAT_SYN_RECEIVED);
			assert_int_equal(rig.backends[k].connections_active, 0);
			s = nat_request(v6, port, P_TCP, F_ACK);
			nat_out(name, &s, source, nat_sent(&s));
			assert_int_equal(nat_record()->word.state, TUNDISH_NAT_ESTABLISHED);
			assert_int_equal(rig.backends[k].connections_active, 1);
			nat_back(name, &s, source, F_ACK | F_PSH);
			s.flags = F_ACK | F_FIN;
			nat_out(name, &s, source, nat_sent(&s));
			assert_int_equal(nat_record()->word.state, TUNDISH_NAT_FIN_CLIENT);
			nat_back(name, &s, source, F_ACK | F_FIN);
			assert_int_equal(nat_record()->word.state, TUNDISH_NAT_CLOSING);
			assert_int_equal(rig.backends[k].connections_active, 0);
			assert_int_equal(rig.backends[k].connections_total, 1);
			assert_int_equal(rig_traffic(k).packets, 3);
			s.flags = F_RST;
			nat_out(name, &s, source, nat_sent(&s));
		}
	}
}

static inline void case_nat_udp(void **state)
{
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2000; port < 2003; port++) {
			struct spec s = nat_request(v6, port, P_UDP, 0);
			uint16_t source;

			snprintf(name, sizeof(name), "UDP %u over IPv%d", port, v6 ? 6 : 4);
			nat_reset();
			for (s.payload = 0; s.payload < 1200; s.payload += 401) {
				source = nat_open(name, &s);
				nat_back(name, &s, source, 0);
			}
			assert_int_equal(nat_record()->word.state, TUNDISH_NAT_UDP_LIVE);
		}
	}
}

/* Without a connection: a segment is answered as a closed port would, an answer is nobody's
 * business. */
static inline void case_nat_unknown(void **state)
{
	struct packet in, out, want;

	nat_reset();
	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = nat_request(v6, 2001, P_TCP, F_ACK), back, rst;

		rst = (struct spec){.src = s.dst,
				    .dst = s.src,
				    .sport = s.dport,
				    .dport = s.sport,
				    .seq = s.ack,
				    .flags = F_RST,
				    .tos = 0x28,
				    .dmac = {2, 0, 0, 0, 0, 2},
				    .smac = {2, 0, 0, 0, 0, 1}};
		build(&want, &rst);
		if (!v6) {
			put16(want.data + 14 + 4, 0);
			put16(want.data + 14 + 6, 0x4000);
			fix_v4(want.data + 14);
		}
		/* a segment has a window, a reset has none, and a frame 60 bytes */
		put16(want.data + 14 + (v6 ? 40 : 20) + 14, 0);
		put16(want.data + 14 + (v6 ? 40 : 20) + 16, 0);
		put16(want.data + 14 + (v6 ? 40 : 20) + 16,
		      naive_error(naive_add(pseudo_sum(want.data + 14, P_TCP, 20),
					    want.data + 14 + (v6 ? 40 : 20), 20)));
		{
			struct tundish_counters before;

			rig_counters(&before);
			build(&in, &s);
			assert_int_equal(rig_run(&in, &out), XDP_TX);
			check_counters("unknown", &before, C(sent_rst_unknown));
			assert_true(out.len >= want.len);
			assert_memory_equal(out.data, want.data, want.len);
		}
		s.flags = F_RST;
		expect("reset", build(&in, &s), XDP_DROP, NULL, C(drop_nat_unknown));
		back = nat_answer(&s, 30001, F_ACK);
		expect("answer", build(&in, &back), XDP_PASS, NULL,
		       C(pass_other) | C(nat_reply_unknown));
		back.src = v6 ? ip6(0x9999) : ip4(10, 9, 9, 9);
		expect("of nobody", build(&in, &back), XDP_PASS, NULL, C(pass_other));
	}
}

/* As many as there are ports, and the one beyond is told. */
static inline void case_nat_budget(void **state)
{
	struct tundish_counters before;
	struct packet in, out;
	uint32_t seen = 0;

	for (int udp = 0; udp < 2; udp++) {
		struct spec s = nat_request(0, 2001, udp ? P_UDP : P_TCP, udp ? 0 : F_SYN);

		nat_reset();
		seen = 0;
		for (uint16_t i = 0; i < NAT_PORTS; i++) {
			s.sport = (uint16_t)(41000 + i);
			seen |= 1u << (nat_open("budget", &s) - NAT_FIRST);
		}
		assert_int_equal(seen, 15);
		assert_int_equal(rig.lanes[nat_lane_of(N_FULL)].used, NAT_PORTS);
		s.sport = 42000;
		rig_counters(&before);
		assert_int_equal(rig_run(nat_build(&in, &s), &out), udp ? XDP_DROP : XDP_TX);
		check_counters("beyond", &before, udp ? C(drop_nat_ports) : C(sent_rst_ports));
		assert_int_equal(rig.lanes[nat_lane_of(N_FULL)].refused, 1);
		if (!udp)
			assert_int_equal(out.data[14 + 20 + 13], F_RST | F_ACK);
	}
}

/* A backend's connection to its own VIP gets a source here, a stranger's none. */
static inline void case_nat_hairpin(void **state)
{
	struct spec s = nat_request(0, 2000, P_TCP, F_SYN);
	struct tundish_counters before;
	struct packet in, out, want;
	struct spec to;
	uint16_t port;

	nat_reset();
	s.src = SERVER4;
	rig_counters(&before);
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
	check_counters("hairpin", &before, C(sent_nat) | C(hairpin));
	port = (uint16_t)get16(out.data + 34);
	to = nat_forwarded(&s, port);
	to.src = SOURCE4;
	build(&want, &to);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, out.len);
	assert_in_range(port, NAT_FIRST, NAT_FIRST + NAT_PORTS - 1);
	to = (struct spec){.src = SERVER4,
			   .dst = SOURCE4,
			   .sport = 8443,
			   .dport = port,
			   .seq = 5000,
			   .ack = 1000,
			   .flags = F_SYN | F_ACK};
	build(&in, &to);
	to.src = NATVIP4;
	to.dst = SERVER4;
	to.sport = 2000;
	to.dport = s.sport;
	to.ttl = 63;
	memcpy(to.dmac, (uint8_t[6]){2, 0, 0, 0, 0, 2}, 6);
	memcpy(to.smac, (uint8_t[6]){2, 0, 0, 0, 0, 1}, 6);
	expect("hairpin back", &in, XDP_TX, build(&want, &to), C(sent_reply));
}

/* The way back is the one that the client's last packet came by. */
static inline void case_nat_return(void **state)
{
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN), answer, to;
	struct packet in, want;
	uint16_t port;

	nat_reset();
	port = nat_open("return", &s);
	nat_back("return", &s, port, F_SYN | F_ACK);
	s = nat_request(0, 2001, P_TCP, F_ACK);
	memcpy(s.smac, (uint8_t[6]){2, 0, 0, 0, 0, 9}, 6); /* another router */
	s.tags = 1;
	s.tag[0] = 0x6064; /* priority 3, VLAN 100 */
	to = nat_forwarded(&s, port);
	to.tags = 0;
	nat_expect("moved", build(&in, &s), XDP_REDIRECT, build(&want, &to),
		   C(sent_fullnat) | C(return_moved) | C(vlan));
	answer = nat_answer(&s, port, F_ACK);
	answer.tags = 0;
	to = nat_returned(&s, &answer);
	memcpy(to.dmac, (uint8_t[6]){2, 0, 0, 0, 0, 9}, 6);
	to.tags = 1;
	to.tag[0] = 100;
	nat_expect("by the other", build(&in, &answer), XDP_TX, build(&want, &to), C(sent_reply));
}

/* ICMP errors about either direction: the error and what it quotes. */
static inline void case_nat_icmp(void **state)
{
	struct packet in, want, quoted;

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2000; port < 2002; port++) {
			struct spec s = nat_request(v6, port, P_TCP, F_SYN), answer, back, e;
			enum nat_kind k = nat_kind_of(v6, port);
			struct way_out w = way_of((enum kind)k);
			uint16_t source;

			nat_reset();
			source = nat_open("ICMP", &s);
			nat_back("ICMP", &s, source, F_SYN | F_ACK);
			s = nat_request(v6, port, P_TCP, F_ACK);
			/* a router towards the client, about an answer */
			answer = nat_answer(&s, source, F_ACK);
			back = nat_returned(&s, &answer);
			e = (struct spec){.src = v6 ? ROUTER6 : ROUTER4,
					  .dst = nat_vip(v6),
					  .type = v6 ? 2 : 3,
					  .code = v6 ? 0 : 4,
					  .dport = 1280};
			build_error(&in, &e, build(&quoted, &back), 200);
			e.src = port == 2000 ? e.src : nat_source(k, v6);
			e.dst = server_of(k);
			e.ttl = 63;
			memcpy(e.dmac, w.dmac, 6);
			memcpy(e.smac, w.smac, 6);
			answer.ttl = 63;
			build_error(&want, &e, build(&quoted, &answer), 200);
			expect("ICMP to the server", &in, XDP_REDIRECT, &want,
			       (port == 2000 ? C(sent_nat) : C(sent_fullnat)) | C(icmp_error));
			/* the server itself, about a request */
			back = nat_forwarded(&s, source);
			e = (struct spec){.src = server_of(k),
					  .dst = nat_source(k, v6),
					  .type = v6 ? 1 : 3,
					  .code = v6 ? 4 : 3};
			build_error(&in, &e, build(&quoted, &back), 200);
			e.src = nat_vip(v6);
			e.dst = nat_client(v6);
			e.ttl = 63;
			memcpy(e.dmac, (uint8_t[6]){2, 0, 0, 0, 0, 2}, 6);
			memcpy(e.smac, (uint8_t[6]){2, 0, 0, 0, 0, 1}, 6);
			s.ttl = 63;
			build_error(&want, &e, build(&quoted, &s), 200);
			expect("ICMP to the client", &in, XDP_TX, &want,
			       C(sent_reply) | C(icmp_error));
		}
	}
}

static inline void case_nat_too_big(void **state)
{
	struct tundish_counters before;
	struct packet in, out;

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2000; port < 2003; port++) {
			struct spec s = nat_request(v6, port, P_TCP, F_SYN);
			enum nat_kind k = nat_kind_of(v6, port);
			uint32_t grown = port < 2002 ? 0 : server_is_v6(k) ? 20 : 0, mtu;
			int shrinks = port == 2002 && !server_is_v6(k);
			uint16_t source;

			nat_reset();
			source = nat_open("size", &s);
			nat_back("size", &s, source, F_SYN | F_ACK);
			mtu = 1500 - grown + (shrinks ? 20 : 0);
			s = nat_request(v6, port, P_TCP, F_ACK);
			s.payload = mtu - (v6 ? 40 : 20) - 20;
			nat_out("just fits", &s, source, nat_sent(&s));
			s.payload++;
			rig_counters(&before);
			assert_int_equal(rig_run(build(&in, &s), &out), XDP_TX);
			check_counters("too big", &before, C(sent_icmp_too_big));
			assert_int_equal(get16(out.data + (v6 ? 14 + 40 + 6 : 14 + 20 + 6)), mtu);
		}
	}
}

/* The tracing twin tells, and changes nothing. */
static inline void case_nat_trace(void **state)
{
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN);
	struct tundish_trace t;
	uint8_t *before, *after;
	size_t n, m;
	struct packet in;

	nat_reset();
	for (int known = 0; known < 2; known++) {
		if (known)
			nat_open("trace", &s);
		before = rig_snapshot(&n);
		assert_int_equal(rig_trace(build(&in, &s), &t), XDP_REDIRECT);
		after = rig_snapshot(&m);
		assert_int_equal(n, m);
		assert_memory_equal(before, after, n);
		free(before);
		free(after);
		assert_int_equal(t.counter, TUNDISH_COUNTER_sent_fullnat);
		assert_int_equal(t.backend, N_FULL);
		assert_int_equal(t.service, N_FULL);
		assert_int_equal(t.from_flow, known);
	}
	/* a backend without a lane has none of an earlier trace */
	nat_reset();
	rig.fans[N_FULL].n_sources = 0;
	rig_trace(&in, &t);
	rig.fans[N_FULL].n_sources = 1;
	assert_int_equal(t.counter, TUNDISH_COUNTER_sent_rst_ports);
}

#define CASES_NAT                                                                                  \
	cmocka_unit_test(case_nat_tcp), cmocka_unit_test(case_nat_udp),                            \
		cmocka_unit_test(case_nat_unknown), cmocka_unit_test(case_nat_budget),             \
		cmocka_unit_test(case_nat_hairpin), cmocka_unit_test(case_nat_return),             \
		cmocka_unit_test(case_nat_icmp), cmocka_unit_test(case_nat_too_big),               \
		cmocka_unit_test(case_nat_trace)

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Each delivery in both families, tags, ports, next hops, MTU: data packets of
 * connections that nobody has to be asked about. Run in the kernel and natively.
 */
#ifndef TESTS_CASES_DELIVER_H
#define TESTS_CASES_DELIVER_H

#include "bpf/world.h"

/* A data packet of a client's connection to a VIP. */
static inline struct spec data4(uint16_t port)
{
	return (struct spec){.src = CLIENT4,
			     .dst = VIP4,
			     .sport = 40000,
			     .dport = port,
			     .seq = 1000,
			     .ack = 2000,
			     .flags = F_ACK | F_PSH,
			     .payload = 100,
			     .tos = 0xb8};
}

static inline struct spec data6(uint16_t port)
{
	struct spec s = data4(port);

	s.src = CLIENT6;
	s.dst = VIP6;
	return s;
}

static inline struct spec data_of(int v6, uint16_t port)
{
	return v6 ? data6(port) : data4(port);
}

static inline uint64_t sent_by(enum kind k)
{
	return delivery_of(k) == TUNDISH_DELIVERY_IPIP ? C(sent_ipip) : C(sent_dsr);
}

/* What each kind does to a packet, with each number of tags in front of it. */
static inline void case_deliveries(void **state)
{
	static const enum kind kinds[] = {K_DSR, K_IPIP4, K_IPIP6, K_VLAN, K_VLAN_IPIP, K_POOL};
	struct packet in, want;
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			for (uint32_t tags = 0; tags < 3; tags++) {
				enum kind k = kinds[i];
				struct spec s = data_of(v6, port_of(k));
				struct way_out w = way_of(k);

				s.tags = tags;
				s.tag[0] = 0x0123;
				s.tag[1] = 0x0456;
				if (tags == 2)
					s.tag_type[0] = 0x88a8;
				snprintf(name, sizeof(name), "v%d kind %d tags %u", v6 ? 6 : 4, k,
					 tags);
				build(&in, &s);
				sent(&want, &in, &w);
				expect_fresh(name, &in, action_of(k), &want,
					     sent_by(k) | (tags ? C(vlan) : 0));
			}
		}
	}
}

static inline void case_three_tags(void **state)
{
	struct spec s = data4(port_of(K_DSR));
	struct packet in;

	s.tags = 3;
	expect_fresh("three tags", build(&in, &s), XDP_PASS, NULL, C(pass_other) | C(vlan));
}

/* Ethernet pads short packets: what lies behind the packet is nobody's, but no harm. */
static inline void case_padding(void **state)
{
	struct packet in, want;

	for (int v6 = 0; v6 < 2; v6++) {
		for (enum kind k = K_DSR; k <= K_IPIP6; k++) {
			struct spec s = data_of(v6, port_of(k));
			struct way_out w = way_of(k);

			s.payload = 0;
			s.padding = 6;
			build(&in, &s);
			sent(&want, &in, &w);
			expect_fresh("padding", &in, action_of(k), &want, sent_by(k));
		}
	}
}

static inline void case_passed(void **state)
{
	struct packet in;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_WORKERS));

		expect_fresh("workers beside others", build(&in, &s), XDP_PASS, NULL,
			     C(pass_workers));
		s.tags = 1;
		expect_fresh("workers, tagged", build(&in, &s), XDP_PASS, NULL,
			     C(pass_workers) | C(vlan));
		s = data_of(v6, port_of(K_LOCAL));
		expect_fresh("the backend is this host", build(&in, &s), XDP_PASS, NULL,
			     C(pass_local));
		s = data_of(v6, port_of(K_EMPTY));
		expect_fresh("no backend", build(&in, &s), XDP_DROP, NULL, C(drop_no_backend));
		s = data_of(v6, 9000);
		expect_fresh("no source for the tunnel", build(&in, &s), XDP_DROP, NULL,
			     C(drop_no_nexthop));
		s = data_of(v6, port_of(K_DSR));
		s.dst = v6 ? ip6(0x9999) : ip4(192, 0, 2, 99);
		expect_fresh("no VIP", build(&in, &s), XDP_PASS, NULL, C(pass_other));
		s.dst = v6 ? HOST6 : HOST4;
		expect_fresh("own address", build(&in, &s), XDP_PASS, NULL, C(pass_other));
		s = data_of(v6, 999);
		expect_fresh("no service on the port", build(&in, &s), XDP_PASS, NULL,
			     C(pass_other));
		s.flags = F_SYN | F_FIN;
		expect_fresh("no service, odd flags", build(&in, &s), XDP_PASS, NULL,
			     C(pass_other));
		s = data_of(v6, port_of(K_DSR));
		s.protocol = P_UDP;
		expect_fresh("UDP", build(&in, &s), XDP_PASS, NULL, C(pass_other));
		s.protocol = 132;
		expect_fresh("SCTP", build(&in, &s), XDP_PASS, NULL, C(pass_other));
		s = data_of(v6, port_of(K_DSR));
		build(&in, &s);
		put16(in.data + 12, 0x0806);
		expect_fresh("ARP", &in, XDP_PASS, NULL, C(pass_other));
		put16(in.data + 12, v6 ? 0x0800 : 0x86dd);
		expect_fresh("the other family's type", &in, XDP_PASS, NULL, C(pass_other));
	}
}

/* The FIB of the machine that tests knows no such neighbour. */
static inline void case_unknown_nexthop(void **state)
{
	struct packet in;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_UNKNOWN));

		expect_fresh("unknown next hop", build(&in, &s), XDP_DROP, NULL,
			     C(drop_no_nexthop) | C(fib_lookup));
	}
}

static inline void case_ports(void **state)
{
	struct spec s = data4(0), s6 = data6(0);
	struct way_out dsr = way_of(K_DSR), ipip = way_of(K_IPIP4);
	struct packet in, want;
	char name[64];

	static const struct {
		uint16_t port;
		bool served;
	} wide[] = {{7999, false}, {8000, true},  {8001, true}, {8998, true},
		    {8999, true},  {9001, false}, {0, false},	{65535, false}};

	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		snprintf(name, sizeof(name), "port %u of 8000-8999", wide[i].port);
		s.dport = wide[i].port;
		build(&in, &s);
		sent(&want, &in, &dsr);
		expect_fresh(name, &in, wide[i].served ? XDP_TX : XDP_PASS,
			     wide[i].served ? &want : NULL,
			     wide[i].served ? C(sent_dsr) : C(pass_other));
	}
	for (uint32_t port = 0; port < 65536; port += 21845) { /* 0, 21845, 43690, 65535 */
		s.dst = LOCAL4;
		s6.dst = LOCAL6;
		s.dport = s6.dport = (uint16_t)port;
		expect_fresh("any port", build(&in, &s), XDP_PASS, NULL, C(pass_workers));
		expect_fresh("any port, v6", build(&in, &s6), XDP_PASS, NULL, C(pass_workers));
	}
	s.dst = RANGES4;
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t first = i * 100 + 1, last = i * 100 + (i & 1 ? 1 : 50);
		const uint32_t ports[] = {first - 1, first, (first + last) / 2, last, last + 1};

		for (size_t j = 0; j < 5; j++) {
			bool in_it = ports[j] >= first && ports[j] <= last;

			snprintf(name, sizeof(name), "range %u of 64, port %u", i, ports[j]);
			s.dport = (uint16_t)ports[j];
			build(&in, &s);
			sent(&want, &in, i & 1 ? &dsr : &ipip);
			if (in_it)
				expect_fresh(name, &in, i & 1 ? XDP_TX : XDP_REDIRECT, &want,
					     i & 1 ? C(sent_dsr) : C(sent_ipip));
			else
				expect_fresh(name, &in, XDP_PASS, NULL, C(pass_other));
		}
	}
}

/* The largest packet that fits the path, and one byte more. */
static inline void case_mtu(void **state)
{
	static const struct {
		enum kind k;
		uint32_t room; /* for the client's packet */
	} rows[] = {{K_NARROW, 1280}, {K_NARROW4, 1380}, {K_NARROW6, 1360}};
	struct packet in, want;
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < 3; i++) {
			for (uint32_t tags = 0; tags < 3; tags++) {
				struct spec s = data_of(v6, port_of(rows[i].k));
				struct way_out w = way_of(rows[i].k);
				counter_set vlan = tags ? C(vlan) : 0;

				snprintf(name, sizeof(name), "v%d kind %d tags %u fits", v6 ? 6 : 4,
					 rows[i].k, tags);
				s.tags = tags;
				s.payload = rows[i].room - 20 - (v6 ? 40 : 20);
				build(&in, &s);
				sent(&want, &in, &w);
				expect_fresh(name, &in, action_of(rows[i].k), &want,
					     sent_by(rows[i].k) | vlan);
				/* padding is not the packet's */
				s.padding = 4;
				build(&in, &s);
				sent(&want, &in, &w);
				expect_fresh(name, &in, action_of(rows[i].k), &want,
					     sent_by(rows[i].k) | vlan);
				s.padding = 0;
				for (uint32_t over = 1; over < 110; over += 36) {
					snprintf(name, sizeof(name),
						 "v%d kind %d tags %u over by %u", v6 ? 6 : 4,
						 rows[i].k, tags, over);
					s.payload = rows[i].room - 20 - (v6 ? 40 : 20) + over;
					for (s.fragment = 0; s.fragment <= 0x4000;
					     s.fragment = (uint16_t)(s.fragment + 0x4000)) {
						build(&in, &s);
						too_big(&want, &in, rows[i].room);
						expect_fresh(name, &in, XDP_TX, &want,
							     C(sent_icmp_too_big) | vlan);
					}
					s.fragment = 0;
				}
			}
		}
	}
}

static inline void case_hop_limit(void **state)
{
	static const enum kind kinds[] = {K_DSR, K_IPIP4, K_IPIP6, K_VLAN};
	struct packet in, want;

	for (int v6 = 0; v6 < 2; v6++) {
		for (size_t i = 0; i < 4; i++) {
			struct spec s = data_of(v6, port_of(kinds[i]));
			struct way_out w = way_of(kinds[i]);

			for (uint32_t ttl = 0; ttl < 256; ttl++) {
				s.ttl = (uint8_t)ttl;
				s.no_ttl = !ttl;
				build(&in, &s);
				sent(&want, &in, &w);
				if (ttl <= 1)
					expect_fresh("hop limit 0, 1", &in, XDP_DROP, NULL,
						     C(drop_ttl));
				else
					expect_fresh("hop limit", &in, action_of(kinds[i]), &want,
						     sent_by(kinds[i]));
			}
			/* the checksums around the two zeros of this arithmetic */
			for (uint32_t id = 0; !v6 && id < 65536; id++) {
				uint32_t check;

				s.ttl = 64;
				build(&in, &s);
				put16(in.data + 14 + 4, id);
				fix_v4(in.data + 14);
				check = get16(in.data + 14 + 10);
				if (check > 2 && check < 0xfefc)
					continue;
				sent(&want, &in, &w);
				expect_fresh("hop limit's checksum", &in, action_of(kinds[i]),
					     &want, sent_by(kinds[i]));
			}
			s = data_of(v6, port_of(K_WORKERS));
			s.ttl = 1;
			expect_fresh("hop limit at home", build(&in, &s), XDP_PASS, NULL,
				     C(pass_workers));
		}
	}
}

/* A group without a worker: SYNs are dropped for a while, all else goes on. */
static inline void case_empty_group(void **state)
{
	struct packet in;

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_WORKERS));

		s.flags = F_SYN;
		rig_set_group(K_WORKERS, 1, 1ull << 62);
		expect_fresh("a SYN to an empty group", build(&in, &s), XDP_DROP, NULL,
			     C(drop_no_worker));
		s.flags = F_ACK;
		expect_fresh("data to an empty group", build(&in, &s), XDP_PASS, NULL,
			     C(pass_workers));
		s = data_of(v6, port_of(K_LOCAL));
		s.flags = F_SYN;
		expect_fresh("another service", build(&in, &s), XDP_PASS, NULL,
			     C(pass_local) | C(flow_lookup) | C(flow_new));
		s = data_of(v6, port_of(K_WORKERS));
		s.flags = F_SYN;
		rig_set_group(K_WORKERS, 1, 1);
		expect_fresh("its time is over", build(&in, &s), XDP_PASS, NULL,
			     C(pass_workers) | C(flow_lookup) | C(flow_new));
		rig_set_group(K_WORKERS, 0, 1ull << 62);
		expect_fresh("it has a worker", build(&in, &s), XDP_PASS, NULL,
			     C(pass_workers) | C(flow_lookup) | C(flow_new));
		rig_set_group(K_WORKERS, 0, 0);

		/* Of a service that others serve too: only here, and only a SYN. */
		s = data_of(v6, port_of(K_LOCAL));
		s.flags = F_SYN;
		rig_set_group(K_LOCAL, 1, 1ull << 62);
		expect_fresh("a SYN to this host's empty group", build(&in, &s), XDP_DROP, NULL,
			     C(drop_no_worker) | C(flow_lookup) | C(flow_new));
		s.flags = F_ACK;
		expect_fresh("data to this host", build(&in, &s), XDP_PASS, NULL, C(pass_local));
		s.flags = F_SYN;
		rig_set_group(K_LOCAL, 1, 1);
		expect_fresh("its time is over, too", build(&in, &s), XDP_PASS, NULL,
			     C(pass_local) | C(flow_lookup) | C(flow_new));
		rig_set_group(K_LOCAL, 0, 0);
	}
}

/* The traffic counts: the client's packets as they came, from the IP header on. */
static inline void case_traffic(void **state)
{
	struct tundish_traffic t;
	struct packet in, out;

	world_reset();
	for (int v6 = 0; v6 < 2; v6++) {
		for (enum kind k = K_DSR; k <= K_WORKERS; k++) {
			struct spec s = data_of(v6, port_of(k));

			s.padding = 10;
			s.tags = 1;
			t = rig_traffic(k);
			rig_run(build(&in, &s), &out);
			assert_int_equal(rig_traffic(k).packets, t.packets + 1);
			assert_int_equal(rig_traffic(k).bytes, t.bytes + 120 + (v6 ? 40 : 20));
		}
	}
	world_reset();
}

/* Frames larger than a page: the tail lies in other buffers. */
static inline void case_jumbo(void **state)
{
	struct packet in, want;

	for (int v6 = 0; v6 < 2; v6++) {
		for (enum kind k = K_DSR; k <= K_WORKERS; k++) {
			struct spec s = data_of(v6, port_of(k));
			struct way_out w = way_of(k);

			s.payload = 8800;
			build(&in, &s);
			sent(&want, &in, &w);
			expect_fresh("jumbo", &in, k == K_WORKERS ? XDP_PASS : action_of(k),
				     k == K_WORKERS ? NULL : &want,
				     k == K_WORKERS ? C(pass_workers) : sent_by(k));
			s = data_of(v6, port_of(K_NARROW4));
			s.payload = 8800;
			build(&in, &s);
			too_big(&want, &in, 1380);
			expect_fresh("jumbo too big", &in, XDP_TX, &want, C(sent_icmp_too_big));
		}
	}
}

#define CASES_DELIVER                                                                              \
	cmocka_unit_test(case_deliveries), cmocka_unit_test(case_three_tags),                      \
		cmocka_unit_test(case_padding), cmocka_unit_test(case_passed),                     \
		cmocka_unit_test(case_unknown_nexthop), cmocka_unit_test(case_ports),              \
		cmocka_unit_test(case_mtu), cmocka_unit_test(case_hop_limit),                      \
		cmocka_unit_test(case_empty_group), cmocka_unit_test(case_traffic),                \
		cmocka_unit_test(case_jumbo)

#endif

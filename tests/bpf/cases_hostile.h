/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets cut short at every length, and with every byte of their headers changed.
 */
#ifndef TESTS_CASES_HOSTILE_H
#define TESTS_CASES_HOSTILE_H

#include "bpf/cases_gue.h"
#include "bpf/invariants.h"

#define SAMPLES 40

/* Whole, good packets of each kind; returns how many bytes of it are headers. */
static inline uint32_t sample(uint32_t i, struct packet *p)
{
	static uint8_t ext[40];
	struct packet other, inner;
	int v6 = i & 1;
	struct spec s = data_of(v6, port_of(K_DSR)), o;
	uint32_t headers = 14 + (v6 ? 40 : 20) + 20;

	s.payload = 30;
	switch (i >> 1) {
	case 0: break;
	case 1: s.dport = port_of(K_IPIP4); break;
	case 2:
		s.dport = port_of(K_IPIP6);
		s.tags = 2;
		headers += 8;
		break;
	case 3:
		s.dport = port_of(K_VLAN);
		s.flags = F_SYN;
		s.tags = 1;
		headers += 4;
		break;
	case 4:
		s = ping_of(v6);
		s.payload = 20;
		headers -= 12;
		break;
	case 5: /* an ICMP error about a flow */
		o = lost_of(v6, port_of(K_IPIP4));
		s = error_of(v6, v6 ? 2 : 3, v6 ? 0 : 4);
		build_error(p, &s, build(&other, &o), 100);
		return 14 + (v6 ? 40 : 20) * 2 + 8 + 8;
	case 6: /* tunnels to workers, all four */
	case 7:
		o = outer_of(v6);
		s = inner_of(i >> 1 == 7);
		wrap(p, &o, build(&inner, &s));
		return 14 + outer_bytes(&o) + (i >> 1 == 7 ? 40 : 20) + 20;
	case 8: /* options, extension headers */
		s.dport = port_of(K_IPIP4);
		if (v6) {
			s.ext = ext;
			s.ext_first = HOP;
			s.ext_len = chain(ext,
					  (struct link_of_chain[]){L(HOP, 8), L(ROUTING, 8),
								   L(AH, 16), L(FRAGMENT, 8)},
					  4, P_TCP);
			headers += s.ext_len;
		} else {
			s.options = 24;
			headers += 24;
		}
		break;
	case 9: /* too big */
		s.dport = port_of(K_NARROW);
		s.payload = 1300;
		break;
	case 14:
		s.protocol = P_UDP;
		s.dport = port_of(K_UDP);
		headers -= 12;
		break;
	case 10:
		s.dport = port_of(K_WORKERS);
		s.flags = F_FIN | F_ACK;
		break;
	case 11: /* TCP options */
		s.doff = 15;
		headers += 40;
		break;
	case 12: /* an ICMP error in a tunnel */
		o = lost_of(v6, 80);
		s = error_of(v6, v6 ? 2 : 3, v6 ? 0 : 4);
		o.src = s.dst = v6 ? LOCAL6 : LOCAL4;
		build_error(&inner, &s, build(&other, &o), 60);
		o = outer_of(0);
		wrap(p, &o, &inner);
		return 14 + 20 + (v6 ? 40 : 20) * 2 + 8 + 8;
	case 15:
		s.dport = port_of(K_GUE4);
		s.tags = 1;
		headers += 4;
		break;
	case 16: s.dport = port_of(K_GUE6); break;
	case 17: /* GUE to workers, all four */
	case 18:
		o = outer_of(v6);
		s = inner_of(i >> 1 == 18);
		wrap_gue(p, &o, build(&inner, &s), 0);
		return 14 + outer_bytes(&o) + 12 + (i >> 1 == 18 ? 40 : 20) + 20;
	case 19: /* variant 1 */
		o = outer_of(v6);
		s = inner_of(!v6);
		wrap_gue(p, &o, build(&inner, &s), 1);
		return 14 + outer_bytes(&o) + 8 + (v6 ? 20 : 40) + 20;
	default: s.dst = v6 ? LOCAL6 : LOCAL4;
	}
	build(p, &s);
	return headers;
}

/* A frame that ends early is never sent on, nor unwrapped. */
static inline void case_cut(void **state)
{
	struct packet whole, in;
	char name[64];
	int action;

	world_reset();
	for (uint32_t i = 0; i < SAMPLES; i++) {
		sample(i, &whole);
		for (uint32_t n = rig.kernel ? 14 : 0; n < whole.len; n++) {
			uint32_t end, at;

			in = whole;
			in.len = n; /* the kernel refuses to be asked about less than 14 bytes */
			snprintf(name, sizeof(name), "sample %u cut to %u of %u", i, n, whole.len);
			end = check_any(name, &in, &action);
			if (end == TUNDISH_COUNTER_drop_malformed)
				continue;
			if (end != TUNDISH_COUNTER_pass_other && end != TUNDISH_COUNTER_pass_gue)
				fail_msg("%s: %s", name, counter_name(end));
			/* before the header of a VIP's packet is whole it is nobody's */
			at = network_at(&whole);
			at += whole.data[at] >> 4 == 6 ? 40 : 20;
			if ((i >> 1 < 6 || i >> 1 == 8 || i >> 1 == 15 || i >> 1 == 16) && n >= at)
				fail_msg("%s: passed", name);
		}
	}
	check_tables("cut packets");
	world_reset();
}

static inline void case_changed(void **state)
{
	struct packet whole, in;
	char name[64];

	world_reset();
	for (uint32_t i = 0; i < SAMPLES; i++) {
		uint32_t headers = sample(i, &whole);

		for (uint32_t at = 0; at < headers; at++) {
			for (uint32_t x = 1; x < 256; x = rig.kernel ? x * 2 : x + 1) {
				in = whole;
				in.data[at] ^= (uint8_t)x;
				snprintf(name, sizeof(name), "sample %u byte %u xor %02x", i, at,
					 x);
				check_any(name, &in, NULL);
			}
			in = whole;
			in.data[at] = 0;
			check_any("zero", &in, NULL);
			in.data[at] = 0xff;
			check_any("ones", &in, NULL);
		}
	}
	check_tables("changed packets");
	world_reset();
}

#define CASES_HOSTILE cmocka_unit_test(case_cut), cmocka_unit_test(case_changed)

#endif

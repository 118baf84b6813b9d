/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Options, extension headers, fragments, TCP flags and lengths: what is read over,
 * what is refused, and under which name.
 */
#ifndef TESTS_CASES_ODD_H
#define TESTS_CASES_ODD_H

#include "bpf/cases_deliver.h"

static inline void case_v4_options(void **state)
{
	static const enum kind kinds[] = {K_DSR, K_IPIP4, K_IPIP6};
	struct packet in, want;

	for (uint32_t options = 4; options <= 40; options += 4) {
		for (size_t i = 0; i < 3; i++) {
			struct spec s = data4(port_of(kinds[i]));
			struct way_out w = way_of(kinds[i]);

			s.options = options;
			build(&in, &s);
			sent(&want, &in, &w);
			expect_fresh("options", &in, action_of(kinds[i]), &want, sent_by(kinds[i]));
		}
	}
}

/* A chain of extension headers: each row is {next header's number, total bytes}. */
struct link_of_chain {
	uint8_t type;
	uint16_t bytes;
	uint8_t third, fourth; /* bytes 2 and 3 of the header */
};
#define L(type, bytes)                                                                             \
	{                                                                                          \
		type, bytes, 0, 0                                                                  \
	}
#define L4(type, bytes, third, fourth)                                                             \
	{                                                                                          \
		type, bytes, third, fourth                                                         \
	}

static inline uint32_t chain(uint8_t *ext, const struct link_of_chain *c, uint32_t n, uint8_t last)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < n; i++) {
		memset(ext + at, 0, c[i].bytes);
		ext[at] = i + 1 < n ? c[i + 1].type : last;
		ext[at + 1] = (uint8_t)(c[i].type == 44	  ? 0
					: c[i].type == 51 ? c[i].bytes / 4 - 2
							  : c[i].bytes / 8 - 1);
		ext[at + 2] = c[i].third;
		ext[at + 3] = c[i].fourth;
		at += c[i].bytes;
	}
	return at;
}

enum {
	HOP = 0,
	ROUTING = 43,
	FRAGMENT = 44,
	AH = 51,
	DST = 60,
	ESP = 50,
	NONE = 59,
	MOBILITY = 135
};

static inline void case_v6_extensions(void **state)
{
	static const struct {
		const char *name;
		uint32_t n;
		struct link_of_chain c[8];
		uint64_t end; /* 0: sent on */
	} rows[] = {
		{"hop-by-hop", 1, {L(HOP, 8)}, 0},
		{"destination", 1, {L(DST, 8)}, 0},
		{"long destination", 1, {L(DST, 504)}, 0},
		{"routing, none left", 1, {L(ROUTING, 24)}, 0},
		{"routing, one left", 1, {L4(ROUTING, 24, 0, 1)}, C(drop_extension)},
		{"routing type 0, one left", 1, {L4(ROUTING, 24, 0, 2)}, C(drop_extension)},
		{"AH", 1, {L(AH, 24)}, 0},
		{"AH of 12 bytes", 1, {L(AH, 12)}, 0},
		{"atomic fragment", 1, {L(FRAGMENT, 8)}, 0},
		{"atomic fragment, reserved bits", 1, {L4(FRAGMENT, 8, 0, 6)}, 0},
		{"first fragment", 1, {L4(FRAGMENT, 8, 0, 1)}, 0},
		{"later fragment", 1, {L4(FRAGMENT, 8, 1, 0)}, C(drop_fragment)},
		{"later fragment, low bits", 1, {L4(FRAGMENT, 8, 0, 8)}, C(drop_fragment)},
		{"hop, destination, routing, destination",
		 4,
		 {L(HOP, 8), L(DST, 16), L(ROUTING, 8), L(DST, 8)},
		 0},
		{"hop, routing, AH, atomic",
		 4,
		 {L(HOP, 8), L(ROUTING, 8), L(AH, 16), L(FRAGMENT, 8)},
		 0},
		{"fragment behind others", 3, {L(HOP, 8), L(DST, 8), L4(FRAGMENT, 8, 0, 1)}, 0},
		{"later fragment behind others",
		 3,
		 {L(HOP, 8), L(DST, 8), L4(FRAGMENT, 8, 1, 1)},
		 C(drop_fragment)},
		{"first fragment before others",
		 2,
		 {L4(FRAGMENT, 8, 0, 1), L(DST, 8)},
		 C(drop_fragment)},
		{"six", 6, {L(HOP, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8)}, 0},
		{"seven",
		 7,
		 {L(HOP, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8)},
		 C(drop_extension)},
		{"eight",
		 8,
		 {L(HOP, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8), L(DST, 8),
		  L(DST, 8)},
		 C(drop_extension)},
		{"512 bytes", 2, {L(HOP, 256), L(DST, 256)}, 0},
		{"520 bytes", 2, {L(HOP, 256), L(DST, 264)}, C(drop_extension)},
		{"2048 bytes", 1, {L(DST, 2048)}, C(drop_extension)},
	};
	static const enum kind kinds[] = {K_DSR, K_IPIP4, K_IPIP6};
	struct packet in, want;
	uint8_t ext[4096];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t j = 0; j < 3; j++) {
			struct spec s = data6(port_of(kinds[j]));
			struct way_out w = way_of(kinds[j]);

			s.ext = ext;
			s.ext_first = rows[i].c[0].type;
			s.ext_len = chain(ext, rows[i].c, rows[i].n, P_TCP);
			build(&in, &s);
			sent(&want, &in, &w);
			if (rows[i].end)
				expect_fresh(rows[i].name, &in, XDP_DROP, NULL, rows[i].end);
			else
				expect_fresh(rows[i].name, &in, action_of(kinds[j]), &want,
					     sent_by(kinds[j]));
		}
	}
}

/* Chains that end in something else than TCP, or that are not what they say. */
static inline void case_v6_extension_ends(void **state)
{
	struct spec s = data6(port_of(K_DSR));
	struct packet in;
	uint8_t ext[64];

	s.ext = ext;
	s.ext_first = HOP;
	s.ext_len = chain(ext, (struct link_of_chain[]){L(HOP, 8)}, 1, ESP);
	s.protocol = ESP;
	expect_fresh("ESP behind hop-by-hop", build(&in, &s), XDP_PASS, NULL, C(pass_other));
	s.protocol = NONE;
	ext[0] = NONE;
	expect_fresh("no next header", build(&in, &s), XDP_PASS, NULL, C(pass_other));
	s.protocol = MOBILITY;
	ext[0] = MOBILITY;
	expect_fresh("mobility", build(&in, &s), XDP_PASS, NULL, C(pass_other));
	s.protocol = P_UDP;
	ext[0] = P_UDP;
	expect_fresh("UDP", build(&in, &s), XDP_PASS, NULL, C(pass_other));
	/* longer than the packet */
	s = data6(port_of(K_DSR));
	s.payload = 0;
	s.ext = ext;
	s.ext_first = DST;
	s.ext_len = chain(ext, (struct link_of_chain[]){L(DST, 8)}, 1, P_TCP);
	for (uint32_t n = 1; n < 256; n++) {
		uint32_t length = (n + 1) * 8;

		ext[1] = (uint8_t)n;
		build(&in, &s);
		/* 8 + 20 bytes are there: the header may reach to 24, leaving no TCP header */
		expect_fresh("extension beyond the end", &in, XDP_DROP, NULL,
			     length > 512 ? C(drop_extension) : C(drop_malformed));
	}
	/* the packet ends within a header */
	for (uint32_t n = 0; n < 8; n++) {
		s.ext_len = chain(ext, (struct link_of_chain[]){L(DST, 8)}, 1, P_TCP);
		build(&in, &s);
		put16(in.data + 14 + 4, n);
		expect_fresh("ends within an extension", &in, XDP_DROP, NULL, C(drop_malformed));
		in.len = 14 + 40 + n;
		expect_fresh("ends within an extension, frame too", &in, XDP_DROP, NULL,
			     C(drop_malformed));
	}
}

static inline void case_fragments(void **state)
{
	static const uint16_t fields[] = {0x2000, 0x2001, 0x0001, 0x1fff, 0x3fff, 0x6000, 0xa000};
	struct packet in, want;
	struct spec s;
	struct way_out w = way_of(K_DSR);
	uint8_t ext[8];

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		for (int protocol = 0; protocol < 3; protocol++) {
			s = data4(port_of(K_DSR));
			s.protocol = (uint8_t[]){P_TCP, P_UDP, P_ICMP}[protocol];
			s.type = 8;
			s.fragment = fields[i];
			build(&in, &s);
			if (s.protocol == P_TCP && !(fields[i] & 0x1fff))
				expect_fresh("first fragment", &in, XDP_TX, sent(&want, &in, &w),
					     C(sent_dsr));
			else
				expect_fresh("fragment", &in, XDP_DROP, NULL, C(drop_fragment));
			s.dst = LOCAL4;
			expect_fresh("fragment at home", build(&in, &s), XDP_PASS, NULL,
				     C(pass_fragment));
			s.dst = HOST4;
			expect_fresh("fragment to this host", build(&in, &s), XDP_PASS, NULL,
				     C(pass_other));
			s.dst = ip4(192, 0, 2, 99);
			expect_fresh("fragment to nobody", build(&in, &s), XDP_PASS, NULL,
				     C(pass_other));
		}
	}
	/* flags that make no fragment */
	for (uint32_t f = 0; f < 0x10000; f += 0x4000) {
		s = data4(port_of(K_DSR));
		s.fragment = (uint16_t)f;
		build(&in, &s);
		sent(&want, &in, &w);
		expect_fresh("whole", &in, XDP_TX, &want, C(sent_dsr));
	}
	s = data6(port_of(K_DSR));
	s.ext = ext;
	s.ext_first = FRAGMENT;
	s.ext_len = chain(ext, (struct link_of_chain[]){L4(FRAGMENT, 8, 0, 1)}, 1, P_TCP);
	s.dst = LOCAL6;
	expect_fresh("v6 fragment at home", build(&in, &s), XDP_PASS, NULL, C(pass_fragment));
	s.dst = HOST6;
	expect_fresh("v6 fragment to this host", build(&in, &s), XDP_PASS, NULL, C(pass_other));
}

/* All 64 combinations of FIN, SYN, RST, PSH, ACK, URG, and the two ECN bits. */
static inline void case_flags(void **state)
{
	struct packet in, want;
	struct way_out w = way_of(K_DSR);
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint32_t f = 0; f < 256; f++) {
			struct spec s = data_of(v6, port_of(K_DSR));
			bool bad = ((f & F_SYN) && (f & (F_FIN | F_RST))) ||
				   !(f & (F_SYN | F_RST | F_ACK));
			uint64_t more = 0;

			build(&in, &s);
			in.data[14 + (v6 ? 40 : 20) + 13] = (uint8_t)f;
			sent(&want, &in, &w);
			snprintf(name, sizeof(name), "flags %02x", f);
			if ((f & (F_SYN | F_ACK)) == F_SYN)
				more = C(flow_new) | C(flow_lookup);
			else if (f & (F_FIN | F_RST))
				more = C(flow_lookup);
			if (bad)
				expect_fresh(name, &in, XDP_DROP, NULL, C(drop_tcp_flags));
			else
				expect_fresh(name, &in, XDP_TX, &want, C(sent_dsr) | more);
		}
	}
}

static inline void case_tcp_lengths(void **state)
{
	struct packet in, want;
	struct way_out w = way_of(K_DSR);
	char name[64];

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint32_t payload = 0; payload <= 44; payload++) {
			for (uint32_t doff = 0; doff < 16; doff++) {
				struct spec s = data_of(v6, port_of(K_DSR));

				s.payload = payload;
				build(&in, &s);
				in.data[14 + (v6 ? 40 : 20) + 12] = (uint8_t)(doff << 4);
				sent(&want, &in, &w);
				snprintf(name, sizeof(name), "v%d data offset %u of %u bytes",
					 v6 ? 6 : 4, doff, 20 + payload);
				if (doff < 5 || doff * 4 > 20 + payload)
					expect_fresh(name, &in, XDP_DROP, NULL, C(drop_malformed));
				else
					expect_fresh(name, &in, XDP_TX, &want, C(sent_dsr));
			}
		}
	}
}

/* Every total length an IP header may claim for a packet of 100 bytes. */
static inline void case_ip_lengths(void **state)
{
	struct packet in, want;
	struct way_out w = way_of(K_IPIP4);

	for (int v6 = 0; v6 < 2; v6++) {
		struct spec s = data_of(v6, port_of(K_IPIP4));
		uint32_t header = v6 ? 40 : 20;

		s.payload = 60;
		for (uint32_t claim = 0; claim < 65536; claim += claim < 300 ? 1 : 4099) {
			build(&in, &s);
			put16(in.data + 14 + (v6 ? 4 : 2), claim);
			if (!v6)
				fix_v4(in.data + 14);
			sent(&want, &in, &w);
			if (claim + (v6 ? 40 : 0) < header + 20 ||
			    claim + (v6 ? 40 : 0) > header + 80)
				expect_fresh("claimed length", &in, XDP_DROP, NULL,
					     C(drop_malformed));
			else
				expect_fresh("claimed length", &in, XDP_REDIRECT, &want,
					     C(sent_ipip));
		}
	}
	for (uint32_t first = 0; first < 256; first++) {
		struct spec s = data4(port_of(K_IPIP4));

		build(&in, &s);
		in.data[14] = (uint8_t)first;
		if (first >> 4 != 4 || (first & 15) < 5)
			expect_fresh("version or header length", &in, XDP_DROP, NULL,
				     C(drop_malformed));
	}
}

static inline void case_mapped(void **state)
{
	struct spec s = data6(port_of(K_DSR));
	struct packet in;

	build(&in, &s);
	memset(in.data + 14 + 24, 0, 10);
	memset(in.data + 14 + 34, 0xff, 2);
	memcpy(in.data + 14 + 36, &VIP4.word[3], 4);
	expect_fresh("mapped destination", &in, XDP_PASS, NULL, C(pass_other));
	build(&in, &s);
	memset(in.data + 14 + 8, 0, 10);
	memset(in.data + 14 + 18, 0xff, 2);
	expect_fresh("mapped source", &in, XDP_PASS, NULL, C(pass_other));
}

#define CASES_ODD                                                                                  \
	cmocka_unit_test(case_v4_options), cmocka_unit_test(case_v6_extensions),                   \
		cmocka_unit_test(case_v6_extension_ends), cmocka_unit_test(case_fragments),        \
		cmocka_unit_test(case_flags), cmocka_unit_test(case_tcp_lengths),                  \
		cmocka_unit_test(case_ip_lengths), cmocka_unit_test(case_mapped)

#endif

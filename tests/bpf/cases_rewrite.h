/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets to be rewritten: families, transports, lengths, options, extension headers,
 * tags; errors with quotes of many lengths; segments to reset; options to change. Each
 * goes through rewrite_case(), which whoever includes this provides.
 */
#ifndef TESTS_CASES_REWRITE_H
#define TESTS_CASES_REWRITE_H

#include <stdarg.h>

#include "bpf/rewrite_oracle.h"

/* @want: what the program is to answer; below zero: it is to refuse. */
static void rewrite_case(const char *name, const struct packet *in, struct question *q, int want);

static const struct {
	const char *name;
	bool from6, to6;
} pairs[] = {{"4to4", 0, 0}, {"6to6", 1, 1}, {"4to6", 0, 1}, {"6to4", 1, 0}};

#define EACH(i, array) (uint32_t i = 0; i < sizeof(array) / sizeof((array)[0]); i++)

static const char *named(const char *format, ...)
{
	static char name[128];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	return name;
}

/* Where a packet comes from and goes to, before and after. */
static struct spec spec_of(bool v6, uint8_t protocol)
{
	struct spec s = {.protocol = protocol, .sport = 40000, .dport = 443, .tos = 0xb9};

	s.src = v6 ? ip6(0x101) : ip4(198, 51, 100, 7);
	s.dst = v6 ? ip6(0x201) : ip4(192, 0, 2, 10);
	s.seq = 0xfffffff0;
	s.ack = 0x01020304;
	s.flags = protocol == P_TCP ? F_ACK | F_PSH : 0;
	return s;
}

static struct ends ends_to(bool v6)
{
	struct ends e = {.source_port = TUNDISH_BE16(1025), .destination_port = TUNDISH_BE16(8443)};

	e.source = v6 ? ip6(0xffff0301) : ip4(10, 0, 1, 250);
	e.destination = v6 ? ip6(0x401) : ip4(10, 0, 1, 21);
	e.id = TUNDISH_BE16(0xbeef);
	e.flags = TAKE_HOP;
	return e;
}

/* Computes the transport checksum from nothing; UDP's too. */
static void fix_transport(struct packet *p)
{
	struct parts t;
	uint32_t sum;

	parts_at(p->data, network_at(p), p->len, &t);
	put16(p->data + t.check, 0);
	sum = naive_error(naive_add(pseudo_of(p->data, &t), p->data + t.l4, t.covered));
	put16(p->data + t.check, sum || t.protocol != P_UDP ? sum : 0xffff);
}

/* Leaves it to be completed. */
static void make_partial(struct packet *p)
{
	struct parts t;

	parts_at(p->data, network_at(p), p->len, &t);
	put16(p->data + t.check, pseudo_of(p->data, &t));
}

enum { TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_UDP_BARE, TRANSPORTS };

static uint8_t protocol_of(uint32_t transport)
{
	return transport == TRANSPORT_TCP ? P_TCP : P_UDP;
}

static void build_for(struct packet *p, const struct spec *s, uint32_t transport)
{
	build(p, s);
	if (transport != TRANSPORT_UDP_BARE)
		fix_transport(p);
}

static const char *const transports[] = {"tcp", "udp", "udp0"};

/* Hop-by-hop; routing with nothing left; an atomic fragment; all of these. The last
 * header's first byte is the transport's protocol. */
static const uint8_t extension_bytes[] = {
	43,    0, 1, 4,	 0,    0,    0,	   0,	 /* hop-by-hop: padding; then routing */
	44,    0, 0, 0,	 0,    0,    0,	   0,	 /* routing; then fragment */
	60,    0, 0, 0,	 0x12, 0x34, 0x56, 0x78, /* fragment; then destination options */
	P_TCP, 1, 1, 12, 0,    0,    0,	   0,	 0, 0, 0, 0, 0, 0, 0, 0};

static void addresses_cases(void)
{
	static const uint16_t payloads[] = {0,	 1,   2,    3,	  7,	64,   471,  472,  511, 512,
					    513, 536, 1021, 1203, 1219, 1220, 1221, 1222, 1460};
	static struct packet p;

	for
		EACH(i, pairs)
	for (uint32_t t = 0; t < TRANSPORTS; t++)
			for
				EACH(l, payloads)
				{
					struct question q = {.op = OP_REWRITE,
							     .to = ends_to(pairs[i].to6)};
					struct spec s = spec_of(pairs[i].from6, protocol_of(t));

					s.payload = payloads[l];
					s.tags = l % 3;
					s.tag[0] = 0x2005;
					s.tag[1] = 7;
					s.ttl = (uint8_t)(2 + l * 13);
					s.padding = l % 4 == 1 ? 9 : 0;
					build_for(&p, &s, t);
					rewrite_case(named("%s %s %u", pairs[i].name, transports[t],
							   s.payload),
						     &p, &q, 0);
					q.op = OP_COMPLETE;
					make_partial(&p);
					rewrite_case(named("%s %s %u partial native", pairs[i].name,
							   transports[t], s.payload),
						     &p, &q, 0);
					q.op = OP_REWRITE;
					q.to.flags = IS_PARTIAL;
					rewrite_case(named("%s %s %u partial generic",
							   pairs[i].name, transports[t], s.payload),
						     &p, &q, 0);
				}
}

static void headers_cases(void)
{
	static const uint8_t doffs[] = {5, 6, 8, 13, 15};
	static struct packet p;

	for
		EACH(i, pairs)
		for
			EACH(d, doffs)
			{
				struct question q = {.op = OP_REWRITE, .to = ends_to(pairs[i].to6)};
				struct spec s = spec_of(pairs[i].from6, P_TCP);
				uint8_t ext[sizeof(extension_bytes)];

				s.doff = doffs[d];
				s.payload = 33;
				s.fragment = 0x4000;
				memcpy(ext, extension_bytes, sizeof(ext));
				if (s.doff > 5 && pairs[i].from6) {
					uint32_t skip = s.doff == 6 ? 0 : s.doff == 8 ? 8 : 24;

					s.ext = ext + skip;
					s.ext_len = sizeof(ext) - skip;
					s.ext_first = skip == 0 ? 0 : skip == 8 ? 43 : 60;
				}
				if (!pairs[i].from6)
					s.options = (d % 4) * 12 + (d ? 4 : 0);
				build(&p, &s);
				fix_transport(&p);
				rewrite_case(named("%s headers %u", pairs[i].name, s.doff), &p, &q,
					     0);
				q.to.flags = 0;
				p.data[p.len - 1] ^= 0x55;
				rewrite_case(named("%s damaged %u", pairs[i].name, s.doff), &p, &q,
					     0);
			}
}

/* Checksums of which the whole is zero before or afterwards, and length fields of UDP that
 * say less than there is. */
static void odd_cases(void)
{
	static struct packet p;
	struct parts t;

	for
		EACH(i, pairs)
	for (uint32_t k = 0; k < 4; k++) {
		uint32_t transport = k & 1 ? TRANSPORT_UDP : TRANSPORT_TCP;
		struct question q = {.op = OP_REWRITE, .to = ends_to(pairs[i].to6)};
		struct spec s = spec_of(pairs[i].from6, protocol_of(transport));
		uint32_t sum;

		s.payload = 10;
		build_for(&p, &s, transport);
		parts_at(p.data, network_at(&p), p.len, &t);
		/* so that the checksum comes out as zero: now, or with the new ends */
		if (k & 2) {
			static struct packet x;
			struct parts o;

			expect_rewrite(&x, &p, &t, &q);
			put16(x.data + x.len - 2, 0);
			parts_at(x.data, network_at(&x), x.len, &o);
			put16(x.data + o.check, 0);
			sum = naive_add(pseudo_of(x.data, &o), x.data + o.l4, o.covered);
		} else {
			put16(p.data + p.len - 2, 0);
			put16(p.data + t.check, 0);
			sum = naive_add(pseudo_of(p.data, &t), p.data + t.l4, t.covered);
		}
		put16(p.data + p.len - 2, 0xffff - sum);
		fix_transport(&p);
		rewrite_case(named("%s %s zero sum %s", pairs[i].name, transports[transport],
				   k & 2 ? "after" : "before"),
			     &p, &q, 0);
	}
	for
		EACH(i, pairs)
	for (uint32_t bare = 0; bare < 2; bare++) {
		struct question q = {.op = OP_REWRITE, .to = ends_to(pairs[i].to6)};
		struct spec s = spec_of(pairs[i].from6, P_UDP);
		bool computed = bare && !pairs[i].from6 && pairs[i].to6;

		s.payload = 31;
		build(&p, &s);
		parts_at(p.data, network_at(&p), p.len, &t);
		put16(p.data + t.l4 + 4, 8 + 26);
		if (!bare)
			fix_transport(&p);
		rewrite_case(
			named("%s udp shorter than its packet %s", pairs[i].name, bare ? "0" : ""),
			&p, &q, 0);
		put16(p.data + t.l4 + 4, 8 + 32);
		rewrite_case(
			named("%s udp longer than its packet %s", pairs[i].name, bare ? "0" : ""),
			&p, &q, computed ? -1 : 0);
	}
	{
		struct question q = {.op = OP_REWRITE, .to = ends_to(false)};
		struct spec s = spec_of(true, P_TCP);
		const uint8_t ah[16] = {P_TCP, 2};

		s.ext = ah;
		s.ext_len = sizeof(ah);
		s.ext_first = 51;
		build(&p, &s);
		rewrite_case("6to4 authenticated", &p, &q, -1);
	}
}

/* Is it partial? A real checksum that looks so is told in generic mode only. */
static void partial_cases(void)
{
	static struct packet p;

	for (uint32_t v6 = 0; v6 < 2; v6++)
		for (uint32_t t = 0; t < TRANSPORTS; t++)
			for (uint32_t generic = 0; generic < 2; generic++) {
				struct question q = {.op = generic ? OP_GENERIC : OP_PARTIAL};
				struct spec s = spec_of(v6, protocol_of(t));
				struct parts f;

				s.payload = 1001;
				build_for(&p, &s, t);
				rewrite_case(named("partial %u real %s", v6, transports[t]), &p, &q,
					     0);
				make_partial(&p);
				rewrite_case(named("partial %u %s", v6, transports[t]), &p, &q, 1);
				/* right, and partial to look at */
				parts_at(p.data, network_at(&p), p.len, &f);
				put16(p.data + f.l4 + f.covered - 3, 0);
				put16(p.data + f.l4 + f.covered - 3,
				      naive_error(naive_add(pseudo_of(p.data, &f), p.data + f.l4,
							    f.covered)));
				rewrite_case(named("partial %u chance %s", v6, transports[t]), &p,
					     &q, !generic);
			}
}

static void icmp_cases(void)
{
	static const uint8_t types4[][2] = {{3, 0},  {3, 1},  {3, 2},  {3, 3},	{3, 4},	 {3, 5},
					    {3, 6},  {3, 7},  {3, 8},  {3, 9},	{3, 10}, {3, 11},
					    {3, 12}, {3, 13}, {3, 14}, {3, 15}, {3, 16}, {11, 0},
					    {11, 1}, {12, 0}, {12, 1}, {12, 2}};
	static const uint8_t types6[][2] = {{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5},
					    {2, 0}, {3, 0}, {3, 1}, {4, 0}, {4, 1}, {4, 2}};
	static const uint16_t quotes[] = {4,   5,   7,	 8,   9,    15,	  16,	17,
					  18,  19,  20,	 21,  32,   88,	  107,	108,
					  500, 527, 528, 529, 1160, 1192, 1193, 1300};
	static const uint16_t mtus[] = {0, 68, 1259, 1260, 1261, 1279, 1280, 1281, 1400, 9000};
	static struct packet inner, p;

	for
		EACH(i, pairs)
		{
			bool v6 = pairs[i].from6, other = v6 != pairs[i].to6;
			uint32_t n = v6 ? sizeof(types6) / 2 : sizeof(types4) / 2;
			struct question q = {.op = OP_ICMP, .to = ends_to(pairs[i].to6)};
			struct spec e = spec_of(v6, v6 ? P_ICMP6 : P_ICMP), s;

			q.quoted = ends_to(pairs[i].to6);
			q.quoted.flags = 0;
			q.quoted.id = 0;
			e.src = v6 ? ip6(0x999) : ip4(203, 0, 113, 5);
			for (uint32_t t = 0; t < TRANSPORTS; t++)
			for
				EACH(l, quotes)
				{
					uint32_t header = v6 ? 40 : 20, type = l % n;

					s = spec_of(v6, protocol_of(t));
					s.payload = 1400;
					if (!v6 && l % 5 == 4)
						header += s.options = 8;
					build_for(&inner, &s, t);
					/* one that has a counterpart; time exceeded */
					e.type = v6 ? 3 : 11;
					e.code = l & 1;
					e.sport = e.dport = 0;
					e.options = !v6 && l % 7 == 3 ? 12 : 0;
					e.padding = 0;
					e.tags = type & 1;
					build_error(&p, &e, &inner, header + quotes[l]);
					rewrite_case(named("icmp %s %s quote %u", pairs[i].name,
							   transports[t], quotes[l]),
						     &p, &q, 0);
				}
			e.options = e.tags = 0;
			s = spec_of(v6, P_TCP);
			s.payload = 1400;
			build_for(&inner, &s, TRANSPORT_TCP);
			for (uint32_t t = 0; t < n; t++)
				for (uint32_t word = 0; word < 48; word++) {
					struct packet x;
					struct parts f, g;
					uint8_t m[8] = {0};

					e.type = v6 ? types6[t][0] : types4[t][0];
					e.code = v6 ? types6[t][1] : types4[t][1];
					if (e.type == 12) { /* pointer, in the first byte */
						e.sport = (uint16_t)(word << 8);
						e.dport = 0;
					} else if (e.type == 4) {
						e.sport = 0;
						e.dport = (uint16_t)word;
					} else if (word < 10) {
						e.sport = 0;
						e.dport = mtus[word];
					} else {
						break;
					}
					build_error(&p, &e, &inner, 128);
					parts_at(p.data, network_at(&p), p.len, &f);
					parts_at(p.data, f.l4 + 8, f.end, &g);
					(void)m;
					rewrite_case(named("icmp %s type %u code %u word %u",
							   pairs[i].name, e.type, e.code,
							   e.sport << 16 | e.dport),
						     &p, &q,
						     expect_icmp(&x, &p, &f, &g, &q) ? 0 : -1);
					if (e.type != 12 && e.type != 4 && e.type != 2 &&
					    e.code != 4 && !word)
						break;
				}
			/* with extensions: what is before them is told by RFC 4884's length */
			for (uint32_t words = 1; words < 40; words += 3) {
				e.type = v6 ? 1 : 11;
				e.code = 0;
				e.sport = (uint16_t)(v6 ? words << 8 : words);
				e.dport = 0;
				build_error(&p, &e, &inner, 300);
				rewrite_case(
					named("icmp %s length %u", pairs[i].name, words), &p, &q,
					other && words * (v6 ? 8 : 4) < (v6 ? 44 : 24) ? -1 : 0);
			}
			e.sport = 0;
			build_error(&p, &e, &inner, 100);
			p.data[p.len - 1] ^= 1;
			rewrite_case(named("icmp %s damaged", pairs[i].name), &p, &q,
				     other ? -1 : 0);
			build_error(&p, &e, &inner, 100);
			put16(p.data + 14 + (v6 ? 40 : 20) + 8 + (v6 ? 4 : 2), v6 ? 19 : 39);
			fix_transport(&p);
			rewrite_case(named("icmp %s of a packet without header", pairs[i].name), &p,
				     &q, -1);
			build_error(&p, &e, &inner, v6 ? 43 : 23);
			rewrite_case(named("icmp %s no ports", pairs[i].name), &p, &q, -1);
			e.type = v6 ? 128 : 8;
			build_error(&p, &e, &inner, 100);
			rewrite_case(named("icmp %s no error", pairs[i].name), &p, &q, -1);
		}
}

static void reset_cases(void)
{
	static const uint8_t flags[] = {F_SYN,	       F_SYN | F_ACK, F_ACK,	     F_ACK | F_FIN,
					F_FIN,	       F_NONE,	      F_ACK | F_PSH, F_RST,
					F_RST | F_ACK, F_SYN | F_FIN, F_SYN | F_PSH};
	static struct packet p;

	for (uint32_t v6 = 0; v6 < 2; v6++)
		for
			EACH(f, flags)
	for (uint32_t payload = 0; payload < 1500; payload = payload * 3 + 1) {
		struct question q = {.op = OP_RESET};
		struct spec s = spec_of(v6, P_TCP);
		uint8_t ext[sizeof(extension_bytes)];

		s.flags = flags[f];
		s.payload = payload;
		s.tags = f % 3;
		s.doff = (uint8_t)(5 + payload % 11);
		s.options = payload & 4 ? 8 : 0;
		s.padding = payload & 1 ? 6 : 0;
		memcpy(ext, extension_bytes, sizeof(ext));
		if (v6 && (payload & 4)) {
			s.ext = ext;
			s.ext_len = sizeof(ext);
			s.ext_first = 0;
		}
		build(&p, &s);
		rewrite_case(named("reset %u flags %u payload %u", v6, flags[f], payload), &p, &q,
			     flags[f] & F_RST ? -1 : 0);
	}
}

struct option_bytes {
	const char *name;
	uint8_t length;
	uint8_t byte[40];
};

static const struct option_bytes option_sets[] = {
	{"none", 0, {0}},
	{"linux syn", 20, {2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7}},
	{"mss odd", 8, {1, 2, 4, 5, 0xb4, 1, 1, 1}},
	{"mss small", 4, {2, 4, 2, 0x18}},
	{"mss of 1300", 4, {2, 4, 5, 0x14}},
	{"mss twice", 8, {2, 4, 0x23, 0, 2, 4, 0xff, 0xff}},
	{"timestamps odd", 12, {1, 8, 10, 9, 8, 7, 6, 5, 4, 3, 2, 0}},
	{"timestamps last", 12, {1, 1, 8, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}},
	{"end before mss", 8, {1, 1, 1, 0, 2, 4, 5, 0xb4}},
	{"length 0", 8, {8, 0, 2, 4, 5, 0xb4, 1, 1}},
	{"length 1", 8, {8, 1, 2, 4, 5, 0xb4, 1, 1}},
	{"beyond the end", 8, {1, 1, 1, 1, 1, 1, 2, 4}},
	{"timestamps beyond the end", 8, {1, 1, 1, 1, 8, 10, 1, 2}},
	{"kind last", 4, {1, 1, 1, 2}},
	{"mss of length 3", 8, {2, 3, 9, 2, 4, 9, 9, 1}},
	{"toa", 8, {254, 8, 1, 2, 3, 4, 5, 6}},
	{"toa odd", 12, {1, 254, 8, 1, 2, 3, 4, 5, 6, 2, 2, 1}},
	{"toa twice", 20, {254, 8, 9, 9, 9, 9, 9, 9, 254, 8, 9, 9, 9, 9, 9, 9, 2, 4, 9, 9}},
	{"toa of 2, many", 40, {254, 2, 254, 2, 254, 2, 254, 2, 254, 2, 254, 2, 254, 2,
				254, 2, 254, 2, 254, 2, 254, 2, 254, 2, 254, 2, 254, 2,
				254, 2, 254, 2, 254, 2, 254, 2, 2,   4, 9,   9}},
	{"nops and mss", 40, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
			      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 9, 9}},
	{"full", 40, {2, 4, 5, 0xb4, 8, 10, 1, 1, 1, 1, 2, 2, 2, 2, 5, 26}},
};

static void build_options(struct packet *p, struct spec *s, const struct option_bytes *o)
{
	struct parts t;

	s->doff = (uint8_t)(5 + o->length / 4);
	build(p, s);
	parts_at(p->data, network_at(p), p->len, &t);
	memcpy(p->data + t.l4 + 20, o->byte, o->length);
	fix_transport(p);
}

static void options_cases(void)
{
	static const uint16_t most[] = {0, 536, 1300, 1459, 1460};
	static struct packet p;

	for (uint32_t v6 = 0; v6 < 2; v6++)
		for
			EACH(o, option_sets)
			for
				EACH(m, most)
				{
					struct question q = {.op = OP_OPTIONS, .mss = most[m]};
					struct spec s = spec_of(v6, P_TCP);

					s.flags = F_SYN;
					s.payload = m;
					build_options(&p, &s, &option_sets[o]);
					rewrite_case(named("options %u %s, mss %u", v6,
							   option_sets[o].name, most[m]),
						     &p, &q, 0);
					q.to.flags = IS_PARTIAL;
					make_partial(&p);
					rewrite_case(named("options %u %s, mss %u, partial", v6,
							   option_sets[o].name, most[m]),
						     &p, &q, 0);
				}
}

static void toa_cases(void)
{
	static struct packet p;

	for (uint32_t v6 = 0; v6 < 2; v6++)
		for (uint32_t client6 = 0; client6 < 2; client6++)
			for
				EACH(o, option_sets)
	for (uint32_t k = 0; k < 4; k++) {
		uint32_t added = client6 ? 20 : 8, length, ip;
		struct question q = {.op = OP_TOA, .client_port = TUNDISH_BE16(54321)};
		struct spec s = spec_of(v6, P_TCP);

		q.client = client6 ? ip6(0xabcdef01) : ip4(203, 0, 113, 9);
		s.payload = k * 333;
		s.tags = k % 3;
		s.options = k == 2 ? 40 : 0;
		s.padding = k == 1 ? 5 : 0;
		build_options(&p, &s, &option_sets[o]);
		ip = network_at(&p);
		length = p.len - ip - s.padding + added;
		q.mtu = (uint16_t)(k == 3 && (o & 1) ? length - 1 : length);
		rewrite_case(named("toa %u of %u, %s, %u", v6, client6, option_sets[o].name, k), &p,
			     &q, option_sets[o].length + added <= 40 && q.mtu == length);
	}
}

static void all_rewrite_cases(void)
{
	addresses_cases();
	headers_cases();
	odd_cases();
	partial_cases();
	icmp_cases();
	reset_cases();
	options_cases();
	toa_cases();
}

#endif

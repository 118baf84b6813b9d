/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must come out of a rewrite, worked out the naive way: the frame is put together
 * anew, byte by byte, but for checksums, and those are judged by what they say. A
 * checksum that was wrong by so much must be wrong by as much afterwards, unless it is
 * one that is computed from nothing.
 */
#ifndef TESTS_REWRITE_ORACLE_H
#define TESTS_REWRITE_ORACLE_H

#include "bpf/packet.h"
#include "bpf/rewrite_question.h"

enum { TAKE_HOP = 1, IS_PARTIAL = 2 }; /* enum rewrite_flag */

/* The parts of a frame, or of a packet quoted in one. */
struct parts {
	uint32_t ip, l4, end; /* places; end: of the packet, cut or not */
	uint32_t v6, protocol, tos, ttl;
	uint32_t said;	  /* bytes behind the network header, by its own words */
	uint32_t covered; /* bytes that the checksum covers, of those that are there */
	uint32_t check;	  /* its place; 0: not there */
};

/* @end: where the bytes end that may be looked at. False: it is no packet with ports. */
static inline bool parts_at(const uint8_t *d, uint32_t ip, uint32_t end, struct parts *t)
{
	uint32_t next, total, length;

	memset(t, 0, sizeof(*t));
	if (ip + 20 > end)
		return false;
	t->ip = ip;
	t->v6 = d[ip] >> 4 == 6;
	if (t->v6 ? ip + 40 > end : d[ip] >> 4 != 4 || (d[ip] & 15) < 5)
		return false;
	t->tos = t->v6 ? (get16(d + ip) >> 4 & 0xff) : d[ip + 1];
	t->ttl = d[ip + (t->v6 ? 7 : 8)];
	t->l4 = ip + (t->v6 ? 40 : (d[ip] & 15u) * 4);
	total = t->v6 ? 40 + get16(d + ip + 4) : get16(d + ip + 2);
	next = d[ip + (t->v6 ? 6 : 9)];
	while (t->v6 && (next == 0 || next == 43 || next == 44 || next == 51 || next == 60)) {
		if (t->l4 + 8 > end)
			return false;
		length = next == 44   ? 8
			 : next == 51 ? (d[t->l4 + 1] + 2u) * 4
				      : (d[t->l4 + 1] + 1u) * 8;
		next = d[t->l4];
		t->l4 += length;
	}
	t->protocol = next;
	if (ip + total < t->l4)
		return false;
	t->said = ip + total - t->l4;
	t->end = ip + total < end ? ip + total : end;
	if (t->l4 + 4 > t->end)
		return false;
	t->covered = t->end - t->l4;
	if (next == P_UDP) {
		length = t->l4 + 6 <= t->end ? get16(d + t->l4 + 4) : 0;
		if (length >= 8 && length < t->covered)
			t->covered = length;
		t->check = t->l4 + 6;
	} else {
		t->check = t->l4 + (next == P_TCP ? 16 : 2);
	}
	if (t->check + 2 > t->end)
		t->check = 0;
	return true;
}

/* What the pseudo header and all behind it sum up to; 0 and 0xffff are one. */
static inline uint32_t pseudo_of(const uint8_t *d, const struct parts *t)
{
	uint32_t length =
		t->protocol == P_UDP && t->l4 + 6 <= t->end ? get16(d + t->l4 + 4) : t->said;

	return t->protocol == P_ICMP ? 0 : pseudo_sum(d + t->ip, t->protocol, length);
}

static inline uint32_t residue(const uint8_t *d, const struct parts *t)
{
	return naive_add(pseudo_of(d, t), d + t->l4, t->covered) % 0xffff;
}

static inline uint32_t residue_v4(const uint8_t *ip)
{
	return naive_add(0, ip, (ip[0] & 15u) * 4) % 0xffff;
}

/* ---- the frame put together ---------------------------------------------------------- */

static inline void put_address(uint8_t *to, const struct tundish_addr *a, bool v6)
{
	memcpy(to, v6 ? (const void *)a : (const void *)&a->word[3], v6 ? 16 : 4);
}

static inline void put_ends(uint8_t *ip, const struct ends *e)
{
	bool v6 = ip[0] >> 4 == 6;

	put_address(ip + (v6 ? 8 : 12), &e->source, v6);
	put_address(ip + (v6 ? 24 : 16), &e->destination, v6);
}

static inline void put_ports(uint8_t *l4, const struct ends *e)
{
	memcpy(l4, &e->source_port, 2);
	memcpy(l4 + 2, &e->destination_port, 2);
}

/* A header of the other family (RFC 7915) for `said` bytes behind it; its length. */
static inline uint32_t put_other(uint8_t *ip, const struct parts *from, const struct ends *e,
				 uint32_t said, uint32_t protocol)
{
	uint32_t ttl = from->ttl - (e->flags & TAKE_HOP ? 1 : 0);

	if (!from->v6) {
		put32(ip, 6u << 28 | from->tos << 20);
		put16(ip + 4, said);
		ip[6] = (uint8_t)protocol;
		ip[7] = (uint8_t)ttl;
		put_ends(ip, e);
		return 40;
	}
	memset(ip, 0, 20);
	ip[0] = 0x45;
	ip[1] = (uint8_t)from->tos;
	put16(ip + 2, 20 + said);
	if (20 + said > 1260)
		ip[6] = 0x40;
	else
		memcpy(ip + 4, &e->id, 2);
	ip[8] = (uint8_t)ttl;
	ip[9] = (uint8_t)protocol;
	put_ends(ip, e);
	fix_v4(ip);
	return 20;
}

static inline bool to_other(const struct parts *t, const struct ends *e)
{
	return !t->v6 != !!tundish_addr_is_v4(&e->source);
}

/* Link header, and what follows at `ip` of the family that the ends are of. */
static inline uint32_t expect_link(struct packet *x, const struct packet *in, const struct parts *t,
				   const struct ends *e)
{
	memcpy(x->data, in->data, t->ip);
	put16(x->data + t->ip - 2, tundish_addr_is_v4(&e->source) ? 0x0800 : 0x86dd);
	return t->ip;
}

static inline void expect_rewrite(struct packet *x, const struct packet *in, const struct parts *t,
				  const struct question *q)
{
	uint32_t at = expect_link(x, in, t, &q->to);

	if (to_other(t, &q->to)) {
		at += put_other(x->data + at, t, &q->to, t->said, t->protocol);
	} else {
		memcpy(x->data + at, in->data + at, t->l4 - at);
		put_ends(x->data + at, &q->to);
		x->data[at + (t->v6 ? 7 : 8)] -= q->to.flags & TAKE_HOP ? 1 : 0;
		at = t->l4;
	}
	memcpy(x->data + at, in->data + t->l4, in->len - t->l4);
	put_ports(x->data + at, &q->to);
	x->len = at + in->len - t->l4;
}

static inline uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Type, code and the word behind the checksum. RFC 7915, 4.2 and 5.2, as a table. */
static inline bool expect_type(uint8_t *m, bool v6, uint32_t quoted_length)
{
	static const struct {
		uint8_t from[2], to[2];
		int8_t word; /* 'k' kept out: zero; 'p' pointer; 'm' MTU; 'n' pointer 6 */
	} to6[] = {{{3, 0}, {1, 0}, 0},	   {{3, 1}, {1, 0}, 0},	  {{3, 2}, {4, 1}, 'n'},
		   {{3, 3}, {1, 4}, 0},	   {{3, 4}, {2, 0}, 'm'}, {{3, 5}, {1, 0}, 0},
		   {{3, 6}, {1, 0}, 0},	   {{3, 7}, {1, 0}, 0},	  {{3, 8}, {1, 0}, 0},
		   {{3, 9}, {1, 1}, 0},	   {{3, 10}, {1, 1}, 0},  {{3, 11}, {1, 0}, 0},
		   {{3, 12}, {1, 0}, 0},   {{3, 13}, {1, 1}, 0},  {{3, 15}, {1, 1}, 0},
		   {{12, 0}, {4, 0}, 'p'}, {{12, 2}, {4, 0}, 'p'}},
	  to4[] = {{{1, 0}, {3, 1}, 0},	   {{1, 1}, {3, 10}, 0}, {{1, 2}, {3, 1}, 0},
		   {{1, 3}, {3, 1}, 0},	   {{1, 4}, {3, 3}, 0},	 {{2, 255}, {3, 4}, 'm'},
		   {{4, 0}, {12, 0}, 'p'}, {{4, 1}, {3, 2}, 0}};
	static const int8_t pointer6[20] = {0,	1,  4, 4, -1, -1, -1, -1, 7,  6,
					    -1, -1, 8, 8, 8,  8,  24, 24, 24, 24};
	static const int8_t pointer4[40] = {0,	1,  -1, -1, 2,	2,  9,	8,  12, 12, 12, 12, 12, 12,
					    12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 16, 16, 16, 16,
					    16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16};
	static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002,
					    1492,  1006,  508,	296,  68};
	uint32_t n = v6 ? sizeof(to4) / sizeof(to4[0]) : sizeof(to6) / sizeof(to6[0]);
	uint32_t word = get16(m + 4) << 16 | get16(m + 6), i;

	put32(m + 4, 0);
	if (m[0] == (v6 ? 3 : 11)) { /* time exceeded, of any code */
		m[0] = v6 ? 11 : 3;
		return true;
	}
	for (i = 0; i < n; i++) {
		const uint8_t *from = v6 ? to4[i].from : to6[i].from;

		if (from[0] == m[0] && (from[1] == m[1] || from[1] == 255))
			break;
	}
	if (i == n)
		return false;
	memcpy(m, v6 ? to4[i].to : to6[i].to, 2);
	switch (v6 ? to4[i].word : to6[i].word) {
	case 'n': m[7] = 6; break;
	case 'p':
		if (v6 ? word >= 40 || pointer4[word] < 0
		       : word >> 24 >= 20 || pointer6[word >> 24] < 0)
			return false;
		if (v6)
			m[4] = (uint8_t)pointer4[word];
		else
			m[7] = (uint8_t)pointer6[word >> 24];
		break;
	case 'm':
		if (v6) {
			put32(m + 4, word < 1280 ? 1260 : word > 65535 ? 65515 : word - 20);
			break;
		}
		word &= 0xffff;
		for (i = 0; !word; i++)
			if (plateaus[i] < quoted_length || plateaus[i] == 68)
				word = plateaus[i];
		put32(m + 4, word < 1260 ? 1280 : word + 20);
	}
	return true;
}

/* An ICMP error; false where there is none for it. */
static inline bool expect_icmp(struct packet *x, const struct packet *in, const struct parts *t,
			       const struct parts *quote, const struct question *q)
{
	uint32_t at = expect_link(x, in, t, &q->to), icmp, rest, words;
	const uint8_t *m = in->data + t->l4;
	uint8_t message[8];

	if (!to_other(t, &q->to)) {
		memcpy(x->data, in->data, in->len);
		x->len = in->len;
		put_ends(x->data + t->ip, &q->to);
		x->data[t->ip + (t->v6 ? 7 : 8)] -= q->to.flags & TAKE_HOP ? 1 : 0;
		put_ends(x->data + quote->ip, &q->quoted);
		put_ports(x->data + quote->l4, &q->quoted);
		return true;
	}
	memcpy(message, m, 8);
	words = t->v6 ? (m[0] == 1 || m[0] == 3 ? m[4] * 8u : 0) : m[5] * 4u;
	if (!expect_type(message, t->v6, quote->said + quote->l4 - quote->ip))
		return false;
	rest = t->end - quote->l4;
	if (words) {
		if (quote->ip + words < quote->l4 + 4)
			return false;
		rest = least(rest, quote->ip + words - quote->l4);
	}
	rest = least(rest, t->v6 ? 576 - 48 : 1280 - 88);
	icmp = at + (t->v6 ? 20 : 40);
	at = icmp + 8;
	memcpy(x->data + icmp, message, 8);
	at += put_other(x->data + at, quote, &q->quoted, quote->said, quote->protocol);
	memcpy(x->data + at, in->data + quote->l4, rest);
	put_ports(x->data + at, &q->quoted);
	x->len = at + rest;
	put_other(x->data + t->ip, t, &q->to, x->len - icmp, t->v6 ? P_ICMP : P_ICMP6);
	return true;
}

/* RFC 9293, 3.10.7.1; false where it is not answered. */
static inline bool expect_reset(struct packet *x, const struct packet *in, const struct parts *t)
{
	const uint8_t *d = in->data + t->l4;
	uint32_t header = (d[12] >> 4) * 4u, flags = d[13], at = t->ip, minimum, length;
	uint8_t *l4;

	if (flags & F_RST)
		return false;
	memcpy(x->data, in->data, in->len);
	memcpy(x->data, in->data + 6, 6);
	memcpy(x->data + 6, in->data, 6);
	if (t->v6) {
		put32(x->data + at, 6u << 28 | (t->tos & 0xfc) << 20);
		put16(x->data + at + 4, 20);
		x->data[at + 6] = P_TCP;
		x->data[at + 7] = 64;
		memcpy(x->data + at + 8, in->data + at + 24, 16);
		memcpy(x->data + at + 24, in->data + at + 8, 16);
		at += 40;
	} else {
		static const uint8_t fixed[12] = {0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, P_TCP};

		memcpy(x->data + at, fixed, 12);
		x->data[at + 1] = t->tos & 0xfc;
		memcpy(x->data + at + 12, in->data + at + 16, 4);
		memcpy(x->data + at + 16, in->data + at + 12, 4);
		fix_v4(x->data + at);
		at += 20;
	}
	l4 = x->data + at;
	memset(l4, 0, 20);
	memcpy(l4, d + 2, 2);
	memcpy(l4 + 2, d, 2);
	if (flags & F_ACK) {
		memcpy(l4 + 4, d + 8, 4);
		l4[13] = F_RST;
	} else {
		length = t->said - header + !!(flags & F_SYN) + !!(flags & F_FIN);
		put32(l4 + 8, (get16(d + 4) << 16 | get16(d + 6)) + length);
		l4[13] = F_RST | F_ACK;
	}
	l4[12] = 0x50;
	minimum = least(60, in->len);
	x->len = at + 20 < minimum ? minimum : at + 20;
	return true;
}

struct seen_options {
	bool lowered, stripped, timestamps;
	uint32_t mss, tsval, tsecr;
};

static inline void expect_options(struct packet *x, const struct packet *in, const struct parts *t,
				  const struct question *q, struct seen_options *seen)
{
	uint8_t *o, *end;

	memset(seen, 0, sizeof(*seen));
	memcpy(x->data, in->data, in->len);
	x->len = in->len;
	o = x->data + t->l4 + 20;
	end = x->data + t->l4 + (in->data[t->l4 + 12] >> 4) * 4;
	while (o < end && o[0] != 0) {
		if (o[0] == 1) {
			o++;
			continue;
		}
		if (o + 1 >= end || o[1] < 2 || o + o[1] > end)
			break;
		if (o[0] == 254) {
			uint32_t n = o[1];

			memset(o, 1, n);
			o += n;
			seen->stripped = true;
			continue;
		}
		if (o[0] == 2 && o[1] == 4) {
			if (q->mss && get16(o + 2) > q->mss) {
				put16(o + 2, q->mss);
				seen->lowered = true;
			}
			seen->mss = get16(o + 2);
		}
		if (o[0] == 8 && o[1] == 10) {
			seen->timestamps = true;
			seen->tsval = get16(o + 2) << 16 | get16(o + 4);
			seen->tsecr = get16(o + 6) << 16 | get16(o + 8);
		}
		o += o[1];
	}
}

/* True where there is room; *x is the frame with the option in it then. */
static inline bool expect_toa(struct packet *x, const struct packet *in, const struct parts *t,
			      const struct question *q)
{
	bool v4 = tundish_addr_is_v4(&q->client);
	uint32_t added = v4 ? 8 : 20, header = (in->data[t->l4 + 12] >> 4) * 4u;
	uint32_t total = t->end - t->ip + added, at = t->l4 + 20;

	if (header < 20 || header + added > 60 || total > q->mtu || t->l4 - t->ip > 60)
		return false;
	memcpy(x->data, in->data, at);
	x->data[at] = 254;
	x->data[at + 1] = (uint8_t)added;
	memcpy(x->data + at + 2, &q->client_port, 2);
	put_address(x->data + at + 4, &q->client, !v4);
	memcpy(x->data + at + added, in->data + at, in->len - at);
	x->len = in->len + added;
	x->data[t->l4 + 12] += (uint8_t)(added / 4 << 4);
	put16(x->data + t->ip + (t->v6 ? 4 : 2), t->v6 ? total - 40 : total);
	return true;
}

/* ---- judging -------------------------------------------------------------------------- */

/* Copies the checksum at `at`, so that comparing leaves it out. */
static inline void excuse(struct packet *x, const struct packet *out, uint32_t at)
{
	if (at + 2 <= x->len && at + 2 <= out->len)
		memcpy(x->data + at, out->data + at, 2);
}

static inline const char *compare(struct packet *x, const struct packet *out, const struct parts *o,
				  const struct parts *quote)
{
	static char say[96];

	if (!o->v6)
		excuse(x, out, o->ip + 10);
	if (o->check)
		excuse(x, out, o->check);
	if (quote && !quote->v6)
		excuse(x, out, quote->ip + 10);
	if (quote && quote->check)
		excuse(x, out, quote->check);
	if (x->len != out->len) {
		snprintf(say, sizeof(say), "%u bytes long, not %u", out->len, x->len);
		return say;
	}
	for (uint32_t i = 0; i < x->len; i++)
		if (x->data[i] != out->data[i]) {
			snprintf(say, sizeof(say), "byte %u is %02x, not %02x", i, out->data[i],
				 x->data[i]);
			return say;
		}
	return NULL;
}

/* Did a checksum keep what it says? @from, @to: of the packet before and after. */
static inline const char *keeps(const struct packet *in, const struct parts *from,
				const struct packet *out, const struct parts *to, bool anew)
{
	bool udp = from->protocol == P_UDP;

	if (!from->check || !to->check)
		return !from->check == !to->check ? NULL : "a checksum came or went";
	if (udp && !get16(in->data + from->check) && !anew)
		return get16(out->data + to->check) ? "a checksum of none" : NULL;
	if (udp && !get16(out->data + to->check))
		return "no checksum any more";
	if (anew)
		return residue(out->data, to) ? "the checksum is wrong" : NULL;
	return residue(out->data, to) != residue(in->data, from) ? "the checksum says another thing"
								 : NULL;
}

static inline const char *keeps_v4(const struct packet *in, const struct parts *from,
				   const struct packet *out, const struct parts *to)
{
	uint32_t before = from->v6 ? 0 : residue_v4(in->data + from->ip);

	if (from->v6 != to->v6)
		before = 0;
	return !to->v6 && residue_v4(out->data + to->ip) != before ? "the header's checksum" : NULL;
}

/*
 * NULL, or what is wrong. @in: a frame that the program took for whole; @q with its answers;
 * @out: what came. Refusals are judged by `allowed`: may there have been one?
 */
static inline const char *judge(const struct packet *in, const struct question *q,
				const struct packet *out)
{
	static struct packet x;
	struct parts t, o, quote, o_quote;
	struct seen_options seen;
	const char *wrong;
	bool anew = false;

	if (q->op == OP_NOTHING || q->op == OP_PARTIAL || q->op == OP_GENERIC ||
	    (q->op == OP_TOA && !q->result))
		return in->len == out->len && !memcmp(in->data, out->data, in->len)
			       ? NULL
			       : "changed what was to be left alone";
	if (!parts_at(in->data, network_at(in), in->len, &t))
		return "did something to what is no packet";
	if (!parts_at(out->data, network_at(out), out->len, &o))
		return "what came is no packet";
	memset(&x, 0, sizeof(x));
	switch (q->op) {
	case OP_REWRITE:
	case OP_COMPLETE:
		expect_rewrite(&x, in, &t, q);
		if ((q->to.flags & IS_PARTIAL) && q->op == OP_REWRITE && t.check && o.check &&
		    (t.protocol == P_TCP || get16(in->data + t.check))) {
			/* as much the pseudo header's sum as it was */
			uint32_t was = get16(in->data + t.check) + 0xffff - pseudo_of(in->data, &t);
			uint32_t is =
				get16(out->data + o.check) + 0xffff - pseudo_of(out->data, &o);

			wrong = compare(&x, out, &o, NULL);
			if (!wrong)
				wrong = keeps_v4(in, &t, out, &o);
			if (!wrong && was % 0xffff != is % 0xffff)
				wrong = "not the pseudo header's sum";
			return wrong;
		}
		anew = q->op == OP_COMPLETE ||
		       (t.protocol == P_UDP && !t.v6 && o.v6 && !get16(in->data + t.check));
		break;
	case OP_ICMP:
		if (!parts_at(in->data, t.l4 + 8, t.end, &quote))
			return "what is quoted is no packet";
		if (!expect_icmp(&x, in, &t, &quote, q))
			return "translated what cannot be";
		if (!parts_at(out->data, o.l4 + 8, o.end, &o_quote))
			return "what it quotes is no packet any more";
		wrong = compare(&x, out, &o, &o_quote);
		anew = to_other(&t, &q->to);
		if (!wrong && anew && residue(in->data, &t))
			wrong = "made a right one of a wrong one";
		if (!wrong)
			wrong = keeps_v4(in, &t, out, &o);
		if (!wrong)
			wrong = keeps_v4(in, &quote, out, &o_quote);
		if (!wrong && o_quote.check) {
			/* of the quote as much as there still is */
			uint32_t n = least(quote.covered, o_quote.covered);

			quote.covered = o_quote.covered = n;
			wrong = keeps(in, &quote, out, &o_quote, false);
		}
		if (!wrong && residue(out->data, &o) != (anew ? 0 : residue(in->data, &t)))
			wrong = "the error's checksum";
		return wrong;
	case OP_RESET:
		if (!expect_reset(&x, in, &t))
			return "answered a reset";
		anew = true;
		wrong = compare(&x, out, &o, NULL);
		if (!wrong && !o.v6 && residue_v4(out->data + o.ip))
			wrong = "the header's checksum";
		return wrong ? wrong : residue(out->data, &o) ? "the checksum is wrong" : NULL;
	case OP_OPTIONS:
		expect_options(&x, in, &t, q, &seen);
		if (seen.lowered != !!q->lowered || seen.stripped != !!q->stripped ||
		    seen.timestamps != !!q->has_timestamps || seen.mss != q->got_mss ||
		    (seen.timestamps && (seen.tsval != q->tsval || seen.tsecr != q->tsecr)))
			return "the options were misread";
		if (q->to.flags & IS_PARTIAL) /* it covers them still to be completed */
			return get16(in->data + t.check) != get16(out->data + o.check)
				       ? "a partial checksum was touched"
				       : compare(&x, out, &o, NULL);
		break;
	case OP_TOA:
		if (!expect_toa(&x, in, &t, q))
			return "there was no room";
		break;
	}
	wrong = compare(&x, out, &o, NULL);
	if (!wrong)
		wrong = keeps_v4(in, &t, out, &o);
	return wrong ? wrong : keeps(in, &t, out, &o, anew);
}

#endif

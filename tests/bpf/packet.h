/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets for the tests: made from a description, byte by byte and with checksums
 * computed the naive way, so that nothing here shares text with what is tested.
 * Also what a packet must look like once it has been sent on.
 */
#ifndef TESTS_PACKET_H
#define TESTS_PACKET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <tundish/addr.h>

#define PACKET_MAX 9400

enum { P_TCP = 6, P_UDP = 17, P_ICMP = 1, P_ICMP6 = 58, P_IPIP = 4, P_IPV6 = 41 };
enum { F_FIN = 1, F_SYN = 2, F_RST = 4, F_PSH = 8, F_ACK = 16, F_URG = 32 };

struct packet {
	uint32_t len;
	uint8_t data[PACKET_MAX];
};

/* All in host byte order but addresses; zero is a sensible default throughout. */
struct spec {
	uint32_t tags;
	uint16_t tag[3];
	uint16_t tag_type[3]; /* 0: 802.1Q */
	uint8_t dmac[6], smac[6];
	struct tundish_addr src, dst; /* the family is dst's */
	uint8_t tos, ttl;	      /* ttl 0: 64; the value 255 with no_ttl: 0 */
	bool no_ttl;
	uint16_t fragment; /* IPv4's field of flags and offset */
	uint32_t options;  /* bytes of IPv4 options, a multiple of 4 */
	uint8_t ext_first; /* IPv6 extension headers, as bytes; the last one's next header
			    * must be `protocol` */
	const uint8_t *ext;
	uint32_t ext_len;
	uint8_t protocol; /* 0: TCP */
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;	    /* 0: ACK; F_NONE: none */
	uint8_t doff;	    /* 0: 5 */
	uint8_t type, code; /* ICMP */
	uint32_t payload;   /* bytes behind the transport header */
	uint32_t padding;   /* bytes behind the packet */
};
#define F_NONE	  0x80
#define DOFF_ZERO 0x80

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static inline uint32_t get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline struct tundish_addr ip4(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	return tundish_addr_v4(TUNDISH_BE32(a << 24 | b << 16 | c << 8 | d));
}

/* 2001:db8::LAST */
static inline struct tundish_addr ip6(uint32_t last)
{
	return (struct tundish_addr){{TUNDISH_BE32(0x20010db8), 0, 0, TUNDISH_BE32(last)}};
}

/* RFC 1071, in words of 16 bits, most significant byte first. */
static inline uint32_t naive_add(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		sum += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* 0 where the range with its checksum in it is right. */
static inline uint32_t naive_error(uint32_t sum)
{
	return ~sum & 0xffff;
}

static inline uint32_t pseudo_sum(const uint8_t *ip, uint32_t protocol, uint32_t length)
{
	uint8_t tail[4] = {0, (uint8_t)protocol};
	uint32_t sum;

	put16(tail + 2, length);
	sum = ip[0] >> 4 == 6 ? naive_add(0, ip + 8, 32) : naive_add(0, ip + 12, 8);
	return naive_add(sum, tail, 4);
}

/* Sets the IPv4 header's checksum. */
static inline void fix_v4(uint8_t *ip)
{
	uint32_t length = (ip[0] & 15u) * 4;

	put16(ip + 10, 0);
	put16(ip + 10, naive_error(naive_add(0, ip, length)));
}

static inline void fix_icmp(uint8_t *ip, uint8_t *icmp, uint32_t length)
{
	uint32_t sum = ip[0] >> 4 == 6 ? pseudo_sum(ip, P_ICMP6, length) : 0;

	put16(icmp + 2, 0);
	put16(icmp + 2, naive_error(naive_add(sum, icmp, length)));
}

static inline bool spec_v6(const struct spec *s)
{
	return !tundish_addr_is_v4(&s->dst);
}

static inline uint32_t build_link(uint8_t *p, const struct spec *s, uint32_t type)
{
	static const uint8_t to[6] = {2, 0, 0, 0, 0, 1}, from[6] = {2, 0, 0, 0, 0, 2};
	static const uint8_t none[6];
	uint32_t at = 12;

	memcpy(p, memcmp(s->dmac, none, 6) ? s->dmac : to, 6);
	memcpy(p + 6, memcmp(s->smac, none, 6) ? s->smac : from, 6);
	for (uint32_t i = 0; i < s->tags; i++, at += 4) {
		put16(p + at, s->tag_type[i] ? s->tag_type[i] : 0x8100);
		put16(p + at + 2, s->tag[i]);
	}
	put16(p + at, type);
	return at + 2;
}

/* IP header for `length` bytes behind it (extension headers not among them). */
static inline uint32_t build_ip(uint8_t *ip, const struct spec *s, uint32_t protocol,
				uint32_t length)
{
	uint8_t ttl = s->no_ttl ? 0 : s->ttl ? s->ttl : 64;

	if (spec_v6(s)) {
		memset(ip, 0, 40);
		put32(ip, 6u << 28 | (uint32_t)s->tos << 20);
		put16(ip + 4, length + s->ext_len);
		ip[6] = s->ext_len ? s->ext_first : (uint8_t)protocol;
		ip[7] = ttl;
		memcpy(ip + 8, &s->src, 16);
		memcpy(ip + 24, &s->dst, 16);
		if (s->ext_len)
			memcpy(ip + 40, s->ext, s->ext_len);
		return 40 + s->ext_len;
	}
	memset(ip, 0, 20);
	ip[0] = (uint8_t)(0x45 + s->options / 4);
	ip[1] = s->tos;
	put16(ip + 2, 20 + s->options + length);
	put16(ip + 4, 0x1234);
	put16(ip + 6, s->fragment);
	ip[8] = ttl;
	ip[9] = (uint8_t)protocol;
	memcpy(ip + 12, &s->src.word[3], 4);
	memcpy(ip + 16, &s->dst.word[3], 4);
	memset(ip + 20, 1, s->options); /* no operation */
	fix_v4(ip);
	return 20 + s->options;
}

static inline void fill(uint8_t *p, uint32_t n, uint32_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed + i * 7);
}

/* Header and payload behind the IP header; returns their length. */
static inline uint32_t build_transport(uint8_t *p, const struct spec *s)
{
	uint32_t doff = s->doff == DOFF_ZERO ? 0 : s->doff ? s->doff : 5, header;

	switch (s->protocol) {
	case 0:
	case P_TCP:
		header = doff * 4 > 20 ? doff * 4 : 20;
		memset(p, 1, header);
		put16(p, s->sport);
		put16(p + 2, s->dport);
		put32(p + 4, s->seq);
		put32(p + 8, s->ack);
		p[12] = (uint8_t)(doff << 4);
		p[13] = s->flags == F_NONE ? 0 : s->flags ? s->flags : F_ACK;
		put16(p + 14, 65535);
		put32(p + 16, 0);
		break;
	case P_ICMP:
	case P_ICMP6:
		header = 8;
		p[0] = s->type;
		p[1] = s->code;
		put16(p + 2, 0);
		put16(p + 4, s->sport); /* identifier */
		put16(p + 6, s->dport); /* sequence */
		break;
	default:
		header = 8;
		put16(p, s->sport);
		put16(p + 2, s->dport);
		put16(p + 4, 8 + s->payload);
		put16(p + 6, 0);
	}
	fill(p + header, s->payload, 0x41);
	return header + s->payload;
}

/* A whole frame. */
static inline struct packet *build(struct packet *p, const struct spec *s)
{
	uint32_t protocol = s->protocol ? s->protocol : P_TCP, at, length, ip;
	uint8_t body[PACKET_MAX];

	length = build_transport(body, s);
	ip = build_link(p->data, s, spec_v6(s) ? 0x86dd : 0x0800);
	at = ip + build_ip(p->data + ip, s, protocol, length);
	memcpy(p->data + at, body, length);
	if (protocol == P_TCP) {
		uint32_t sum = pseudo_sum(p->data + ip, P_TCP, length);

		put16(p->data + at + 16, naive_error(naive_add(sum, p->data + at, length)));
	} else if (protocol == P_ICMP || protocol == P_ICMP6) {
		fix_icmp(p->data + ip, p->data + at, length);
	}
	memset(p->data + at + length, 0xee, s->padding);
	p->len = at + length + s->padding;
	return p;
}

/* Where the network header of a frame begins. */
static inline uint32_t network_at(const struct packet *p)
{
	uint32_t at = 12;

	while (at + 4 <= p->len && (get16(p->data + at) == 0x8100 || get16(p->data + at) == 0x88a8))
		at += 4;
	return at + 2;
}

/* The frame's network packet in a tunnel; outer->protocol is not used. */
static inline struct packet *wrap(struct packet *p, const struct spec *outer,
				  const struct packet *inner)
{
	uint32_t from = network_at(inner), length = inner->len - from, at;

	at = build_link(p->data, outer, spec_v6(outer) ? 0x86dd : 0x0800);
	at += build_ip(p->data + at, outer, inner->data[from] >> 4 == 6 ? P_IPV6 : P_IPIP, length);
	memcpy(p->data + at, inner->data + from, length);
	p->len = at + length;
	return p;
}

/* An ICMP error about `quoted`, whose first `quote` bytes it carries; s says where from
 * and where to, type and code. sport/dport are the two 16-bit words of the header. */
static inline struct packet *build_error(struct packet *p, const struct spec *s,
					 const struct packet *quoted, uint32_t quote)
{
	uint32_t from = network_at(quoted), ip, at;

	ip = build_link(p->data, s, spec_v6(s) ? 0x86dd : 0x0800);
	if (quote > quoted->len - from)
		quote = quoted->len - from;
	at = ip + build_ip(p->data + ip, s, spec_v6(s) ? P_ICMP6 : P_ICMP, 8 + quote);
	p->data[at] = s->type;
	p->data[at + 1] = s->code;
	put16(p->data + at + 4, s->sport);
	put16(p->data + at + 6, s->dport);
	memcpy(p->data + at + 8, quoted->data + from, quote);
	fix_icmp(p->data + ip, p->data + at, 8 + quote);
	p->len = at + 8 + quote;
	return p;
}

/* ---- what comes out ------------------------------------------------------------- */

struct way_out {
	uint8_t dmac[6], smac[6];
	uint16_t tag;				    /* 0: none */
	struct tundish_addr tunnel_from, tunnel_to; /* tunnel_to all zero: no tunnel */
	uint16_t gue_port, gue_source;		    /* UDP ports; 0: IP in IP */
};

/* UDP and GUE in front of `length` bytes of the inner packet. Returns their length. */
static inline uint32_t build_gue(uint8_t *p, uint32_t source, uint32_t port, uint32_t protocol,
				 uint32_t length)
{
	put16(p, source);
	put16(p + 2, port);
	put16(p + 4, 12 + length);
	put16(p + 6, 0);
	put32(p + 8, protocol << 16);
	return 12;
}

/* The frame as it leaves: new link header, tags gone, one hop less, in a tunnel or not. */
static inline struct packet *sent(struct packet *out, const struct packet *in,
				  const struct way_out *w)
{
	static const struct tundish_addr none;
	struct spec link = {.tags = w->tag ? 1 : 0,
			    .tag = {w->tag},
			    .src = w->tunnel_from,
			    .dst = w->tunnel_to};
	uint32_t from = network_at(in), at, v6 = in->data[from] >> 4 == 6;
	uint32_t length = v6 ? 40 + get16(in->data + from + 4) : get16(in->data + from + 2);
	uint8_t *ip;

	memcpy(link.dmac, w->dmac, 6);
	memcpy(link.smac, w->smac, 6);
	if (tundish_addr_equal(&w->tunnel_to, &none)) {
		at = build_link(out->data, &link, v6 ? 0x86dd : 0x0800);
	} else {
		uint8_t tos = v6 ? (uint8_t)(get16(in->data + from) >> 4) : in->data[from + 1];

		link.tos = tos;
		link.fragment = 0x4000;
		at = build_link(out->data, &link, spec_v6(&link) ? 0x86dd : 0x0800);
		ip = out->data + at;
		at += build_ip(ip, &link,
			       w->gue_port ? P_UDP
			       : v6	   ? P_IPV6
					   : P_IPIP,
			       length + (w->gue_port ? 12 : 0));
		if (!spec_v6(&link)) {
			put16(ip + 4, 0); /* identification */
			fix_v4(ip);
		}
		if (w->gue_port)
			at += build_gue(out->data + at, w->gue_source, w->gue_port,
					v6 ? P_IPV6 : P_IPIP, length);
	}
	ip = out->data + at;
	memcpy(ip, in->data + from, in->len - from);
	if (v6) {
		ip[7]--;
	} else {
		ip[8]--;
		fix_v4(ip);
	}
	out->len = at + in->len - from;
	return out;
}

/* The answer to a packet that is too big for the path. */
static inline struct packet *too_big(struct packet *out, const struct packet *in, uint32_t mtu)
{
	uint32_t from = network_at(in), v6 = in->data[from] >> 4 == 6, quote = v6 ? 128 : 68,
		 at = from;
	uint8_t *ip = out->data + from, *icmp;
	const uint8_t *was = in->data + from;

	memcpy(out->data, in->data, from);
	memcpy(out->data, in->data + 6, 6);
	memcpy(out->data + 6, in->data, 6);
	if (v6) {
		memset(ip, 0, 40);
		ip[0] = 0x60;
		put16(ip + 4, 8 + quote);
		ip[6] = P_ICMP6;
		ip[7] = 64;
		memcpy(ip + 8, was + 24, 16);
		memcpy(ip + 24, was + 8, 16);
		at += 40;
	} else {
		memset(ip, 0, 20);
		ip[0] = 0x45;
		put16(ip + 2, 28 + quote);
		ip[8] = 64;
		ip[9] = P_ICMP;
		memcpy(ip + 12, was + 16, 4);
		memcpy(ip + 16, was + 12, 4);
		fix_v4(ip);
		at += 20;
	}
	icmp = out->data + at;
	memset(icmp, 0, 8);
	icmp[0] = v6 ? 2 : 3;
	icmp[1] = v6 ? 0 : 4;
	put32(icmp + 4, mtu);
	memcpy(icmp + 8, was, quote);
	fix_icmp(ip, icmp, 8 + quote);
	out->len = at + 8 + quote;
	return out;
}

/* The answer to a ping. */
static inline struct packet *pong(struct packet *out, const struct packet *in)
{
	uint32_t from = network_at(in), v6 = in->data[from] >> 4 == 6, n = v6 ? 16 : 4, length,
		 header;
	uint8_t *ip = out->data + from;
	const uint8_t *was = in->data + from;

	*out = *in;
	memcpy(out->data, in->data + 6, 6);
	memcpy(out->data + 6, in->data, 6);
	memcpy(ip + (v6 ? 8 : 12), was + (v6 ? 24 : 16), n);
	memcpy(ip + (v6 ? 24 : 16), was + (v6 ? 8 : 12), n);
	ip[v6 ? 7 : 8] = 64;
	header = v6 ? 40 : (ip[0] & 15u) * 4;
	length = v6 ? get16(ip + 4) : get16(ip + 2) - header;
	if (!v6)
		fix_v4(ip);
	ip[header] = v6 ? 129 : 0;
	fix_icmp(ip, ip + header, length);
	if (!get16(ip + header + 2)) /* as right, and the only right one where all else is zero */
		put16(ip + header + 2, 0xffff);
	return out;
}

/* The frame with its outer IP header gone: what the host's stack gets. */
static inline struct packet *unwrapped(struct packet *out, const struct packet *in,
				       uint32_t outer_length)
{
	uint32_t from = network_at(in), inner = from + outer_length;

	memcpy(out->data, in->data, from);
	put16(out->data + from - 2, in->data[inner] >> 4 == 6 ? 0x86dd : 0x0800);
	memcpy(out->data + from, in->data + inner, in->len - inner);
	out->len = in->len - outer_length;
	return out;
}

static inline void packet_print(const char *what, const struct packet *p)
{
	fprintf(stderr, "%s (%u bytes):", what, p->len);
	for (uint32_t i = 0; i < p->len && i < 160; i++)
		fprintf(stderr, "%s%02x", i % 16 ? " " : "\n  ", p->data[i]);
	fputc('\n', stderr);
}

#endif

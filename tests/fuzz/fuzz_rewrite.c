// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rewriting of packets under a fuzzer: an input is a question and a packet, a raw one
 * or a good one with changes. What leaves is what tests/bpf/rewrite_oracle.h puts
 * together: well formed, each checksum right where it was right, and as wrong where it
 * was wrong. And back again, with the ends of before, it is the packet that came, but
 * for what the other family has no place for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "native/rig_rewrite.h"

#include "bpf/cases_rewrite.h"
#include "fuzz/input.h"

static void raw_packet(struct input *in, struct packet *p)
{
	p->len = 14 + in->left < 1600 ? 14 + (uint32_t)in->left : 1600;
	memset(p->data, 0, 14);
	put16(p->data + 12, in->left && in->data[0] >> 4 == 6 ? 0x86dd : 0x0800);
	memcpy(p->data + 14, in->data, p->len - 14);
	in->left = 0;
}

/* A good one, and what it quotes where it is an error. */
static void good_packet(struct input *in, struct packet *p, uint32_t op)
{
	static struct packet inner;
	uint32_t x = byte_of(in), transport = x % TRANSPORTS;
	bool v6 = x & 4;
	struct spec s = spec_of(v6, protocol_of(transport));

	s.src.word[3] ^= byte_of(in) << 16;
	s.sport = (uint16_t)word_of(in);
	s.tos = (uint8_t)byte_of(in);
	s.ttl = (uint8_t)byte_of(in);
	s.payload = word_of(in) % 1500;
	s.flags = protocol_of(transport) == P_TCP ? (uint8_t)byte_of(in) : 0;
	s.tags = x >> 3 & 1;
	s.options = v6 ? 0 : (x >> 4 & 3) * 4;
	s.padding = x >> 6;
	if (transport == TRANSPORT_TCP) {
		struct option_bytes o = {.length = (uint8_t)(byte_of(in) % 11 * 4)};

		for (uint32_t i = 0; i < o.length; i++)
			o.byte[i] = (uint8_t)byte_of(in);
		build_options(p, &s, &o);
	} else {
		build_for(p, &s, transport);
	}
	if (op == OP_ICMP) {
		struct spec e = spec_of(v6, v6 ? P_ICMP6 : P_ICMP);

		inner = *p;
		e.type = (uint8_t)(v6 ? 1 + byte_of(in) % 4 : 3 + byte_of(in) % 10);
		e.code = (uint8_t)(byte_of(in) % 17);
		e.sport = (uint16_t)word_of(in);
		e.dport = (uint16_t)word_of(in);
		e.options = v6 ? 0 : s.options;
		build_error(p, &e, &inner, word_of(in) % 1400);
	}
}

/* There and back: equal but for what is named. */
static void inverse(const struct packet *p, const struct question *q, const struct packet *out)
{
	static struct packet back;
	struct parts t, o;
	struct question r = {.op = OP_REWRITE};
	uint32_t at;

	if (q->op != OP_REWRITE || (q->to.flags & TAKE_HOP) ||
	    !parts_at(p->data, network_at(p), p->len, &t) || !t.check)
		return;
	/* to IPv6 it gets a checksum, or is refused where none can be */
	if (t.protocol == P_UDP && to_other(&t, &q->to) && !get16(p->data + t.check))
		return;
	r.to.flags = q->to.flags;
	at = t.ip;
	if (t.v6) {
		memcpy(&r.to.source, p->data + at + 8, 16);
		memcpy(&r.to.destination, p->data + at + 24, 16);
	} else {
		memcpy(&at, p->data + t.ip + 12, 4);
		r.to.source = tundish_addr_v4(at);
		memcpy(&at, p->data + t.ip + 16, 4);
		r.to.destination = tundish_addr_v4(at);
	}
	memcpy(&r.to.source_port, p->data + t.l4, 2);
	memcpy(&r.to.destination_port, p->data + t.l4 + 2, 2);
	rewrite_run(out, &back, 0, &r);
	if (r.result)
		fail_msg("no way back");
	if (!parts_at(back.data, network_at(&back), back.len, &o) || o.said != t.said ||
	    o.v6 != t.v6 || o.tos != t.tos || o.ttl != t.ttl)
		fail_msg("came back as another packet");
	/* zero and 0xffff say the same; a UDP packet may have a checksum now */
	if (get16(p->data + t.check) % 0xffff == 0)
		memcpy(back.data + o.check, p->data + t.check, 2);
	if (memcmp(back.data + o.l4, p->data + t.l4, back.len - o.l4))
		fail_msg("came back with another segment");
	if (!to_other(&t, &q->to)) {
		if (!t.v6 && get16(p->data + t.ip + 10) % 0xffff == 0)
			memcpy(back.data + t.ip + 10, p->data + t.ip + 10, 2);
		if (back.len != p->len || memcmp(back.data, p->data, p->len))
			fail_msg("did not come back as it was");
	}
}

static void judged(const struct packet *p, struct question *q)
{
	static struct packet out;
	const char *wrong;
	int action = rewrite_run(p, &out, 0, q);

	if (action == XDP_PASS || q->result < 0) {
		if (action == XDP_PASS && (out.len != p->len || memcmp(out.data, p->data, p->len)))
			fail_msg("changed and passed");
		return;
	}
	if (action != XDP_TX)
		fail_msg("verdict %d", action);
	wrong = judge(p, q, &out);
	if (wrong)
		fail_msg("operation %u: %s", q->op, wrong);
	inverse(p, q, &out);
}

static void rewrite_case(const char *name, const struct packet *in, struct question *q, int want)
{
	judged(in, q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool open;
	struct input in = {data, size};
	static struct packet p;
	struct question q = {.op = 0};
	struct parts t;
	uint32_t x;

	if (!open) {
		if (rig_open(4, 2) < 0)
			abort();
		open = true;
		all_rewrite_cases();
	}
	x = byte_of(&in);
	q.op = (uint16_t)(x % OP_TURNS);
	x = byte_of(&in);
	q.to = ends_to(x & 1);
	q.to.source.word[3] ^= byte_of(&in) << 24;
	q.to.source_port = (uint16_t)word_of(&in);
	q.to.flags = x >> 1 & (TAKE_HOP | IS_PARTIAL);
	q.quoted = ends_to(x & 1);
	q.quoted.flags = 0;
	q.quoted.destination_port = (uint16_t)word_of(&in);
	q.client = x & 8 ? ip4(203, 0, 113, 9) : ip6(word_of(&in));
	q.client_port = (uint16_t)word_of(&in);
	q.mss = (uint16_t)word_of(&in);
	q.mtu = x & 16 ? 1500 : (uint16_t)word_of(&in);
	if (x & 128) {
		raw_packet(&in, &p);
	} else {
		good_packet(&in, &p, q.op);
		if (q.to.flags & IS_PARTIAL && q.op != OP_ICMP)
			make_partial(&p);
		if (x & 64)
			change(&in, &p);
	}
	/* whoever asks for it has seen that a hop is left */
	if (!parts_at(p.data, network_at(&p), p.len, &t) || t.ttl <= 1)
		q.to.flags &= (uint16_t)~TAKE_HOP;
	judged(&p, &q);
	return 0;
}

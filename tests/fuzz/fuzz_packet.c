// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data path under a fuzzer: an input is a small program of packets, raw ones, good
 * ones with changes, segments of a few connections, and of what happens meanwhile: time
 * passes, slots change hands, a backend is disabled. Each packet is judged on its way
 * out, the tables in the end (tests/bpf/invariants.h).
 */
#include "native/rig_native.h"

#include "bpf/cases_fragment.h"
#include "bpf/cases_trace.h"
#include "fuzz/input.h"

static void raw_packet(struct input *in, struct packet *p)
{
	p->len = word_of(in) % 1600;
	memset(p->data, 0, p->len);
	memcpy(p->data, in->data, p->len < in->left ? p->len : in->left);
	in->data += p->len < in->left ? p->len : in->left;
	in->left -= p->len < in->left ? p->len : in->left;
}

static void changed_packet(struct input *in, struct packet *p)
{
	sample(byte_of(in) % SAMPLES, p);
	change(in, p);
}

static void segment_packet(struct input *in, struct packet *p)
{
	static const uint8_t flags[] = {F_SYN, F_ACK, F_FIN | F_ACK, F_RST};
	uint32_t x = byte_of(in);
	struct conn c = conn_of(x & 1, x >> 1 & 31);

	x = byte_of(in);
	c.s.flags = flags[x & 3];
	c.s.seq = (x >> 2 & 7) * 1000 + (x >> 5 & 1);
	c.s.src.word[3] += (x >> 6) << 24;
	if (!(x >> 2 & 7)) {
		c.s.protocol = P_UDP;
		c.s.dport = port_of(x >> 5 & 1 ? K_UDP_BARE : K_UDP);
	}
	build(p, &c.s);
}

/* QUIC, whose connection ids may name a backend. */
static void quic_packet(struct input *in, struct packet *p)
{
	uint32_t x = byte_of(in), at, n;
	struct conn c = conn_of(x & 1, x >> 1 & 7);

	c.s.protocol = P_UDP;
	c.s.dport = port_of(x & 16 ? K_QUIC_BARE : K_QUIC);
	c.s.payload = x >> 5 & 1 ? 30 : byte_of(in) % 30;
	build(p, &c.s);
	at = p->len - c.s.payload;
	n = byte_of(in) % 8;
	for (uint32_t i = 0; i < n && at + i < p->len; i++)
		p->data[at + i] = (uint8_t)byte_of(in);
	x = byte_of(in);
	if (x & 1 && c.s.payload > 10)
		memcpy(p->data + at + (x & 2 ? 1 : 6), (uint8_t[]){0x40, 0x0a, x >> 6 & 3}, 3);
}

/* One of a few packets in fragments. */
static void fragment_packet(struct input *in, struct packet *p)
{
	static const enum kind kinds[] = {K_UDP, K_UDP_BARE, K_QUIC, K_POOL, K_GUE6, K_WORKERS};
	uint32_t x = byte_of(in), y = byte_of(in);
	struct spec s = data_of(x & 1, port_of(kinds[(x >> 1 & 7) % 6]));

	if (!(x & 16))
		s.protocol = P_UDP;
	fragment_of(p, s, x >> 5, y >> 1 & 3 ? 0 : y >> 3, y & 1, 24 + byte_of(in));
}

/* All but the slots that no flow belongs to, which are too many for each input: a count
 * that was left behind there is found by one of the next. */
static void check_most(void)
{
	const char *wrong = flows_wrong();
	struct seen_flow f, g;

	if (!wrong)
		wrong = tuples_wrong();
	for (uint32_t i = 0; i < flow_entries(); i++) {
		uint32_t slot, service, n = 0;

		if (!flow_at(i, &f))
			continue;
		service = rig.backends[f.v.live.backend].service;
		slot = tundish_choice_slot(
			tundish_choice_hash(&f.client, f.client_port_be, f.port_be));
		for (uint32_t j = 0; j < flow_entries(); j++)
			n += flow_at(j, &g) && tundish_flow_half_open(g.v) &&
			     rig.backends[g.v.live.backend].service == service &&
			     tundish_choice_slot(tundish_choice_hash(&g.client, g.client_port_be,
								     g.port_be)) == slot;
		if (pending_of(service, slot) != n)
			wrong = "a slot's half-open count is not its half-open flows";
	}
	if (wrong)
		fail_msg("%s", wrong);
}

/* As world_reset(), of what can have changed: the slots' counts are right, or the last
 * input would have ended the run. */
static void forget_all(void)
{
	struct seen_flow f;

	for (uint32_t i = 0; i < flow_entries(); i++)
		if (flow_at(i, &f))
			*slot_word(rig.backends[f.v.live.backend].service,
				   tundish_choice_slot(tundish_choice_hash(
					   &f.client, f.client_port_be, f.port_be))) &=
				TUNDISH_SLOT_PENDING_ONE - 1;
	memset(rig.flows, 0, sizeof(*rig.flows) * rig.flow_buckets);
	memset(rig.flows6, 0, sizeof(*rig.flows6) * rig.flow_buckets);
	memset(rig.tuples, 0, sizeof(*rig.tuples) * rig.tuple_buckets);
	for (uint32_t k = K_DSR; k < K_MAX; k++) {
		rig.backends[k].connections_active = rig.backends[k].connections_total = 0;
		rig.backends[k].state = TUNDISH_BACKEND_UP;
		rig_set_traffic(k, (struct tundish_traffic){0});
	}
	rig_forget_fragments();
	rig_now_ns = 1000000ull << TUNDISH_TICK_SHIFT;
	rig_place = RIG_AT_END;
	rig_fib_result = BPF_FIB_LKUP_RET_NO_NEIGH;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool given, open;
	static uint32_t runs;
	struct input in = {data, size};
	static struct packet p;

	if (!open) {
		if (world_open(4, 2) < 0)
			abort();
		open = true;
	}
	if (byte_of(&in) & 1)
		rig_place = RIG_AT_START;
	for (int i = 0; in.left && i < 200; i++) {
		uint32_t op = byte_of(&in);

		switch (op % 16) {
		case 0: rig_now_ns += (uint64_t)word_of(&in) << (TUNDISH_TICK_SHIFT - 8); continue;
		case 1:
			give_slots(op & 16 ? K_OTHER : K_POOL, true);
			given = true;
			continue;
		case 2: rig.backends[K_OTHER].state = (uint8_t)(1 + op / 16 % 5); continue;
		case 3:
			rig_fib_result = op & 16 ? 0 : BPF_FIB_LKUP_RET_NO_NEIGH;
			rig_fib.ifindex = op & 32 ? RIG_INGRESS : 9;
			rig_fib.mtu_result = (uint16_t)word_of(&in);
			continue;
		case 4:
		case 5: raw_packet(&in, &p); break;
		case 6:
		case 7:
		case 8:
		case 9: changed_packet(&in, &p); break;
		case 10: quic_packet(&in, &p); break;
		case 11: fragment_packet(&in, &p); break;
		default: segment_packet(&in, &p);
		}
		check_any("fuzzed", &p, NULL);
	}
	if (++runs % 64)
		check_most();
	else
		check_tables("fuzzed");
	if (given) {
		give_slots(K_POOL, false);
		given = false;
	}
	forget_all();
	return 0;
}

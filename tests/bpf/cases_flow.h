/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of a flow through the whole data path: what each segment does to its entry,
 * to its tuple, to its backend's counts and to its slot; and where it goes when the
 * pool changes. Each case in both families.
 */
#ifndef TESTS_CASES_FLOW_H
#define TESTS_CASES_FLOW_H

#include "bpf/cases_tunnel.h"
#include "bpf/invariants.h"

#define ISN  0xfffffff0u /* successors wrap */
#define ISN2 0x00abcdefu

struct conn {
	struct spec s;
	int v6;
};

static inline struct conn conn_of(int v6, uint32_t number)
{
	struct conn c = {.s = data_of(v6, port_of(K_POOL)), .v6 = v6};

	c.s.sport = (uint16_t)(20000 + number);
	c.s.payload = 0;
	return c;
}

/* One segment; returns the backend that got it. */
static inline uint32_t segment_of(struct conn *c, uint8_t flags, uint32_t seq, counter_set moved,
				  const char *name)
{
	struct tundish_counters before, after;
	struct packet in, out;
	int r;

	c->s.flags = flags;
	c->s.seq = seq;
	rig_counters(&before);
	r = rig_run(build(&in, &c->s), &out);
	rig_counters(&after);
	if (r != XDP_TX)
		fail_msg("%s: %s", name, action_name(r));
	check_counters(name, &before, moved | C(sent_dsr));
	return out.data[5];
}

/* All that there is about one connection. */
struct facts {
	uint32_t state; /* 0: no entry */
	uint32_t pending, tuple_active, tuple_total, active, total;
};

static inline bool flow_find(const struct conn *c, struct seen_flow *ret, uint32_t *ret_at)
{
	struct seen_flow want = {c->s.src, TUNDISH_BE16(c->s.sport), TUNDISH_BE16(c->s.dport), {0}};

	want.v.live.vip = c->v6 ? ID_VIP6 : ID_VIP4;
	want.v.live.udp = c->s.protocol == P_UDP;
	for (uint32_t i = 0; i < flow_entries(); i++) {
		if (flow_at(i, ret) && flow_same(ret, &want)) {
			if (ret_at)
				*ret_at = i;
			return true;
		}
	}
	return false;
}

static inline union tundish_flow_value *flow_word(uint32_t i)
{
	uint32_t half = rig.flow_buckets * TUNDISH_BUCKET_ENTRIES;

	return i < half ? &rig.flows[i / 4].entry[i % 4].value
			: &rig.flows6[(i - half) / 4].entry[(i - half) % 4].value;
}

static inline struct facts facts_of(const struct conn *c, uint32_t backend)
{
	bool udp = c->s.protocol == P_UDP;
	struct facts f = {.pending = pending_of(udp ? K_UDP : K_POOL, slot_of(&c->s))};
	struct seen_flow s;

	if (flow_find(c, &s, NULL))
		f.state = (uint32_t)s.v.live.state;
	for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++) {
		struct tundish_tuple *t = tuple_at(i);

		if (t->value.raw && tundish_addr_equal(&t->client, &c->s.src) &&
		    t->vip == ((c->v6 ? ID_VIP6 : ID_VIP4) | (udp ? TUNDISH_TUPLE_UDP : 0)) &&
		    t->port_be == TUNDISH_BE16(c->s.dport)) {
			f.tuple_active += (uint32_t)t->value.active;
			f.tuple_total += (uint32_t)t->value.total;
		}
	}
	f.active = (uint32_t)rig.backends[backend].connections_active;
	f.total = (uint32_t)rig.backends[backend].connections_total;
	return f;
}

/* A script of segments; after each: counters, state, counts, invariants. */
struct step {
	const char *name;
	uint8_t flags;
	uint32_t seq;
	counter_set moved;
	uint32_t state, pending, active, total; /* tuple and backend count the same */
};

#define ASKED C(flow_lookup)
enum {
	SYN_ = TUNDISH_FLOW_SYN,
	EST = TUNDISH_FLOW_ESTABLISHED,
	REO = TUNDISH_FLOW_REOPEN,
	CLO = TUNDISH_FLOW_CLOSING
};

static inline void play(const struct step *steps, size_t n)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = conn_of(v6, 1);

		world_reset();
		for (size_t i = 0; i < n; i++) {
			const struct step *s = &steps[i];
			struct facts f;

			assert_int_equal(segment_of(&c, s->flags, s->seq, s->moved, s->name),
					 K_POOL);
			f = facts_of(&c, K_POOL);
			if (f.state != s->state || f.pending != s->pending ||
			    f.tuple_active != s->active || f.tuple_total != s->total ||
			    f.active != s->active || f.total != s->total)
				fail_msg(
					"v%d step %zu, %s: state %u, pending %u, tuple %u/%u, backend %u/%u",
					v6 ? 6 : 4, i, s->name, f.state, f.pending, f.tuple_active,
					f.tuple_total, f.active, f.total);
			check_tables(s->name);
		}
	}
	world_reset();
}
#define PLAY(steps) play(steps, sizeof(steps) / sizeof((steps)[0]))

static inline void case_life(void **state)
{
	static const struct step steps[] = {
		{"data of nobody", F_ACK, ISN + 9, 0, 0, 0, 0, 0},
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"SYN again", F_SYN, ISN, ASKED, SYN_, 1, 0, 0},
		{"SYN with ECN", F_SYN, ISN, ASKED, SYN_, 1, 0, 0},
		{"ACK too high", F_ACK, ISN + 2, ASKED, SYN_, 1, 0, 0},
		{"ACK too low", F_ACK, ISN, ASKED, SYN_, 1, 0, 0},
		{"ACK far off", F_ACK, ISN + 0x10000, ASKED, SYN_, 1, 0, 0},
		{"FIN that does not fit", F_FIN | F_ACK, ISN + 5, ASKED, SYN_, 1, 0, 0},
		{"ACK", F_ACK, ISN + 1, ASKED | C(flow_established), EST, 0, 1, 1},
		{"ACK again", F_ACK, ISN + 1, 0, EST, 0, 1, 1},
		{"data", F_ACK | F_PSH, ISN + 1, 0, EST, 0, 1, 1},
		{"late SYN", F_SYN, ISN, ASKED, EST, 0, 1, 1},
		{"data", F_ACK, ISN + 100, 0, EST, 0, 1, 1},
		{"FIN", F_FIN | F_ACK, ISN + 100, ASKED | C(flow_closed), CLO, 0, 0, 1},
		{"FIN again", F_FIN | F_ACK, ISN + 100, ASKED, CLO, 0, 0, 1},
		{"last ACK", F_ACK, ISN + 101, 0, CLO, 0, 0, 1},
		{"RST behind FIN", F_RST, ISN + 101, ASKED, CLO, 0, 0, 1},
		{"port used again", F_SYN, ISN2, ASKED, SYN_, 1, 0, 1},
		{"again", F_SYN, ISN2, ASKED, SYN_, 1, 0, 1},
		{"ACK", F_ACK, ISN2 + 1, ASKED | C(flow_established), EST, 0, 1, 2},
		{"RST", F_RST | F_ACK, ISN2 + 1, ASKED | C(flow_closed), CLO, 0, 0, 2},
		{"RST again", F_RST | F_ACK, ISN2 + 1, ASKED, CLO, 0, 0, 2},
	};

	PLAY(steps);
}

static inline void case_short_lives(void **state)
{
	static const struct step opened_and_closed[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"ACK and FIN in one", F_ACK | F_FIN, ISN + 1,
		 ASKED | C(flow_established) | C(flow_closed), CLO, 0, 0, 1},
		{"FIN again", F_ACK | F_FIN, ISN + 1, ASKED, CLO, 0, 0, 1},
	};
	static const struct step given_up[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"RST", F_RST, ISN + 1, ASKED, 0, 0, 0, 0},
		{"RST again", F_RST, ISN + 1, ASKED, 0, 0, 0, 0},
		{"SYN", F_SYN, ISN2, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"RST with ACK", F_RST | F_ACK, ISN2 + 1, ASKED, 0, 0, 0, 0},
		{"FIN", F_FIN | F_ACK, ISN2 + 1, ASKED, 0, 0, 0, 0},
	};
	static const struct step another_isn[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"SYN, other ISN", F_SYN, ISN2, ASKED, SYN_, 1, 0, 0},
		{"ACK to the first", F_ACK, ISN + 1, ASKED, SYN_, 1, 0, 0},
		{"ACK to the second", F_ACK, ISN2 + 1, ASKED | C(flow_established), EST, 0, 1, 1},
	};
	static const struct step data_first[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"second segment first", F_ACK, ISN + 1461, ASKED, SYN_, 1, 0, 0},
		{"first data without an ACK before", F_ACK | F_PSH, ISN + 1,
		 ASKED | C(flow_established), EST, 0, 1, 1},
	};
	static const struct step no_syn[] = {
		{"FIN of nobody", F_FIN | F_ACK, ISN, ASKED, 0, 0, 0, 0},
		{"RST of nobody", F_RST, ISN, ASKED, 0, 0, 0, 0},
		{"SYN and ACK of nobody", F_SYN | F_ACK, ISN, 0, 0, 0, 0, 0},
	};

	PLAY(opened_and_closed);
	PLAY(given_up);
	PLAY(another_isn);
	PLAY(data_first);
	PLAY(no_syn);
}

static inline void case_reopen(void **state)
{
	static const struct step taken[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"ACK", F_ACK, ISN + 1, ASKED | C(flow_established), EST, 0, 1, 1},
		{"SYN with a new ISN", F_SYN, ISN2, ASKED, REO, 1, 1, 1},
		{"again", F_SYN, ISN2, ASKED, REO, 1, 1, 1},
		{"yet another ISN", F_SYN, ISN2 + 7, ASKED, REO, 1, 1, 1},
		{"ACK that fits", F_ACK, ISN2 + 8, ASKED | C(flow_established), EST, 0, 1, 2},
		{"FIN", F_FIN | F_ACK, ISN2 + 8, ASKED | C(flow_closed), CLO, 0, 0, 2},
	};
	static const struct step spoofed[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"ACK", F_ACK, ISN + 1, ASKED | C(flow_established), EST, 0, 1, 1},
		{"SYN with a new ISN", F_SYN, ISN2, ASKED, REO, 1, 1, 1},
		{"the old one goes on", F_ACK, ISN + 500, ASKED, EST, 0, 1, 1},
		{"and another", F_SYN, ISN2 + 1000, ASKED, REO, 1, 1, 1},
		{"it ends", F_FIN | F_ACK, ISN + 500, ASKED | C(flow_closed), CLO, 0, 0, 1},
	};
	static const struct step reset[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"ACK", F_ACK, ISN + 1, ASKED | C(flow_established), EST, 0, 1, 1},
		{"SYN with a new ISN", F_SYN, ISN2, ASKED, REO, 1, 1, 1},
		{"challenge answered by RST", F_RST, ISN + 1, ASKED | C(flow_closed), CLO, 0, 0, 1},
		{"SYN again", F_SYN, ISN2, ASKED, SYN_, 1, 0, 1},
		{"ACK and FIN in one", F_ACK | F_FIN, ISN2 + 1,
		 ASKED | C(flow_established) | C(flow_closed), CLO, 0, 0, 2},
	};
	static const struct step reopened_and_closed[] = {
		{"SYN", F_SYN, ISN, ASKED | C(flow_new), SYN_, 1, 0, 0},
		{"ACK", F_ACK, ISN + 1, ASKED | C(flow_established), EST, 0, 1, 1},
		{"SYN with a new ISN", F_SYN, ISN2, ASKED, REO, 1, 1, 1},
		{"ACK and FIN in one", F_ACK | F_FIN, ISN2 + 1,
		 ASKED | C(flow_established) | C(flow_closed), CLO, 0, 0, 2},
	};

	PLAY(taken);
	PLAY(spoofed);
	PLAY(reset);
	PLAY(reopened_and_closed);
}

static inline void opened(struct conn *c)
{
	segment_of(c, F_SYN, ISN, ASKED | C(flow_new), "open");
	segment_of(c, F_ACK, ISN + 1, ASKED | C(flow_established), "open");
}

/* Gives all slots of a service to another backend, as the daemon does. */
static inline void give_slots_of(enum kind service, uint32_t backend, bool ask)
{
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++) {
		uint32_t *w = slot_word(service, i);

		*w = (*w & ~(TUNDISH_SLOT_BACKEND | TUNDISH_SLOT_ASK)) | backend |
		     (ask ? TUNDISH_SLOT_ASK : 0);
	}
}

static inline void give_slots(uint32_t backend, bool ask)
{
	give_slots_of(K_POOL, backend, ask);
}

static inline void case_owner_changes(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn old = conn_of(v6, 1), half = conn_of(v6, 2), fresh = conn_of(v6, 3),
			    none = conn_of(v6, 4), closed = conn_of(v6, 5);
		struct spec l = lost_of(v6, port_of(K_POOL)),
			    e = error_of(v6, v6 ? 2 : 3, v6 ? 0 : 4);
		struct packet in, lost, want;
		struct way_out w = way_of(K_POOL);

		world_reset();
		opened(&old);
		opened(&closed);
		segment_of(&closed, F_FIN | F_ACK, ISN + 1, ASKED | C(flow_closed), "close");
		segment_of(&half, F_SYN, ISN, ASKED | C(flow_new), "half");
		give_slots(K_OTHER, true);
		for (int i = 0; i < 3; i++)
			assert_int_equal(
				segment_of(&old, F_ACK, ISN + 1, ASKED, "an old flow's data"),
				K_POOL);
		assert_int_equal(segment_of(&old, F_SYN, ISN, ASKED, "an old flow's SYN"), K_POOL);
		assert_int_equal(segment_of(&half, F_SYN, ISN, ASKED, "a half-open flow's SYN"),
				 K_POOL);
		assert_int_equal(
			segment_of(&half, F_ACK, ISN + 1, ASKED | C(flow_established), "its ACK"),
			K_POOL);
		assert_int_equal(segment_of(&fresh, F_SYN, ISN, ASKED | C(flow_new), "new"),
				 K_OTHER);
		assert_int_equal(
			segment_of(&fresh, F_ACK, ISN + 1, ASKED | C(flow_established), "new"),
			K_OTHER);
		assert_int_equal(segment_of(&none, F_ACK, ISN, ASKED | C(flow_unknown), "nobody's"),
				 K_OTHER);
		assert_int_equal(
			segment_of(&closed, F_ACK, ISN + 2, ASKED, "a closed flow's last ACK"),
			K_POOL);
		assert_int_equal(segment_of(&closed, F_SYN, ISN2, ASKED, "its port used again"),
				 K_OTHER);
		l.dport = old.s.sport;
		build_error(&in, &e, build(&lost, &l), 128);
		sent(&want, &in, &w);
		expect("ICMP error about an old flow", &in, XDP_TX, &want,
		       C(sent_dsr) | C(icmp_error) | ASKED);
		assert_int_equal(rig.backends[K_POOL].connections_active, 2);
		assert_int_equal(rig.backends[K_OTHER].connections_active, 1);
		/* drained, down, gone: stay. Disabled: move. */
		for (uint8_t s = TUNDISH_BACKEND_DRAIN; s <= TUNDISH_BACKEND_GONE; s++) {
			bool moves = s == TUNDISH_BACKEND_DISABLED;

			rig.backends[K_POOL].state = s;
			assert_int_equal(segment_of(&old, F_ACK, ISN + 1,
						    ASKED | (moves ? C(flow_moved) : 0), "state"),
					 moves ? K_OTHER : K_POOL);
		}
		rig.backends[K_POOL].state = TUNDISH_BACKEND_UP;
		assert_int_equal(
			segment_of(&old, F_FIN | F_ACK, ISN + 1, ASKED | C(flow_closed), "FIN"),
			K_POOL);
		check_tables("owner changes");
		/* a slot without an owner: what is there stays, what is new is refused */
		world_reset();
		opened(&old);
		give_slots(0, true);
		assert_int_equal(segment_of(&old, F_ACK, ISN + 1, ASKED, "an old flow's data"),
				 K_POOL);
		fresh.s.flags = F_SYN;
		expect("no owner", build(&in, &fresh.s), XDP_DROP, NULL,
		       C(drop_no_backend) | ASKED);
		check_tables("no owner");
	}
	world_reset();
}

/* A SYN that comes again because its backend went down gets another one; nothing else
 * does, and not where there is no other. */
static inline void case_down(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn half = conn_of(v6, 1), old = conn_of(v6, 2), again = conn_of(v6, 3);
		struct facts f;

		world_reset();
		opened(&old);
		opened(&again);
		segment_of(&again, F_SYN, ISN2, ASKED, "a SYN on a live flow");
		segment_of(&half, F_SYN, ISN, ASKED | C(flow_new), "half");
		rig.backends[K_POOL].state = TUNDISH_BACKEND_DOWN;
		assert_int_equal(segment_of(&half, F_SYN, ISN, ASKED, "no other"), K_POOL);
		give_slots(0, true);
		assert_int_equal(segment_of(&half, F_SYN, ISN, ASKED, "nobody"), K_POOL);
		give_slots(K_OTHER, true);
		assert_int_equal(segment_of(&old, F_ACK, ISN + 1, ASKED, "established"), K_POOL);
		assert_int_equal(segment_of(&old, F_SYN, ISN, ASKED, "its late SYN"), K_POOL);
		assert_int_equal(segment_of(&again, F_SYN, ISN2, ASKED, "live"), K_POOL);
		rig.backends[K_POOL].service = K_DSR;
		assert_int_equal(segment_of(&half, F_SYN, ISN, ASKED, "of another row"), K_POOL);
		rig.backends[K_POOL].service = K_POOL;
		assert_int_equal(segment_of(&half, F_SYN, ISN, ASKED, "again"), K_OTHER);
		f = facts_of(&half, K_OTHER);
		assert_int_equal(f.state, SYN_);
		assert_int_equal(f.pending, 1);
		rig.backends[K_POOL].state = TUNDISH_BACKEND_UP;
		assert_int_equal(segment_of(&half, F_SYN, ISN, ASKED, "it stays there"), K_OTHER);
		assert_int_equal(
			segment_of(&half, F_ACK, ISN + 1, ASKED | C(flow_established), "ACK"),
			K_OTHER);
		f = facts_of(&half, K_OTHER);
		assert_int_equal(f.pending, 0);
		assert_int_equal(f.total, 1);
		check_tables("down");
	}
	world_reset();
}

/* One data packet in 64 asks, so that an entry's `seen` keeps up. */
static inline void case_sampling(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct conn c = conn_of(v6, 1);
		struct tundish_counters before, after;
		struct packet in, out;
		struct seen_flow f;
		uint32_t at;

		world_reset();
		opened(&c);
		assert_true(flow_find(&c, &f, &at));
		flow_word(at)->live.seen = rig_tick() - 100;
		flow_word(at)->live.watched = 1;
		c.s.flags = F_ACK;
		rig_counters(&before);
		for (int i = 0; i < 256; i++)
			rig_run(build(&in, &c.s), &out);
		rig_counters(&after);
		assert_int_equal(after.flow_lookup - before.flow_lookup, 4);
		assert_true(tundish_age(rig_tick(), flow_word(at)->live.seen, 16) <= 1);
		assert_int_equal(flow_word(at)->live.watched, 0);
	}
	world_reset();
}

/* Random segments of a few connections: the tables are consistent at each point. */
static inline void case_random_lives(void **state)
{
	static const uint8_t flags[] = {F_SYN,	       F_ACK, F_ACK,	     F_ACK,
					F_FIN | F_ACK, F_RST, F_RST | F_ACK, F_SYN};
	uint32_t x = 12345;
	struct tundish_counters n;
	uint64_t totals = 0;

	world_reset();
	for (int i = 0; i < 20000; i++) {
		struct conn c;
		struct packet in, out;

		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		c = conn_of(x & 1, x >> 1 & 7);
		c.s.flags = flags[x >> 8 & 7];
		c.s.seq = (x >> 12 & 1) * 1000 + (x >> 14 & 1);
		rig_run(build(&in, &c.s), &out);
		if (i % 100 == 0)
			check_tables("random lives");
		if (i % 5000 == 4999)
			give_slots(i & 1 ? K_OTHER : K_POOL, true);
	}
	check_tables("random lives");
	for (uint32_t i = 0; i < rig.tuple_buckets * 4; i++)
		totals += tuple_at(i)->value.total;
	rig_counters(&n);
	assert_int_equal(totals, n.flow_established);
	assert_int_equal(totals, rig.backends[K_POOL].connections_total +
					 rig.backends[K_OTHER].connections_total);
	if (totals < 400)
		fail_msg("only %u connections in random lives", (unsigned int)totals);
	world_reset();
}

#define CASES_FLOW                                                                                 \
	cmocka_unit_test(case_life), cmocka_unit_test(case_short_lives),                           \
		cmocka_unit_test(case_reopen), cmocka_unit_test(case_owner_changes),               \
		cmocka_unit_test(case_down), cmocka_unit_test(case_sampling),                      \
		cmocka_unit_test(case_random_lives)

#endif

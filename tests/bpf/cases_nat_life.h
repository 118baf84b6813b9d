/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Translated connections to their end: every way to close, resets in each state, ports that
 * are given again, backends that go. Time is moved under the records, so that the kernel's
 * clock does for it.
 */
#ifndef TESTS_CASES_NAT_LIFE_H
#define TESTS_CASES_NAT_LIFE_H

#include "bpf/cases_nat.h"

/* One segment, as it must leave, and the state after it. */
struct nat_turn {
	int server;
	uint8_t flags;
	uint32_t seq, ack, state;
};

static inline void nat_turns(const char *name, const struct spec *open, uint16_t port,
			     const struct nat_turn *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++, t++) {
		struct spec s = nat_request(spec_v6(open), open->dport, P_TCP, t->flags), to;
		struct packet in, want;

		s.sport = open->sport;
		if (t->server) {
			s = nat_answer(&s, port, t->flags);
			to = nat_returned(open, &s);
		} else {
			to = nat_forwarded(&s, port);
		}
		s.seq = to.seq = t->seq;
		s.ack = to.ack = t->ack;
		s.payload = to.payload = t->flags == (F_ACK | F_PSH) ? 100 : 0;
		nat_expect(name, build(&in, &s), t->server ? XDP_TX : XDP_REDIRECT,
			   build(&want, &to), t->server ? C(sent_reply) : nat_sent(open));
		if (nat_record()->word.state != t->state)
			fail_msg("%s: state %u after segment %u, not %u", name,
				 (unsigned int)nat_record()->word.state, i, t->state);
	}
}

#define S(name) TUNDISH_NAT_##name
/* clang-format off */
static const struct nat_turn turns_open[] = {
	{1, F_SYN | F_ACK, 5000, 1000, S(SYN_RECEIVED)},
	{0, F_ACK, 1000, 5001, S(ESTABLISHED)},
}, turns_client_first[] = { /* half closed, and the server goes on */
	{0, F_FIN | F_ACK, 1000, 5001, S(FIN_CLIENT)},
	{1, F_ACK, 5001, 1001, S(FIN_CLIENT)},
	{1, F_ACK | F_PSH, 5001, 1001, S(FIN_CLIENT)},
	{0, F_ACK, 1001, 5101, S(FIN_CLIENT)},
	{1, F_FIN | F_ACK, 5101, 1001, S(CLOSING)},
	{0, F_ACK, 1001, 5102, S(RESTING)},
}, turns_server_first[] = {
	{1, F_FIN | F_ACK, 5001, 1000, S(FIN_SERVER)},
	{0, F_ACK, 1000, 5002, S(FIN_SERVER)},
	{0, F_ACK | F_PSH, 1000, 5002, S(FIN_SERVER)},
	{1, F_ACK, 5002, 1100, S(FIN_SERVER)},
	{0, F_FIN | F_ACK, 1100, 5002, S(CLOSING)},
	{1, F_ACK, 5002, 1101, S(TIME_WAIT)},
}, turns_at_once[] = {
	{0, F_FIN | F_ACK, 1000, 5001, S(FIN_CLIENT)},
	{1, F_FIN | F_ACK, 5001, 1000, S(CLOSING)},
	{0, F_ACK, 1001, 5002, S(CLOSING)},
	{1, F_ACK, 5002, 1001, S(TIME_WAIT)},
};
/* clang-format on */
#define TURNS(name, s, port, list) nat_turns(name, s, port, list, sizeof(list) / sizeof((list)[0]))

static inline void nat_age(uint32_t ticks)
{
	for (uint32_t i = 0; i < RIG_NAT_BUCKETS * TUNDISH_NAT_SLOTS; i++) {
		struct tundish_nat *r = &rig.nat[i];

		if (!r->word.state)
			continue;
		r->word.since = (uint16_t)(r->word.since - ticks);
		r->seen[0] = (uint16_t)(r->seen[0] - ticks);
		r->seen[1] = (uint16_t)(r->seen[1] - ticks);
	}
}

static inline void case_nat_closes(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t port = 2000; port < 2003; port++) {
			struct spec s = nat_request(v6, port, P_TCP, F_SYN);

			for (int how = 0; how < 3; how++) {
				uint16_t source;

				nat_reset();
				source = nat_open("open", &s);
				TURNS("open", &s, source, turns_open);
				if (how == 0)
					TURNS("client first", &s, source, turns_client_first);
				else if (how == 1)
					TURNS("server first", &s, source, turns_server_first);
				else
					TURNS("at once", &s, source, turns_at_once);
			}
		}
	}
}

static inline void case_nat_resets(void **state)
{
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN);

	for (uint32_t at = 0; at < 9; at++) {
		for (int server = 0; server < 2; server++) {
			struct nat_turn reset = {server, F_RST, server ? 5001 : 1000, 0,
						 server ? S(RESET_SERVER) : S(RESET_CLIENT)};
			uint16_t port;

			nat_reset();
			port = nat_open("reset", &s);
			nat_turns("reset", &s, port, turns_open, at < 2 ? at : 2);
			if (at > 2)
				nat_turns("reset", &s, port, turns_server_first, at - 2);
			if (at == 8)
				reset.state = server ? S(RESTING) : S(TIME_WAIT);
			nat_turns("reset", &s, port, &reset, 1);
			assert_int_equal(rig.backends[N_FULL].connections_active, 0);
			assert_int_equal(rig.lanes[nat_lane_of(N_FULL)].yielding, 1);
		}
	}
}

/* Counted is a RST in answer to a SYN, and no other: neither a client's, nor one of a connection
 * that the server has accepted, nor one that answers something else. */
static inline void case_nat_refused(void **state)
{
	static const struct nat_turn refused[] = {{1, F_RST | F_ACK, 0, 1000, S(RESET_SERVER)}},
				     odd[] = {{1, F_RST | F_ACK, 0, 999, S(RESET_SERVER)}},
				     bare[] = {{1, F_RST, 0, 1000, S(RESET_SERVER)}},
				     client[] = {{0, F_RST, 1000, 0, S(RESET_CLIENT)}};
	static const struct {
		const struct nat_turn *turn;
		uint32_t before, counted; /* turns_open before it */
	} rows[] = {{refused, 0, 1}, {odd, 0, 0},    {bare, 0, 0},    {client, 0, 0},
		    {refused, 1, 0}, {client, 1, 0}, {refused, 2, 0}, {client, 2, 0}};
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct tundish_lane *l = &rig.lanes[nat_lane_of(N_FULL)];
		uint16_t port;

		nat_reset();
		port = nat_open("refused", &s);
		nat_turns("refused", &s, port, turns_open, rows[i].before);
		nat_turns("refused", &s, port, rows[i].turn, 1);
		nat_turns("and again", &s, port, rows[i].turn, 1); /* repeated by the network */
		if (l->rejected != rows[i].counted || l->unanswered)
			fail_msg("row %zu: %u refused, %u unanswered", i, l->rejected,
				 l->unanswered);
		assert_int_equal(l->answered, rows[i].before > 0);
	}
}

/* Nothing but a keepalive each two hours, for a month. */
static inline void case_nat_keepalive(void **state)
{
	static const struct nat_turn alive[] = {{0, F_ACK, 999, 5001, S(ESTABLISHED)},
						{1, F_ACK, 5001, 1000, S(ESTABLISHED)}};
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN);
	const struct tundish_nat *r;
	uint16_t port;

	nat_reset();
	port = nat_open("keepalive", &s);
	TURNS("open", &s, port, turns_open);
	r = nat_record();
	for (int i = 0; i < 360; i++) {
		uint32_t idle;

		nat_age(6705); /* 7200 s */
		idle = tundish_nat_idle(r->word, r->seen[0], r->seen[1], rig_tick());
		assert_true(idle <= 6710); /* less, where the state's age comes round */
		assert_false(tundish_nat_expired(r->word, idle, &rig.nat_settings.timeouts, 57));
		TURNS("keepalive", &s, port, alive);
		assert_true(tundish_nat_age(rig_tick(), r->seen[0]) < 3);
	}
}

/* A full lane whose ports rest: given again where the SYN fits, and not before. */
static inline void case_nat_early(void **state)
{
	struct tundish_lane *l = &rig.lanes[nat_lane_of(N_FULL)];
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN);
	struct tundish_counters before;
	struct packet in, out;

	for (int how = 0; how < 4; how++) {
		nat_reset();
		l->first = l->last = NAT_FIRST;
		l->usable = 1;
		for (uint32_t p = NAT_FIRST + 1; p < NAT_FIRST + NAT_PORTS; p++)
			rig.lane_ports[l->ports].taken[p / 64] |= 1ull << p % 64;
		s = nat_request(0, 2001, P_TCP, F_SYN);
		nat_open("early", &s);
		TURNS("open", &s, NAT_FIRST, turns_open);
		TURNS("server first", &s, NAT_FIRST, turns_server_first);
		nat_age(how ? 4 : 0);
		s.sport = 41000;
		s.seq = how == 1 ? 500 : 5000; /* the other's sequence ended at 1101 */
		if (how == 2)
			rig.fans[N_FULL].flags &= (uint16_t)~TUNDISH_FAN_EARLY;
		rig_counters(&before);
		assert_int_equal(rig_run(build(&in, &s), &out), how == 3 ? XDP_REDIRECT : XDP_TX);
		check_counters("early", &before, how == 3 ? C(sent_fullnat) : C(sent_rst_ports));
		assert_int_equal(l->early, how == 3);
		rig.fans[N_FULL].flags |= TUNDISH_FAN_EARLY;
	}
}

/* A backend that is disabled: its clients hear it, and its servers are nobody's then. One
 * that is down loses who was never answered, and whom a RST may have ended. */
static inline void case_nat_backend_gone(void **state)
{
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN), answer;
	struct tundish_counters before;
	struct packet in, out;
	uint16_t port;

	nat_reset();
	port = nat_open("gone", &s);
	TURNS("open", &s, port, turns_open);
	rig.backends[N_FULL].state = TUNDISH_BACKEND_DOWN;
	nat_turns("down", &s, port, turns_open + 1, 1);
	rig.backends[N_FULL].state = TUNDISH_BACKEND_DRAIN;
	nat_turns("drain", &s, port, turns_open + 1, 1);
	rig.backends[N_FULL].state = TUNDISH_BACKEND_DISABLED;
	s = nat_request(0, 2001, P_TCP, F_ACK);
	rig_counters(&before);
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_TX);
	check_counters("disabled", &before, C(sent_rst_disabled));
	assert_int_equal(out.data[14 + 20 + 13], F_RST);
	assert_null(nat_record());
	assert_int_equal(rig.backends[N_FULL].connections_active, 0);
	answer = nat_answer(&s, port, F_ACK);
	expect("its server", build(&in, &answer), XDP_PASS, NULL,
	       C(pass_other) | C(nat_reply_unknown));

	nat_reset();
	s = nat_request(0, 2001, P_TCP, F_SYN);
	nat_open("down", &s);
	rig.backends[N_FULL].state = TUNDISH_BACKEND_DOWN;
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		rig.maglev[N_FULL].slot[i] = N_FROM6;
	rig_counters(&before);
	assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
	check_counters("SYN again", &before, C(sent_fullnat));
	assert_int_equal(nat_record()->word.backend, N_FROM6);
	assert_int_equal(rig.lanes[nat_lane_of(N_FULL)].used, 0);
	assert_int_equal(rig.lanes[nat_lane_of(N_FULL)].unanswered, 1);
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		rig.maglev[N_FULL].slot[i] = N_FULL;

	for (int side = 0; side < 2; side++) {
		uint16_t to;

		/* a RST of either end, true or not: as it was while the server answers or drains, or without a SYN */
		nat_reset();
		s = nat_request(0, 2001, P_TCP, F_SYN);
		to = nat_open("doubt", &s);
		TURNS("doubt", &s, to, turns_open);
		s = nat_request(0, 2001, P_TCP, F_RST);
		if (side)
			s = nat_answer(&s, to, F_RST);
		assert_int_equal(rig_run(build(&in, &s), &out), side ? XDP_TX : XDP_REDIRECT);
		assert_true(tundish_nat_is_reset(nat_record()->word.state));
		for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
			rig.maglev[N_FULL].slot[i] = N_FROM6;
		s = nat_request(0, 2001, P_TCP, F_SYN);
		rig.backends[N_FULL].state = TUNDISH_BACKEND_DRAIN;
		assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
		assert_int_equal(nat_record()->word.backend, N_FULL);
		rig.backends[N_FULL].state = TUNDISH_BACKEND_DOWN;
		s = nat_request(0, 2001, P_TCP, F_RST);
		assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
		assert_int_equal(nat_record()->word.backend, N_FULL);
		s = nat_request(0, 2001, P_TCP, F_SYN);
		assert_int_equal(rig_run(build(&in, &s), &out), XDP_REDIRECT);
		assert_int_equal(nat_record()->word.backend, N_FROM6);
		assert_int_equal(nat_record()->word.state, TUNDISH_NAT_SYN_SENT);
		assert_int_equal(rig.backends[N_FULL].connections_active, 0);
		for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
			rig.maglev[N_FULL].slot[i] = N_FULL;
	}
}

/* A backend without a port that is free: another one of the service, up to the last. */
static inline void case_nat_overflow(void **state)
{
	struct spec s = nat_request(0, 2001, P_TCP, F_SYN);
	struct tundish_lane *other = &rig.lanes[nat_lane_of(N_FROM6)];
	struct tundish_counters before;
	struct packet in, out;
	uint32_t i;

	nat_reset();
	other->first += 100; /* lanes of one tuple have ports of their own, or are one */
	other->last += 100;
	for (i = 0; i < NAT_PORTS; i++)
		rig.lane_ports[other->ports].taken[(other->first + i) / 64] &=
			~(1ull << (other->first + i) % 64);
	for (i = NAT_FIRST; i < NAT_FIRST + NAT_PORTS; i++)
		rig.lane_ports[other->ports].taken[i / 64] |= 1ull << i % 64;
	for (i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		rig.maglev[N_FULL].slot[i] = i % 64 ? N_FULL : N_FROM6;
	for (i = 0; i <= 2 * NAT_PORTS; i++) {
		s.sport = (uint16_t)(43000 + i);
		assert_int_equal(rig_run(build(&in, &s), &out),
				 i < 2 * NAT_PORTS ? XDP_REDIRECT : XDP_TX);
	}
	assert_int_equal(rig.lanes[nat_lane_of(N_FULL)].used, NAT_PORTS);
	assert_int_equal(other->used, NAT_PORTS);
	rig_counters(&before);
	assert_in_range(before.nat_overflow, 1, NAT_PORTS + 4);
	for (i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		rig.maglev[N_FULL].slot[i] = N_FULL;
}
#undef S

#define CASES_NAT_LIFE                                                                             \
	cmocka_unit_test(case_nat_closes), cmocka_unit_test(case_nat_resets),                      \
		cmocka_unit_test(case_nat_refused), cmocka_unit_test(case_nat_keepalive),          \
		cmocka_unit_test(case_nat_early), cmocka_unit_test(case_nat_backend_gone),         \
		cmocka_unit_test(case_nat_overflow)

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a translated connection: each state with each kind of segment against a
 * table that was written from the RFCs and the design, not from the code; walks at
 * random against what must always hold; and time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <tundish/nat_state.h>

enum { NOW = 70000, BEFORE = 69990 }; /* ticks, beyond 16 bits */
static const uint32_t C_SEQ = 0xfffffff0u, S_SEQ = 0x7ffffffeu, TS = 5000;

/* ---- the table ------------------------------------------------------------------------ */

enum event {
	C_SYN_SAME,
	C_SYN_NEW,
	C_SYN_ACK,
	C_ACK_FITS, /* acknowledges what the server's number says, see segment_of() */
	C_ACK_ODD,
	C_FIN_FITS,
	C_FIN_ODD,
	C_RST,
	S_SYN,
	S_SYN_ACK_FITS,
	S_SYN_ACK_ODD,
	S_ACK_FITS,
	S_ACK_ODD,
	S_FIN_FITS,
	S_FIN_ODD,
	S_RST,
	S_RST_FITS, /* that acknowledges the SYN; as S_RST where nothing else stands */
	EVENTS
};

/*
 * States: s SYN_SENT, r SYN_RECEIVED, E ESTABLISHED, c FIN_CLIENT, v FIN_SERVER, x CLOSING,
 * z RESTING, t TIME_WAIT, C RESET_CLIENT, V RESET_SERVER, n UDP_NEW, l UDP_LIVE.
 * Flags: o opened, a answered, k client's FIN acknowledged, m server's, f server first,
 * w server waits, d revived on trial, h timestamps.
 * Effects: + opened, * revived, - closed, y yields, ! holds, A answered, T entered,
 * g again, 1 and 2 stores, R refused.
 * A cell is "state:flags:effects"; NULL: nothing changes. `counted` goes with `o` here,
 * but for its end; it is looked at in walks.
 */
struct row {
	const char *from; /* state:flags */
	const char *to[EVENTS];
};

#define KEEP NULL

static const struct row table[] = {
	{"s:",
	 {[C_SYN_NEW] = "s::1",
	  [C_RST] = "C::y",
	  [S_SYN_ACK_FITS] = "r:a:yA2",
	  [S_RST] = "V::y",
	  [S_RST_FITS] = "V::yR"}},
	{"r:a",
	 {[C_ACK_FITS] = "E:ao:+!",
	  [C_FIN_FITS] = "c:ao:+!1",
	  [C_RST] = "C:a:y",
	  [S_RST] = "V:a:y"}},
	{"E:ao",
	 {[C_FIN_FITS] = "c:ao:1",
	  [C_FIN_ODD] = "c:ao:1",
	  [C_RST] = "C:ao:y-",
	  [S_FIN_FITS] = "v:aof:2",
	  [S_FIN_ODD] = "v:aof:2",
	  [S_RST] = "V:ao:y-"}},
	/* after the client's RST; the server alone was heard since */
	{"E:aod",
	 {[C_SYN_SAME] = KEEP,
	  [C_ACK_FITS] = "E:ao:",
	  [C_ACK_ODD] = "E:ao:",
	  [C_FIN_FITS] = "c:ao:1",
	  [C_FIN_ODD] = "c:ao:1",
	  [C_RST] = "C:aod:y-",
	  [S_FIN_FITS] = "v:aof:2",
	  [S_FIN_ODD] = "v:aof:2",
	  [S_RST] = "V:aod:y-"}},
	/* after the server's */
	{"E:aodf",
	 {[C_FIN_FITS] = "c:ao:1",
	  [C_FIN_ODD] = "c:ao:1",
	  [C_RST] = "C:aodf:y-",
	  [S_ACK_FITS] = "E:aof:",
	  [S_ACK_ODD] = "E:aof:",
	  [S_FIN_FITS] = "v:aof:2",
	  [S_FIN_ODD] = "v:aof:2",
	  [S_RST] = "V:aodf:y-"}},
	{"c:ao",
	 {[C_RST] = "C:ao:y-",
	  [S_ACK_FITS] = "c:aok:",
	  [S_FIN_FITS] = "x:k:-2",
	  [S_FIN_ODD] = "x:w:-2",
	  [S_RST] = "V:ao:y-"}},
	{"c:aok",
	 {[C_RST] = "C:aok:y-",
	  [S_FIN_FITS] = "x:k:-2",
	  [S_FIN_ODD] = "x:k:-2",
	  [S_RST] = "V:aok:y-"}},
	{"v:aof",
	 {[C_ACK_FITS] = "v:aofm:",
	  [C_FIN_FITS] = "x:fmw:-1",
	  [C_FIN_ODD] = "x:fw:-1",
	  [C_RST] = "C:aof:y-",
	  [S_RST] = "V:aof:y-"}},
	{"v:aofm",
	 {[C_FIN_FITS] = "x:fmw:-1",
	  [C_FIN_ODD] = "x:fmw:-1",
	  [C_RST] = "C:aofm:y-",
	  [S_RST] = "V:aofm:y-"}},
	/* the client was first and the server passive */
	{"x:k",
	 {[C_ACK_FITS] = "z:km:y", [C_FIN_FITS] = "z:km:y", [C_RST] = "C:k:y", [S_RST] = "V:k:y"}},
	/* both at once */
	{"x:w",
	 {[C_ACK_FITS] = "x:wm:",
	  [C_FIN_FITS] = "x:wm:",
	  [C_RST] = "C:w:y",
	  [S_ACK_FITS] = "x:wk:",
	  [S_FIN_FITS] = "x:wk:",
	  [S_RST] = "V:w:y"}},
	{"x:wk",
	 {[C_ACK_FITS] = "t:wkmh:yT2",
	  [C_FIN_FITS] = "t:wkmh:yT2",
	  [C_RST] = "C:wk:y",
	  [S_RST] = "V:wk:y"}},
	/* the server was first */
	{"x:fmw",
	 {[C_RST] = "C:fmw:y",
	  [S_ACK_FITS] = "t:fmwkh:yT2",
	  [S_FIN_FITS] = "t:fmwkh:yT2",
	  [S_RST] = "V:fmw:y"}},
	{"z:km",
	 {[C_SYN_SAME] = "s::yg1",
	  [C_SYN_NEW] = "s::yg1",
	  [C_ACK_FITS] = "z:km:",
	  [C_ACK_ODD] = "z:km:",
	  [C_FIN_FITS] = "z:km:",
	  [C_FIN_ODD] = "z:km:",
	  [S_ACK_FITS] = "z:km:",
	  [S_ACK_ODD] = "z:km:",
	  [S_FIN_FITS] = "z:km:",
	  [S_FIN_ODD] = "z:km:",
	  [S_RST] = "z:km:"}},
	{"t:fmwkh",
	 {[C_SYN_SAME] = "s::yg1",
	  [C_SYN_NEW] = "s::yg1",
	  [C_ACK_FITS] = "t:fmwkh:2",
	  [C_ACK_ODD] = "t:fmwkh:2",
	  [C_FIN_FITS] = "t:fmwkh:2",
	  [C_FIN_ODD] = "t:fmwkh:2",
	  [S_ACK_FITS] = "t:fmwkh:",
	  [S_ACK_ODD] = "t:fmwkh:",
	  [S_FIN_FITS] = "t:fmwkh:",
	  [S_FIN_ODD] = "t:fmwkh:",
	  [S_RST] = "z:fmwkh:"}},
	/* a RST on a live connection, which may be false */
	{"C:ao",
	 {[C_SYN_SAME] = "C:ao:1",
	  [C_SYN_NEW] = "C:ao:1",
	  [C_ACK_FITS] = "E:ao:*!",
	  [C_ACK_ODD] = "E:ao:*!",
	  [C_FIN_FITS] = "c:ao:*!1",
	  [C_FIN_ODD] = "c:ao:*!1",
	  [S_SYN_ACK_FITS] = "r:a:yg2",
	  [S_SYN_ACK_ODD] = "E:aod:*!",
	  [S_ACK_FITS] = "E:aod:*!",
	  [S_ACK_ODD] = "E:aod:*!",
	  [S_RST] = "V:ao:y"}},
	{"V:ao",
	 {[C_SYN_SAME] = "V:ao:1",
	  [C_SYN_NEW] = "V:ao:1",
	  [C_ACK_FITS] = "E:aodf:*!",
	  [C_ACK_ODD] = "E:aodf:*!",
	  [S_SYN_ACK_FITS] = "r:a:yg2",
	  [S_SYN_ACK_ODD] = "E:aof:*!",
	  [S_ACK_FITS] = "E:aof:*!",
	  [S_ACK_ODD] = "E:aof:*!",
	  [S_FIN_FITS] = "v:aof:*!2",
	  [S_FIN_ODD] = "v:aof:*!2",
	  [S_RST] = "V:ao:y"}},
	/* on one that never was: refused, or given up */
	{"C:",
	 {[C_SYN_SAME] = "s::yg1",
	  [C_SYN_NEW] = "s::yg1",
	  [S_SYN_ACK_FITS] = "r:a:yA2",
	  [S_RST] = "V::y"}},
	{"V:",
	 {[C_SYN_SAME] = "s::yg1",
	  [C_SYN_NEW] = "s::yg1",
	  [S_SYN_ACK_FITS] = "r:a:yA2",
	  [S_RST] = "V::y"}},
	{"C:a",
	 {[C_SYN_SAME] = "s::yg1",
	  [C_SYN_NEW] = "s::yg1",
	  [C_ACK_FITS] = "E:ao:+!",
	  [C_FIN_FITS] = "c:ao:+!1",
	  [S_SYN_ACK_FITS] = "r:a:y2",
	  [S_RST] = "V:a:y"}},
	{"V:a",
	 {[C_SYN_SAME] = "s::yg1",
	  [C_SYN_NEW] = "s::yg1",
	  [C_ACK_FITS] = "E:ao:+!",
	  [C_FIN_FITS] = "c:ao:+!1",
	  [S_SYN_ACK_FITS] = "r:a:y2",
	  [S_RST] = "V:a:y"}},
	/* on one that both had closed: it stays over */
	{"C:k",
	 {[C_SYN_SAME] = "s::yg1",
	  [C_SYN_NEW] = "s::yg1",
	  [S_SYN_ACK_FITS] = "r:ak:yA2",
	  [S_RST] = "V:k:y"}},
};

static const char states[] = ".srEcvxztVCnl", effects[] = "+*-y!ATg12R";

static uint64_t word_of(const char *text, uint32_t since)
{
	union tundish_nat_word w = {.raw = 0};

	w.backend = 77;
	w.generation = 0xfffe;
	w.since = since;
	w.state = (unsigned int)(strchr(states, text[0]) - states);
	for (text += 2; *text && *text != ':'; text++)
		switch (*text) {
		case 'o': w.opened = w.counted = 1; break;
		case 'a': w.answered = 1; break;
		case 'k': w.client_acked = 1; break;
		case 'm': w.server_acked = 1; break;
		case 'f': w.server_first = 1; break;
		case 'w': w.server_waits = 1; break;
		case 'd': w.revived = 1; break;
		case 'h': w.has_ts = 1; break;
		default: fail_msg("flag %c", *text);
		}
	return w.raw;
}

static uint32_t effects_of(const char *text)
{
	uint32_t bits = 0;

	for (text = strrchr(text, ':') + 1; *text; text++)
		bits |= 1u << (strchr(effects, *text) - effects);
	return bits;
}

static struct tundish_nat_segment segment_of(enum event e, union tundish_nat_word w)
{
	struct tundish_nat_segment g = {.has_ts = 1, .tsval = TS + 1, .tsecr = TS + 2};
	bool first = w.state < TUNDISH_NAT_ESTABLISHED || tundish_nat_is_reset(w.state);

	g.side = e >= S_SYN;
	/* what an end's FIN or SYN takes is one number more */
	g.seq = g.side ? S_SEQ + 1000 : C_SEQ + 1000;
	g.ack = (g.side ? C_SEQ : S_SEQ) + first;
	switch (e) {
	case C_SYN_SAME: g.flags = TUNDISH_SEGMENT_SYN, g.seq = C_SEQ; break;
	case C_SYN_NEW: g.flags = TUNDISH_SEGMENT_SYN; break;
	case C_SYN_ACK: g.flags = TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_ACK; break;
	case C_ACK_FITS:
	case S_ACK_FITS: g.flags = TUNDISH_SEGMENT_ACK; break;
	case C_ACK_ODD:
	case S_ACK_ODD: g.flags = TUNDISH_SEGMENT_ACK, g.ack--; break;
	case C_FIN_FITS:
	case S_FIN_FITS: g.flags = TUNDISH_SEGMENT_ACK | TUNDISH_SEGMENT_FIN; break;
	case C_FIN_ODD:
	case S_FIN_ODD: g.flags = TUNDISH_SEGMENT_ACK | TUNDISH_SEGMENT_FIN, g.ack--; break;
	case C_RST:
	case S_RST: g.flags = TUNDISH_SEGMENT_RST; break;
	case S_RST_FITS:
		g.flags = TUNDISH_SEGMENT_RST | TUNDISH_SEGMENT_ACK;
		g.ack = C_SEQ + 1;
		break;
	case S_SYN: g.flags = TUNDISH_SEGMENT_SYN; break;
	case S_SYN_ACK_FITS:
		g.flags = TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_ACK;
		g.ack = C_SEQ + 1;
		break;
	case S_SYN_ACK_ODD:
		g.flags = TUNDISH_SEGMENT_SYN | TUNDISH_SEGMENT_ACK;
		g.ack = C_SEQ + 2;
		break;
	default: break;
	}
	g.end = g.seq + 100 + !!(g.flags & TUNDISH_SEGMENT_FIN);
	return g;
}

static void test_table(void **state)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		union tundish_nat_word from = {.raw = word_of(table[i].from, BEFORE)};
		uint32_t server = from.has_ts ? TS : S_SEQ;

		for (int e = 0; e < EVENTS; e++) {
			struct tundish_nat_segment g = segment_of((enum event)e, from);
			struct tundish_nat_step s = tundish_nat_next(from, C_SEQ, server, &g, NOW);
			union tundish_nat_word want = from, got = s.word;
			const char *to = table[i].to[e];
			uint32_t wanted = 0;

			if (e == S_RST_FITS && !to)
				to = table[i].to[S_RST];
			if (to) {
				want.raw = word_of(to, NOW);
				wanted = effects_of(to);
			}
			got.counted = want.counted = 0;
			if (want.state == from.state && want.state != TUNDISH_NAT_RESTING &&
			    want.state !=
				    TUNDISH_NAT_TIME_WAIT) /* not entered anew, or either way */
				got.since = want.since = 0;
			if (want.raw != got.raw || wanted != s.effects)
				fail_msg("%s, event %d: state %u raw %llx effects %x, not %llx %x",
					 table[i].from, e, (unsigned int)s.word.state,
					 (unsigned long long)got.raw, s.effects,
					 (unsigned long long)want.raw, wanted);
			/* without its effect no number changes */
			if (!(s.effects & TUNDISH_NAT_STORE_CLIENT))
				assert_int_equal(s.client_seq, C_SEQ);
			if (!(s.effects & TUNDISH_NAT_STORE_SERVER))
				assert_int_equal(s.server_seq, server);
			/* who need not ask gets no answer worth having */
			if (!tundish_nat_wants(from, g.side, g.flags))
				assert_true(s.word.raw == from.raw && !s.effects);
		}
	}
}

/* All sixteen sets of flags are of one of the kinds of the table. */
static void test_flags(void **state)
{
	for (uint32_t flags = 0; flags < 16; flags++) {
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			for (int side = 0; side < 2; side++) {
				union tundish_nat_word from = {
					.raw = word_of(table[i].from, BEFORE)};
				bool syn = flags & 1, ack = flags & 2, fin = flags & 4;
				struct tundish_nat_segment g, like;
				struct tundish_nat_step a, b;
				enum event e;

				if (flags & 8)
					e = !side ? C_RST : ack ? S_RST_FITS : S_RST;
				else if (syn && side)
					e = ack ? S_SYN_ACK_ODD : S_SYN;
				else if (syn)
					e = ack ? C_SYN_ACK : C_SYN_NEW;
				else if (fin)
					e = side ? S_FIN_ODD : C_FIN_ODD;
				else
					e = side ? S_ACK_ODD : C_ACK_ODD;
				like = g = segment_of(e, from);
				g.flags = flags;
				g.end = like.end = g.seq + 101;
				a = tundish_nat_next(from, C_SEQ, S_SEQ, &g, NOW);
				b = tundish_nat_next(from, C_SEQ, S_SEQ, &like, NOW);
				if (a.word.raw != b.word.raw || a.effects != b.effects)
					fail_msg("%s side %d flags %x", table[i].from, side, flags);
			}
		}
	}
}

/* ---- numbers ---------------------------------------------------------------------------- */

static void test_numbers(void **state)
{
	union tundish_nat_word r = {.raw = word_of("r:a", BEFORE)};
	union tundish_nat_word e = {.raw = word_of("E:ao", BEFORE)};
	struct tundish_nat_segment g = {.flags = TUNDISH_SEGMENT_ACK};
	struct tundish_nat_step s;

	/* An ACK that was guessed establishes nothing: 16 bits and not one more. */
	for (int64_t d = -3; d < 4; d++) {
		g.ack = S_SEQ + 1 + (uint32_t)d;
		s = tundish_nat_next(r, C_SEQ, S_SEQ, &g, NOW);
		assert_int_equal(s.word.state == TUNDISH_NAT_ESTABLISHED, d >= 0);
		g.ack += 65536;
		s = tundish_nat_next(r, C_SEQ, S_SEQ, &g, NOW);
		assert_int_equal(s.word.state == TUNDISH_NAT_ESTABLISHED, d < 0);
	}
	/* A FIN's end, over the wrap. */
	g = (struct tundish_nat_segment){.flags = TUNDISH_SEGMENT_FIN | TUNDISH_SEGMENT_ACK,
					 .seq = C_SEQ,
					 .end = C_SEQ + 21};
	s = tundish_nat_next(e, 1, S_SEQ, &g, NOW);
	assert_int_equal(s.client_seq, 5);
	/* TIME_WAIT remembers the timestamp that the server has, and the latest. */
	r.raw = word_of("x:wk", BEFORE);
	g = segment_of(C_ACK_FITS, r);
	s = tundish_nat_next(r, C_SEQ, S_SEQ, &g, NOW);
	assert_int_equal(s.server_seq, TS + 1);
	g.tsval = TS;
	s = tundish_nat_next(s.word, C_SEQ, TS + 1, &g, NOW);
	assert_int_equal(s.effects, 0);
	r.raw = word_of("x:fmw", BEFORE);
	g = segment_of(S_ACK_FITS, r);
	s = tundish_nat_next(r, C_SEQ, S_SEQ, &g, NOW);
	assert_int_equal(s.server_seq, TS + 2);
	g.has_ts = 0;
	s = tundish_nat_next(r, C_SEQ, S_SEQ, &g, NOW);
	assert_int_equal(s.server_seq, S_SEQ);
	assert_false(s.word.has_ts);
	/* The address option is due until the server shows that it heard. */
	e.toa_due = 1;
	g = segment_of(S_ACK_FITS, e);
	g.ack = C_SEQ + 1, g.end = g.seq;
	assert_true(tundish_nat_next(e, C_SEQ, S_SEQ, &g, NOW).word.toa_due);
	g.end++;
	assert_false(tundish_nat_next(e, C_SEQ, S_SEQ, &g, NOW).word.toa_due);
	g.end--, g.ack++;
	assert_false(tundish_nat_next(e, C_SEQ, S_SEQ, &g, NOW).word.toa_due);
	r.raw = word_of("t:fmwk", BEFORE);
	g = (struct tundish_nat_segment){.flags = TUNDISH_SEGMENT_SYN, .toa = 1};
	assert_true(tundish_nat_next(r, C_SEQ, S_SEQ, &g, NOW).word.toa_due);
}

static void test_udp(void **state)
{
	union tundish_nat_word w = tundish_nat_fresh(77, 3, 1, 0, BEFORE);
	struct tundish_nat_segment c = {.side = 0, .flags = 15}, s = {.side = 1};
	struct tundish_nat_step t;

	assert_int_equal(w.state, TUNDISH_NAT_UDP_NEW);
	assert_true(tundish_nat_next(w, 0, 0, &c, NOW).word.raw == w.raw);
	t = tundish_nat_next(w, 0, 0, &s, NOW);
	assert_int_equal(t.word.state, TUNDISH_NAT_UDP_LIVE);
	assert_int_equal(t.effects, TUNDISH_NAT_OPENED | TUNDISH_NAT_HOLDS | TUNDISH_NAT_ANSWERED);
	w = t.word;
	for (s.flags = 0; s.flags < 16; s.flags++) {
		t = tundish_nat_next(w, 0, 0, &s, NOW);
		assert_true(t.word.raw == w.raw && !t.effects);
	}
}

/* ---- walks ------------------------------------------------------------------------------- */

static uint32_t dice = 20260101;

static uint32_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 17;
	dice ^= dice << 5;
	return dice >> 3;
}

static bool may_yield(uint32_t state)
{
	return state == TUNDISH_NAT_SYN_SENT || state == TUNDISH_NAT_SYN_RECEIVED ||
	       (state >= TUNDISH_NAT_RESTING && state <= TUNDISH_NAT_RESET_CLIENT);
}

static void test_walks(void **state)
{
	uint32_t met[TUNDISH_NAT_STATE_MAX] = {0};

	for (int walk = 0; walk < 20000; walk++) {
		union tundish_nat_word w = tundish_nat_fresh(77, 9, 0, roll() & 1, 0);
		uint32_t c = roll(), s = roll(), now = 0;
		int active = 0, total = 0;
		bool marked = true;

		for (int i = 0; i < 60; i++) {
			struct tundish_nat_segment g = segment_of((enum event)(roll() % EVENTS), w);
			struct tundish_nat_step t;
			bool first =
				w.state < TUNDISH_NAT_ESTABLISHED || tundish_nat_is_reset(w.state);

			/* numbers as this walk has them */
			g.seq = (g.side ? s : c) + (roll() & 1) * roll();
			g.ack = (g.side ? c : s) + (roll() % 4 ? first : roll());
			g.end = g.seq + (roll() & 1) * 100 + !!(g.flags & TUNDISH_SEGMENT_FIN);
			g.has_ts = roll() & 1;
			now += roll() % 3;
			t = tundish_nat_next(w, c, s, &g, now);
			met[t.word.state]++;
			assert_int_equal(t.word.backend, 77);
			assert_int_equal(t.word.generation, 9);
			assert_int_not_equal(t.word.state, TUNDISH_NAT_FREE);
			active += !!(t.effects & TUNDISH_NAT_OPENED) +
				  !!(t.effects & TUNDISH_NAT_REVIVED) -
				  !!(t.effects & TUNDISH_NAT_CLOSED);
			total += !!(t.effects & TUNDISH_NAT_OPENED);
			assert_int_equal(active, tundish_nat_is_active(t.word.state));
			assert_true(total >= active);
			/* one of the two, never both, or the mark depends on their order */
			assert_int_not_equal(t.effects & (TUNDISH_NAT_YIELDS | TUNDISH_NAT_HOLDS),
					     TUNDISH_NAT_YIELDS | TUNDISH_NAT_HOLDS);
			if (t.effects & TUNDISH_NAT_YIELDS)
				marked = true;
			if (t.effects & TUNDISH_NAT_HOLDS)
				marked = false;
			assert_int_equal(marked, may_yield(t.word.state));
			/* not both counts of a connection and none of its end */
			if (tundish_nat_is_active(w.state) && !tundish_nat_is_active(t.word.state))
				assert_true(t.effects & TUNDISH_NAT_CLOSED);
			/* a client alone never makes a live connection's record end or yield but
			 * by RST, and then its own next word takes that back */
			if (tundish_nat_is_active(w.state) && !g.side &&
			    !(g.flags & (TUNDISH_SEGMENT_RST | TUNDISH_SEGMENT_FIN)))
				assert_true(tundish_nat_is_active(t.word.state));
			if (w.state == TUNDISH_NAT_RESET_CLIENT && w.opened && !g.side &&
			    !(g.flags & (TUNDISH_SEGMENT_RST | TUNDISH_SEGMENT_SYN)))
				assert_true(tundish_nat_is_active(t.word.state));
			/* nobody gets in without the server's word */
			if (t.effects & TUNDISH_NAT_OPENED)
				assert_true(w.answered);
			w = t.word;
			if (t.effects & TUNDISH_NAT_STORE_CLIENT)
				c = t.client_seq;
			if (t.effects & TUNDISH_NAT_STORE_SERVER)
				s = t.server_seq;
		}
	}
	for (uint32_t i = TUNDISH_NAT_SYN_SENT; i <= TUNDISH_NAT_RESET_CLIENT; i++)
		assert_true(met[i] > 1000);
}

/* ---- time --------------------------------------------------------------------------------- */

static const struct tundish_nat_timeouts times = {.syn = 57,
						  .established = 6931,
						  .half_closed = 225,
						  .closing = 58,
						  .resting = 11,
						  .reset_client = 59,
						  .reset_server = 12,
						  .udp_new = 29,
						  .udp = 169};

static void test_timeouts(void **state)
{
	static const struct {
		const char *word;
		uint32_t timeout, yield; /* 0: never */
	} rows[] = {{"s:", 57, 4},    {"r:a", 57, 11},	 {"E:ao", 6931, 0}, {"E:aod", 225, 0},
		    {"c:ao", 225, 0}, {"v:aof", 225, 0}, {"x:w", 58, 0},    {"z:km", 11, 2},
		    {"t:w", 60, 1},   {"V:ao", 12, 2},	 {"C:ao", 59, 2},   {"n:", 29, 0},
		    {"l:o", 169, 0}};
	const struct tundish_nat_syn fits = {.isn = C_SEQ + 1}, not = {.isn = C_SEQ};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union tundish_nat_word w = {.raw = word_of(rows[i].word, NOW)};
		bool waits = w.state == TUNDISH_NAT_TIME_WAIT;

		for (uint32_t age = 0; age < 0xf000; age++) {
			uint32_t idle = tundish_nat_idle(w, NOW, NOW, NOW + age);
			uint32_t want = rows[i].yield && age >= rows[i].yield;

			assert_int_equal(idle, age);
			assert_int_equal(tundish_nat_expired(w, idle, &times, 60),
					 age >= rows[i].timeout);
			assert_int_equal(
				!!tundish_nat_yields(w, idle, C_SEQ, S_SEQ, &fits, 1, NOW + age),
				want);
			assert_int_equal(
				!!tundish_nat_yields(w, idle, C_SEQ, S_SEQ, &not, 1, NOW + age),
				want && !waits);
			assert_int_equal(
				!!tundish_nat_yields(w, idle, C_SEQ, S_SEQ, &fits, 0, NOW + age),
				want && !waits);
		}
		/* another CPU's clock may be a little ahead: that is no age of 19 hours */
		assert_int_equal(tundish_nat_idle(w, NOW, NOW, NOW - 1), 0);
		/* either end's packets keep it */
		assert_int_equal(tundish_nat_idle(w, NOW + 100, NOW, NOW + 101), 1);
		assert_int_equal(tundish_nat_idle(w, NOW, NOW + 100, NOW + 103), 3);
	}
	assert_int_equal(TUNDISH_NAT_TICKS(60), 57); /* never less than 60 s, by any rounding */
	assert_true((TUNDISH_NAT_TICKS(60) - 1) * (1ull << TUNDISH_TICK_SHIFT) >= 60000000000ull);
	assert_true((TUNDISH_NAT_TICKS(1) - 1) * (1ull << TUNDISH_TICK_SHIFT) >= 1000000000ull);
}

/* Linux: tcp_timewait_state_process(), tcp_paws_reject(). */
static bool linux_takes(bool ts_there, uint32_t ts_recent, uint32_t rcv_nxt, bool saw,
			uint32_t tsval, uint32_t seq)
{
	bool paws = saw && ts_there && ts_recent && (int32_t)(ts_recent - tsval) > 0;

	return !paws && ((int32_t)(seq - rcv_nxt) > 0 ||
			 (saw && (int32_t)((ts_there ? ts_recent : 0) - tsval) < 0));
}

/* A port that is given early is given to nobody whom the server would not take. */
static void test_fits(void **state)
{
	uint32_t given = 0;

	for (int i = 0; i < 2000000; i++) {
		union tundish_nat_word w = {.raw = word_of(roll() & 1 ? "t:wh" : "t:w", NOW)};
		uint32_t end = roll() * 9, recent = (roll() * 9) | 1;
		struct tundish_nat_syn syn = {.isn = end + roll() % 5 - 2,
					      .tsval = recent + roll() % 5 - 2,
					      .has_ts = roll() & 1};

		if (roll() & 1)
			syn.isn += roll() * 8;
		if (roll() & 1)
			syn.tsval += roll() * 8;
		if (!tundish_nat_fits(w, end, recent, &syn))
			continue;
		given++;
		assert_true(linux_takes(w.has_ts, recent, end, syn.has_ts, syn.tsval, syn.isn));
	}
	assert_true(given > 500000);
}

/* What goes first where there is no room: the least that anybody would miss. */
static void test_rank(void **state)
{
	static const char *const order[] = {"E:ao", "t:w", "z:km"};
	uint32_t last = 0;

	for (int i = 0; i < 3; i++) {
		union tundish_nat_word w = {.raw = word_of(order[i], NOW)};
		uint32_t rank = tundish_nat_rank(w, 10, 0, NOW + 10);

		assert_true(i == 0 ? rank == 0 : rank > last);
		assert_true(tundish_nat_rank(w, 10, 1, NOW + 10) > rank);
		last = rank;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	cmocka_unit_test(test_flags),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_udp),
		cmocka_unit_test(test_walks),	cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_fits),	cmocka_unit_test(test_rank),
	};

	return cmocka_run_group_tests_name("native: states of NAT", tests, NULL, NULL);
}

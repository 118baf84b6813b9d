// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pure headers: hashes against others' implementations of them, checksums against
 * the definition, the port search against a plain one, and what must be true of any
 * step in a flow's life.
 */
#include "native/rig_native.h"

#include "bpf/world.h"

static uint64_t dice = 88172645463325252ull;

static uint64_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return dice;
}

/* CPython 3.11 hashes bytes with SipHash-1-3, its key made from PYTHONHASHSEED: these are
 * hash(bytes) with the seeds 0, 1 and 42. */
static void test_siphash_vectors(void **state)
{
	static const struct {
		struct tundish_siphash_key key;
		uint32_t words;
		uint64_t in[3], out;
	} rows[] = {
		{{0, 0}, 2, {0, 0}, 0x76be999e3e25b2a0ull},
		{{0, 0}, 3, {0, 0, 0}, 0xf9003207cf9e4d4cull},
		{{0, 0}, 2, {1, 2}, 0xfb058313e6201d48ull},
		{{0, 0}, 3, {1, 2, 3}, 0x8acb65135d8f2da1ull},
		{{0, 0}, 2, {~0ull, ~0ull}, 0x35029a3b6274a39bull},
		{{0, 0}, 3, {~0ull, ~0ull, ~0ull}, 0x1b8698f54a7f563bull},
		{{0xaed66ce184be2329ull, 0xebe9bbf1f1499052ull},
		 2,
		 {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull},
		 0x12e9d283f9f37002ull},
		{{0xaed66ce184be2329ull, 0xebe9bbf1f1499052ull},
		 3,
		 {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull, 0x1716151413121110ull},
		 0x19b4e5f288f874ceull},
		{{0xaed66ce184be2329ull, 0xebe9bbf1f1499052ull}, 2, {1, 2}, 0x8cf4c344e3f0da5aull},
		{{0xaed66ce184be2329ull, 0xebe9bbf1f1499052ull},
		 3,
		 {1, 2, 3},
		 0xf561da130e1bdeafull},
		{{0xdc504fd368cd90afull, 0xb920bb9ffe99e9c1ull},
		 2,
		 {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull},
		 0x339176f3ac59ce05ull},
		{{0xdc504fd368cd90afull, 0xb920bb9ffe99e9c1ull},
		 3,
		 {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull, 0x1716151413121110ull},
		 0xae431c6fb201ce8bull},
		{{0xdc504fd368cd90afull, 0xb920bb9ffe99e9c1ull},
		 2,
		 {~0ull, ~0ull},
		 0xb7c4f7681ad15316ull},
		{{0xdc504fd368cd90afull, 0xb920bb9ffe99e9c1ull},
		 3,
		 {~0ull, ~0ull, ~0ull},
		 0x07ce07f621faef71ull},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t h = rows[i].words == 2
				     ? tundish_siphash2(&rows[i].key, rows[i].in[0], rows[i].in[1])
				     : tundish_siphash(&rows[i].key, rows[i].in[0], rows[i].in[1],
						       rows[i].in[2]);

		assert_int_equal(h, rows[i].out);
	}
}

/* The choice is part of what hosts agree on: it may not change by accident. */
static void test_choice(void **state)
{
	struct tundish_addr a4 = CLIENT4, a6 = CLIENT6;
	static uint32_t load[TUNDISH_MAGLEV_SLOTS];
	double chi = 0, mean = 1 << 22;

	assert_int_equal(tundish_choice_slot(0), 0);
	assert_int_equal(tundish_choice_slot(~0u), TUNDISH_MAGLEV_SLOTS - 1);
	assert_int_equal(tundish_choice_hash(&a4, TUNDISH_BE16(40000), TUNDISH_BE16(80)),
			 0x1a3b8a16u);
	assert_int_equal(tundish_choice_hash(&a6, TUNDISH_BE16(40000), TUNDISH_BE16(80)),
			 0x420b3d56u);
	/* ports of one client spread as random numbers would */
	for (uint32_t i = 0; i < 1 << 22; i++) {
		a4.word[3] = CLIENT4.word[3] + (i >> 16 << 24);
		load[tundish_choice_slot(
			tundish_choice_hash(&a4, (uint16_t)i, TUNDISH_BE16(80)))]++;
	}
	mean /= TUNDISH_MAGLEV_SLOTS;
	for (uint32_t i = 0; i < TUNDISH_MAGLEV_SLOTS; i++)
		chi += (load[i] - mean) * (load[i] - mean) / mean;
	/* as many degrees of freedom as slots; six standard deviations */
	assert_true(chi > TUNDISH_MAGLEV_SLOTS - 2172 && chi < TUNDISH_MAGLEV_SLOTS + 2172);
}

static void test_csum(void **state)
{
	for (int i = 0; i < 200000; i++) {
		uint8_t bytes[64];
		uint32_t n = 20 + (uint32_t)(roll() % 12) * 4, at, want;
		uint16_t from, to, check;
		uint64_t sum = 0;

		for (uint32_t j = 0; j < n; j++)
			bytes[j] = (uint8_t)(roll() % 3 ? roll() >> 8 : i & 1 ? 0xff : 0);
		for (uint32_t j = 0; j < n; j += 4) {
			uint32_t w;

			memcpy(&w, bytes + j, 4);
			sum += w;
		}
		assert_int_equal(csum_fold(sum), TUNDISH_BE16(naive_error(naive_add(0, bytes, n))));
		/* one word changes: the checksum is carried on to one that is right */
		at = (uint32_t)(roll() % (n / 2)) * 2;
		check = TUNDISH_BE16(naive_error(naive_add(0, bytes, n)));
		memcpy(&from, bytes + at, 2);
		to = (uint16_t)roll();
		memcpy(bytes + at, &to, 2);
		check = csum_replace(check, from, to);
		want = naive_error(naive_add(0, bytes, n));
		assert_int_equal(TUNDISH_BE16(check) % 0xffff, want % 0xffff);
	}
	assert_int_equal(csum_fold(0), 0xffff);
	assert_int_equal(csum_fold(~0ull), 0);
	assert_int_equal(csum_fold(0xffff), 0);
	assert_int_equal(csum_fold(0xfffffffeull), csum_fold(0xfffd + 1));
}

static void test_find_port(void **state)
{
	for (int i = 0; i < 3000; i++) {
		struct tundish_vip v = {.n_ranges = (uint16_t)(roll() % 65)};
		uint32_t at = 0;

		for (uint32_t r = 0; r < v.n_ranges; r++) {
			uint32_t first = at + (uint32_t)(roll() % 3 ? roll() % 1000 : 0),
				 last = first + (uint32_t)(roll() % 2 ? roll() % 1000 : 0);

			if (last > 65535) {
				v.n_ranges = (uint16_t)r;
				break;
			}
			v.ranges[r] = (struct tundish_port_range){(uint16_t)first, (uint16_t)last,
								  (uint16_t)(r + 1), P_TCP, 1};
			at = last + 1;
		}
		for (uint32_t port = 0; port < 65536; port += 1 + (uint32_t)(roll() % 97)) {
			struct tundish_port_range *want = NULL;

			for (uint32_t r = 0; r < v.n_ranges; r++)
				if (port >= v.ranges[r].first && port <= v.ranges[r].last)
					want = &v.ranges[r];
			assert_ptr_equal(find_port(&v, P_TCP, (uint16_t)port), want);
			assert_null(find_port(&v, P_UDP, (uint16_t)port));
		}
	}
}

static int stands(union tundish_flow_value v)
{
	return v.live.state == TUNDISH_FLOW_ESTABLISHED || v.live.state == TUNDISH_FLOW_REOPEN;
}

/* Whatever a flow was and whatever comes: the effects are what its change means. */
static void test_steps(void **state)
{
	for (int i = 0; i < 2000000; i++) {
		union tundish_flow_value v = {.raw = roll()};
		struct tundish_flow_step s;
		uint32_t segment = (uint32_t)roll() & 15, seq = (uint32_t)roll(),
			 owner = 1 + (uint32_t)(roll() % 1000);
		int pending, active;

		v.live.state = 1 + roll() % 4;
		if (roll() & 1)
			seq = (uint32_t)v.syn.isn_low + (uint32_t)(roll() & 1);
		if ((segment & TUNDISH_SEGMENT_SYN) && (segment & ~(uint32_t)TUNDISH_SEGMENT_SYN))
			segment = TUNDISH_SEGMENT_SYN;
		if (!segment)
			continue;
		s = tundish_flow_next(v, segment, seq, owner, (uint32_t)roll());
		pending = tundish_flow_half_open(s.value) - tundish_flow_half_open(v);
		assert_int_equal(pending, !!(s.effects & TUNDISH_EFFECT_PENDING_ADD) -
						  !!(s.effects & TUNDISH_EFFECT_PENDING_SUB));
		active = stands(s.value) - stands(v);
		assert_int_equal(active, !!(s.effects & TUNDISH_EFFECT_OPENED) -
						 !!(s.effects & TUNDISH_EFFECT_CLOSED));
		assert_int_equal(!!(s.effects & TUNDISH_EFFECT_FREED), s.value.raw == 0);
		if (s.value.raw) {
			assert_true(s.value.live.state >= TUNDISH_FLOW_SYN &&
				    s.value.live.state <= TUNDISH_FLOW_CLOSING);
			assert_int_equal(s.value.live.vip, v.live.vip);
			/* a connection that stands stays where it is */
			if (stands(v))
				assert_int_equal(s.value.live.backend, v.live.backend);
			else
				assert_true(s.value.live.backend == v.live.backend ||
					    s.value.live.backend == owner);
			assert_true(s.value.raw != ~0ull);
		}
		/* nobody gets established but by an ACK that fits */
		if (s.effects & (TUNDISH_EFFECT_OPENED | TUNDISH_EFFECT_REOPENED)) {
			assert_true(segment & TUNDISH_SEGMENT_ACK);
			assert_int_equal(TUNDISH_ISN_OF_SYN(seq - 1), v.syn.isn_low);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash_vectors),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_csum),
		cmocka_unit_test(test_find_port),
		cmocka_unit_test(test_steps),
	};

	return cmocka_run_group_tests_name("native: headers", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Good packets, changed at random in every way that is easy to think of, with the frame
 * against forbidden memory at its end or at its start. What comes out is judged by
 * invariants.h. The seed is fixed: SEED=n PACKETS=n choose others.
 */
#include "native/rig_native.h"

#include "bpf/cases_trace.h"

static uint32_t dice;

static uint32_t roll(void)
{
	dice ^= dice << 13;
	dice ^= dice >> 17;
	dice ^= dice << 5;
	return dice >> 3;
}

static void mutate(struct packet *p)
{
	static const uint8_t protocols[] = {0, 1, 4, 6, 17, 41, 43, 44, 50, 51, 58, 59, 60, 135};
	static struct packet other, outer;
	uint32_t at = p->len ? roll() % p->len : 0, n;
	struct spec o;

	if (!p->len)
		return;
	switch (roll() % 10) {
	case 0: p->data[at] ^= (uint8_t)(1u << roll() % 8); break;
	case 1: p->data[at] = (uint8_t)roll(); break;
	case 2: p->len = at; break;
	case 3: /* longer, by what lay there before */
		n = roll() % 200;
		if (p->len + n <= 3000)
			p->len += n;
		break;
	case 4: /* bytes of one packet in another */
		sample(roll() % SAMPLES, &other);
		n = roll() % 64;
		if (at + n <= p->len && n <= other.len)
			memcpy(p->data + at, other.data + roll() % (other.len - n + 1), n);
		break;
	case 5: /* a length or a port near its bounds */
		if (at + 2 <= p->len)
			put16(p->data + at, roll() % 2 ? roll() % 128 : 65535 - roll() % 64);
		break;
	case 6: /* a next header */ p->data[at] = protocols[roll() % sizeof(protocols)]; break;
	case 7: /* the same protocol chain, over and over */
		n = roll() % 16;
		for (uint32_t i = 14 + 40; i + 8 <= p->len && n; i += 8, n--)
			p->data[i] = protocols[roll() % sizeof(protocols)], p->data[i + 1] = 0;
		break;
	case 8: /* into a tunnel */
		if (p->len < 60 || p->len > 2000)
			break;
		o = outer_of((int)(roll() & 1));
		if (roll() & 1)
			wrap(&outer, &o, p);
		else
			wrap_gue(&outer, &o, p, (int)(roll() & 1));
		*p = outer;
		break;
	default: /* cut out of the middle */
		n = roll() % 40;
		if (at + n <= p->len) {
			memmove(p->data + at, p->data + at + n, p->len - at - n);
			p->len -= n;
		}
	}
}

static uint32_t number(const char *name, uint32_t otherwise)
{
	const char *s = getenv(name);

	return s ? (uint32_t)strtoul(s, NULL, 0) : otherwise;
}

static void test_mutations(void **state)
{
	uint32_t packets = number("PACKETS", 2000000), seen[TUNDISH_COUNTER_MAX] = {0};
	struct packet p;
	char name[64];

	dice = number("SEED", 20250101) | 1;
	assert_int_equal(world_open(16, 16), 0);
	for (uint32_t i = 0; i < packets; i++) {
		uint32_t changes = roll() % 4;

		rig_place = i & 1 ? RIG_AT_END : RIG_AT_START;
		if (i % 64 == 0)
			rig_now_ns += 1ull << (TUNDISH_TICK_SHIFT - 3 + roll() % 5);
		if (i % 5000 == 0)
			give_slots(i & 1024 ? K_OTHER : K_POOL, roll() & 1);
		if (i % 7000 == 0)
			rig_set_group(K_WORKERS, roll() % 2, 1ull << 62);
		any_packet(&p, &dice);
		while (changes--)
			mutate(&p);
		snprintf(name, sizeof(name), "packet %u", i);
		seen[check_any(name, &p, NULL)]++;
		if (i % 2000 == 0)
			check_tables(name);
	}
	check_tables("in the end");
	rig_place = RIG_AT_END;
	rig_close();
	/* a mutator that meets one exit only would show nothing */
	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++)
		if (counter_is_exit(i) && i != TUNDISH_COUNTER_drop_internal &&
		    i != TUNDISH_COUNTER_pass_local && i != TUNDISH_COUNTER_drop_no_backend &&
		    i != TUNDISH_COUNTER_drop_no_nexthop && !counter_is_nat(i) && !seen[i])
			fail_msg("no packet met %s", counter_name(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations)};

	return cmocka_run_group_tests_name("native: mutations", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dice with a fixed seed, and packets changed at random in every way that is easy to think
 * of. For a program that holds cases_trace.h's packets.
 */
#ifndef TESTS_MUTATE_H
#define TESTS_MUTATE_H

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

#endif

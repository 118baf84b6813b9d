// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a tuple has, now: the last scan's count, plus what the events say has come and
 * gone since, less the TIME_WAITs that have ended. The last scan told when those end
 * that it found (in steps of 10 s); those that began since end 60 s later.
 *
 * connect(2) scans all ports of one parity, that of the range's low end, before it
 * tries any of the other: that is the cliff. It passes over reserved ports, and over
 * each port to which a program was bound explicitly, whatever its destination. A port
 * that this very tuple has bound itself is used and blocked at once, and counts as used.
 */
#include <math.h>
#include <netinet/in.h>

#include "core/address.h"
#include "core/budget.h"
#include "core/forecast.h"

/* ---- ports of a namespace ------------------------------------------------------- */

static bool bit(const uint64_t *words, unsigned int port)
{
	return words && words[port / 64] >> port % 64 & 1;
}

bool td_budget_in_range(const struct td_budget_space *s,
			const uint64_t reserved[TUNDISH_PORT_WORDS], uint16_t port)
{
	return port >= s->first && port <= s->last && !bit(reserved, port);
}

void td_budget_count_ports(struct td_budget_space *s, const uint64_t reserved[TUNDISH_PORT_WORDS],
			   const struct tundish_port_bits *bits)
{
	s->reserved = s->blocked = s->cliff = s->udp = s->udp_any = 0;
	for (unsigned int port = s->first; port <= s->last; port++) {
		bool blocked = bits && (bit((const uint64_t *)bits->blocked, port) ||
					bit((const uint64_t *)bits->listening, port));

		if (bit(reserved, port)) {
			s->reserved++;
			continue;
		}
		s->blocked += blocked;
		s->cliff += !blocked && !((port ^ s->first) & 1);
		s->udp += bits && bit((const uint64_t *)bits->udp, port);
		s->udp_any += bits && bit((const uint64_t *)bits->udp_any, port);
	}
}

static uint32_t range_of(const struct td_budget_space *s)
{
	uint32_t n = s->last >= s->first ? (uint32_t)s->last - s->first + 1 : 0;

	return n > s->reserved ? n - s->reserved : 0;
}

/* ---- what is remembered ------------------------------------------------------------ */

void td_budget_scanned(struct td_budget *b, const struct tundish_ports *p, uint64_t scan,
		       uint64_t now_ns)
{
	const struct tundish_port_count *c = &p->counted[scan % 2];
	uint32_t used = 0;

	b->scan = scan;
	b->scan_ns = now_ns;
	b->count = c->scan == scan ? *c : (struct tundish_port_count){.scan = scan};
	b->held = p->held;
	b->entered = p->entered;
	for (size_t i = 0; i < TUNDISH_PORT_STATE_MAX; i++)
		used += b->count.state[i];
	b->empty_scans = used || b->began != p->opened ? 0 : b->empty_scans + 1;
	b->began = p->opened;
}

#define LOOK_LEAST_S 0.5
#define WINDOW_S     30.0 /* over which rates are evened out */
#define JUMP	     4.0  /* standard deviations by which a rate differs from the one before */

/* Connections come one by one, so a count of n has a deviation of sqrt(n). */
static bool jumped(double count, double seconds, double sum, double window)
{
	double expected = sum / window * seconds;

	return fabs(count - expected) > JUMP * sqrt(expected + count / 2 + 1);
}

void td_budget_look(struct td_budget *b, const struct tundish_ports *p, uint64_t now_ns)
{
	double dt = td_later(now_ns, b->look_ns), keep, opened, entered, freed;

	if (b->look_ns && dt < LOOK_LEAST_S)
		return;
	/* What the numbers were before the first look is not known: a sum over all time. An
	 * entry that is younger than the daemon begins with zeroes, which is a first look too. */
	if (b->look_ns) {
		entered = (double)(int64_t)(p->entered - b->look_entered);
		freed = (double)(int64_t)(p->freed - b->look_freed);
		entered = fmax(entered, 0); /* the entry was made anew */
		freed = fmax(freed, 0);
		opened = fmax((double)(p->held - b->look_held) + entered + freed, 0);
		keep = exp(-dt / WINDOW_S);
		if (b->seconds > 0 && (jumped(opened, dt, b->opened, b->seconds) ||
				       jumped(entered, dt, b->to_time_wait, b->seconds) ||
				       jumped(freed, dt, b->freed, b->seconds)))
			keep = 0;
		b->seconds = b->seconds * keep + dt;
		b->opened = b->opened * keep + opened;
		b->to_time_wait = b->to_time_wait * keep + entered;
		b->freed = b->freed * keep + freed;
	}
	b->look_ns = now_ns;
	b->look_held = p->held;
	b->look_entered = p->entered;
	b->look_freed = p->freed;
}

bool td_budget_over(const struct td_budget *b, const struct tundish_ports *p, uint64_t now_ns)
{
	return b->empty_scans >= 2 && p->opened == b->began && p->held == b->held &&
	       !tundish_tw_count(p, now_ns);
}

/* ---- the picture ------------------------------------------------------------------------ */

static bool is_loopback(const struct tundish_addr *a)
{
	static const struct tundish_addr v6 = {{0, 0, 0, TUNDISH_BE32(1)}};

	return tundish_addr_equal(a, &v6) ||
	       (tundish_addr_is_v4(a) && ntohl(a->word[3]) >> 24 == 127);
}

static bool may_reuse(const struct td_budget_space *s, const struct tundish_port_key *k)
{
	return s->tw_reuse == 1 ||
	       (s->tw_reuse == 2 && (is_loopback(&k->local) || is_loopback(&k->remote)));
}

static bool is_any(const struct tundish_addr *a)
{
	return !(a->word[0] | a->word[1] | a->word[3]) &&
	       (!a->word[2] || a->word[2] == TUNDISH_BE32(0xffff));
}

static uint32_t usable_of(const struct td_budget *b, const struct tundish_port_key *key,
			  const struct td_budget_space *s)
{
	uint32_t range = range_of(s), own = b->count.state[TUNDISH_PORT_established];

	if (key->protocol == IPPROTO_TCP)
		return TD_MIN(range, td_less(range, s->blocked) + b->count.bound);
	/* A UDP port is an address's, or every address's. */
	return TD_MIN(range, td_less(range, is_any(&key->local) ? s->udp : s->udp_any) +
				     (is_any(&key->local) ? own : 0));
}

void td_budget_picture(const struct td_budget *b, const struct tundish_port_key *key,
		       const struct tundish_ports *p, const struct td_budget_space *s,
		       uint64_t now_ns, struct td_picture *ret)
{
	bool reuse = key->protocol == IPPROTO_TCP && may_reuse(s, key);
	struct td_course all = {0}, c = {0};
	double tw;

	*ret = (struct td_picture){0};
	td_course_begin(&all, b, p, TD_TIME_WAIT_S, TD_NO_REUSE, now_ns);
	td_course_begin(&c, b, p, TD_TIME_WAIT_S, reuse ? s->reuse_delay_s : TD_NO_REUSE, now_ns);
	td_budget_move_states(b, p->held - b->held, ret);
	tw = td_course_old_left(&all, 0) + td_course_new_left(&all, 0);
	ret->state[TUNDISH_PORT_time_wait] = (uint32_t)lround(tw);
	for (size_t i = 0; i < TUNDISH_PORT_STATE_MAX; i++)
		ret->used += ret->state[i];
	c.held = ret->used - ret->state[TUNDISH_PORT_time_wait];
	ret->reusable =
		reuse ? (uint32_t)lround(
				fmax(tw - td_course_old_left(&c, 0) - td_course_new_left(&c, 0), 0))
		      : 0;
	ret->usable = usable_of(b, key, s);
	/* Where a port is taken over from TIME_WAIT nothing tells that this has ended. */
	if (ret->reusable && ret->used > ret->usable) {
		uint32_t over = TD_MIN(ret->used - ret->usable, ret->reusable);

		ret->used -= over;
		ret->reusable -= over;
		ret->state[TUNDISH_PORT_time_wait] -= over;
	}
	ret->utilization = ret->usable ? (double)td_less(ret->used, ret->reusable) / ret->usable
			   : ret->used ? 1
				       : 0;
	ret->opening_rate = c.opened;
	ret->time_wait_rate = c.entered;
	ret->freed_rate = c.freed;
	ret->exhaustion_s = ret->cliff_s = INFINITY;
	if (key->protocol == IPPROTO_UDP || td_port_has_remote(key))
		ret->exhaustion_s = td_course_reaches(&c, ret->usable);
	if (td_port_has_remote(key)) {
		ret->cliff = TD_MIN(s->cliff + (b->count.bound + 1) / 2, ret->usable);
		ret->cliff_s = td_course_reaches(&c, ret->cliff);
	}
}

/* ---- what is worth telling ------------------------------------------------------------- */

#define HALF	   0.5
#define UNDER_HALF 0.45
#define SOON_S	   600.0
#define NOT_SOON_S 900.0
#define SOON_LEAST 0.1 /* below that a start looks like a fill */

unsigned int td_budget_changes(struct td_budget *b, const struct td_picture *p, double interval_s)
{
	bool soon = p->exhaustion_s <= SOON_S, at_once = p->exhaustion_s <= 3 * interval_s;
	unsigned int changes = 0;

	if (!b->half && p->utilization >= HALF) {
		b->half = true;
		changes |= TD_BUDGET_OVER_HALF;
	} else if (b->half && p->utilization < UNDER_HALF) {
		b->half = false;
		changes |= TD_BUDGET_UNDER_HALF;
	}
	soon = soon && (p->utilization >= SOON_LEAST || at_once);
	b->soon_looks = soon ? b->soon_looks + 1 : 0;
	if (!b->soon && soon && (b->soon_looks >= 2 || at_once)) {
		b->soon = true;
		changes |= TD_BUDGET_SOON;
	} else if (b->soon && p->exhaustion_s > NOT_SOON_S) {
		b->soon = false;
		changes |= TD_BUDGET_NOT_SOON;
	}
	return changes;
}

uint32_t td_budget_vips(uint32_t active)
{
	return (uint32_t)((uint64_t)active * 2 / TD_INBOUND_PORTS) + 1;
}

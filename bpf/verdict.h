/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Verdicts, counters and trace steps. Inner functions return a verdict, which
 * is an action together with its reason; the program's one exit counts it.
 */
#ifndef TUNDISH_VERDICT_H
#define TUNDISH_VERDICT_H

#include "maps.bpf.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Tells the compiler that memory may have changed: one load stays one load. */
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/* Makes the compiler forget what it knows of a variable. Where a bound has been
 * spilled to the stack the verifier (6.1 to 6.18) has lost it while clang (14 to
 * 19) still knows it and would drop the comparison that tells it again. */
#define forget(x) asm volatile("" : "+r"(x))

/* Whether a length is outside of its bounds, in two comparisons: made one by the compiler, 6.1
 * does not learn the lower one. */
#define OUTSIDE(x, least, most)                                                                    \
	(({                                                                                        \
		 forget(x);                                                                        \
		 (x) < (least);                                                                    \
	 }) ||                                                                                     \
	 ({                                                                                        \
		 forget(x);                                                                        \
		 (x) > (most);                                                                     \
	 }))

/*
 * Functions of this kind are checked by the verifier once, by themselves, and
 * not once for each way that leads to them: without that the table would cost
 * it over a million steps. Their arguments may be NULL for all it knows.
 */
#define CHECKED_ALONE __attribute__((noinline, weak)) /* weak: nothing is assumed of it */

/* No header that is read by pointer begins further into the frame. */
#define OFFSET_MAX 1024

/* enum xdp_action in the low bits, enum tundish_counter above. */
typedef __u32 verdict_t;

#define VERDICT(action, counter) ((verdict_t)((TUNDISH_COUNTER_##counter << 3) | (action)))
#define VERDICT_ACTION(v)	 ((v)&7)
#define VERDICT_COUNTER(v)	 ((v) >> 3)
/* Not decided yet: go on. No action has this value. */
#define VERDICT_NONE ((verdict_t)~0u)

#define DROP(counter) VERDICT(XDP_DROP, drop_##counter)

static __always_inline void count_index(__u32 counter)
{
	__u32 zero = 0;
	__u64 *c = bpf_map_lookup_elem(&counters, &zero);

	forget(counter);
	if (c && counter < TUNDISH_COUNTER_MAX)
		c[counter]++;
}

/* Adds one to a counter, unless the program only traces. */
#define COUNT(dry, counter)                                                                        \
	do {                                                                                       \
		if (!(dry))                                                                        \
			count_index(TUNDISH_COUNTER_##counter);                                    \
	} while (0)

/* What the tracing twin notes. Functions, not inline: its stack is as short as the data
 * path's. */
#define TRACES static __noinline __attribute__((unused)) int

TRACES trace_step(__u32 step, __u32 argument)
{
	__u32 zero = 0;
	struct tundish_trace *t = bpf_map_lookup_elem(&trace, &zero);
	__u32 n;

	if (!t)
		return 0;
	n = t->n_steps;
	if (n >= TUNDISH_TRACE_STEPS_MAX)
		return 0;
	t->steps[n].step = step;
	t->steps[n].argument = argument;
	t->n_steps = n + 1;
	return 0;
}

/* Whether a table of connections decided, and what was decided. */
TRACES trace_known(__u32 known)
{
	__u32 zero = 0;
	struct tundish_trace *t = bpf_map_lookup_elem(&trace, &zero);

	if (t)
		t->from_flow = known;
	return 0;
}

TRACES trace_choice(__u32 service, __u32 backend)
{
	__u32 zero = 0;
	struct tundish_trace *t = bpf_map_lookup_elem(&trace, &zero);

	if (!t)
		return 0;
	t->service = service;
	t->backend = backend;
	return 0;
}

#define TRACE(dry, step, argument)                                                                 \
	do {                                                                                       \
		if (dry)                                                                           \
			trace_step(TUNDISH_STEP_##step, argument);                                 \
	} while (0)

#endif

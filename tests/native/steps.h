/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a test looks at what happens between two CPUs, it gets to know of each access
 * to memory that they share: rig_step() before each. Comes behind bpf/verdict.h and
 * before the code under test.
 */
#ifndef TESTS_STEPS_H
#define TESTS_STEPS_H

static void rig_step(void);
#undef READ_ONCE
#undef WRITE_ONCE
#define READ_ONCE(x) (rig_step(), *(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)                                                                           \
	do {                                                                                       \
		rig_step();                                                                        \
		*(volatile __typeof__(x) *)&(x) = (v);                                             \
	} while (0)
#define __sync_val_compare_and_swap(p, o, n) (rig_step(), __sync_val_compare_and_swap(p, o, n))
#define __sync_lock_test_and_set(p, v)	     (rig_step(), __sync_lock_test_and_set(p, v))
#define __sync_fetch_and_add(p, v)	     (rig_step(), __sync_fetch_and_add(p, v))
#define __sync_fetch_and_and(p, v)	     (rig_step(), __sync_fetch_and_and(p, v))
#define __sync_fetch_and_or(p, v)	     (rig_step(), __sync_fetch_and_or(p, v))

#endif

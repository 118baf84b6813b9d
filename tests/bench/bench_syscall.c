// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a system call costs that does nothing (getppid), for workers.sh: prints
 * nanoseconds, of the fastest of several rounds.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define ROUNDS 25
#define CALLS  200000

int main(void)
{
	double best = 0;

	pin_cpu();
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t from = now_ns();
		double ns;

		for (int i = 0; i < CALLS; i++)
			syscall(SYS_getppid);
		ns = (double)(now_ns() - from) / CALLS;
		best = !round || ns < best ? ns : best;
	}
	printf("%.1f\n", best);
	return 0;
}

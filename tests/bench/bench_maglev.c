// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many slots a change of the pool moves beyond those it has to.
 *
 * The changed backend's own share must move: the slots it had, got, or lost.
 * All others had better stay (Maglev paper, section 5.3). The excess is the
 * fraction of all slots that moved from one unchanged backend to another, the
 * worst over every backend of the pool that the change could have met.
 */
#include <arpa/inet.h>

#include "bench.h"
#include "core/maglev.h"

#define SLOTS	    TUNDISH_MAGLEV_SLOTS
#define MEMBERS_MAX 101

static uint32_t before[SLOTS], after[SLOTS];

static void fill(const uint32_t *weights, size_t n, uint32_t *slots)
{
	struct td_maglev_member m[MEMBERS_MAX];
	int r;

	for (size_t i = 0; i < n; i++)
		m[i] = (struct td_maglev_member){tundish_addr_v4(htonl(0x0a000100u + (uint32_t)i)),
						 (uint32_t)i + 1, weights[i]};
	r = td_maglev_fill(m, n, slots);
	if (r < 0)
		die("td_maglev_fill: %s", strerror(-r));
}

/* Slots that moved between backends of which neither is `changed` (from 1). */
static double moved_beyond(uint32_t changed)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SLOTS; i++)
		n += before[i] != after[i] && before[i] != changed && after[i] != changed;
	return 100.0 * n / SLOTS;
}

enum change {
	REMOVE,
	ADD,
	REWEIGHT,
};

static void measure(size_t n, enum change change)
{
	static const char *const names[] = {"remove", "add", "reweight"};
	uint32_t weights[MEMBERS_MAX];
	double worst = 0;
	char name[64];

	for (size_t victim = 0; victim < n; victim++) {
		for (size_t i = 0; i < n; i++)
			weights[i] = 100;
		if (change == ADD)
			weights[victim] = 0;
		fill(weights, n, before);
		weights[victim] = change == REMOVE ? 0 : change == ADD ? 100 : 50;
		fill(weights, n, after);
		worst = TD_MAX(worst, moved_beyond((uint32_t)victim + 1));
	}
	snprintf(name, sizeof(name), "maglev_disruption_excess_%s_of_%zu", names[change], n);
	report((struct row){name, worst, "percent", 0, "at most 1% of all slots",
			    AT_MOST(worst, 1.0)});
}

int main(void)
{
	for (enum change c = REMOVE; c <= REWEIGHT; c++) {
		measure(10, c);
		measure(100, c);
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One backend's checks: from a stream of results to a verdict, and from the time
 * since it came back to its share of the weight.
 *
 *   first result           trusted, whatever it is
 *   up   -> down           after `fall` bad results in a row, or one refused connection
 *   down -> up             after `rise` good ones in a row, and `hold_down` after it went
 *   back from down         5% of the weight at first, 10% more at each tenth of `slow_start`
 *
 * So a result that contradicts neither changes a verdict nor is forgotten until one that
 * agrees. What a daemon thought is given to the next one by td_check_resume.
 *
 * Pure: no I/O, no clock, no log; chance comes in as a number.
 */
#ifndef TD_CORE_CHECKS_H
#define TD_CORE_CHECKS_H

#include "lib/util.h"

struct td_check_rules {
	uint16_t rise, fall; /* at least 1 */
	uint64_t hold_down_ns, slow_start_ns;
};

enum td_check_outcome {
	TD_CHECK_GOOD,
	TD_CHECK_BAD,
	TD_CHECK_REFUSED, /* nobody is there: no reason to ask again */
};

/* All zero: nothing is known. */
struct td_check_state {
	bool known, down;
	uint16_t against;  /* results in a row that contradict */
	uint64_t since_ns; /* when it came to think so */
	uint64_t warm_ns;  /* when the slow start began; 0: there is none */
};

/* One result. Returns whether it changed the verdict, as the first one does. */
bool td_check_take(struct td_check_state *s, const struct td_check_rules *r,
		   enum td_check_outcome outcome, uint64_t now_ns);

/* Percent of its weight that it shall have now, 5..100; what is down has 100 for then. */
uint16_t td_check_share(const struct td_check_state *s, const struct td_check_rules *r,
			uint64_t now_ns);
/* When that will change; 0: it will not. */
uint64_t td_check_share_changes(const struct td_check_state *s, const struct td_check_rules *r,
				uint64_t now_ns);

/* As a former daemon left it; @warming: it had less than its weight. */
void td_check_resume(struct td_check_state *s, bool down, uint64_t since_ns, bool warming);

/* How often one is asked. */
struct td_check_pace {
	uint64_t interval_ns;
	uint64_t fast_ns; /* while results contradict */
	uint64_t down_ns; /* while it is down, and they do not */
};

/* Its interval now. One that only waits for `hold_down` to be over changes nothing by more
 * answers. */
uint64_t td_check_interval(const struct td_check_state *s, const struct td_check_rules *r,
			   const struct td_check_pace *p);

/* The time until the next check: never longer than the interval, up to a twentieth shorter, so
 * that checks that began together do not stay together. */
uint64_t td_check_wait(uint64_t interval_ns, uint32_t chance);
/* Until the first one: within the interval, and within a second. */
uint64_t td_check_first_wait(uint64_t interval_ns, uint32_t chance);

/*
 * A program's exit status that says how much of the weight its server shall have, as keepalived's
 * MISC_CHECK with misc_dynamic: 0 no change, 2 to 255 that less two, in percent. *ret is only
 * written where it says. 126 and 127, by which shells tell that they could not run something, say
 * nothing good, nor does 1. Returns whether the status is good.
 */
bool td_check_weigh(int status, uint16_t *ret);

/* ---- agents -------------------------------------------------------------------- */

/* What a server said of itself. */
struct td_agent_state {
	bool down;
	bool drain;		  /* takes no new connections: drain, or maint */
	uint16_t percent;	  /* of its weight, 0..1000 */
	uint32_t max_connections; /* that it asks for; 0: it does not */
	char reason[128];	  /* in its own words: "down #disk" has "disk"; "" none */
};

#define TD_AGENT_FULL 100

/*
 * One answer, in HAProxy's agent-check protocol: words between blanks or commas, up to
 * the end of the line; N% (of the weight in the file), ready, drain, maint, up, down,
 * failed or fail, stopped, maxconn:N; what follows '#' is the reason. Letters' case does not count.
 * Each word changes what it is about and leaves the rest as it was.
 * Returns 0, or -EINVAL where no word was known, *s untouched then.
 */
int td_agent_take(struct td_agent_state *s, const char *line, size_t length);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of checks share. A check looks at the facts and adds rows, none where it
 * has nothing to look at. False alarms are the worst fault here, so:
 *
 *   bad    only for what hurts now: drops that rise between the two looks, a queue that is
 *          full in both, a limit that is reached
 *   warn   over 80% of a limit (wrong), or dropped since boot but not now (not wrong)
 *   note   advice
 */
#ifndef TD_DOCTOR_CHECKS_H
#define TD_DOCTOR_CHECKS_H

#include "doctor/doctor.h"

struct td_look {
	const struct td_facts *was; /* NULL: one look only */
	const struct td_facts *now;
	double seconds; /* between them */
	int64_t target;
	struct td_report *report;
	struct td_row spare; /* takes what no longer fits */
};

#define TD_SYSCTL(l, name)  ((l)->now->sysctl[TD_SYSCTL_##name])
#define TD_COUNTER(l, name) ((l)->now->counter[TD_COUNTER_##name])

/* A new row, ok and without numbers. */
struct td_row *td_row_add(struct td_look *l, const char *stage, const char *id, const char *what,
			  ...) TD_PRINTF(4, 5);
/* Its verdict, and its sentence. */
void td_row_say(struct td_row *row, enum td_doctor_verdict verdict, const char *format, ...)
	TD_PRINTF(3, 4);
void td_row_set(struct td_row *row, const char *format, ...) TD_PRINTF(2, 3);

/* Drops since boot, and their rate since the first look (`was` -1: not known then). */
void td_row_drops(const struct td_look *l, struct td_row *row, int64_t now, int64_t was);
/* The same of a counter of the facts. */
void td_row_counter(const struct td_look *l, struct td_row *row, enum td_doctor_counter c);

/* They rise. */
static inline bool td_row_hurts(const struct td_row *row)
{
	return row->drops_now > 0;
}

/* Over 80% of its limit, but where that is too small to mean anything. */
static inline bool td_is_near(int64_t value, int64_t limit)
{
	return value >= 0 && limit > 0 && value > limit / 5 * 4 + limit % 5 * 4 / 5;
}

/* A row that dropped before, and does not now: a warning about the past, or only a note
 * where it was less than one in a million of `of` (-1: not known). */
void td_row_past(struct td_row *row, int64_t of, const char *what);

/* Twice as much, as a round number. */
int64_t td_doubled(int64_t value, int64_t least, int64_t most);

/* A listener in the range that probably asked for port 0: RPC services do (the kernel's own
 * have no program), tundishd for its sink, and what is on loopback mostly. */
bool td_listens_anywhere(const struct td_listen *x);

/* checks_in.c */
void td_check_rings(struct td_look *l);
void td_check_backlog(struct td_look *l);
void td_check_squeeze(struct td_look *l);
void td_check_stack_drops(struct td_look *l);
void td_check_xdp(struct td_look *l);
void td_check_conntrack(struct td_look *l);
/* checks_listen.c */
void td_check_syn_queue(struct td_look *l);
void td_check_cookies(struct td_look *l);
void td_check_cookies_failed(struct td_look *l);
void td_check_syn_backlog(struct td_look *l);
void td_check_accept_queues(struct td_look *l);
void td_check_overflows(struct td_look *l);
void td_check_listen_drops(struct td_look *l);
void td_check_somaxconn(struct td_look *l);
/* checks_process.c */
void td_check_process_files(struct td_look *l);
void td_check_host_files(struct td_look *l);
void td_check_tcp_memory(struct td_look *l);
void td_check_receive_buffers(struct td_look *l);
void td_check_cgroup_memory(struct td_look *l);
void td_check_capacity(struct td_look *l);
void td_check_unseen(struct td_look *l);
/* checks_nat.c */
void td_check_nat_table(struct td_look *l);
void td_check_nat_answers(struct td_look *l);
void td_check_nat_nics(struct td_look *l);
void td_check_nat_sources(struct td_look *l);
/* checks_out.c */
void td_check_port_range(struct td_look *l);
void td_check_tuple(struct td_look *l);
void td_check_reserved(struct td_look *l);
void td_check_overlap(struct td_look *l);
void td_check_time_wait(struct td_look *l);
void td_check_tw_reuse(struct td_look *l);
void td_check_fin_timeout(struct td_look *l);
void td_check_orphans(struct td_look *l);
void td_check_transmit(struct td_look *l);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of checks, in the order of a packet's way, and what they have in common. Pure:
 * two looks in, rows out.
 */
#include "checks.h"

static void (*const checks[])(struct td_look *l) = {
	/* in: NIC, softirq, XDP, conntrack */
	td_check_rings,
	td_check_stack_drops,
	td_check_backlog,
	td_check_squeeze,
	td_check_xdp,
	td_check_conntrack,
	/* SYN queue, accept queue */
	td_check_syn_queue,
	td_check_cookies,
	td_check_cookies_failed,
	td_check_syn_backlog,
	td_check_accept_queues,
	td_check_overflows,
	td_check_listen_drops,
	td_check_somaxconn,
	/* process, memory */
	td_check_process_files,
	td_check_host_files,
	td_check_tcp_memory,
	td_check_receive_buffers,
	td_check_cgroup_memory,
	/* through: translated connections */
	td_check_nat_table,
	td_check_nat_answers,
	td_check_nat_nics,
	td_check_nat_sources,
	/* out: source ports, TIME_WAIT, orphans */
	td_check_port_range,
	td_check_tuple,
	td_check_reserved,
	td_check_overlap,
	td_check_time_wait,
	td_check_tw_reuse,
	td_check_fin_timeout,
	td_check_orphans,
	td_check_transmit,
	/* the whole */
	td_check_capacity,
	td_check_unseen,
};

static const char *const verdicts[] = {"ok", "note", "warn", "bad"};

const char *td_verdict_name(enum td_doctor_verdict v)
{
	return verdicts[v];
}

struct td_row *td_row_add(struct td_look *l, const char *stage, const char *id, const char *what,
			  ...)
{
	struct td_report *r = l->report;
	struct td_row *row = r->n < TD_DOCTOR_ROWS_MAX ? &r->rows[r->n++] : &l->spare;
	va_list ap;

	*row = (struct td_row){
		.id = id,
		.stage = stage,
		.unit = "",
		.value = -1,
		.limit = -1,
		.drops_boot = -1,
		.drops_now = -1,
	};
	va_start(ap, what);
	vsnprintf(row->what, sizeof(row->what), what, ap);
	va_end(ap);
	return row;
}

void td_row_say(struct td_row *row, enum td_doctor_verdict verdict, const char *format, ...)
{
	va_list ap;

	row->verdict = verdict;
	row->wrong = verdict >= TD_VERDICT_WARN;
	va_start(ap, format);
	vsnprintf(row->sentence, sizeof(row->sentence), format, ap);
	va_end(ap);
}

void td_row_set(struct td_row *row, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(row->setting, sizeof(row->setting), format, ap);
	va_end(ap);
}

void td_row_drops(const struct td_look *l, struct td_row *row, int64_t now, int64_t was)
{
	row->drops_boot = now;
	if (!l->was || now < 0 || was < 0 || !(l->seconds > 0))
		return;
	/* One that went down was set back, by a driver or with its device. */
	row->drops_now = now > was ? (double)(now - was) / l->seconds : 0;
}

void td_row_counter(const struct td_look *l, struct td_row *row, enum td_doctor_counter c)
{
	td_row_drops(l, row, l->now->counter[c], l->was ? l->was->counter[c] : -1);
}

void td_row_past(struct td_row *row, int64_t of, const char *what)
{
	if (row->drops_boot <= 0)
		return;
	td_row_say(row,
		   of >= 0 && row->drops_boot <= of / 1000000 ? TD_VERDICT_NOTE : TD_VERDICT_WARN,
		   "%lld %s since boot, none now", (long long)row->drops_boot, what);
	if (row->drops_now < 0)
		td_row_say(row, row->verdict,
			   "%lld %s since boot; whether now, a second look would tell",
			   (long long)row->drops_boot, what);
	row->wrong = false;
}

int64_t td_doubled(int64_t value, int64_t least, int64_t most)
{
	int64_t n = 1024;

	while (n < INT64_MAX / 4 && (n < value * 2 || n < least))
		n *= 2;
	return TD_MIN(n, most);
}

void td_doctor_check(const struct td_facts *was, const struct td_facts *now, int64_t target,
		     struct td_report *ret)
{
	struct td_look l = {.was = was, .now = now, .target = target, .report = ret};

	ret->n = 0;
	ret->wrong = false;
	if (was && now->at_ns > was->at_ns)
		l.seconds = (double)(now->at_ns - was->at_ns) / 1e9;
	for (size_t i = 0; i < TD_ARRAY_SIZE(checks); i++)
		checks[i](&l);
	for (size_t i = 0; i < ret->n; i++)
		ret->wrong |= ret->rows[i].wrong;
}

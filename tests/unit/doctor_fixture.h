/* SPDX-License-Identifier: GPL-2.0-only */
/* A host on which all is well, for the tests of the doctor. */
#ifndef TDT_DOCTOR_FIXTURE_H
#define TDT_DOCTOR_FIXTURE_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <ftw.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "doctor/private.h"
#include "lib/util.h"

/* A host on which all is well, in two looks a second apart. */
struct look {
	struct td_facts f;
	struct td_cpu cpu[2];
	struct td_nic nic[2];
	struct td_listen listen[2];
	struct td_process process[2];
};
static struct look was, now; /* unit tests are programs: each has its own */
static struct td_report report;

static inline void fill(struct look *l, uint64_t at_ns)
{
	static const struct {
		enum td_sysctl s;
		int64_t value;
	} sysctls[] = {
		{TD_SYSCTL_SOMAXCONN, 4096},
		{TD_SYSCTL_NETDEV_MAX_BACKLOG, 1000},
		{TD_SYSCTL_NETDEV_BUDGET, 300},
		{TD_SYSCTL_NETDEV_BUDGET_USECS, 8000},
		{TD_SYSCTL_SYNCOOKIES, 1},
		{TD_SYSCTL_MAX_SYN_BACKLOG, 1024},
		{TD_SYSCTL_ABORT_ON_OVERFLOW, 0},
		{TD_SYSCTL_TCP_MEM_LOW, 50000},
		{TD_SYSCTL_TCP_MEM_PRESSURE, 75000},
		{TD_SYSCTL_TCP_MEM_HIGH, 100000},
		{TD_SYSCTL_MAX_ORPHANS, 65536},
		{TD_SYSCTL_MAX_TW_BUCKETS, 100000},
		{TD_SYSCTL_TW_REUSE, 2},
		{TD_SYSCTL_TIMESTAMPS, 1},
		{TD_SYSCTL_FIN_TIMEOUT, 60},
		{TD_SYSCTL_PORT_LOW, 32768},
		{TD_SYSCTL_PORT_HIGH, 60999},
		{TD_SYSCTL_CONNTRACK_COUNT, 100},
		{TD_SYSCTL_CONNTRACK_MAX, 262144},
		{TD_SYSCTL_CONNTRACK_BUCKETS, 65536},
		{TD_SYSCTL_FILES_OPEN, 2000},
		{TD_SYSCTL_FILES_MAX, INT64_MAX},
		{TD_SYSCTL_NR_OPEN, 1048576},
	};

	memset(l, 0, sizeof(*l));
	td_facts_init(&l->f);
	l->f.page_bytes = 4096;
	l->f.at_ns = at_ns;
	for (size_t i = 0; i < TD_ARRAY_SIZE(sysctls); i++)
		l->f.sysctl[sysctls[i].s] = sysctls[i].value;
	for (size_t i = 0; i < TD_COUNTER_N; i++)
		l->f.counter[i] = 0;
	l->f.counter[TD_COUNTER_PASSIVE_OPENS] = 100000;
	l->f.counter[TD_COUNTER_TIME_WAIT_ENTERED] = 100000;
	l->f.counter[TD_COUNTER_MEM_TOTAL_KB] = 8 << 20;
	l->f.counter[TD_COUNTER_MEM_AVAILABLE_KB] = 6 << 20;
	for (unsigned int i = 0; i < 2; i++)
		l->cpu[i] = (struct td_cpu){.id = i};
	l->nic[0] = (struct td_nic){.name = "lo", .index = 1, .up = true, .loopback = true};
	l->nic[1] = (struct td_nic){.name = "eth0",
				    .index = 2,
				    .up = true,
				    .packets = 5000000,
				    .xdp_drops = -1,
				    .xdp_errors = -1,
				    .ring = 256,
				    .ring_max = 4096};
	l->listen[0] = (struct td_listen){.port = 22, .inode = 7, .limit = 128, .pid = 70};
	strcpy(l->listen[0].command, "sshd");
	l->listen[1] = (struct td_listen){.port = 80, .inode = 8, .limit = 511, .pid = 80};
	l->listen[1].address = tundish_addr_v4(0);
	strcpy(l->listen[1].command, "nginx");
	for (unsigned int i = 0; i < 2; i++)
		l->process[i] = (struct td_process){.pid = 70 + 10 * (pid_t)i,
						    .listens = true,
						    .files = 20,
						    .soft = 1000,
						    .hard = 4000,
						    .memory = -1,
						    .memory_max = -1,
						    .memory_kills = -1};
	strcpy(l->process[0].command, "sshd");
	strcpy(l->process[1].command, "nginx");
	strcpy(l->process[1].unit, "nginx.service");
	l->f.cpus = l->cpu;
	l->f.nics = l->nic;
	l->f.listeners = l->listen;
	l->f.processes = l->process;
	l->f.n_cpus = l->f.n_nics = l->f.n_listeners = l->f.n_processes = 2;
}

static inline int healthy(void **state)
{
	fill(&was, 1000000000);
	fill(&now, 2000000000);
	return 0;
}

static inline const struct td_row *row_of(const char *id)
{
	const struct td_row *found = NULL;

	for (size_t i = 0; i < report.n; i++)
		if (strcmp(report.rows[i].id, id) == 0 &&
		    (!found || report.rows[i].verdict > found->verdict))
			found = &report.rows[i];
	return found;
}

static inline void look(int64_t target)
{
	td_doctor_check(&was.f, &now.f, target, &report);
}

#endif

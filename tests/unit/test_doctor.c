// SPDX-License-Identifier: GPL-2.0-only
/* Verdicts from facts, on both sides of each threshold. */
#include "doctor_fixture.h"

static void test_healthy(void **state)
{
	look(0);
	assert_false(report.wrong);
	assert_true(report.n > 20);
	for (size_t i = 0; i < report.n; i++) {
		if (report.rows[i].verdict != TD_VERDICT_OK)
			fail_msg("%s: %s", report.rows[i].id, report.rows[i].sentence);
		assert_string_equal(report.rows[i].setting, "");
	}
}

/* ---- thresholds ------------------------------------------------------------------------ */

#define SET(name)     &was.f.sysctl[TD_SYSCTL_##name], &now.f.sysctl[TD_SYSCTL_##name]
#define COUNT(name)   &was.f.counter[TD_COUNTER_##name], &now.f.counter[TD_COUNTER_##name]
#define RISES(name)   NULL, &now.f.counter[TD_COUNTER_##name]
#define FIELD(place)  &was.place, &now.place
#define GROWS(place)  NULL, &now.place
#define BEFORE(place) &was.place, NULL

enum { OK, NOTE, WARN, BAD, PAST /* a warning, and nothing is wrong */ };

static const struct {
	const char *id;
	int verdict;
	const char *setting; /* part of it; NULL: none */
	struct {
		int64_t *a, *b, value;
	} change[4];
} cases[] = {
	/* rings */
	{"nic_ring", PAST, NULL, {{FIELD(nic[1].lost), 6}}},
	{"nic_ring", NOTE, NULL, {{FIELD(nic[1].lost), 5}}}, /* one in a million */
	{"nic_ring",
	 BAD,
	 "ethtool -G eth0 rx 4096",
	 {{FIELD(nic[1].lost), 5}, {GROWS(nic[1].lost), 6}}},
	{"nic_ring", BAD, "ethtool -L eth0", {{FIELD(nic[1].ring), 4096}, {GROWS(nic[1].lost), 6}}},
	{"nic_ring", OK, NULL, {{BEFORE(nic[1].lost), 6}}}, /* the driver began anew */
	{"nic_dropped", NOTE, NULL, {{GROWS(nic[1].stack_drops), 6}}},
	{"nic_transmit", NOTE, NULL, {{GROWS(nic[1].transmit_drops), 6}}},
	/* softirqs */
	{"softnet_backlog", OK, NULL, {{GROWS(cpu[1].backlog), 800}}},
	{"softnet_backlog",
	 WARN,
	 "net.core.netdev_max_backlog=4096",
	 {{GROWS(cpu[1].backlog), 801}}},
	{"softnet_backlog", PAST, "netdev_max_backlog", {{FIELD(cpu[0].dropped), 9}}},
	{"softnet_backlog",
	 BAD,
	 "net.core.netdev_max_backlog=16384",
	 {{GROWS(cpu[1].dropped), 1}, {SET(NETDEV_MAX_BACKLOG), 8000}}},
	{"softnet_squeeze", OK, NULL, {{GROWS(cpu[0].squeezed), 5000}}},
	{"softnet_squeeze",
	 NOTE,
	 "netdev_budget=600",
	 {{GROWS(cpu[0].squeezed), 50}, {GROWS(cpu[1].dropped), 1}}},
	/* conntrack */
	{"conntrack", OK, NULL, {{SET(CONNTRACK_COUNT), 209715}}},
	{"conntrack", WARN, "nf_conntrack_max=524288", {{SET(CONNTRACK_COUNT), 209716}}},
	{"conntrack", BAD, "nf_conntrack_max=524288", {{SET(CONNTRACK_COUNT), 262144}}},
	{"conntrack", WARN, NULL, {{RISES(CONNTRACK_DROPS), 1}}},
	{"conntrack",
	 BAD,
	 "nf_conntrack_max",
	 {{SET(CONNTRACK_COUNT), 262000}, {RISES(CONNTRACK_EARLY_DROPS), 1}}},
	{"conntrack", PAST, NULL, {{COUNT(CONNTRACK_DROPS), 1}}},
	/* SYN queues */
	{"syn_queue", OK, NULL, {{FIELD(listen[1].half_open), 408}}},
	{"syn_queue", WARN, "`backlog=4096` at nginx", {{FIELD(listen[1].half_open), 409}}},
	{"syn_queue", WARN, "`backlog=4096` at nginx", {{FIELD(listen[1].half_open), 510}}},
	{"syn_queue", BAD, "`backlog=4096` at nginx", {{FIELD(listen[1].half_open), 511}}},
	{"syn_queue", OK, NULL, {{FIELD(listen[0].half_open), 5}, {FIELD(listen[0].limit), 6}}},
	{"syn_queue",
	 BAD,
	 "tcp_syncookies=1",
	 {{RISES(REQUEST_QUEUE_DROPS), 1}, {SET(SYNCOOKIES), 0}}},
	{"syn_queue", PAST, NULL, {{COUNT(REQUEST_QUEUE_DROPS), 1}}},
	{"syn_cookies", WARN, NULL, {{RISES(COOKIES_SENT), 1}}},
	{"syn_cookies",
	 WARN,
	 "`backlog=4096` at nginx",
	 {{RISES(COOKIES_SENT), 1}, {FIELD(listen[1].half_open), 3}}},
	{"syn_cookies", PAST, NULL, {{COUNT(COOKIES_SENT), 1}}},
	{"syn_cookies", NOTE, "tcp_syncookies=1", {{SET(SYNCOOKIES), 0}}},
	{"syn_cookies", NOTE, NULL, {{SET(SYNCOOKIES), 2}}},
	{"syn_cookies_failed", NOTE, NULL, {{RISES(COOKIES_FAILED), 1}}},
	{"max_syn_backlog", OK, NULL, {{FIELD(listen[1].half_open), 1024}}}, /* cookies are on */
	{"max_syn_backlog", OK, NULL, {{FIELD(listen[1].half_open), 768}, {SET(SYNCOOKIES), 0}}},
	{"max_syn_backlog",
	 BAD,
	 "tcp_syncookies=1",
	 {{FIELD(listen[1].half_open), 769}, {SET(SYNCOOKIES), 0}}},
	/* accept queues */
	{"accept_queue", OK, NULL, {{FIELD(listen[1].queue), 409}}},
	{"accept_queue", WARN, "`backlog=4096` at nginx", {{FIELD(listen[1].queue), 410}}},
	{"accept_queue", WARN, "`backlog=4096`", {{FIELD(listen[1].queue), 511}}},
	{"accept_queue", BAD, "`backlog=4096`", {{FIELD(listen[1].queue), 512}}},
	{"accept_queue", OK, NULL, {{GROWS(listen[1].queue), 512}}}, /* in one look only */
	{"accept_queue",
	 BAD,
	 "`backlog=4096`",
	 {{GROWS(listen[1].queue), 512}, {GROWS(listen[1].drops), 1}}},
	{"accept_queue", OK, NULL, {{FIELD(listen[0].queue), 1}, {FIELD(listen[0].limit), 1}}},
	{"accept_queue",
	 BAD,
	 "a backlog of 4096 in the listen(2) of sshd for [::]:22",
	 {{FIELD(listen[0].queue), 2}, {FIELD(listen[0].limit), 1}}},
	{"accept_queue",
	 BAD,
	 "sysctl -w net.core.somaxconn=4096, then `backlog=4096`",
	 {{FIELD(listen[1].queue), 129}, {FIELD(listen[1].limit), 128}, {SET(SOMAXCONN), 128}}},
	{"listen_overflows", BAD, NULL, {{RISES(LISTEN_OVERFLOWS), 1}}},
	{"listen_overflows",
	 BAD,
	 "`backlog=4096` at nginx",
	 {{RISES(LISTEN_OVERFLOWS), 1}, {GROWS(listen[1].drops), 1}}},
	{"listen_overflows", PAST, NULL, {{COUNT(LISTEN_OVERFLOWS), 1}}},
	{"listen_drops", OK, NULL, {{RISES(LISTEN_DROPS), 99}, {RISES(LISTEN_OVERFLOWS), 99}}},
	{"listen_drops", NOTE, NULL, {{RISES(LISTEN_DROPS), 9}}},
	{"listen_drops", WARN, NULL, {{RISES(LISTEN_DROPS), 10}}},
	{"listen_drops", NOTE, NULL, {{RISES(LISTEN_DROPS), 10}, {RISES(PASSIVE_OPENS), 101000}}},
	{"listen_drops", PAST, NULL, {{COUNT(LISTEN_DROPS), 10}}},
	{"somaxconn", OK, NULL, {{FIELD(listen[1].limit), 4096}}},
	{"somaxconn",
	 NOTE,
	 "net.core.somaxconn=4096",
	 {{FIELD(listen[1].limit), 128}, {SET(SOMAXCONN), 128}}},
	/* descriptors */
	{"process_files", OK, NULL, {{GROWS(process[1].files), 800}}},
	{"process_files",
	 WARN,
	 "LimitNOFILE=65536 in nginx.service",
	 {{GROWS(process[1].files), 801}}},
	{"process_files",
	 BAD,
	 "LimitNOFILE=65536 in nginx.service",
	 {{GROWS(process[1].files), 1000}}},
	{"process_files",
	 BAD,
	 "prlimit --pid 70 --nofile=65536",
	 {{GROWS(process[0].files), 1000}}},
	{"process_files",
	 BAD,
	 "sysctl -w fs.nr_open=65536, then LimitNOFILE=65536",
	 {{GROWS(process[1].files), 1000}, {SET(NR_OPEN), 1000}}},
	{"process_files",
	 OK,
	 NULL,
	 {{GROWS(process[1].files), 900}, {GROWS(process[1].soft), INT64_MAX}}},
	{"host_files", OK, NULL, {{SET(FILES_MAX), 2500}}},
	{"host_files", WARN, "fs.file-max=1048576", {{SET(FILES_MAX), 2499}}},
	{"host_files", BAD, "fs.file-max=1048576", {{SET(FILES_MAX), 2000}}},
	/* memory */
	{"tcp_mem", OK, NULL, {{COUNT(MEMORY_PAGES), 74999}}},
	{"tcp_mem",
	 WARN,
	 "net.ipv4.tcp_mem=\"131072 174762 262144\"",
	 {{COUNT(MEMORY_PAGES), 75000}}},
	{"tcp_mem", BAD, "net.ipv4.tcp_mem", {{COUNT(MEMORY_PAGES), 100000}}},
	{"tcp_mem", BAD, "net.ipv4.tcp_mem", {{RISES(MEMORY_PRESSURES), 1}}},
	{"tcp_mem", PAST, "net.ipv4.tcp_mem", {{COUNT(MEMORY_PRESSURES), 1}}},
	{"receive_buffers", NOTE, "net.ipv4.tcp_rmem", {{RISES(RECEIVE_PRUNED), 99}}},
	{"receive_buffers", WARN, "net.ipv4.tcp_rmem", {{RISES(BACKLOG_DROPS), 100}}},
	{"receive_buffers", NOTE, NULL, {{COUNT(RECEIVE_PRUNED), 100000}}},
	{"cgroup_memory",
	 PAST,
	 "MemoryMax=2000 in nginx.service",
	 {{GROWS(process[1].memory_max), 1000}, {GROWS(process[1].memory_kills), 1}}},
	/* source ports */
	{"port_range", OK, NULL, {{SET(PORT_HIGH), 42767}}}, /* 10000 */
	{"port_range", NOTE, "ip_local_port_range", {{SET(PORT_HIGH), 42766}}},
	{"port_range",
	 NOTE,
	 "ip_local_port_range",
	 {{SET(PORT_HIGH), 32867}, {COUNT(TIME_WAIT), 49}}},
	{"port_range",
	 WARN,
	 "ip_local_port_range",
	 {{SET(PORT_HIGH), 32867}, {COUNT(TIME_WAIT), 50}}},
	{"port_range",
	 WARN,
	 "ip_local_port_range",
	 {{SET(PORT_HIGH), 32867}, {COUNT(TIME_WAIT), 20}, {COUNT(ESTABLISHED), 30}}},
	/* TIME_WAIT */
	{"time_wait", OK, NULL, {{COUNT(TIME_WAIT), 80000}}},
	{"time_wait", WARN, "tcp_max_tw_buckets=262144", {{COUNT(TIME_WAIT), 80001}}},
	{"time_wait", BAD, "tcp_max_tw_buckets=262144", {{RISES(TIME_WAIT_OVERFLOW), 1}}},
	{"time_wait", PAST, "tcp_max_tw_buckets", {{COUNT(TIME_WAIT_OVERFLOW), 1}}},
	{"time_wait", WARN, "tcp_max_tw_buckets=262144", {{SET(MAX_TW_BUCKETS), 0}}},
	{"tw_reuse", OK, NULL, {{COUNT(TIME_WAIT), 14115}}},
	{"tw_reuse", NOTE, "tcp_tw_reuse=1", {{COUNT(TIME_WAIT), 14116}}},
	{"tw_reuse", OK, NULL, {{COUNT(TIME_WAIT), 14116}, {SET(TW_REUSE), 1}}},
	{"tw_reuse", NOTE, "tcp_timestamps=1", {{SET(TIMESTAMPS), 0}, {SET(TW_REUSE), 1}}},
	{"fin_timeout", NOTE, NULL, {{SET(FIN_TIMEOUT), 15}}},
	{"orphans", OK, NULL, {{COUNT(ORPHANS), 52428}}},
	{"orphans", WARN, "tcp_max_orphans=131072", {{COUNT(ORPHANS), 52429}}},
	{"orphans", BAD, "tcp_max_orphans=131072", {{COUNT(ORPHANS), 65536}}},
	{"orphans", BAD, "tcp_max_orphans", {{RISES(ABORT_ON_MEMORY), 1}}},
	{"orphans", PAST, "tcp_max_orphans", {{COUNT(ABORT_ON_MEMORY), 1}}},
};

static void test_thresholds(void **state)
{
	for (size_t i = 0; i < TD_ARRAY_SIZE(cases); i++) {
		enum td_doctor_verdict verdict = cases[i].verdict == PAST
							 ? TD_VERDICT_WARN
							 : (enum td_doctor_verdict)cases[i].verdict;
		const struct td_row *r;

		healthy(NULL);
		for (size_t k = 0; k < 4; k++) {
			if (cases[i].change[k].a)
				*cases[i].change[k].a = cases[i].change[k].value;
			if (cases[i].change[k].b)
				*cases[i].change[k].b = cases[i].change[k].value;
		}
		look(0);
		r = row_of(cases[i].id);
		if (!r)
			fail_msg("case %zu: no row %s", i, cases[i].id);
		if (r->verdict != verdict ||
		    r->wrong != (cases[i].verdict == WARN || cases[i].verdict == BAD))
			fail_msg("case %zu: %s is %s, wrong %d: %s", i, r->id,
				 td_verdict_name(r->verdict), r->wrong, r->sentence);
		if (cases[i].setting ? !strstr(r->setting, cases[i].setting)
				     : verdict == TD_VERDICT_OK && r->setting[0])
			fail_msg("case %zu: %s says \"%s\"", i, r->id, r->setting);
		if (r->wrong && !report.wrong)
			fail_msg("case %zu: the report is not wrong", i);
		if (verdict != TD_VERDICT_OK && !r->sentence[0])
			fail_msg("case %zu: no sentence", i);
	}
}

static void test_rate(void **state)
{
	now.f.counter[TD_COUNTER_LISTEN_OVERFLOWS] = 30;
	now.f.at_ns = was.f.at_ns + 2000000000u;
	look(0);
	assert_true(row_of("listen_overflows")->drops_now == 15.0);
	assert_int_equal(row_of("listen_overflows")->drops_boot, 30);
	/* one look: nothing is known of now, so nothing is bad */
	td_doctor_check(NULL, &now.f, 0, &report);
	assert_true(row_of("listen_overflows")->drops_now < 0);
	assert_int_equal(row_of("listen_overflows")->verdict, TD_VERDICT_WARN);
	assert_false(report.wrong);
	/* ... but a full queue is full */
	now.listen[1].queue = 512;
	td_doctor_check(NULL, &now.f, 0, &report);
	assert_int_equal(row_of("accept_queue")->verdict, TD_VERDICT_BAD);
}

static void test_who(void **state)
{
	was.listen[1].queue = now.listen[1].queue = 512;
	look(0);
	assert_string_equal(row_of("accept_queue")->what, "accept queue of 0.0.0.0:80");
	assert_non_null(strstr(row_of("accept_queue")->sentence, "nginx (pid 80)"));
	now.process[1].stopped = true;
	look(0);
	assert_non_null(strstr(row_of("accept_queue")->sentence, "kill -CONT 80"));
	assert_int_equal(row_of("accept_queue")->verdict, TD_VERDICT_BAD);
	was.listen[1].queue = now.listen[1].queue = 450;
	look(0);
	assert_int_equal(row_of("accept_queue")->verdict, TD_VERDICT_WARN);
	now.listen[1].pid = 0;
	look(0);
	assert_non_null(strstr(row_of("accept_queue")->sentence, "its program"));
	now.f.counter[TD_COUNTER_LISTEN_OVERFLOWS] = 1;
	look(0);
	assert_non_null(strstr(row_of("listen_overflows")->sentence, "try again"));
	now.f.sysctl[TD_SYSCTL_ABORT_ON_OVERFLOW] = 1;
	look(0);
	assert_non_null(strstr(row_of("listen_overflows")->sentence, "reset"));
}

/* A process with more descriptors than it may have took its limit down itself, as sandboxes do. */
static void test_sandbox(void **state)
{
	now.process[1].files = 5;
	now.process[1].soft = 5;
	now.process[1].listens = false;
	look(0);
	assert_int_equal(row_of("process_files")->verdict, TD_VERDICT_BAD);
	now.process[1].soft = 1;
	look(0);
	assert_int_equal(row_of("process_files")->verdict, TD_VERDICT_OK);
	now.process[1].listens = true;
	look(0);
	assert_int_equal(row_of("process_files")->verdict, TD_VERDICT_BAD);
	now.process[1].files = -1; /* not ours to see */
	look(0);
	assert_int_equal(row_of("process_files")->verdict, TD_VERDICT_OK);
}

/* Listeners of one address and port share their SYN queues. */
static void test_syn_group(void **state)
{
	now.listen[0] = now.listen[1];
	now.listen[0].inode = 6;
	now.listen[0].half_open = 600;
	was.listen[0] = now.listen[0];
	look(0);
	assert_int_equal(row_of("syn_queue")->value, 600);
	assert_int_equal(row_of("syn_queue")->limit, 1022);
	assert_int_equal(row_of("syn_queue")->verdict, TD_VERDICT_OK);
	now.listen[0].half_open = 1022;
	look(0);
	assert_int_equal(row_of("syn_queue")->verdict, TD_VERDICT_WARN); /* in one look only */
	was.listen[0].half_open = 1022;
	look(0);
	assert_int_equal(row_of("syn_queue")->verdict, TD_VERDICT_BAD);
}

static void test_xdp(void **state)
{
	look(0);
	assert_null(row_of("xdp_errors"));
	was.nic[1].xdp = now.nic[1].xdp = XDP_ATTACHED_DRV;
	was.nic[1].xdp_errors = now.nic[1].xdp_errors = 0;
	was.nic[1].xdp_drops = 3;
	now.nic[1].xdp_drops = 1000;
	look(0);
	assert_int_equal(row_of("xdp_errors")->verdict, TD_VERDICT_OK);
	assert_int_equal(row_of("xdp_drops")->verdict, TD_VERDICT_OK); /* on purpose */
	now.nic[1].xdp_errors = 1;
	look(0);
	assert_int_equal(row_of("xdp_errors")->verdict, TD_VERDICT_BAD);
	was.nic[1].xdp_errors = 1;
	now.nic[1].packets = 1000;
	look(0);
	assert_int_equal(row_of("xdp_errors")->verdict, TD_VERDICT_WARN);
	assert_false(report.wrong);
	now.nic[1].xdp_errors = was.nic[1].xdp_errors = 0;
	now.nic[1].xdp = XDP_ATTACHED_SKB;
	look(0);
	assert_int_equal(row_of("xdp_errors")->verdict, TD_VERDICT_NOTE);
}

/* As the drivers write them. */
static void test_driver_counters(void **state)
{
	static const struct {
		const char *name[4];
		uint64_t value[4];
		int64_t lost, xdp_drops, xdp_errors;
	} drivers[] = {
		{{"rx_queue_0_xdp_drops", "rx_queue_1_xdp_drops", "rx_queue_0_xdp_tx_errors",
		  "rx_queue_0_xdp_redirect_errors"},
		 {1, 2, 4, 8},
		 3,
		 3,
		 12}, /* veth, virtio_net */
		{{"rx_xdp_drop", "rx0_xdp_drop", "rx_xdp_tx_full", "rx0_xdp_tx_full"},
		 {5, 5, 7, 7},
		 3,
		 5,
		 7}, /* mlx5: in total and each */
		{{"rx_out_of_buffer", "rx_xdp_tx_err", "rx_xdp_redirect", "rx_packets"},
		 {9, 2, 100, 1000},
		 9,
		 -1,
		 2},
		{{"queue_0_rx_xdp_aborted", "queue_0_rx_xdp_invalid", "queue_0_rx_xdp_pass", "x"},
		 {1, 1, 50, 50},
		 3,
		 -1,
		 2}, /* ena */
		{{"rx_no_dma_resources", "tx_packets", "rx_bytes", "errors"},
		 {4, 9, 9, 9},
		 4,
		 -1,
		 -1},
		{{"rx_missed_errors", "RX_NoDesc", "abcdefghijklmnopqrstuvwxyz012345", ""},
		 {1, 1, 9, 9},
		 3,
		 -1,
		 -1},
	};
	char names[4 * 32];

	for (size_t i = 0; i < TD_ARRAY_SIZE(drivers); i++) {
		struct td_nic nic = {.lost = 3};

		memset(names, 0, sizeof(names));
		for (size_t k = 0; k < 4; k++)
			memcpy(names + 32 * k, drivers[i].name[k], strlen(drivers[i].name[k]));
		td_doctor_statistics(&nic, names, drivers[i].value, 4);
		if (nic.lost != drivers[i].lost || nic.xdp_drops != drivers[i].xdp_drops ||
		    nic.xdp_errors != drivers[i].xdp_errors)
			fail_msg("case %zu: %lld %lld %lld", i, (long long)nic.lost,
				 (long long)nic.xdp_drops, (long long)nic.xdp_errors);
	}
}

static void test_overlap(void **state)
{
	const struct td_row *r;

	now.listen[1].port = 32767;
	look(0);
	assert_int_equal(row_of("port_overlap")->verdict, TD_VERDICT_OK);
	now.listen[1].port = 32768;
	look(0);
	r = row_of("port_overlap");
	assert_int_equal(r->verdict, TD_VERDICT_WARN);
	assert_true(report.wrong);
	assert_string_equal(r->setting, "sysctl -w net.ipv4.ip_local_reserved_ports=32768");
	/* what is reserved stays so */
	now.f.reserved[9000 / 8] |= 1 << 9000 % 8;
	now.f.reserved[9001 / 8] |= 1 << 9001 % 8;
	look(0);
	assert_string_equal(row_of("port_overlap")->setting,
			    "sysctl -w net.ipv4.ip_local_reserved_ports=9000-9001,32768");
	now.f.reserved[32768 / 8] |= 1 << 32768 % 8;
	look(0);
	assert_int_equal(row_of("port_overlap")->verdict, TD_VERDICT_OK);
	assert_int_equal(row_of("reserved_ports")->value, 1);
	/* those that take any port */
	now.f.reserved[32768 / 8] = 0;
	strcpy(now.listen[1].command, "rpc.statd");
	look(0);
	assert_int_equal(row_of("port_overlap")->verdict, TD_VERDICT_NOTE);
	strcpy(now.listen[1].command, "containerd");
	now.listen[1].address = tundish_addr_v4(htonl(0x7f000001));
	look(0);
	assert_int_equal(row_of("port_overlap")->verdict, TD_VERDICT_NOTE);
	now.listen[1].address = tundish_addr_v4(0);
	now.listen[1].pid = 0;
	look(0);
	assert_int_equal(row_of("port_overlap")->verdict, TD_VERDICT_NOTE);
	assert_false(report.wrong);
}

static void test_tuple(void **state)
{
	static const struct {
		double utilization, seconds;
		enum td_doctor_verdict verdict;
	} tuples[] = {
		{0.1, -1, TD_VERDICT_OK},    {0.499, -1, TD_VERDICT_OK}, {0.5, -1, TD_VERDICT_WARN},
		{0.99, -1, TD_VERDICT_WARN}, {1, -1, TD_VERDICT_BAD},	 {0.1, 600, TD_VERDICT_OK},
		{0.1, 599, TD_VERDICT_WARN},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(tuples); i++) {
		now.f.tuple = (struct td_tuple_use){.known = true,
						    .local = "10.0.0.1",
						    .remote = "10.0.0.2",
						    .port = 80,
						    .used = 1,
						    .usable = 100,
						    .utilization = tuples[i].utilization,
						    .seconds = tuples[i].seconds};
		look(0);
		assert_int_equal(row_of("port_tuple")->verdict, tuples[i].verdict);
		assert_int_equal(report.wrong, tuples[i].verdict != TD_VERDICT_OK);
	}
}

/* Of translated connections none becomes dear at one half. */
static void test_tuple_of_nat(void **state)
{
	static const struct {
		double utilization, seconds;
		enum td_doctor_verdict verdict;
	} tuples[] = {
		{0.1, -1, TD_VERDICT_OK}, {0.5, -1, TD_VERDICT_NOTE}, {0.99, -1, TD_VERDICT_NOTE},
		{1, -1, TD_VERDICT_BAD},  {0.1, 600, TD_VERDICT_OK},  {0.6, 599, TD_VERDICT_WARN},
	};

	for (size_t i = 0; i < TD_ARRAY_SIZE(tuples); i++) {
		now.f.tuple = (struct td_tuple_use){.known = true,
						    .nat = true,
						    .local = "10.0.0.1",
						    .remote = "10.0.0.2",
						    .port = 80,
						    .usable = 100,
						    .utilization = tuples[i].utilization,
						    .seconds = tuples[i].seconds};
		look(0);
		assert_int_equal(row_of("port_tuple")->verdict, tuples[i].verdict);
		assert_int_equal(report.wrong, tuples[i].verdict > TD_VERDICT_NOTE);
		assert_null(strstr(row_of("port_tuple")->sentence, "connect()"));
	}
}

static void test_nat(void **state)
{
	look(0);
	for (size_t i = 0; i < report.n; i++)
		assert_string_not_equal(report.rows[i].stage, "nat");
	now.f.nat = (struct td_nat_use){.known = true, .connections = 79, .capacity = 100};
	look(0);
	assert_int_equal(row_of("nat_table")->verdict, TD_VERDICT_OK);
	assert_int_equal(row_of("nat_answers")->verdict, TD_VERDICT_OK);
	assert_int_equal(row_of("nat_sources")->verdict, TD_VERDICT_OK);
	assert_false(report.wrong);
	now.f.nat.connections = 81;
	now.f.nat.silent = 2;
	strcpy(now.f.nat.first_silent, "web/web1");
	now.f.nat.unheard = 1;
	strcpy(now.f.nat.first_unheard, "web/web2");
	now.f.nat.missing = 1;
	strcpy(now.f.nat.first_missing, "10.0.1.250");
	look(0);
	assert_int_equal(row_of("nat_table")->verdict, TD_VERDICT_WARN);
	assert_int_equal(row_of("nat_answers")->verdict, TD_VERDICT_BAD);
	assert_non_null(strstr(row_of("nat_answers")->sentence, "web/web1 and others"));
	assert_int_equal(row_of("nat_nics")->verdict, TD_VERDICT_WARN);
	assert_non_null(strstr(row_of("nat_nics")->sentence, "the way to web/web2 goes"));
	assert_int_equal(row_of("nat_sources")->verdict, TD_VERDICT_WARN);
	assert_non_null(strstr(row_of("nat_sources")->setting, "10.0.1.250"));
	assert_true(report.wrong);
}

static void test_capacity(void **state)
{
	const struct td_row *r;

	/* two programs with a thousand descriptors each */
	look(0);
	r = row_of("capacity");
	assert_int_equal(r->limit, 2000);
	assert_int_equal(r->verdict, TD_VERDICT_OK);
	assert_non_null(strstr(r->sentence, "RLIMIT_NOFILE"));
	look(2000);
	assert_int_equal(row_of("capacity")->verdict, TD_VERDICT_OK);
	look(2001);
	r = row_of("capacity");
	assert_int_equal(r->verdict, TD_VERDICT_BAD);
	assert_non_null(strstr(r->setting, "LimitNOFILE=2201"));
	assert_true(report.wrong);
	/* then conntrack, then memory */
	now.process[0].soft = now.process[1].soft = 1 << 30;
	look(1000000);
	assert_int_equal(row_of("capacity")->limit, 262144);
	assert_non_null(strstr(row_of("capacity")->setting, "nf_conntrack_max="));
	now.f.sysctl[TD_SYSCTL_CONNTRACK_MAX] = 1 << 30;
	look(0);
	assert_int_equal(row_of("capacity")->limit, (6LL << 30) / TD_DOCTOR_CONNECTION_BYTES);
	now.f.sysctl[TD_SYSCTL_FILES_MAX] = 500000;
	now.f.counter[TD_COUNTER_ESTABLISHED] = 7;
	look(0);
	assert_int_equal(row_of("capacity")->limit, 500000 - 2000 + 7);
	look(500000);
	assert_non_null(strstr(row_of("capacity")->setting, "fs.file-max=1048576"));
	now.f.sysctl[TD_SYSCTL_FILES_MAX] = INT64_MAX;
	now.f.counter[TD_COUNTER_ESTABLISHED] = 0;
	now.f.counter[TD_COUNTER_SOCKETS] = 999; /* too few to tell */
	now.f.counter[TD_COUNTER_MEMORY_PAGES] = 999;
	look(0);
	assert_int_equal(row_of("capacity")->limit, (6LL << 30) / TD_DOCTOR_CONNECTION_BYTES);
	now.f.counter[TD_COUNTER_SOCKETS] = 1000;
	now.f.counter[TD_COUNTER_MEMORY_PAGES] = 1000;
	look(0);
	assert_int_equal(row_of("capacity")->limit,
			 (6LL << 30) / (TD_DOCTOR_CONNECTION_BYTES + 4096));
	/* what the present ones hold in buffers is part of the price */
	now.f.counter[TD_COUNTER_SOCKETS] = 10000;
	now.f.counter[TD_COUNTER_MEMORY_PAGES] = 20000;
	look(0);
	assert_int_equal(row_of("capacity")->limit,
			 (6LL << 30) / (TD_DOCTOR_CONNECTION_BYTES + 8192));
}

/* With nothing known nothing is said, but that. */
static void test_unseen(void **state)
{
	struct td_facts nothing;

	td_facts_init(&nothing);
	nothing.unseen = TD_UNSEEN_LISTENERS | TD_UNSEEN_PROCESSES;
	td_doctor_check(&nothing, &nothing, 0, &report);
	assert_false(report.wrong);
	for (size_t i = 0; i < report.n; i++)
		if (report.rows[i].verdict != TD_VERDICT_OK)
			assert_string_equal(report.rows[i].id, "unseen");
	assert_non_null(strstr(row_of("unseen")->sentence, "listeners"));
	assert_non_null(strstr(row_of("unseen")->sentence, "root"));
	td_doctor_check(&nothing, &now.f, 0, &report); /* seen in the second look alone */
	assert_false(report.wrong);
}

/* More of each kind than fit. */
static void test_bounds(void **state)
{
	static struct td_listen many[1000];
	static struct td_process processes[1000];

	for (size_t i = 0; i < 1000; i++) {
		many[i] = now.listen[1];
		many[i].inode = i + 100;
		many[i].queue = 1000;
		processes[i] = now.process[1];
		processes[i].files = 1000;
		processes[i].memory_max = 1;
		processes[i].memory_kills = 1;
	}
	now.f.listeners = was.f.listeners = many;
	now.f.processes = processes;
	now.f.n_listeners = was.f.n_listeners = now.f.n_processes = 1000;
	look(0);
	assert_true(report.wrong);
	assert_true(report.n < TD_DOCTOR_ROWS_MAX);
	assert_non_null(row_of("capacity"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_healthy, healthy),
		cmocka_unit_test_setup(test_thresholds, healthy),
		cmocka_unit_test_setup(test_rate, healthy),
		cmocka_unit_test_setup(test_who, healthy),
		cmocka_unit_test_setup(test_sandbox, healthy),
		cmocka_unit_test_setup(test_syn_group, healthy),
		cmocka_unit_test_setup(test_xdp, healthy),
		cmocka_unit_test(test_driver_counters),
		cmocka_unit_test_setup(test_overlap, healthy),
		cmocka_unit_test_setup(test_tuple, healthy),
		cmocka_unit_test_setup(test_tuple_of_nat, healthy),
		cmocka_unit_test_setup(test_nat, healthy),
		cmocka_unit_test_setup(test_capacity, healthy),
		cmocka_unit_test_setup(test_unseen, healthy),
		cmocka_unit_test_setup(test_bounds, healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

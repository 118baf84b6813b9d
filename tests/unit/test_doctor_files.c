// SPDX-License-Identifier: GPL-2.0-only
/*
 * Facts from recorded files, of any content, and from this host; the file for sysctl.d: that
 * it parses, says the same when it has been applied, and never asks for less for more
 * connections.
 */
#include "doctor_fixture.h"

/* ---- recorded files ----------------------------------------------------------------------- */

static char root[] = "/tmp/test_doctor.XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int make_root(void **state)
{
	strcpy(root + strlen(root) - 6, "XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void put_recorded(void)
{
	put("proc/net/netstat",
	    "TcpExt: SyncookiesSent ListenOverflows ListenDrops TW TCPTimeWaitOverflow\n"
	    "TcpExt: 11 12 13 18446744073709551615 15\n"
	    "IpExt: InNoRoutes\nIpExt: 16\n");
	put("proc/net/snmp", "Ip: Forwarding\nIp: 1\n"
			     "Tcp: RtoMin MaxConn PassiveOpens CurrEstab\nTcp: 200 -1 21 22\n");
	put("proc/net/sockstat", "sockets: used 22\nTCP: inuse 1 orphan 31 tw 32 alloc 33 mem 34\n"
				 "UDP: inuse 9 mem 9\n");
	put("proc/meminfo",
	    "MemTotal:       24683812 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n");
	put("proc/net/stat/nf_conntrack", "entries  clashres found drop early_drop\n"
					  "00000000 00000000 00000000 0000000a 00000001\n"
					  "00000000 00000000 00000000 00000006 00000002\n");
	put("proc/net/softnet_stat",
	    "126ff205 00000003 00000688 0 0 0 0 0 0 0 00000000 00000005 00000000 0 0\n"
	    "1794e4e8 00000000 0000023a 0 0 0 0 0 0 0 00000000 000000ff 00000007 0 0\n");
	put("proc/sys/net/core/somaxconn", "4096\n");
	put("proc/sys/net/ipv4/tcp_mem", "287901\t383869\t575802\n");
	put("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
	put("proc/sys/net/ipv4/ip_local_reserved_ports", "1024,8000-8002,65535\n");
	put("proc/sys/fs/file-nr", "2038\t0\t9223372036854775807\n");
	put("proc/sys/fs/file-max", "9223372036854775807\n");
	put("proc/77/limits",
	    "Limit                     Soft Limit           Hard Limit           Units     \n"
	    "Max open files            2                    unlimited            files     \n");
	put("proc/77/stat", "77 (a) T (b) R 1 77");
	put("proc/77/cgroup", "3:cpuset:/x\n0::/system.slice/a;b@1.service/worker\n");
	put("proc/77/fd/0", "");
	put("proc/77/fd/1", "");
	put("sys/fs/cgroup/system.slice/memory.max", "1000\n");
	put("sys/fs/cgroup/system.slice/memory.current", "900\n");
	put("sys/fs/cgroup/system.slice/memory.events",
	    "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
}

static void test_recorded(void **state)
{
	static const struct {
		enum td_doctor_counter c;
		int64_t value;
	} counters[] = {
		{TD_COUNTER_COOKIES_SENT, 11},
		{TD_COUNTER_LISTEN_OVERFLOWS, 12},
		{TD_COUNTER_LISTEN_DROPS, 13},
		{TD_COUNTER_TIME_WAIT_ENTERED, INT64_MAX},
		{TD_COUNTER_TIME_WAIT_OVERFLOW, 15},
		{TD_COUNTER_PASSIVE_OPENS, 21},
		{TD_COUNTER_ESTABLISHED, 22},
		{TD_COUNTER_ORPHANS, 31},
		{TD_COUNTER_TIME_WAIT, 32},
		{TD_COUNTER_SOCKETS, 33},
		{TD_COUNTER_MEMORY_PAGES, 34},
		{TD_COUNTER_MEM_TOTAL_KB, 24683812},
		{TD_COUNTER_MEM_AVAILABLE_KB, 20000000},
		{TD_COUNTER_CONNTRACK_DROPS, 16},
		{TD_COUNTER_CONNTRACK_EARLY_DROPS, 3},
		{TD_COUNTER_ABORT_ON_MEMORY, -1}, /* not in it */
	};
	struct td_facts f;

	put_recorded();
	assert_int_equal(td_facts_read(root, true, &f), 0);
	for (size_t i = 0; i < TD_ARRAY_SIZE(counters); i++)
		assert_int_equal(f.counter[counters[i].c], counters[i].value);
	assert_int_equal(f.sysctl[TD_SYSCTL_SOMAXCONN], 4096);
	assert_int_equal(f.sysctl[TD_SYSCTL_TCP_MEM_PRESSURE], 383869);
	assert_int_equal(f.sysctl[TD_SYSCTL_PORT_HIGH], 60999);
	assert_int_equal(f.sysctl[TD_SYSCTL_FILES_OPEN], 2038);
	assert_int_equal(f.sysctl[TD_SYSCTL_FILES_MAX], INT64_MAX);
	assert_int_equal(f.sysctl[TD_SYSCTL_TW_REUSE], -1);
	for (unsigned int p = 0; p < 65536; p++)
		assert_int_equal(td_facts_reserved(&f, p),
				 p == 1024 || (p >= 8000 && p <= 8002) || p == 65535);
	assert_int_equal(f.n_cpus, 2);
	assert_int_equal(f.cpus[0].dropped, 3);
	assert_int_equal(f.cpus[1].squeezed, 0x23a);
	assert_int_equal(f.cpus[1].backlog, 255);
	assert_int_equal(f.cpus[1].id, 7);
	/* nobody knows that it listens, but its descriptors are used up */
	assert_int_equal(f.n_processes, 1);
	assert_int_equal(f.processes[0].pid, 77);
	assert_int_equal(f.processes[0].soft, 2);
	assert_int_equal(f.processes[0].hard, INT64_MAX);
	assert_string_equal(f.processes[0].command, "a) T (b");
	assert_false(f.processes[0].stopped);
	assert_string_equal(f.processes[0].unit, "a?b@1.service");
	assert_int_equal(f.processes[0].memory_max, 1000);
	assert_int_equal(f.processes[0].memory, 900);
	assert_int_equal(f.processes[0].memory_kills, 2);
	assert_int_equal(f.unseen, 0);
	td_facts_done(&f);
}

static void test_hostile_files(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"TcpExt:",
		"TcpExt:\nTcpExt:\n",
		"TcpExt: ListenOverflows\n",
		"TcpExt: ListenOverflows TW\nTcpExt: 1\n",
		"TcpExt: ListenOverflows\nTcpExt: -1\n",
		"TcpExt: ListenOverflows\nTcpExt: x\n",
		"TCP:",
		"TCP: tw",
		"MemTotal:",
		"entries drop\n\n\n",
		"1,2-,-3,70000-80000,9-1,x",
		"99999999999999999999999999 -5 \t 7",
		"\xff\xfe\x01 \x80",
	};
	static const char *const names[] = {
		"proc/net/netstat",
		"proc/net/snmp",
		"proc/net/sockstat",
		"proc/meminfo",
		"proc/net/stat/nf_conntrack",
		"proc/net/softnet_stat",
		"proc/sys/net/core/somaxconn",
		"proc/sys/net/ipv4/ip_local_port_range",
		"proc/sys/net/ipv4/ip_local_reserved_ports",
		"proc/sys/net/ipv4/tcp_mem",
		"proc/77/limits",
		"proc/77/stat",
		"proc/77/cgroup",
		"sys/fs/cgroup/system.slice/memory.max",
	};
	char *text = NULL;
	struct td_facts f;

	put_recorded();
	for (size_t i = 0; i < TD_ARRAY_SIZE(names); i++)
		for (size_t k = 0; k < TD_ARRAY_SIZE(texts); k++) {
			put(names[i], texts[k]);
			assert_int_equal(td_facts_read(root, true, &f), 0);
			td_doctor_check(NULL, &f, 0, &report);
			td_doctor_check(&f, &f, 1000000, &report);
			assert_int_equal(td_doctor_sysctl(&f, 1000000, &text), 0);
			free(text);
			td_facts_done(&f);
		}
	remove_root(NULL);
	assert_int_equal(td_facts_read(root, true, &f), 0);
	assert_true(f.unseen & TD_UNSEEN_FILES);
	assert_true(f.unseen & TD_UNSEEN_PROCESSES);
	td_facts_done(&f);
	mkdir(root, 0700);
}

/* ---- this host ------------------------------------------------------------------------------ */

static void test_this_host(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int s = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	const struct td_listen *found = NULL;
	const struct td_process *own = NULL;
	socklen_t length = sizeof(any);
	struct td_facts f;

	assert_int_equal(bind(s, (void *)&any, sizeof(any)), 0);
	assert_int_equal(listen(s, 7), 0);
	assert_int_equal(getsockname(s, (void *)&any, &length), 0);
	assert_int_equal(connect(c, (void *)&any, sizeof(any)), 0);
	assert_int_equal(td_facts_read("", true, &f), 0);
	for (size_t i = 0; i < f.n_listeners; i++)
		if (f.listeners[i].port == ntohs(any.sin_port) &&
		    tundish_addr_is_v4(&f.listeners[i].address))
			found = &f.listeners[i];
	assert_non_null(found);
	assert_int_equal(found->queue, 1);
	assert_int_equal(found->limit, 7);
	assert_int_equal(found->drops, 0);
	assert_int_equal(found->pid, getpid());
	assert_string_equal(found->command, "test_doctor_fil"); /* as the kernel cuts it */
	for (size_t i = 0; i < f.n_processes; i++)
		if (f.processes[i].pid == getpid())
			own = &f.processes[i];
	assert_non_null(own);
	assert_true(own->listens && !own->stopped);
	assert_int_equal(own->soft, sysconf(_SC_OPEN_MAX));
	assert_true(own->files >= 5 && own->files < 100);
	assert_true(f.n_nics >= 1 && f.n_cpus >= 1);
	td_facts_done(&f);
	close(c);
	close(s);
}

/* ---- the file for sysctl.d --------------------------------------------------------------------- */

#define KEYS_MAX 32

struct key {
	char name[64];
	long long value[3];
	int n;
	char list[512];
};

/* Every line is a comment, empty, or a key that has its reason above it. */
static size_t parse(const char *text, struct key *keys)
{
	char line[4200], above[4200] = "";
	size_t n = 0;

	while (*text) {
		size_t length = strcspn(text, "\n");

		assert_true(length < sizeof(line));
		memcpy(line, text, length);
		line[length] = '\0';
		text += length + (text[length] == '\n');
		if (line[0] && line[0] != '#') {
			struct key *k = &keys[n++];

			assert_true(n < KEYS_MAX);
			assert_true(above[0] == '#' && strlen(above) > 20);
			*k = (struct key){.n = 0};
			assert_int_equal(
				sscanf(line, "%63[a-z0-9_.-] = %511[0-9 ,-]", k->name, k->list), 2);
			assert_int_equal(strlen(k->name) + 3 + strlen(k->list), strlen(line));
			k->n = sscanf(k->list, "%lld %lld %lld", &k->value[0], &k->value[1],
				      &k->value[2]);
		}
		strcpy(above, line);
	}
	return n;
}

static void apply(const struct key *k)
{
	static const struct {
		const char *name;
		enum td_sysctl s;
	} names[] = {
		{"fs.file-max", TD_SYSCTL_FILES_MAX},
		{"fs.nr_open", TD_SYSCTL_NR_OPEN},
		{"net.core.somaxconn", TD_SYSCTL_SOMAXCONN},
		{"net.ipv4.tcp_max_syn_backlog", TD_SYSCTL_MAX_SYN_BACKLOG},
		{"net.core.netdev_max_backlog", TD_SYSCTL_NETDEV_MAX_BACKLOG},
		{"net.ipv4.tcp_mem", TD_SYSCTL_TCP_MEM_LOW},
		{"net.ipv4.tcp_max_orphans", TD_SYSCTL_MAX_ORPHANS},
		{"net.ipv4.tcp_max_tw_buckets", TD_SYSCTL_MAX_TW_BUCKETS},
		{"net.ipv4.ip_local_port_range", TD_SYSCTL_PORT_LOW},
		{"net.netfilter.nf_conntrack_buckets", TD_SYSCTL_CONNTRACK_BUCKETS},
		{"net.netfilter.nf_conntrack_max", TD_SYSCTL_CONNTRACK_MAX},
	};

	if (strcmp(k->name, "net.ipv4.ip_local_reserved_ports") == 0) {
		put("proc/sys/net/ipv4/ip_local_reserved_ports", k->list);
		return;
	}
	for (size_t i = 0; i < TD_ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, k->name) == 0) {
			for (int v = 0; v < k->n; v++)
				now.f.sysctl[names[i].s + v] = k->value[v];
			return;
		}
	fail_msg("no such key: %s", k->name);
}

static void test_sysctl(void **state)
{
	static const int64_t targets[] = {
		1,	100,	 1000,	  14000,    14001,
		100000, 1000000, 2000000, 10000000, TD_DOCTOR_CONNECTIONS_MAX};
	struct key keys[2][KEYS_MAX], again[KEYS_MAX];
	size_t n[2] = {0};
	char *text;

	now.listen[1].port = 20000; /* in the wider range */
	for (size_t t = 0; t < TD_ARRAY_SIZE(targets); t++) {
		size_t at = t % 2;

		healthy(NULL);
		now.listen[1].port = 20000;
		assert_int_equal(td_doctor_sysctl(&now.f, targets[t], &text), 0);
		n[at] = parse(text, keys[at]);
		assert_true(n[at] >= 11);
		/* never below what is set */
		for (size_t i = 0; i < n[at]; i++)
			assert_true(keys[at][i].value[0] >= 1);
		for (size_t i = 0; t && i < n[!at]; i++) {
			size_t k = 0;

			while (k < n[at] && strcmp(keys[at][k].name, keys[!at][i].name) != 0)
				k++;
			assert_true(k < n[at]);
			if (strcmp(keys[at][k].name, "net.ipv4.ip_local_port_range") == 0) {
				assert_true(keys[at][k].value[0] <= keys[!at][i].value[0]);
				assert_true(keys[at][k].value[1] >= keys[!at][i].value[1]);
				continue;
			}
			for (int v = 0; v < keys[at][k].n; v++)
				if (keys[at][k].value[v] < keys[!at][i].value[v])
					fail_msg("%s for %lld connections", keys[at][k].name,
						 (long long)targets[t]);
		}
		/* applied, it says the same */
		for (size_t i = 0; i < n[at]; i++)
			apply(&keys[at][i]);
		if (targets[t] > 14000)
			now.f.reserved[20000 / 8] |= 1 << 20000 % 8;
		free(text);
		assert_int_equal(td_doctor_sysctl(&now.f, targets[t], &text), 0);
		assert_int_equal(parse(text, again), n[at]);
		assert_memory_equal(again, keys[at], n[at] * sizeof(*again));
		free(text);
		/* and for fewer it takes nothing back */
		assert_int_equal(td_doctor_sysctl(&now.f, 1, &text), 0);
		assert_int_equal(parse(text, again), n[at]);
		assert_memory_equal(again, keys[at], n[at] * sizeof(*again));
		free(text);
	}
}

static void test_sysctl_words(void **state)
{
	struct key keys[KEYS_MAX];
	char *text;
	size_t n;

	now.listen[1].port = 20000;
	assert_int_equal(td_doctor_sysctl(&now.f, 2000000, &text), 0);
	assert_non_null(strstr(text, "\nnet.ipv4.ip_local_reserved_ports = 20000\n"));
	assert_non_null(strstr(text, "LimitNOFILE=2201024"));
	assert_non_null(strstr(text, "MORE THAN THIS HOST HAS")); /* 9 GiB of 8 */
	assert_null(strstr(text, "\nnet.ipv4.tcp_fin_timeout"));
	assert_null(strstr(text, "\nnet.ipv4.tcp_tw"));
	free(text);
	/* Half of the memory at most for buffers. */
	assert_int_equal(td_doctor_sysctl(&now.f, 10000000, &text), 0);
	assert_non_null(strstr(text, "\nnet.ipv4.tcp_mem = 524288 699050 1048576\n"));
	free(text);
	/* What is not seen is not set. */
	td_facts_init(&now.f);
	assert_int_equal(td_doctor_sysctl(&now.f, 1000000, &text), 0);
	n = parse(text, keys);
	assert_int_equal(n, 0);
	assert_non_null(strstr(text, "# net.core.somaxconn: not seen from here"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_recorded, make_root, remove_root),
		cmocka_unit_test_setup_teardown(test_hostile_files, make_root, remove_root),
		cmocka_unit_test(test_this_host),
		cmocka_unit_test_setup_teardown(test_sysctl, make_root, remove_root),
		cmocka_unit_test_setup(test_sysctl_words, healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

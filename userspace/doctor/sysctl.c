// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file for sysctl.d: what a number of connections needs of a host's settings.
 *
 * Each value grows with the number and is never below the present one, so the file can be
 * made again after it was applied, and says the same. What cannot be seen from here is left
 * out, since a value might lower it. Each line has its reason above it, as sysctl.d(5) knows no
 * comments behind a value. What is no sysctl stands at the end, as a comment.
 */
#include "checks.h"

struct file {
	FILE *out;
	const struct td_facts *facts;
	int64_t n;
};

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
	return value < least ? least : value > most ? most : value;
}

static int64_t present(const struct file *f, enum td_sysctl s)
{
	return f->facts->sysctl[s];
}

static void line(struct file *f, enum td_sysctl s, const char *key, int64_t wanted,
		 const char *reason)
{
	if (present(f, s) < 0)
		fprintf(f->out, "# %s: not seen from here, left as it is.\n\n", key);
	else
		fprintf(f->out, "# %s\n%s = %lld\n\n", reason, key,
			(long long)TD_MAX(wanted, present(f, s)));
}

static void files(struct file *f)
{
	line(f, TD_SYSCTL_FILES_MAX, "fs.file-max", clamp(f->n * 2 + 262144, 1 << 20, INT64_MAX),
	     "A descriptor for each connection, two through a proxy, and room for the rest.");
	line(f, TD_SYSCTL_NR_OPEN, "fs.nr_open", clamp(f->n * 2 + 65536, 1 << 20, 1 << 30),
	     "The most that LimitNOFILE may be: one process may have to hold them all.");
}

static void queues(struct file *f)
{
	int64_t places = clamp(f->n / 16, 4096, 65535);

	line(f, TD_SYSCTL_SOMAXCONN, "net.core.somaxconn", places,
	     "The ceiling of accept and SYN queues, for when all come back at once; programs must ask "
	     "for it in listen(2).");
	line(f, TD_SYSCTL_MAX_SYN_BACKLOG, "net.ipv4.tcp_max_syn_backlog", places,
	     "Counts only where SYN cookies are off; then as many half-open ones.");
	line(f, TD_SYSCTL_NETDEV_MAX_BACKLOG, "net.core.netdev_max_backlog",
	     clamp(f->n / 32, 4096, 32768),
	     "Packets that wait for a CPU with RPS, on veth and loopback; a card's queues do not use it.");
}

/* The kernel's own proportions: 2/4, 2/3 and all of the highest. */
static void memory(struct file *f)
{
	int64_t page = TD_MAX(f->facts->page_bytes, 1),
		total = f->facts->counter[TD_COUNTER_MEM_TOTAL_KB];
	int64_t wanted = clamp(f->n, 0, INT64_MAX / 16384) * 8192 / page;
	int64_t low = present(f, TD_SYSCTL_TCP_MEM_LOW), high = present(f, TD_SYSCTL_TCP_MEM_HIGH);
	int64_t pressure = present(f, TD_SYSCTL_TCP_MEM_PRESSURE);

	if (high < 0 || low < 0 || pressure < 0 || total < 0) {
		fputs("# net.ipv4.tcp_mem: not seen from here, left as it is.\n\n", f->out);
		return;
	}
	wanted = TD_MIN(wanted, total * 1024 / page / 2);
	if (wanted > high) {
		low = TD_MAX(low, wanted / 2);
		pressure = TD_MAX(pressure, wanted / 3 * 2);
		high = wanted;
	}
	fprintf(f->out,
		"# Pages for all of TCP's buffers: 8 KiB for each connection, at most half of this host's "
		"memory.\nnet.ipv4.tcp_mem = %lld %lld %lld\n\n",
		(long long)low, (long long)pressure, (long long)high);
}

static void endings(struct file *f)
{
	line(f, TD_SYSCTL_MAX_ORPHANS, "net.ipv4.tcp_max_orphans", clamp(f->n / 4, 65536, 1 << 24),
	     "Connections that were closed with data left; beyond it they are reset. Up to 64 KiB each.");
	line(f, TD_SYSCTL_MAX_TW_BUCKETS, "net.ipv4.tcp_max_tw_buckets",
	     clamp(f->n, 262144, 1 << 30),
	     "As many may end within 60 s; beyond it TIME_WAIT is skipped, which is unsafe. 300 bytes each.");
}

/* A wider range swallows ports that services listen on: those are reserved. */
static void ports(struct file *f)
{
	int64_t low = present(f, TD_SYSCTL_PORT_LOW), high = present(f, TD_SYSCTL_PORT_HIGH);
	uint8_t set[8192];
	char list[4096];

	if (low < 0 || high < 0) {
		fputs("# net.ipv4.ip_local_port_range: not seen from here, left as it is.\n\n",
		      f->out);
		return;
	}
	if (f->n > 14000) { /* half of the default range: where connect() becomes dear */
		low = TD_MIN(low, 16384);
		high = TD_MAX(high, 65535);
	}
	memcpy(set, f->facts->reserved, sizeof(set));
	for (size_t i = 0; i < f->facts->n_listeners; i++) {
		unsigned int p = f->facts->listeners[i].port;

		if (p >= low && p <= high && !td_listens_anywhere(&f->facts->listeners[i]))
			set[p / 8] |= (uint8_t)(1 << (p % 8));
	}
	if (td_doctor_ports_print(set, list, sizeof(list)) && list[0])
		fprintf(f->out,
			"# Ports that are reserved now or that services listen on, so that no outgoing connection "
			"takes them.\nnet.ipv4.ip_local_reserved_ports = %s\n\n",
			list);
	fprintf(f->out,
		"# Source ports for each (local IP, remote IP, remote port): the more, the later a busy "
		"destination runs out.\nnet.ipv4.ip_local_port_range = %lld %lld\n\n",
		(long long)low, (long long)high);
}

static void conntrack(struct file *f)
{
	if (present(f, TD_SYSCTL_CONNTRACK_MAX) < 0)
		return;
	line(f, TD_SYSCTL_CONNTRACK_BUCKETS, "net.netfilter.nf_conntrack_buckets",
	     clamp(f->n, 65536, 1 << 24), "As many chains as entries, so that each stays short.");
	line(f, TD_SYSCTL_CONNTRACK_MAX, "net.netfilter.nf_conntrack_max",
	     clamp(f->n + f->n / 2, 262144, 1LL << 31),
	     "Connections and what is left of ended ones, 320 bytes each; better, leave the services' "
	     "ports untracked.");
}

static void rest(struct file *f)
{
	int64_t total = f->facts->counter[TD_COUNTER_MEM_TOTAL_KB];
	int64_t bytes = f->n * TD_DOCTOR_CONNECTION_BYTES;

	fprintf(f->out,
		"# No sysctl, and needed too:\n"
		"#   LimitNOFILE=%lld in the unit of each program that may hold all of them\n"
		"#   %lld MiB of kernel memory for idle connections, beside buffers and the programs' own%s\n"
		"#\n"
		"# Left alone on purpose: tcp_fin_timeout (it does not shorten TIME_WAIT), tcp_tw_reuse (2 is\n"
		"# for loopback; 1 helps outgoing connections only), tcp_rmem and tcp_wmem (buffers grow as\n"
		"# they are used). tcp_tw_recycle is gone from the kernel, and was unsafe.\n",
		(long long)(f->n + f->n / 10 + 1024), (long long)(bytes >> 20),
		total >= 0 && bytes / 1024 > total ? ": MORE THAN THIS HOST HAS" : "");
}

int td_doctor_sysctl(const struct td_facts *facts, int64_t target, char **ret)
{
	struct file f = {.facts = facts, .n = clamp(target, 1, TD_DOCTOR_CONNECTIONS_MAX)};
	char *text = NULL;
	size_t size;
	bool failed;

	f.out = open_memstream(&text, &size);
	if (!f.out)
		return -ENOMEM;
	fprintf(f.out,
		"# For %lld connections on this host; nothing is below what was set when it was made.\n"
		"# Put it into /etc/sysctl.d/90-tundish.conf and run `sysctl --system`.\n\n",
		(long long)f.n);
	files(&f);
	queues(&f);
	memory(&f);
	endings(&f);
	ports(&f);
	conntrack(&f);
	rest(&f);
	failed = ferror(f.out);
	if (fclose(f.out) != 0 || failed) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	return 0;
}

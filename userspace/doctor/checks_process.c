// SPDX-License-Identifier: GPL-2.0-only
/*
 * Descriptors and memory, and how many connections the limits leave room for.
 */
#include "checks.h"

#define FILES_LEAST 65536
/* Per second: a slow reader here and there is no fault of the host. */
#define BUFFER_DROPS_LEAST 100

/* ---- descriptors -------------------------------------------------------------------- */

static bool is_finite(int64_t limit)
{
	return limit >= 0 && limit < INT64_MAX / 2;
}

static void set_files(const struct td_look *l, const struct td_process *p, struct td_row *row)
{
	int64_t wanted = td_doubled(p->soft, FILES_LEAST, 1 << 30), ceiling = TD_SYSCTL(l, NR_OPEN);
	char first[64] = "";

	if (ceiling > 0 && wanted > ceiling)
		snprintf(first, sizeof(first), "sysctl -w fs.nr_open=%lld, then ",
			 (long long)wanted);
	if (p->unit[0])
		td_row_set(row, "%sLimitNOFILE=%lld in %s (`systemctl edit %s`, then restart it)",
			   first, (long long)wanted, p->unit, p->unit);
	else
		td_row_set(
			row,
			"%sLimitNOFILE=%lld in its unit, or `prlimit --pid %d --nofile=%lld` at once",
			first, (long long)wanted, p->pid, (long long)wanted);
}

void td_check_process_files(struct td_look *l)
{
	const struct td_process *fullest = NULL;
	struct td_row *row;
	size_t rows = 0;

	for (size_t i = 0; i < l->now->n_processes; i++) {
		const struct td_process *p = &l->now->processes[i];

		/* Who has more than it may lowered the limit itself, as sandboxes do. */
		if (p->files < 0 || !is_finite(p->soft) || (p->files > p->soft && !p->listens))
			continue;
		if (!fullest || (double)p->files * (double)TD_MAX(fullest->soft, 1) >
					(double)fullest->files * (double)TD_MAX(p->soft, 1))
			fullest = p;
		if (!td_is_near(p->files, p->soft) || rows++ >= TD_DOCTOR_EACH_MAX)
			continue;
		row = td_row_add(l, "process", "process_files", "files of %s (pid %d)", p->command,
				 p->pid);
		row->unit = "files";
		row->value = p->files;
		row->limit = p->soft;
		if (p->files >= p->soft)
			td_row_say(
				row, TD_VERDICT_BAD,
				"%s (pid %d) has no descriptor left: accept() and connect() fail with "
				"EMFILE",
				p->command, p->pid);
		else
			td_row_say(
				row, TD_VERDICT_WARN,
				"%s (pid %d) has used over 80%% of its descriptors, each connection "
				"takes one, or two through a proxy",
				p->command, p->pid);
		set_files(l, p, row);
	}
	if (rows || !fullest)
		return;
	row = td_row_add(l, "process", "process_files", "files of %s (pid %d), the fullest",
			 fullest->command, fullest->pid);
	row->unit = "files";
	row->value = fullest->files;
	row->limit = fullest->soft;
}

void td_check_host_files(struct td_look *l)
{
	int64_t value = TD_SYSCTL(l, FILES_OPEN), limit = TD_SYSCTL(l, FILES_MAX);
	struct td_row *row;

	if (limit < 0)
		return;
	row = td_row_add(l, "process", "host_files", "files of the host");
	row->unit = "files";
	row->value = value;
	row->limit = is_finite(limit) ? limit : -1;
	if (value >= limit)
		td_row_say(
			row, TD_VERDICT_BAD,
			"no file can be opened: accept() and connect() fail with ENFILE but for root");
	else if (td_is_near(value, limit))
		td_row_say(row, TD_VERDICT_WARN, "over 80%% of the files of this host are open");
	if (row->verdict != TD_VERDICT_OK)
		td_row_set(row, "sysctl -w fs.file-max=%lld",
			   (long long)td_doubled(limit, 1 << 20, INT64_MAX / 2));
}

/* ---- memory --------------------------------------------------------------------------- */

/* Sockets are charged in whole pages, and the kernel begins to press for memory between. */
void td_check_tcp_memory(struct td_look *l)
{
	int64_t value = TD_COUNTER(l, MEMORY_PAGES), pressure = TD_SYSCTL(l, TCP_MEM_PRESSURE);
	int64_t high = TD_SYSCTL(l, TCP_MEM_HIGH), wanted;
	struct td_row *row;

	if (value < 0 && high < 0)
		return;
	row = td_row_add(l, "memory", "tcp_mem", "memory of TCP's buffers");
	row->unit = "pages";
	row->value = value;
	row->limit = high;
	td_row_counter(l, row, TD_COUNTER_MEMORY_PRESSURES);
	if (high > 0 && value >= high)
		td_row_say(row, TD_VERDICT_BAD,
			   "TCP has no memory left: data is dropped and connections are aborted");
	else if (td_row_hurts(row) || (pressure > 0 && value >= pressure))
		td_row_say(
			row, td_row_hurts(row) ? TD_VERDICT_BAD : TD_VERDICT_WARN,
			"TCP is under memory pressure: windows shrink and queued data is thrown away; "
			"look for connections that nobody reads (`ss -tm`) before raising it");
	else
		td_row_past(row, -1, "times under memory pressure");
	wanted = td_doubled(high, 1, INT64_MAX / 2);
	if (row->verdict >= TD_VERDICT_WARN && high > 0)
		td_row_set(row, "sysctl -w net.ipv4.tcp_mem=\"%lld %lld %lld\"",
			   (long long)wanted / 2, (long long)wanted / 3 * 2, (long long)wanted);
}

void td_check_receive_buffers(struct td_look *l)
{
	static const enum td_doctor_counter each[] = {TD_COUNTER_RECEIVE_PRUNED,
						      TD_COUNTER_BACKLOG_DROPS,
						      TD_COUNTER_RECEIVE_QUEUE_DROPS};
	int64_t now = -1, was = -1;
	struct td_row *row;

	for (size_t i = 0; i < TD_ARRAY_SIZE(each); i++) {
		if (l->now->counter[each[i]] < 0)
			continue;
		now = TD_MAX(now, 0) + l->now->counter[each[i]];
		if (l->was && l->was->counter[each[i]] >= 0)
			was = TD_MAX(was, 0) + l->was->counter[each[i]];
	}
	if (now < 0)
		return;
	row = td_row_add(l, "memory", "receive_buffers", "receive buffers of sockets");
	row->unit = "packets";
	td_row_drops(l, row, now, was);
	if (td_row_hurts(row)) {
		td_row_say(
			row,
			row->drops_now < BUFFER_DROPS_LEAST ? TD_VERDICT_NOTE : TD_VERDICT_WARN,
			"%.0f packets/s of open connections are thrown away: their sockets' buffers are "
			"full, because programs read too slowly or the buffers are small",
			row->drops_now);
		td_row_set(
			row,
			"sysctl -w net.ipv4.tcp_rmem=\"4096 131072 33554432\", if the programs do read");
	} else {
		td_row_past(row, -1, "packets dropped at full receive buffers");
		if (row->verdict == TD_VERDICT_WARN)
			row->verdict = TD_VERDICT_NOTE; /* a slow reader, some day */
	}
}

/* memory.current holds the page cache, so it may stand at its limit for ever and nothing is
 * wrong; killed is killed. */
void td_check_cgroup_memory(struct td_look *l)
{
	size_t rows = 0;

	for (size_t i = 0; i < l->now->n_processes; i++) {
		const struct td_process *p = &l->now->processes[i];
		struct td_row *row;

		if (p->memory_max < 0 || p->memory_kills <= 0 || rows++ >= TD_DOCTOR_EACH_MAX)
			continue;
		row = td_row_add(l, "memory", "cgroup_memory", "memory of %s's cgroup", p->command);
		row->unit = "bytes";
		row->value = p->memory;
		row->limit = p->memory_max;
		row->drops_boot = p->memory_kills;
		td_row_past(row, -1, "processes killed by the cgroup's limit");
		if (p->unit[0])
			td_row_set(row, "MemoryMax=%lld in %s", (long long)p->memory_max * 2,
				   p->unit);
	}
}

/* ---- how many connections ---------------------------------------------------------------- */

struct bound {
	const char *name;
	int64_t connections;
	char setting[160];
};

static void bound_add(struct bound *bounds, size_t *n, const char *name, int64_t connections,
		      const char *setting)
{
	if (connections < 0)
		return;
	bounds[*n].name = name;
	bounds[*n].connections = connections;
	snprintf(bounds[(*n)++].setting, sizeof(bounds->setting), "%s", setting);
}

static int compare(const void *a, const void *b)
{
	const struct bound *x = a, *y = b;

	return x->connections < y->connections ? -1 : x->connections > y->connections;
}

/* An idle one, and what the present ones have in their buffers where there are enough of
 * them to tell. */
static int64_t bytes_of_one(const struct td_look *l)
{
	int64_t pages = TD_COUNTER(l, MEMORY_PAGES), sockets = TD_COUNTER(l, SOCKETS);

	if (pages <= 0 || sockets < 1000)
		return TD_DOCTOR_CONNECTION_BYTES;
	return TD_DOCTOR_CONNECTION_BYTES + pages * l->now->page_bytes / sockets;
}

/* Files of all that listen, as each connection takes one. */
static int64_t files_of_listeners(const struct td_look *l)
{
	int64_t sum = -1;

	for (size_t i = 0; i < l->now->n_processes; i++) {
		const struct td_process *p = &l->now->processes[i];

		if (!p->listens || p->soft < 0)
			continue;
		if (!is_finite(p->soft))
			return -1;
		sum = TD_MAX(sum, 0) + p->soft;
	}
	return sum;
}

void td_check_capacity(struct td_look *l)
{
	int64_t one = bytes_of_one(l), established = TD_COUNTER(l, ESTABLISHED),
		n_target = l->target;
	int64_t available = TD_COUNTER(l, MEM_AVAILABLE_KB), files = TD_SYSCTL(l, FILES_MAX);
	int64_t open = TD_SYSCTL(l, FILES_OPEN), wanted = TD_MAX(n_target, 0);
	struct bound bounds[4];
	struct td_row *row;
	char text[160];
	size_t n = 0;

	established = TD_MAX(established, 0);
	snprintf(text, sizeof(text), "more memory, %lld MiB for %lld connections",
		 (long long)(wanted / 1024 * one / 1024), (long long)wanted);
	bound_add(bounds, &n, "memory", available < 0 ? -1 : established + available * 1024 / one,
		  text);
	snprintf(text, sizeof(text), "sysctl -w fs.file-max=%lld",
		 (long long)td_doubled(wanted, 1 << 20, INT64_MAX / 2));
	if (is_finite(files) && open >= 0)
		bound_add(bounds, &n, "fs.file-max", established + TD_MAX(files - open, 0), text);
	snprintf(text, sizeof(text), "LimitNOFILE=%lld in the units of the programs that listen",
		 (long long)(wanted + wanted / 10));
	bound_add(bounds, &n, "RLIMIT_NOFILE of the programs that listen", files_of_listeners(l),
		  text);
	snprintf(text, sizeof(text), "sysctl -w net.netfilter.nf_conntrack_max=%lld",
		 (long long)td_doubled(wanted, 65536, 1LL << 31));
	if (TD_SYSCTL(l, CONNTRACK_COUNT) > 0)
		bound_add(bounds, &n, "nf_conntrack_max", TD_SYSCTL(l, CONNTRACK_MAX), text);
	if (n == 0)
		return;
	qsort(bounds, n, sizeof(bounds[0]), compare);

	row = td_row_add(l, "whole", "capacity", "connections that this host can hold");
	row->unit = "connections";
	row->value = established;
	row->limit = bounds[0].connections;
	snprintf(text, sizeof(text), n > 1 ? "; then %s, at %lld" : "%s",
		 n > 1 ? bounds[1].name : "", n > 1 ? (long long)bounds[1].connections : 0);
	td_row_say(row, TD_VERDICT_OK,
		   "%s binds first, at %lld%s; an idle connection costs %lld bytes here",
		   bounds[0].name, (long long)bounds[0].connections, text, (long long)one);
	if (n_target > bounds[0].connections) {
		td_row_say(row, TD_VERDICT_BAD,
			   "%lld connections do not fit: %s binds first, at %lld%s",
			   (long long)n_target, bounds[0].name, (long long)bounds[0].connections,
			   text);
		td_row_set(row, "%s", bounds[0].setting);
	}
}

void td_check_unseen(struct td_look *l)
{
	static const struct {
		unsigned int bit;
		const char *words;
	} parts[] = {
		{TD_UNSEEN_FILES, "counters of /proc/net"},
		{TD_UNSEEN_LINKS, "interfaces"},
		{TD_UNSEEN_LISTENERS, "listeners and their queues"},
		{TD_UNSEEN_HALF_OPEN, "half-open connections"},
		{TD_UNSEEN_PROCESSES,
		 "descriptors and programs of other users, or of other PID namespaces"},
		{TD_UNSEEN_HOST, "settings of the host beyond this network namespace"},
	};
	struct td_row *row;
	char list[400] = "";
	size_t n = 0;

	for (size_t i = 0; i < TD_ARRAY_SIZE(parts); i++)
		if (l->now->unseen & parts[i].bit && n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? "; " : "",
					      parts[i].words);
	if (!n)
		return;
	row = td_row_add(l, "whole", "unseen", "not seen from here");
	td_row_say(row, TD_VERDICT_NOTE, "%s%s", list,
		   l->now->unseen & TD_UNSEEN_PROCESSES ? "; the root of this host sees more" : "");
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * "Some queue is full, and nobody can say which": every queue and limit that a
 * connection meets on this host, from the NIC to accept() and out again.
 *
 *   facts.c, files.c, nic.c, listeners.c, processes.c   read the host: struct td_facts
 *   checks*.c    two looks at the facts to rows, pure; each check is one row of a table
 *   json.c       rows as JSON
 *   sysctl.c     facts and a number of connections to a file for sysctl.d, pure
 *
 * Nothing here changes a setting. No daemon is needed, and no privilege: what may
 * not be seen is left out, and told as `unseen`.
 *
 * What belongs to whom: TcpExt, TIME_WAIT, port range, somaxconn, conntrack and the
 * interfaces are those of this network namespace; softnet_stat, files, orphans and TCP's
 * memory are the whole host's.
 */
#ifndef TD_DOCTOR_H
#define TD_DOCTOR_H

#include <sys/types.h>

#include "core/address.h"
#include "host/host.h"

/* ---- facts ------------------------------------------------------------------- */

/* X(name, below /proc/sys, which of its words) */
#define TD_DOCTOR_SYSCTLS(X)                                                                       \
	X(SOMAXCONN, "net/core/somaxconn", 0)                                                      \
	X(NETDEV_MAX_BACKLOG, "net/core/netdev_max_backlog", 0)                                    \
	X(NETDEV_BUDGET, "net/core/netdev_budget", 0)                                              \
	X(NETDEV_BUDGET_USECS, "net/core/netdev_budget_usecs", 0)                                  \
	X(SYNCOOKIES, "net/ipv4/tcp_syncookies", 0)                                                \
	X(MAX_SYN_BACKLOG, "net/ipv4/tcp_max_syn_backlog", 0)                                      \
	X(ABORT_ON_OVERFLOW, "net/ipv4/tcp_abort_on_overflow", 0)                                  \
	X(TCP_MEM_LOW, "net/ipv4/tcp_mem", 0)                                                      \
	X(TCP_MEM_PRESSURE, "net/ipv4/tcp_mem", 1)                                                 \
	X(TCP_MEM_HIGH, "net/ipv4/tcp_mem", 2)                                                     \
	X(MAX_ORPHANS, "net/ipv4/tcp_max_orphans", 0)                                              \
	X(MAX_TW_BUCKETS, "net/ipv4/tcp_max_tw_buckets", 0)                                        \
	X(TW_REUSE, "net/ipv4/tcp_tw_reuse", 0)                                                    \
	X(TIMESTAMPS, "net/ipv4/tcp_timestamps", 0)                                                \
	X(FIN_TIMEOUT, "net/ipv4/tcp_fin_timeout", 0)                                              \
	X(PORT_LOW, "net/ipv4/ip_local_port_range", 0)                                             \
	X(PORT_HIGH, "net/ipv4/ip_local_port_range", 1)                                            \
	X(CONNTRACK_COUNT, "net/netfilter/nf_conntrack_count", 0)                                  \
	X(CONNTRACK_MAX, "net/netfilter/nf_conntrack_max", 0)                                      \
	X(CONNTRACK_BUCKETS, "net/netfilter/nf_conntrack_buckets", 0)                              \
	X(FILES_OPEN, "fs/file-nr", 0)                                                             \
	X(FILES_MAX, "fs/file-max", 0)                                                             \
	X(NR_OPEN, "fs/nr_open", 0)

/* X(name, file below /proc, form of the file, its line's first word, the counter's name) */
#define TD_DOCTOR_COUNTERS(X)                                                                      \
	X(COOKIES_SENT, "net/netstat", HEADED, "TcpExt", "SyncookiesSent")                         \
	X(COOKIES_FAILED, "net/netstat", HEADED, "TcpExt", "SyncookiesFailed")                     \
	X(LISTEN_OVERFLOWS, "net/netstat", HEADED, "TcpExt", "ListenOverflows")                    \
	X(LISTEN_DROPS, "net/netstat", HEADED, "TcpExt", "ListenDrops")                            \
	X(REQUEST_QUEUE_DROPS, "net/netstat", HEADED, "TcpExt", "TCPReqQFullDrop")                 \
	X(TIME_WAIT_ENTERED, "net/netstat", HEADED, "TcpExt", "TW")                                \
	X(TIME_WAIT_OVERFLOW, "net/netstat", HEADED, "TcpExt", "TCPTimeWaitOverflow")              \
	X(ABORT_ON_MEMORY, "net/netstat", HEADED, "TcpExt", "TCPAbortOnMemory")                    \
	X(MEMORY_PRESSURES, "net/netstat", HEADED, "TcpExt", "TCPMemoryPressures")                 \
	X(RECEIVE_PRUNED, "net/netstat", HEADED, "TcpExt", "RcvPruned")                            \
	X(BACKLOG_DROPS, "net/netstat", HEADED, "TcpExt", "TCPBacklogDrop")                        \
	X(RECEIVE_QUEUE_DROPS, "net/netstat", HEADED, "TcpExt", "TCPRcvQDrop")                     \
	X(PASSIVE_OPENS, "net/snmp", HEADED, "Tcp", "PassiveOpens")                                \
	X(ESTABLISHED, "net/snmp", HEADED, "Tcp", "CurrEstab")                                     \
	X(ORPHANS, "net/sockstat", PAIRS, "TCP", "orphan")                                         \
	X(TIME_WAIT, "net/sockstat", PAIRS, "TCP", "tw")                                           \
	X(SOCKETS, "net/sockstat", PAIRS, "TCP", "alloc")                                          \
	X(MEMORY_PAGES, "net/sockstat", PAIRS, "TCP", "mem")                                       \
	X(CONNTRACK_DROPS, "net/stat/nf_conntrack", COLUMNS, "", "drop")                           \
	X(CONNTRACK_EARLY_DROPS, "net/stat/nf_conntrack", COLUMNS, "", "early_drop")               \
	X(MEM_TOTAL_KB, "meminfo", LINES, "MemTotal", "")                                          \
	X(MEM_AVAILABLE_KB, "meminfo", LINES, "MemAvailable", "")

enum td_sysctl {
#define X(name, path, word) TD_SYSCTL_##name,
	TD_DOCTOR_SYSCTLS(X)
#undef X
		TD_SYSCTL_N
};

enum td_doctor_counter {
#define X(name, file, form, line, word) TD_COUNTER_##name,
	TD_DOCTOR_COUNTERS(X)
#undef X
		TD_COUNTER_N
};

enum td_unseen {
	TD_UNSEEN_FILES = 1 << 0,     /* /proc is not there */
	TD_UNSEEN_LINKS = 1 << 1,     /* rtnetlink */
	TD_UNSEEN_LISTENERS = 1 << 2, /* inet_diag */
	TD_UNSEEN_HALF_OPEN = 1 << 3, /* inet_diag, or too many sockets to walk */
	TD_UNSEEN_PROCESSES = 1 << 4, /* descriptors of some processes, or who listens */
	TD_UNSEEN_HOST = 1 << 5,      /* the host's own limits: this is another network namespace */
};

#define TD_DOCTOR_CPUS_MAX	4096u
#define TD_DOCTOR_NICS_MAX	1024u
#define TD_DOCTOR_LISTENERS_MAX 16384u
#define TD_DOCTOR_PROCESSES_MAX 4096u /* of those kept */
#define TD_DOCTOR_HALF_OPEN_MAX 262144u
/* Half-open ones are found by a walk over all sockets: not among more than this. */
#define TD_DOCTOR_WALK_MAX 500000

/* Numbers below are -1 where not known. */
struct td_cpu {
	unsigned int id;
	int64_t dropped, squeezed, backlog;
};

struct td_nic {
	char name[16];
	unsigned int index;
	bool up, loopback;
	uint8_t xdp;	       /* XDP_ATTACHED_*; 0: no program */
	int64_t packets, lost; /* received; lost before the kernel saw them (ring, FIFO) */
	int64_t stack_drops;   /* received, and let go by the driver or the stack */
	int64_t transmit_drops;
	int64_t xdp_drops, xdp_errors;
	int64_t ring, ring_max; /* receive descriptors */
};

struct td_listen {
	struct tundish_addr address;
	uint16_t port; /* host byte order */
	uint64_t inode;
	int64_t queue, limit; /* waiting for accept(); as listen(2) was told: it holds one more */
	int64_t drops;	      /* SYNs and ACKs that this listener has let go */
	int64_t half_open;    /* of all listeners of this address and port, at the first of them */
	pid_t pid;	      /* who accepts, or one that holds it; 0: not known */
	char command[TD_HOST_COMMAND];
};

struct td_process {
	pid_t pid;
	char command[TD_HOST_COMMAND], unit[64]; /* of systemd, "" where none */
	bool listens, stopped;
	int64_t files, soft, hard;		  /* open descriptors, RLIMIT_NOFILE */
	int64_t memory, memory_max, memory_kills; /* of its cgroup (v2), bytes; -1: no limit */
};

/* The fullest tuple, as the daemon tells it. */
struct td_tuple_use {
	bool known, nat; /* of translated connections */
	char local[TD_ADDRESS_TEXT], remote[TD_ADDRESS_TEXT];
	int64_t port, used, time_wait, usable;
	double utilization, seconds; /* to exhaustion, -1: not filling */
};

/* Translated connections, as the daemon tells them. */
struct td_nat_use {
	bool known;
	int64_t connections, capacity;
	/* backends that nobody hears; that nobody would; sources that are not here */
	int64_t silent, unheard, missing;
	char first_silent[128], first_unheard[128], first_missing[TD_ADDRESS_TEXT];
};

struct td_facts {
	uint64_t at_ns;
	unsigned int unseen; /* of enum td_unseen */
	int64_t page_bytes;
	int64_t sysctl[TD_SYSCTL_N];
	int64_t counter[TD_COUNTER_N];
	uint8_t reserved[8192]; /* ip_local_reserved_ports, a bit each */
	struct td_cpu *cpus;
	struct td_nic *nics;
	struct td_listen *listeners;  /* ascending by (port, address) */
	struct td_process *processes; /* those that listen, or have used over 80% of their files */
	size_t n_cpus, n_nics, n_listeners, n_processes;
	struct td_tuple_use tuple; /* left to the caller, as is `nat` */
	struct td_nat_use nat;
};

/*
 * @root:    "" for this host; a directory with recorded files (proc/...) in a test: then
 *           nothing is asked of the kernel itself.
 * @whole:   with processes; the first of two looks does without.
 * Returns 0 or -ENOMEM; what cannot be read is `unseen`, or -1.
 */
int td_facts_read(const char *root, bool whole, struct td_facts *ret);
void td_facts_init(struct td_facts *f); /* nothing known */
void td_facts_done(struct td_facts *f);

static inline bool td_facts_reserved(const struct td_facts *f, unsigned int port)
{
	return f->reserved[(port & 65535) / 8] >> (port % 8) & 1;
}

/* ---- verdicts ------------------------------------------------------------------ */

enum td_doctor_verdict {
	TD_VERDICT_OK,
	TD_VERDICT_NOTE, /* advice, nothing is wrong */
	TD_VERDICT_WARN, /* near a limit, or it has dropped since boot */
	TD_VERDICT_BAD,	 /* hurts now */
};

struct td_row {
	const char *id, *stage, *unit;
	char what[96];
	int64_t value, limit, drops_boot; /* -1: not known, or there is none */
	double drops_now;		  /* per second; below 0: not known */
	enum td_doctor_verdict verdict;
	bool wrong; /* now: of a warning that is about the past alone it is false */
	char sentence[480];
	char setting[512]; /* "": nothing should be changed */
};

#define TD_DOCTOR_ROWS_MAX 160
#define TD_DOCTOR_EACH_MAX 12 /* rows of one kind: interfaces, listeners, processes */

struct td_report {
	size_t n;
	bool wrong; /* any of its rows */
	struct td_row rows[TD_DOCTOR_ROWS_MAX];
};

/*
 * Rows in the order of a packet's way. `was` is the earlier look, NULL where there was
 * only one. `target`: for how many connections the host shall have room, 0: none said.
 */
void td_doctor_check(const struct td_facts *was, const struct td_facts *now, int64_t target,
		     struct td_report *ret);

const char *td_verdict_name(enum td_doctor_verdict v);

/* ---- a file for sysctl.d -------------------------------------------------------- */

#define TD_DOCTOR_CONNECTIONS	  100000 /* where none are said */
#define TD_DOCTOR_CONNECTIONS_MAX 100000000

/*
 * What `target` connections need, a reason above each line; to free. Never below what is
 * set now, so that it can be applied twice and for another target. Returns 0 or -ENOMEM.
 */
int td_doctor_sysctl(const struct td_facts *f, int64_t target, char **ret);

/* Kernel memory of one idle connection: socket, file, inode and dentry (measured). */
#define TD_DOCTOR_CONNECTION_BYTES 4800

/* Ports of the set, "1024,8000-8080", as ip_local_reserved_ports takes them. False where
 * they do not fit. */
bool td_doctor_ports_print(const uint8_t set[8192], char *buffer, size_t size);

#endif

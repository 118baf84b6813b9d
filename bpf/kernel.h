/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few fields of the kernel's own structures that are read; libbpf finds
 * their places on the kernel that runs.
 */
#ifndef TUNDISH_KERNEL_H
#define TUNDISH_KERNEL_H

#include <linux/types.h>

#include <bpf/bpf_core_read.h>

#define AS_THE_KERNEL_HAS_IT __attribute__((preserve_access_index))

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED_STATE  1
#define TCP_SYN_SENT_STATE     2
#define TCP_FIN_WAIT1_STATE    4
#define TCP_FIN_WAIT2_STATE    5
#define TCP_TIME_WAIT_STATE    6
#define TCP_CLOSE_STATE	       7
#define TCP_CLOSE_WAIT_STATE   8
#define TCP_LAST_ACK_STATE     9
#define TCP_LISTEN_STATE       10
#define TCP_CLOSING_STATE      11
#define TCP_NEW_SYN_RECV_STATE 12

#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif

/* include/net/sock.h: bits of skc_flags */
#define SOCK_DEAD_FLAG (1ul << 0) /* no program has it any more */
#define SOCK_DONE_FLAG (1ul << 1) /* the other end's FIN has come */

#define SOCK_BINDPORT_LOCK 8 /* of sk_userlocks: bind(2) named the port */

struct net {
	__u64 net_cookie;
} AS_THE_KERNEL_HAS_IT;

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	struct {
		union {
			__u8 u6_addr8[16];
			__be32 u6_addr32[4];
		} in6_u;
	} skc_v6_rcv_saddr, skc_v6_daddr;
	__be16 skc_dport;
	__u16 skc_num;
	possible_net_t skc_net;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_ipv6only : 1;
	unsigned long skc_flags;
	atomic64_t skc_cookie;
} AS_THE_KERNEL_HAS_IT;

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
} AS_THE_KERNEL_HAS_IT;

struct file {
	struct inode *f_inode;
	void *private_data;
} AS_THE_KERNEL_HAS_IT;

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} AS_THE_KERNEL_HAS_IT;

struct files_struct {
	struct fdtable *fdt;
} AS_THE_KERNEL_HAS_IT;

struct socket {
	struct file *file;
	struct sock *sk;
} AS_THE_KERNEL_HAS_IT;

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	int counter;
} atomic_t;

struct sock {
	struct sock_common __sk_common;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	struct socket *sk_socket;
	kuid_t sk_uid;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	int sk_err;
	__u16 sk_protocol;
	__u8 sk_userlocks : 4;
} AS_THE_KERNEL_HAS_IT;

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
} AS_THE_KERNEL_HAS_IT;

struct request_sock_queue {
	atomic_t qlen;
} AS_THE_KERNEL_HAS_IT;

/* Who has a port, of all addresses of a namespace. */
struct inet_bind_bucket {
	signed char fastreuse, fastreuseport;
} AS_THE_KERNEL_HAS_IT;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct inet_bind_bucket *icsk_bind_hash;
	struct request_sock_queue icsk_accept_queue;
} AS_THE_KERNEL_HAS_IT;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 srtt_us; /* eighths of a microsecond; 0: no round trip was timed */
} AS_THE_KERNEL_HAS_IT;

struct udp_sock {
	struct inet_sock inet;
} AS_THE_KERNEL_HAS_IT;

struct timer_list {
	unsigned long expires;
} AS_THE_KERNEL_HAS_IT;

struct inet_timewait_sock {
	volatile unsigned char tw_substate;
	struct timer_list tw_timer;
	struct inet_bind_bucket *tw_tb;
} AS_THE_KERNEL_HAS_IT;

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
	int tw_ts_recent_stamp;
} AS_THE_KERNEL_HAS_IT;

struct ns_common {
	unsigned int inum;
} AS_THE_KERNEL_HAS_IT;

struct pid_namespace {
	struct ns_common ns;
} AS_THE_KERNEL_HAS_IT;

struct upid {
	int nr;
	struct pid_namespace *ns;
} AS_THE_KERNEL_HAS_IT;

struct pid {
	unsigned int level;
	struct upid numbers[1];
} AS_THE_KERNEL_HAS_IT;

struct task_struct {
	int tgid;
	char comm[16];
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct files_struct *files;
} AS_THE_KERNEL_HAS_IT;

/* At the end of a system call: its number and its first two arguments. */
struct pt_regs {
#if defined(__TARGET_ARCH_arm64)
	__u64 regs[31];
	__u64 orig_x0;
	int syscallno;
#else
	unsigned long si, di, orig_ax;
#endif
} AS_THE_KERNEL_HAS_IT;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} AS_THE_KERNEL_HAS_IT;

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	__u32 uid;
} AS_THE_KERNEL_HAS_IT;

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
} AS_THE_KERNEL_HAS_IT;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
} AS_THE_KERNEL_HAS_IT;

struct bpf_map;

struct bpf_iter__sockmap {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	struct sock *sk;
} AS_THE_KERNEL_HAS_IT;

#endif

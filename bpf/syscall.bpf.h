/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The end of a system call (tp_btf/sys_exit): which one it was, its arguments, and the
 * socket that it was about. A program there costs every system call of the host some
 * 90 ns, so it is attached only while somebody asks for what nothing else shows.
 */
#ifndef TUNDISH_SYSCALL_BPF_H
#define TUNDISH_SYSCALL_BPF_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "kernel.h"

enum call {
	CALL_ACCEPT,
	CALL_BIND,
};

/* Numbers of the machine's own calls: of 32-bit programs nothing is known. On other
 * machines any call may be an accept, which is then told by its result, and none a bind. */
static __always_inline int is_call(const struct pt_regs *regs, enum call call)
{
#if defined(__TARGET_ARCH_x86)
	__u64 n = regs->orig_ax;

	return call == CALL_BIND ? n == 49 : n == 43 || n == 288;
#elif defined(__TARGET_ARCH_arm64)
	int n = regs->syscallno;

	return call == CALL_BIND ? n == 200 : n == 202 || n == 242;
#else
	return call == CALL_ACCEPT;
#endif
}

static __always_inline __u64 first_argument(const struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return regs->di;
#elif defined(__TARGET_ARCH_arm64)
	return regs->orig_x0;
#else
	return 0;
#endif
}

static __always_inline __u64 second_argument(const struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return regs->si;
#elif defined(__TARGET_ARCH_arm64)
	return regs->regs[1];
#else
	return 0;
#endif
}

#define MODE_TYPE   0170000 /* of inode.i_mode */
#define MODE_SOCKET 0140000

/* The socket behind a descriptor of the caller, as a plain number to the verifier: it is
 * read with BPF_CORE_READ, and its storage cannot be reached. NULL: it is none. Another
 * thread may close it meanwhile; what is read then is garbage. */
static __always_inline struct sock *socket_behind(__u32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **all = BPF_CORE_READ(table, fd), *file = NULL;
	struct socket *socket;

	if (fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), all + fd) ||
	    (BPF_CORE_READ(file, f_inode, i_mode) & MODE_TYPE) != MODE_SOCKET)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

#endif

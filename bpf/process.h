/* SPDX-License-Identifier: GPL-2.0-only */
/* The number of a process as the daemon knows it. */
#ifndef TUNDISH_PROCESS_H
#define TUNDISH_PROCESS_H

#include <bpf/bpf_helpers.h>

#include "kernel.h"

/* The daemon's PID namespace, in whose numbers processes are told; 0: the first one. */
const volatile __u32 pid_namespace = 0;

#define PID_LEVELS 8 /* of nested namespaces that are looked through; the kernel allows 32 */

/* The number of a process in that namespace; 0: it is in none of its own or below. */
static __always_inline __u32 pid_of(struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	void *numbers = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	__u32 level = BPF_CORE_READ(pid, level), i;

	if (!pid_namespace)
		return BPF_CORE_READ(leader, tgid);
	for (i = 0; i < PID_LEVELS; i++) {
		struct upid *u = numbers + i * bpf_core_type_size(struct upid);

		if (i > level)
			break;
		if (BPF_CORE_READ(u, ns, ns.inum) == pid_namespace)
			return BPF_CORE_READ(u, nr);
	}
	return 0;
}

#endif

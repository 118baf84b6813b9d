// SPDX-License-Identifier: GPL-2.0-only
/*
 * What any program of libc does with itself, its files, its memory and its children.
 * It is wider than what tundishd's own code calls on purpose: a libc or a library that
 * takes another call of the same kind after an update goes on, and so do programs of
 * health checks, which inherit the filter.
 */
#include "lib/calls.h"

const char *const td_lib_calls[] = {
	/* files, by name and by descriptor */
	"open", "openat", "openat2", "creat", "close", "close_range", "read", "readv", "pread64",
	"preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek",
	"_llseek", "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64", "newfstatat",
	"fstatat64", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64", "access", "faccessat",
	"faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir",
	"fchdir", "umask", "fcntl", "fcntl64", "flock", "ioctl", "dup", "dup2", "dup3", "pipe",
	"pipe2", "memfd_create", "ftruncate", "ftruncate64", "truncate", "fallocate", "fsync",
	"fdatasync", "sync_file_range", "fadvise64", "fadvise64_64", "copy_file_range", "sendfile",
	"sendfile64", "splice", "tee", "readahead", "getxattr", "lgetxattr", "fgetxattr",
	"listxattr", "llistxattr", "flistxattr",
	/* of programs of checks: scratch files */
	"mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2",
	"link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "chown", "fchown",
	"lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat",
	/* memory and threads */
	"brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise", "msync", "mincore",
	"mlock", "mlock2", "munlock", "membarrier", "futex", "futex_time64", "futex_waitv", "rseq",
	"set_robust_list", "get_robust_list", "set_tid_address", "arch_prctl", "set_thread_area",
	"get_thread_area", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getattr",
	"sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min",
	"getcpu", "get_mempolicy",
	/* itself and its children; clone and setns are taken apart in daemon/filter.c */
	"fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "kill",
	"tkill", "tgkill", "pidfd_open", "pidfd_send_signal", "getpid", "getppid", "gettid",
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getpgid",
	"getpgrp", "setpgid", "getsid", "setsid", "getpriority", "setpriority", "getrlimit",
	"ugetrlimit", "setrlimit", "prlimit64", "getrusage", "times", "prctl", "capget", "capset",
	"uname", "sysinfo", "getrandom", "restart_syscall", "seccomp",
	/* user and group changes of programs of checks: to what they are already */
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups",
	/* signals, time, waiting */
	"rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigtimedwait",
	"rt_sigtimedwait_time64", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigsuspend",
	"rt_sigreturn", "sigreturn", "sigaltstack", "signalfd", "signalfd4", "pause", "alarm",
	"getitimer", "setitimer", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64",
	"clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday",
	"time", "timer_create", "timer_settime", "timer_settime64", "timer_gettime",
	"timer_gettime64", "timer_getoverrun", "timer_delete", "timerfd_create", "timerfd_settime",
	"timerfd_settime64", "timerfd_gettime", "timerfd_gettime64", "poll", "ppoll",
	"ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_create",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd",
	"eventfd2", "inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
	/* sockets */
	"socket", "socketpair", "socketcall", "bind", "listen", "accept", "accept4", "connect",
	"getsockname", "getpeername", "getsockopt", "setsockopt", "send", "sendto", "sendmsg",
	"sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "shutdown", NULL};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages of libbpf and libxdp. Both talk to stderr by themselves; here they
 * are silent unless debugging is on, for whoever called this part says once
 * what failed. One thing is worth keeping from them: the words that the kernel
 * adds to a refused netlink request ("veth: Peer MTU is too large to set XDP"),
 * which libbpf hands out in no other way.
 */
#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include "kernel/private.h"

static bool debugging;
static char reason[160];

static void keep_reason(const char *format, va_list ap)
{
	static const char prefix[] = "libbpf: Kernel error message: ";
	char line[sizeof(prefix) + sizeof(reason)];
	const char *text;

	vsnprintf(line, sizeof(line), format, ap);
	if (strncmp(line, prefix, sizeof(prefix) - 1))
		return;
	text = line + sizeof(prefix) - 1;
	snprintf(reason, sizeof(reason), "%.*s", (int)strcspn(text, "\n"), text);
}

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list ap)
{
	va_list again;

	if (level == LIBBPF_WARN) {
		va_copy(again, ap);
		keep_reason(format, again);
		va_end(again);
	}
	return debugging ? vfprintf(stderr, format, ap) : 0;
}

static int print_libxdp(enum libxdp_print_level level, const char *format, va_list ap)
{
	return debugging ? vfprintf(stderr, format, ap) : 0;
}

void td_kernel_prints(void)
{
	libbpf_set_print(print_libbpf);
	libxdp_set_print(print_libxdp);
}

void td_kernel_debug(bool on)
{
	debugging = on;
	td_kernel_prints();
}

const char *td_kernel_reason(void)
{
	return reason;
}

void td_kernel_forget_reason(void)
{
	reason[0] = '\0';
}

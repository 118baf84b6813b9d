// SPDX-License-Identifier: GPL-2.0-only
#include "lib/calls.h"

const char *const td_kernel_calls[] = {
	"bpf",	 /* maps, programs, links: all that the data path is kept fresh by */
	"flock", /* the pin directory's, and libxdp's */
	"mkdir", /* pins are files; a dispatcher's are in a directory of their own */
	"rmdir",  "unlink",
	"rename", "setns", /* an iterator over the sockets of another network namespace */
	NULL,
};

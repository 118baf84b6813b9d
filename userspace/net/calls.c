// SPDX-License-Identifier: GPL-2.0-only
#include "lib/calls.h"

const char *const td_net_calls[] = {
	"socket", /* netlink; packet sockets that announce virtual IPs */
	"bind",	   "sendto",	 "sendmsg",	"recvfrom",
	"recvmsg", "setsockopt", "getsockname", "ioctl", /* what a NIC does to packets (ethtool) */
	NULL,
};
